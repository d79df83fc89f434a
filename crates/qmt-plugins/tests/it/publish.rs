//! Publishing: what is pushed can be loaded, is the same each time, and is signed where a key is
//! given.

use std::path::PathBuf;

use qmt_oci_ref::{MediaType, Registry as _, Tag};
use qmt_plugins::publish::{PublishRequest, Published};
use qmt_plugins::verify::KeySigner;
use qmt_plugins::{Error, ErrorKind, LockMode, PluginHost, PluginSource};
use qmt_registry::OciLayout;
use qmt_testkit::{FakeRegistry, Fault, plugins};
use serde_json::Value;

use crate::scene::{REPOSITORY, Scene, greet, messages, this_platform};

/// Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, for these tests.
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3Pv43mDTzC0sUOpp\n\
ufP/ps+YktYUbRq4Xpo///XLEd2hRANCAAREH5Cu8+BlnPqAjPppL3VSUqVkgHeZ\n\
bFSG7oe+ytZpxsyGPINcWf9qXZGs2YovrhQ1Yq6J8UXwh0o3gS4gQ0MS\n\
-----END PRIVATE KEY-----\n";

fn signer() -> KeySigner {
    KeySigner::from_pem(KEY.as_bytes(), None).unwrap()
}

fn request(scene: &Scene, destination: &str) -> PublishRequest {
    let module = scene.folder.path().join("plugin.wasm");
    std::fs::write(&module, plugins::echo_wasm()).unwrap();
    PublishRequest::new(PluginSource::parse_reference(destination).unwrap()).with_wasm(module)
}

fn in_registry(scene: &Scene, tag: &str) -> PublishRequest {
    let host = scene.registry.host();
    request(scene, &format!("oci://{host}/{REPOSITORY}:{tag}"))
}

/// Trusts the key in the file `name` and needs no log.
fn trusting(scene: &Scene, name: &str, pem: &str) -> String {
    scene.write(name, pem);
    let policy = format!(
        "[[oci.policy]]\nscope = \"**\"\n\
         any_of = [{{ key = \"{name}\", transparency_log = \"optional\" }}]"
    );
    scene.config_with(&policy, "")
}

fn other_key(scene: &Scene) -> String {
    scene.sigstore.key_pem("team")
}

async fn publish(host: &PluginHost, request: &PublishRequest) -> Published {
    host.publish(request)
        .await
        .unwrap_or_else(|error| panic!("{}", messages(&error)))
}

async fn without_referrers_api() -> Scene {
    let mut scene = Scene::new().await;
    scene.registry = FakeRegistry::builder().referrers_api(false).serve().await;
    scene
}

/// With the referrers API and by the fallback tag.
#[tokio::test]
async fn what_is_published_with_a_key_is_loaded_only_by_hosts_that_trust_it() {
    for scene in [Scene::new().await, without_referrers_api().await] {
        let config = trusting(&scene, "ours.pub", &signer().public_key_pem());
        let host = scene.host(&config);
        let published = publish(&host, &in_registry(&scene, "1").signed_by(signer())).await;
        let signature = published.signature.unwrap();
        assert_eq!(signature.signer, signer().signer());
        assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");

        let refusing = scene.host(&trusting(&scene, "theirs.pub", &other_key(&scene)));
        let error = refusing.load("greeter").await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotVerified, "{}", messages(&error));
        // A policy that requires a log entry refuses it.
        let config = trusting(&scene, "ours.pub", &signer().public_key_pem());
        let strict = scene.host(&config.replace("optional", "required"));
        let error = strict.load("greeter").await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotVerified, "{}", messages(&error));
    }
}

/// The opposite case: without a key, nothing is signed.
#[tokio::test]
async fn what_is_published_without_a_key_is_unsigned() {
    let scene = Scene::new().await;
    let config = trusting(&scene, "ours.pub", &signer().public_key_pem());
    let host = scene.host(&config);
    let published = publish(&host, &in_registry(&scene, "1")).await;
    assert!(published.signature.is_none());
    let error = host.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotVerified, "{}", messages(&error));
}

#[tokio::test]
async fn an_index_of_both_kinds_is_signed_as_a_whole() {
    let scene = Scene::new().await;
    let library = plugins::native_plugin(scene.folder.path()).unwrap();
    let request = in_registry(&scene, "1")
        .with_native(this_platform(), library)
        .signed_by(signer());
    let config = trusting(&scene, "ours.pub", &signer().public_key_pem());
    let published = publish(&scene.host(&config), &request).await;
    assert_eq!(published.manifests.len(), 3);
    assert_eq!(published.manifests.last(), Some(&published.digest));
    assert_eq!(
        greet(&scene.host(&config), "greeter").await,
        "Hello, world! (native)"
    );
}

