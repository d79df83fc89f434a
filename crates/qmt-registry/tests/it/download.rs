//! Files that are not parts of images.

use qmt_oci_ref::{Digest, RegistryErrorKind};
use qmt_registry::ClientError;
use qmt_registry::error::FileError;
use qmt_testkit::{FakeRegistry, Fault};

use crate::support::{Detail as _, builder, client, full_text, quick};

const LIMIT: u64 = 16;

#[tokio::test]
async fn a_url_with_a_password_is_refused_before_any_request() {
    let server = FakeRegistry::builder().serve().await;
    for user in ["canary", "canary:canary", ":canary"] {
        let url = format!("http://{user}@{}/file", server.host());
        let error = client(&server).download(&url, LIMIT).await.unwrap_err();
        assert!(
            matches!(
                error.detail(),
                Some(ClientError::File(FileError::Url { .. }))
            ),
            "{error:?}"
        );
        assert!(!full_text(&error).contains("canary"), "{error:?}");
    }
    assert!(server.requests().is_empty());
}

/// The words for images would mention a tag, and a login that is not used.
#[tokio::test]
async fn a_missing_or_private_file_is_reported_as_a_file() {
    let server = FakeRegistry::builder().serve().await;
    let url = format!("http://{}/file", server.host());
    for (status, kind) in [
        (404, RegistryErrorKind::NotFound),
        (410, RegistryErrorKind::NotFound),
        (401, RegistryErrorKind::Unauthorized),
        (403, RegistryErrorKind::Unauthorized),
    ] {
        server.clear_faults();
        server.fault(
            Fault::on("GET", "/file")
                .respond(status)
                .header("www-authenticate", "Basic realm=\"x\"")
                .body("sorry"),
        );
        let error = client(&server).download(&url, LIMIT).await.unwrap_err();
        let text = format!("`{url}` answers with status {status}: sorry");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), kind, "{status}");
        let hint = error.detail().unwrap().hint();
        let is_about_credentials = hint.is_some_and(|hint| hint.contains("without credentials"));
        assert_eq!(
            is_about_credentials,
            kind == RegistryErrorKind::Unauthorized,
            "{status}"
        );
    }
}

#[tokio::test]
async fn the_limit_of_a_file_is_reported_with_its_unit() {
    let server = FakeRegistry::builder().serve().await;
    let url = format!("http://{}/file", server.host());
    server.fault(Fault::on("GET", "/file").respond(200).body("x".repeat(17)));
    let client = builder(&server).limits(quick().tries(1)).build().unwrap();
    let error = client.download(&url, LIMIT).await.unwrap_err();
    let text = format!("the file from `{url}` has more than 16 bytes");
    assert_eq!(error.to_string(), text);
    assert_eq!(client.download(&url, 17).await.unwrap().len(), 17);
}

/// Other content than the pinned one may be a login page, or encoded.
#[tokio::test]
async fn a_page_in_place_of_a_pinned_file_is_called_that() {
    let server = FakeRegistry::builder().serve().await;
    let url = format!("http://{}/file", server.host());
    let page = "<!DOCTYPE html><html><title>Sign in</title></html>";
    let digest = Digest::sha256("plugin");
    let answer = async |fault: Fault| {
        server.clear_faults();
        server.fault(fault);
        client(&server).download_pinned(&url, 100, &digest).await
    };
    let file = || Fault::on("GET", "/file").respond(200);
    let error = answer(file().header("content-type", "text/html").body(page)).await;
    let error = error.unwrap_err();
    let text = format!("`{url}` answers with status 200: an HTML page, `Sign in`");
    assert_eq!(error.to_string(), text);
    assert_eq!(error.kind(), RegistryErrorKind::Content);
    let detail = error.detail();
    assert!(
        matches!(detail, Some(ClientError::File(FileError::WebPage { .. }))),
        "{error:?}"
    );
    let hint = error.detail().unwrap().hint().unwrap();
    assert!(hint.contains("without credentials"), "{hint}");

    let encoded = || file().header("content-encoding", "gzip");
    let error = answer(encoded().body("other")).await.unwrap_err();
    assert!(error.to_string().contains("`Content-Encoding`"), "{error}");
    let error = answer(file().body("other")).await.unwrap_err();
    let detail = error.detail();
    assert!(
        matches!(
            detail,
            Some(ClientError::File(FileError::DigestMismatch { .. }))
        ),
        "{error:?}"
    );
    let text = error.to_string();
    for words in [&url, "`sha256` in the config", &digest.to_string()] {
        assert!(text.contains(words), "{text}");
    }
    let hint = detail.unwrap().hint().unwrap();
    let line = format!("`sha256 = \"{}\"`", Digest::sha256("other").hex());
    assert!(hint.contains(&line), "{hint}");
    // What hashes to the digest is the file, whatever the headers say.
    for fault in [
        file(),
        encoded(),
        file().header("content-type", "text/html"),
    ] {
        assert_eq!(answer(fault.body("plugin")).await.unwrap(), "plugin");
    }
}
