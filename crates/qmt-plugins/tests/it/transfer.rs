//! Images that are carried to a machine without a network.

use qmt_artifact::HostPlatform;
use qmt_oci_ref::{Platform, manifest};
use qmt_plugins::{ErrorKind, Target};
use qmt_testkit::{ImageBuilder, IndexBuilder};

use crate::scene::{Scene, messages};

fn amd64(variant: Option<&str>) -> Platform {
    let mut platform = manifest::platform("linux", "amd64");
    platform.set_variant(variant.map(str::to_owned));
    platform
}

/// The head of a shared library for amd64, with some body.
fn library(body: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
    bytes.extend([body; 5_000]);
    bytes
}

/// An export for a platform without the variant of the importing machine lacks what that machine uses.
#[tokio::test]
async fn an_import_names_the_platform_that_the_layout_lacks() {
    let scene = Scene::new().await;
    let image =
        |variant, body| ImageBuilder::native(amd64(variant), "plugin.so", library(body)).build();
    let index = IndexBuilder::new()
        .platform(&image(Some("v3"), 1), amd64(Some("v3")))
        .platform(&image(None, 2), amd64(None))
        .build();
    scene.sign(&scene.push(&index, "1"));
    let exporting = scene.host(&scene.config());
    let target = Target::named(exporting.config(), "greeter").unwrap();
    let layout = |name| scene.folder.path().join(name);
    for (name, variants) in [
        ("plain.tar", &[None][..]),
        ("both.tar", &[None, Some("v3")]),
    ] {
        let platforms = variants
            .iter()
            .map(|variant| HostPlatform::new(&amd64(*variant)));
        let platforms: Vec<_> = platforms.collect();
        let targets = std::slice::from_ref(&target);
        let path = layout(name);
        let exported = exporting.export(targets, &platforms, &path);
        exported.await.unwrap();
    }
    let config = scene.config().replace("\"cache\"", "\"other\"");
    let importing = |variant| {
        let _ = std::fs::remove_file(scene.folder.path().join("plugins.lock"));
        let builder = scene.builder(&config).offline(true);
        builder
            .platform(HostPlatform::new(&amd64(variant)))
            .build()
            .unwrap()
    };
    for variant in [Some("v3"), Some("v4")] {
        let host = importing(variant);
        let report = host.import(&layout("plain.tar")).await.unwrap();
        let [lacking] = &report.lacking[..] else {
            panic!("{:?}", report.lacking)
        };
        assert_eq!(
            (&*lacking.plugin, &*lacking.platform),
            ("greeter", "linux/amd64/v3")
        );
        let error = host.fetch("greeter").await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let (said, hint) = (messages(&error), error.hint().unwrap());
        assert!(
            said.contains("for linux/amd64/v3 is not in the cache"),
            "{said}"
        );
        let command = "`cache export --platform linux/amd64/v3`";
        assert!(hint.contains(command), "{hint}");
    }
    let plain = importing(Some("v2"));
    let report = plain.import(&layout("plain.tar")).await.unwrap();
    assert!(report.lacking.is_empty(), "{:?}", report.lacking);
    plain.fetch("greeter").await.unwrap();
    let host = importing(Some("v4"));
    let report = host.import(&layout("both.tar")).await.unwrap();
    assert!(report.lacking.is_empty(), "{:?}", report.lacking);
    host.fetch("greeter").await.unwrap();
}