/// The tag names an image only after everything that belongs to it was pushed.
#[tokio::test]
async fn the_tag_comes_last() {
    let scene = Scene::new().await;
    let config = trusting(&scene, "ours.pub", &signer().public_key_pem());
    let host = scene.host(&config);
    publish(&host, &in_registry(&scene, "1").signed_by(signer())).await;
    let puts: Vec<_> = scene
        .registry
        .requests()
        .into_iter()
        .filter(|request| request.method == "PUT" || request.method == "POST")
        .collect();
    let tagged = puts
        .iter()
        .position(|put| put.path().ends_with("/manifests/1"));
    assert_eq!(
        tagged,
        Some(puts.len() - 1),
        "{}",
        scene.registry.request_log()
    );
}

/// Invariant 7: a publish that fails leaves the last good state under the tag.
#[tokio::test]
async fn a_publish_that_breaks_off_leaves_the_tag_where_it_was() {
    let scene = Scene::new().await;
    let config = trusting(&scene, "ours.pub", &signer().public_key_pem());
    let host = scene.host(&config);
    let first = publish(&host, &in_registry(&scene, "1").signed_by(signer())).await;
    // The signature's manifest is the second one that goes up by its digest.
    let by_digest = "/v2/*/manifests/sha256:*";
    scene
        .registry
        .fault(Fault::on("PUT", by_digest).skip(1).respond(403));
    let second = in_registry(&scene, "1")
        .created_at(1_700_000_000)
        .signed_by(signer());
    let error = host.publish(&second).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{}", messages(&error));
    let (held, _) = scene.registry.manifest(REPOSITORY, "1").unwrap();
    assert_eq!(held.digest(), &first.digest);
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
}

#[tokio::test]
async fn the_same_input_makes_the_same_digest_and_another_time_another() {
    let (one, other) = (Scene::new().await, Scene::new().await);
    let digest = async |scene: &Scene, seconds| {
        let request = in_registry(scene, "1")
            .created_at(seconds)
            .with_title("greeter")
            .signed_by(signer());
        publish(&scene.host(&scene.config()), &request).await.digest
    };
    let first = digest(&one, 1_700_000_000).await;
    assert_eq!(first, digest(&other, 1_700_000_000).await);
    assert_eq!(first, digest(&one, 1_700_000_000).await);
    assert_ne!(first, digest(&one, 1_700_000_001).await);
}

/// Seconds that no clock of the system can hold, and seconds that no RFC 3339 can write.
#[tokio::test]
async fn a_time_behind_the_year_9999_is_refused() {
    let scene = Scene::new().await;
    for seconds in [253_402_300_800, u64::MAX] {
        let request = in_registry(&scene, "1").created_at(seconds);
        let error = scene
            .host(&scene.config())
            .publish(&request)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{}", messages(&error));
        assert!(
            messages(&error).contains("SOURCE_DATE_EPOCH"),
            "{}",
            messages(&error)
        );
    }
}

#[tokio::test]
async fn annotations_and_the_time_stand_in_the_manifest() {
    let scene = Scene::new().await;
    let request = in_registry(&scene, "1")
        .created_at(1_700_000_000)
        .with_title("greeter")
        .with_version("1.2.3")
        .with_annotation("com.example.team", "plugins");
    publish(&scene.host(&scene.config()), &request).await;
    let (descriptor, bytes) = scene.registry.manifest(REPOSITORY, "1").unwrap();
    assert_eq!(descriptor.media_type(), &MediaType::ImageManifest);
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let annotations = &manifest["annotations"];
    for (name, value) in [
        ("org.opencontainers.image.title", "greeter"),
        ("org.opencontainers.image.version", "1.2.3"),
        ("org.opencontainers.image.created", "2023-11-14T22:13:20Z"),
        ("com.example.team", "plugins"),
        ("mt.query.plugin.type", "extism"),
    ] {
        assert_eq!(annotations[name], value, "{manifest:#}");
    }
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.wasm.v1.config+json"
    );
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.wasm.v1.layer+wasm");
}

/// The same journey through a folder and through an archive: published there, found there,
/// verified there.
#[tokio::test]
async fn a_layout_holds_image_and_signature() {
    for name in ["layout", "layout.tar"] {
        through_a_layout(name).await;
    }
}

async fn through_a_layout(name: &str) {
    let scene = Scene::new().await;
    let folder: PathBuf = scene.folder.path().join(name);
    let source = format!("oci-layout://{}:1", folder.display());
    let config = trusting(&scene, "ours.pub", &signer().public_key_pem());
    let host = scene.host(&config);
    let published = publish(&host, &request(&scene, &source).signed_by(signer())).await;

    let layout = OciLayout::open(&folder).unwrap();
    let tag: Tag = "1".parse().unwrap();
    let resolved = layout
        .resolve(&layout.reference(Some(&tag), None))
        .await
        .unwrap();
    assert_eq!(resolved.digest(), &published.digest);
    let pin = layout
        .reference(Some(&tag), None)
        .with_digest(resolved.digest().clone());
    let referrers = layout.referrers(&pin).await.unwrap();
    assert_eq!(referrers.len(), 1);
    assert_eq!(referrers[0].digest(), &published.signature.unwrap().digest);

    let path = format!("oci://{}/{REPOSITORY}:1", scene.registry.host());
    let from_layout = |config: &str| scene.host(&config.replace(&path, &source));
    assert_eq!(
        greet(&from_layout(&config), "greeter").await,
        "Hello, world! (wasm)"
    );
    let theirs = trusting(&scene, "theirs.pub", &other_key(&scene));
    let error = from_layout(&theirs).load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotVerified, "{}", messages(&error));
    assert_eq!(
        scene.registry.requests().len(),
        0,
        "{}",
        scene.registry.request_log()
    );
}

