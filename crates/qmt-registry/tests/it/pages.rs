//! Uploads to what is no registry: success is only what a registry confirms.

use bytes::Bytes;
use qmt_oci_ref::manifest::OCI_MANIFEST;
use qmt_oci_ref::{
    Descriptor, Digest, DigestAlgorithm, MediaType, PinnedReference, RawManifest, Registry,
    RegistryErrorKind,
};
use qmt_registry::{ClientError, RegistryWriter};
use qmt_testkit::{FakeRegistry, Fault};

use crate::support::{Detail as _, MANIFEST, client};

const PAGE: &str = "<!doctype html><p>Acme";

fn image() -> RawManifest {
    RawManifest::read(MANIFEST.into(), None, DigestAlgorithm::Sha256).unwrap()
}

#[tokio::test]
async fn a_manifest_is_published_only_if_the_registry_confirms_it() {
    let server = FakeRegistry::builder().serve().await;
    let to = server.reference("acme/echo:1");
    let on = || Fault::on("PUT", "/v2/*/manifests/*").respond(200);
    let bare = |fault: Fault| fault.without_header("docker-content-digest");
    for fault in [
        bare(on()).header("content-type", "text/html").body(PAGE),
        bare(on()).header("content-type", "text/plain").body(PAGE),
        bare(on()).header("content-type", "text/html; charset=utf-8"),
    ] {
        server.clear_faults();
        server.fault(fault);
        let error = client(&server).push_manifest(&to, &image()).await;
        let error = error.unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::WebPage { .. })),
            "{error:?}"
        );
    }
    let digest = image().digest().to_string();
    for fault in [
        bare(on()).body(""),
        bare(on()).body("{}"),
        on().header("docker-content-digest", digest).body(PAGE),
    ] {
        server.clear_faults();
        server.fault(fault);
        client(&server).push_manifest(&to, &image()).await.unwrap();
    }
}

#[tokio::test]
async fn a_web_site_does_not_have_the_blob() {
    let server = FakeRegistry::builder().serve().await;
    let content = Bytes::from_static(b"content");
    let blob = Descriptor::of(MediaType::from("a/b"), &content);
    let to = server.repository("acme/echo");
    let page = |method| {
        let fault = Fault::on(method, "/v2/*").respond(200).body(PAGE);
        fault.header("content-type", "text/html")
    };
    server.fault(page("HEAD"));
    // The registry behind it takes the blob.
    client(&server)
        .push_blob(&to, &blob, &content, None)
        .await
        .unwrap();
    assert!(server.blob("acme/echo", blob.digest()).is_some());
    for method in ["POST", "PUT", "GET"] {
        server.fault(page(method));
    }
    let client = client(&server);
    let pushed = client.push_blob(&to, &blob, &content, None);
    let error = pushed.await.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Content, "{error:?}");
    assert!(
        matches!(error.detail(), Some(ClientError::WebPage { .. })),
        "{error:?}"
    );
}

/// SIG-14: what is sent in place of content is distinguished from content that a publisher can have
/// described with a wrong size, or that is no manifest.
#[tokio::test]
async fn other_content_is_told_from_a_wrong_description() {
    let server = FakeRegistry::builder().serve().await;
    let from = server.repository("acme/echo");
    let blob = server.put_blob("acme/echo", "x".repeat(1000));
    let manifest = server.put_manifest("acme/echo", None, OCI_MANIFEST, MANIFEST);
    let client = client(&server);
    let page = format!("{PAGE}{}", "x".repeat(5000));
    let large = format!("{PAGE}{}", "x".repeat(5 << 20));
    for (name, media_type, body) in [
        ("a page", "text/html", &*page),
        (
            "a page of a generic type",
            "application/octet-stream",
            &page,
        ),
        ("a large page", "text/html", &large),
        ("an empty body", "application/json", ""),
        ("JSON", "application/json", r#"{"status":"maintenance"}"#),
    ] {
        server.clear_faults();
        let answer = || {
            let fault = Fault::on("GET", "/v2/*").respond(200);
            fault.header("content-type", media_type)
        };
        server.fault(answer().body(body.to_owned()));
        let error = client.pull_blob(&from, &blob).await.unwrap_err();
        assert!(error.is_other_content(), "blob, {name}: {error:?}");
        let pin = PinnedReference::new(from.clone(), manifest.digest().clone());
        let error = client.manifest(&pin, 64 << 10).await.unwrap_err();
        assert!(error.is_other_content(), "manifest, {name}: {error:?}");
        // A page without an announced length.
        if media_type == "text/html" {
            server.clear_faults();
            server.fault(answer().endless(page.clone()));
            let error = client.pull_blob(&from, &blob).await.unwrap_err();
            assert!(error.is_other_content(), "blob, {name}: {error:?}");
        }
    }
    server.clear_faults();
    for size in [0, 7, 999, 1001, 70_000] {
        let wrong = Descriptor::new(blob.media_type().clone(), blob.digest().clone(), size);
        let error = client.pull_blob(&from, &wrong).await.unwrap_err();
        assert!(!error.is_other_content(), "{size}: {error:?}");
    }
    let text = Bytes::from_static(b"no manifest");
    let digest = Digest::sha256(&text);
    server.plant_manifest("acme/echo", &digest, OCI_MANIFEST, text);
    let pin = PinnedReference::new(from, digest);
    let error = client.manifest(&pin, 64 << 10).await.unwrap_err();
    assert!(!error.is_other_content(), "{error:?}");
}
