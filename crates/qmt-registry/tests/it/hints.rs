//! What errors of registries advise.

use qmt_oci_ref::{DigestAlgorithm, PinnedReference, RawManifest, Registry as _};
use qmt_registry::{ClientError, RegistryWriter as _};
use qmt_testkit::{Auth, Fault};

use crate::support::{Detail as _, MANIFEST, client, full_text, image_behind, pull, resolve};

fn hint(error: Option<&ClientError>) -> String {
    error.unwrap().hint().unwrap()
}

#[tokio::test]
async fn a_rate_limit_is_reported_with_its_words() {
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#;
    for (wait, words) in [
        ("600", "a pause of 600 s"),
        ("99999999999999999999999", "a pause of more than a day"),
    ] {
        let server = image_behind(Auth::None).await;
        let busy = Fault::on("GET", "/v2/*").respond(429).body(body);
        server.fault(busy.header("retry-after", wait));
        let error = resolve(&client(&server), &server).await.unwrap_err();
        let text = error.to_string();
        for words in [words, "status 429", "TOOMANYREQUESTS: pull rate limit"] {
            assert!(text.contains(words), "{text}");
        }
        assert!(
            !full_text(&error).contains("18446744073709551615 s"),
            "{text}"
        );
        let hint = hint(error.detail());
        assert!(
            hint.contains("later") && hint.contains("qmt-plugins login"),
            "{hint}"
        );
    }
}

#[tokio::test]
async fn what_does_not_exist_is_named_for_what_it_is() {
    let server = image_behind(Auth::None).await;
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"create it first"}]}"#;
    server.fault(Fault::on("GET", "/v2/*").respond(404).body(body));
    server.fault(Fault::on("PUT", "/v2/*").respond(404).body(body));
    server.fault(Fault::on("POST", "/v2/*").respond(404).body(body));
    let client = client(&server);
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        error.to_string().ends_with("NAME_UNKNOWN: create it first"),
        "{error}"
    );
    assert!(hint(error.detail()).starts_with("check the name and the tag"));

    let image = RawManifest::read(MANIFEST.into(), None, DigestAlgorithm::Sha256).unwrap();
    let to = server.reference("acme/new:1");
    let pushed = client.push_manifest(&to, &image);
    let hint_of_upload = hint(pushed.await.detail());
    assert!(hint_of_upload.contains("created first"), "{hint_of_upload}");
    assert!(!hint_of_upload.contains("the tag"), "{hint_of_upload}");

    let blob = server.put_blob("acme/echo", "x");
    let pulled = pull(&client, &server.repository("acme/echo"), &blob).await;
    let hint_of_blob = hint(pulled.detail());
    assert!(hint_of_blob.contains("has lost a part"), "{hint_of_blob}");

    let pin = PinnedReference::new(server.repository("acme/echo"), image.digest().clone());
    let child = client.manifest(&pin, 1024).await;
    let hint_of_child = hint(child.detail());
    assert!(
        hint_of_child.contains("publish it again"),
        "{hint_of_child}"
    );
    assert!(!hint_of_child.contains("the tag"), "{hint_of_child}");
}