/// An offline or frozen host sends no request to a registry; a layout requires none.
#[tokio::test]
async fn without_a_network_only_layouts_are_published_to() {
    let scene = Scene::new().await;
    let config = scene.config();
    let layout = format!("oci-layout://{}:1", scene.folder.path().join("l").display());
    for (host, rule) in [
        (scene.builder(&config).offline(true), "`--offline`"),
        (
            scene.builder(&config).lock_mode(LockMode::Frozen),
            "`--frozen`",
        ),
    ] {
        let host = host.build().unwrap();
        let published = host.publish(&in_registry(&scene, "1")).await;
        let login = host.login(&scene.registry.host(), "me", "secret").await;
        for error in [published.unwrap_err(), login.unwrap_err()] {
            assert!(
                matches!(&error, Error::NetworkForbidden { .. }),
                "{}",
                messages(&error)
            );
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(messages(&error).contains(rule), "{}", messages(&error));
        }
        publish(&host, &request(&scene, &layout)).await;
    }
    assert_eq!(
        scene.registry.requests().len(),
        0,
        "{}",
        scene.registry.request_log()
    );
    // A policy for pulling does not forbid publishing.
    let host = scene.host(&scene.config_with("pull_policy = \"never\"", ""));
    publish(&host, &in_registry(&scene, "1")).await;
}

/// What is no plugin is not sent anywhere.
#[tokio::test]
async fn a_file_that_is_not_what_it_is_given_as_is_refused_before_anything_is_sent() {
    let scene = Scene::new().await;
    let file = scene.write("plugin.so", "not a library");
    let missing = scene.folder.path().join("missing");
    let echo = plugins::echo_wasm();
    let truncated = scene.folder.path().join("truncated.wasm");
    std::fs::write(&truncated, echo.get(..echo.len() / 2).unwrap()).unwrap();
    // The body of its function leaves nothing on the stack.
    let invalid = scene.folder.path().join("invalid.wasm");
    std::fs::write(
        &invalid,
        b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b",
    )
    .unwrap();
    let to = || in_registry(&scene, "1");
    let host = scene.registry.host();
    let digest = qmt_oci_ref::Digest::sha256(b"");
    let pinned = request(&scene, &format!("oci://{host}/{REPOSITORY}:1@{digest}"));
    let in_layout = format!("oci-layout://{}@{digest}", scene.folder.path().display());
    for (request, kind) in [
        (
            to().with_native(this_platform(), file.clone()),
            ErrorKind::Failure,
        ),
        (to().with_wasm(file), ErrorKind::Failure),
        (to().with_wasm(missing), ErrorKind::NotFound),
        (to().with_wasm(truncated), ErrorKind::Failure),
        (to().with_wasm(invalid), ErrorKind::Failure),
        (pinned, ErrorKind::Usage),
        (request(&scene, &in_layout), ErrorKind::Usage),
    ] {
        let error = scene
            .host(&scene.config())
            .publish(&request)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{}", messages(&error));
    }
    assert_eq!(scene.registry.requests().len(), 0);
}

/// `max_artifact_size` is what may be published, in both directions of the default.
#[tokio::test]
async fn the_operators_size_bounds_what_is_published() {
    let scene = Scene::new().await;
    let large: u64 = (64 << 20) + 1;
    let file = scene.write("large.wasm", "\0asm\x01\0\0\0");
    let module = std::fs::File::options().write(true).open(&file).unwrap();
    module.set_len(large).unwrap();
    let layout = scene.folder.path().join("layout");
    let destination = format!("oci-layout://{}:1", layout.display());
    let destination = PluginSource::parse_reference(&destination).unwrap();
    let request = PublishRequest::new(destination).with_wasm(file);
    for (size, fits) in [
        (String::new(), false),
        (format!("max_artifact_size = {}", large - 1), false),
        (format!("max_artifact_size = {large}"), true),
    ] {
        let host = scene.host(&scene.config_with(&size, ""));
        match host.publish(&request).await {
            Ok(published) => {
                assert!(fits, "{size}");
                assert!(published.size > large);
            }
            Err(error) => {
                let messages = messages(&error);
                assert!(
                    !fits && messages.contains(&(large - 1).to_string()),
                    "{messages}"
                );
            }
        }
    }
}
