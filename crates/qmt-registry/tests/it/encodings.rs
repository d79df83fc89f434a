//! Answers that are compressed although `identity` was requested. Documents are read if the encoding
//! is gzip, which other clients ask for; blobs and other encodings are refused, with the encoding as the
//! reason. What only has the label of an encoding is read.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use qmt_oci_ref::{Digest, DigestAlgorithm, PinnedReference, Registry as _, RegistryError};
use qmt_registry::ClientError;
use qmt_testkit::{Auth, Fault};

use crate::support::{
    CANARY, Detail as _, MANIFEST, client, client_with_password, full_text, image_behind, noise,
    pull, resolve,
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

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

const MANIFESTS: &str = "/v2/*/manifests/*";

/// By tag and by digest, with and without the digest of the registry, and with several members.
#[tokio::test]
async fn a_manifest_that_is_compressed_with_gzip_is_read() {
    let (begin, end) = MANIFEST.as_bytes().split_at(20);
    let members = [gzip(begin), gzip(end)].concat();
    for encoding in ["gzip", "x-gzip", "GZIP", "identity, gzip"] {
        for body in [gzip(MANIFEST.as_bytes()), members.clone()] {
            let server = image_behind(Auth::None).await;
            let fault = || labelled(MANIFESTS, encoding).body(body.clone());
            let client = client(&server);
            server.fault(fault().once());
            let manifest = resolve(&client, &server).await.unwrap();
            assert_eq!(manifest.bytes(), MANIFEST, "{encoding}");
            let pin =
                PinnedReference::new(server.repository("acme/echo"), manifest.digest().clone());
            server.fault(fault().without_header("docker-content-digest"));
            let manifest = client.manifest(&pin, 1 << 20).await.unwrap();
            assert_eq!(
                (manifest.bytes(), manifest.digest()),
                (&Bytes::from(MANIFEST), pin.digest())
            );
        }
    }
}

/// A proxy may leave the digest of the registry, or compute its own of what it sends.
#[tokio::test]
async fn a_compressed_manifest_with_another_digest_is_refused() {
    let server = image_behind(Auth::None).await;
    let other = MANIFEST.replace("[]", "[ ]");
    server.fault(labelled(MANIFESTS, "gzip").body(gzip(other.as_bytes())));
    let error = resolve(&client(&server), &server).await.unwrap_err();
    let detail = error.detail();
    assert!(
        matches!(detail, Some(ClientError::DigestMismatch { .. })),
        "{error:?}"
    );
}

/// The digest is that of the bytes as sent, which are not a manifest.
#[tokio::test]
async fn bytes_that_have_the_digest_as_sent_are_taken_as_sent() {
    let server = image_behind(Auth::None).await;
    let body = gzip(MANIFEST.as_bytes());
    let media_type = qmt_oci_ref::manifest::OCI_MANIFEST;
    let digest = Digest::of(DigestAlgorithm::Sha256, &body);
    server.put_manifest("acme/echo", None, media_type, body);
    server.fault(labelled(MANIFESTS, "gzip"));
    let pin = PinnedReference::new(server.repository("acme/echo"), digest);
    let error = client(&server).manifest(&pin, 1 << 20).await.unwrap_err();
    let detail = error.detail();
    assert!(
        matches!(detail, Some(ClientError::NotAManifest { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_token_that_is_compressed_with_gzip_is_read() {
    let server = image_behind(Auth::token("alice", CANARY)).await;
    server.fault(labelled("/token", "gzip").body(gzip(br#"{"token":"t"}"#)));
    let error = resolve(&client_with_password(&server), &server).await;
    // The server does not know this token; it was sent, though.
    error.unwrap_err();
    let sent = server.requests();
    assert!(
        sent.iter()
            .any(|request| request.header("authorization") == Some("Bearer t"))
    );
}

#[tokio::test]
async fn a_referrers_list_that_is_compressed_with_gzip_is_read() {
    let server = image_behind(Auth::None).await;
    let pin = resolve(&client(&server), &server)
        .await
        .unwrap()
        .digest()
        .clone();
    let pin = PinnedReference::new(server.repository("acme/echo"), pin);
    let entry = format!(
        r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":2}}"#,
        pin.digest()
    );
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{entry}]}}"#
    );
    let answer = || {
        labelled("/v2/*/referrers/*", "gzip")
            .respond(200)
            .header("content-type", "application/vnd.oci.image.index.v1+json")
    };
    server.fault(answer().body(gzip(list.as_bytes())));
    let referrers = client(&server).referrers(&pin).await.unwrap();
    assert_eq!(referrers.into_entries().len(), 1);

    server.clear_faults();
    server.fault(answer().header("content-encoding", "br").body(GZIP));
    let error = client(&server).referrers(&pin).await.unwrap_err();
    assert_names(&error, "br");
}

/// The limit of a document holds for what it is decompressed to.
#[tokio::test]
async fn a_decompression_bomb_is_refused_as_too_large() {
    let server = image_behind(Auth::None).await;
    let bomb = gzip(&vec![b' '; 16 << 20]);
    assert!(bomb.len() < 1 << 16);
    server.fault(
        labelled(MANIFESTS, "gzip")
            .without_header("docker-content-digest")
            .body(bomb),
    );
    let error = resolve(&client(&server), &server).await.unwrap_err();
    let detail = error.detail();
    assert!(
        matches!(detail, Some(ClientError::TooLarge { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_damaged_gzip_is_refused() {
    let whole = gzip(MANIFEST.as_bytes());
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    let trailing = [&whole[..], b"rest"].concat();
    for body in [
        whole[..whole.len() - 9].to_vec(),
        whole[..3].to_vec(),
        flipped,
        trailing,
    ] {
        let server = image_behind(Auth::None).await;
        server.fault(labelled(MANIFESTS, "gzip").body(body));
        let error = resolve(&client(&server), &server).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("gzip data that is complete and intact"),
            "{text}"
        );
        assert!(!error.is_retryable(), "{error:?}");
    }
}
