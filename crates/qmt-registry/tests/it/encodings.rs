//! Answers that are compressed although `identity` was requested: refused, with the encoding as the
//! reason. What only has the label of an encoding is read.

use bytes::Bytes;
use qmt_oci_ref::RegistryError;
use qmt_registry::ClientError;
use qmt_testkit::{Auth, Fault};

use crate::support::{
    CANARY, Detail as _, client, client_with_password, full_text, image_behind, noise, pull,
    resolve,
};

/// Nothing, compressed with gzip.
pub(crate) const GZIP: &[u8] = &[
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn compressed(path: &str, encoding: &str) -> Fault {
    labelled(path, encoding).body(GZIP)
}

fn labelled(path: &str, encoding: &str) -> Fault {
    Fault::on("GET", path).header("content-encoding", encoding)
}

fn assert_names(error: &RegistryError, encoding: &str) {
    let named = format!("compresses it with `{encoding}`");
    let text = error.to_string();
    assert!(
        matches!(error.detail(), Some(ClientError::Protocol { .. })),
        "{error:?}"
    );
    assert!(
        text.contains(&named) && text.contains("`identity`"),
        "{text}"
    );
    assert!(!error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn compressed_content_is_refused_with_its_encoding() {
    for encoding in ["gzip", "x-gzip", "deflate", "br", "zstd"] {
        let server = image_behind(Auth::None).await;
        let manifests = compressed("/v2/*/manifests/*", encoding);
        server.fault(manifests.without_header("docker-content-digest"));
        let error = resolve(&client(&server), &server).await.unwrap_err();
        assert_names(&error, encoding);

        let server = image_behind(Auth::token("alice", CANARY)).await;
        server.fault(compressed("/token", encoding));
        let error = resolve(&client_with_password(&server), &server).await;
        assert_names(&error.unwrap_err(), encoding);
    }
}

/// With and without an announced length, and shorter or longer than the blob.
#[tokio::test]
async fn a_compressed_blob_is_refused_with_its_encoding() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n17\r\n";
    let chunked = [head.as_bytes(), GZIP, b"\r\n0\r\n\r\n"].concat();
    for length in [10, 1000] {
        for fault in [
            compressed("/v2/*/blobs/*", "gzip"),
            Fault::on("GET", "/v2/*/blobs/*").raw(chunked.clone()),
        ] {
            let server = image_behind(Auth::None).await;
            let blob = server.put_blob("acme/echo", noise(length));
            server.fault(fault);
            let repository = server.repository("acme/echo");
            let error = pull(&client(&server), &repository, &blob).await;
            assert_names(&error.unwrap_err(), "gzip");
            assert_eq!(server.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn content_that_is_only_labelled_is_read() {
    let server = image_behind(Auth::token("alice", CANARY)).await;
    let content: Bytes = noise(1000);
    let blob = server.put_blob("acme/echo", content.clone());
    server.fault(labelled("*", "gzip"));
    let client = client_with_password(&server);
    resolve(&client, &server).await.unwrap();
    let repository = server.repository("acme/echo");
    assert_eq!(pull(&client, &repository, &blob).await.unwrap(), content);
}

#[tokio::test]
async fn a_compressed_error_is_not_shown() {
    for status in [403, 404] {
        let server = image_behind(Auth::None).await;
        server.fault(compressed("/v2/*", "gzip").respond(status));
        let error = resolve(&client(&server), &server).await.unwrap_err();
        let text = full_text(&error);
        assert!(
            text.contains("compressed with `gzip` and is not shown"),
            "{text}"
        );
        assert!(!text.contains(char::REPLACEMENT_CHARACTER), "{text}");

        server.clear_faults();
        let body = r#"{"errors":[{"code":"DENIED","message":"no right"}]}"#;
        server.fault(labelled("/v2/*", "gzip").respond(status).body(body));
        let error = resolve(&client(&server), &server).await.unwrap_err();
        assert!(error.to_string().ends_with("DENIED: no right"), "{error}");
    }
}
