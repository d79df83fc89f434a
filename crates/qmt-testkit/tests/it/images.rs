//! Images as the builders make them, looked at as a client would.

use qmt_oci_ref::{Descriptor, Digest, MediaType, manifest};
use qmt_testkit::{Archive, FakeRegistry, ImageBuilder, IndexBuilder, Layer, plugins};
use serde_json::Value;

use crate::http::get;

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn a_wasm_artifact_holds_the_module_as_it_is() {
    let registry = FakeRegistry::builder().serve().await;
    let module = plugins::echo_wasm();
    ImageBuilder::wasm(module.clone())
        .build()
        .push(&registry, "acme/echo", "1");
    let manifest = get(registry.address(), "/v2/acme/echo/manifests/1").json();
    assert_eq!(manifest["mediaType"], manifest::OCI_MANIFEST);
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.wasm.v1.config+json"
    );
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.wasm.v1.layer+wasm"
    );
    assert_eq!(manifest["layers"][0]["size"], module.len());
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let blob = get(registry.address(), &format!("/v2/acme/echo/blobs/{digest}"));
    assert_eq!(blob.body, module);
    let other = ImageBuilder::wasm_as("application/wasm", module).build();
    assert_eq!(
        json(other.root_bytes())["layers"][0]["mediaType"],
        "application/wasm"
    );
}

#[test]
fn a_dockerfile_image_names_its_layers_by_uncompressed_digest() {
    let module = plugins::echo_wasm();
    for docker in [false, true] {
        let builder = ImageBuilder::dockerfile(module.clone());
        let image = if docker { builder.docker() } else { builder }.build();
        let manifest = json(image.root_bytes());
        let (config, config_bytes) = &image.blobs()[0];
        let (layer, layer_bytes) = &image.blobs()[1];
        let types = if docker {
            [
                manifest::DOCKER_MANIFEST,
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ]
        } else {
            [
                manifest::OCI_MANIFEST,
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            ]
        };
        assert_eq!(manifest["mediaType"], types[0]);
        assert_eq!(
            [config.media_type().as_ref(), layer.media_type().as_ref()],
            types[1..]
        );
        assert_eq!(manifest["config"]["digest"], config.digest().to_string());
        assert_eq!(
            manifest["layers"][0]["digest"],
            Digest::sha256(layer_bytes).to_string()
        );
        let config = json(config_bytes);
        assert_eq!(
            (&config["os"], &config["architecture"]),
            (&"linux".into(), &"amd64".into())
        );
        let tar = Archive::new().file("plugin.wasm", module.clone()).tar();
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            Digest::sha256(&tar).to_string()
        );
    }
}

#[test]
fn layers_can_claim_what_they_are_not() {
    let archive = Archive::new().file("plugin.wasm", b"x".as_slice());
    let lie = Digest::sha256(b"lie");
    let image = ImageBuilder::new()
        .layer(Layer::tar_zstd(&archive).claimed_as("application/vnd.oci.image.layer.v1.tar+gzip"))
        .layer(
            Layer::tar(&archive)
                .claimed_diff_id(lie.clone())
                .annotation("k", "v"),
        )
        .build();
    let manifest = json(image.root_bytes());
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    assert!(image.blobs()[1].1.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    assert_eq!(manifest["layers"][1]["annotations"]["k"], "v");
    assert_eq!(
        json(&image.blobs()[0].1)["rootfs"]["diff_ids"][1],
        lie.to_string()
    );
}

#[test]
fn an_index_lists_platforms_attestations_and_nested_indexes() {
    let wasm = ImageBuilder::wasm(plugins::echo_wasm()).build();
    let mut arm = manifest::platform("linux", "arm64");
    arm.set_variant(Some("v8".to_owned()));
    let native = ImageBuilder::native(arm.clone(), "plugin.so", b"\x7fELF".as_slice()).build();
    let inner = IndexBuilder::new().wasm(&wasm).docker().build();
    let lie = Descriptor::new(MediaType::from("x/y"), Digest::sha256(b"lie"), 3);
    let index = IndexBuilder::new()
        .platform(&native, arm)
        .attestation(&native)
        .nested(&inner)
        .entry(&wasm, lie)
        .annotation("k", "v")
        .build();
    let entries = json(index.root_bytes());
    assert_eq!(entries["annotations"]["k"], "v");
    let entries = entries["manifests"].as_array().unwrap().clone();
    assert_eq!(entries[0]["platform"]["variant"], "v8");
    assert_eq!(entries[1]["platform"]["os"], "unknown");
    assert_eq!(
        entries[1]["annotations"]["vnd.docker.reference.digest"],
        native.root().digest().to_string()
    );
    assert_eq!(entries[2]["mediaType"], manifest::DOCKER_INDEX);
    assert_eq!(entries[3]["digest"], Digest::sha256(b"lie").to_string());
    let digests: Vec<_> = index
        .manifests()
        .iter()
        .map(|(d, _)| d.digest().clone())
        .collect();
    assert!(digests.contains(wasm.root().digest()) && digests.contains(inner.root().digest()));
    assert_eq!(digests.last(), Some(index.root().digest()));
}

#[test]
fn the_same_input_makes_the_same_digest() {
    let build = || {
        let image = ImageBuilder::dockerfile(plugins::echo_wasm())
            .annotation("a", "b")
            .build();
        IndexBuilder::new()
            .wasm(&image)
            .build()
            .root()
            .digest()
            .clone()
    };
    assert_eq!(build(), build());
}
