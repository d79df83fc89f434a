//! Uploads to what is no registry: success is only what a registry confirms.

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, DigestAlgorithm, MediaType, RawManifest, RegistryErrorKind};
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
