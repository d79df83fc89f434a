//! Blobs: pull, ranges, delete.

use qmt_oci_ref::{Digest, DigestAlgorithm};
use qmt_testkit::FakeRegistry;

use crate::http::{get, head, request};

#[tokio::test]
async fn a_blob_is_pulled_whole_and_by_head() {
    let registry = FakeRegistry::builder().serve().await;
    let blob = registry.put_blob("acme/echo", b"content".as_slice());
    let path = format!("/v2/acme/echo/blobs/{}", blob.digest());
    let reply = get(registry.address(), &path);
    assert_eq!((reply.status, reply.text()), (200, "content"));
    assert_eq!(
        reply.header("docker-content-digest"),
        blob.digest().to_string()
    );
    assert_eq!(reply.header("content-length"), "7");
    let reply = head(registry.address(), &path);
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-length"), "7");
    assert!(reply.complete);
    // A percent-encoded colon is the same path.
    assert_eq!(
        get(registry.address(), &path.replace("sha256:", "sha256%3A")).text(),
        "content"
    );
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_no_digest_400() {
    let registry = FakeRegistry::builder().serve().await;
    let blob = registry.put_blob("acme/echo", b"content".as_slice());
    let missing = Digest::sha256(b"other");
    let reply = get(
        registry.address(),
        &format!("/v2/acme/echo/blobs/{missing}"),
    );
    assert_eq!((reply.status, reply.code().as_str()), (404, "BLOB_UNKNOWN"));
    // Content of one repository is not that of another.
    let reply = get(
        registry.address(),
        &format!("/v2/acme/other/blobs/{}", blob.digest()),
    );
    assert_eq!(reply.status, 404);
    for digest in [
        "sha256:abc",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "latest",
    ] {
        let reply = get(registry.address(), &format!("/v2/acme/echo/blobs/{digest}"));
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "DIGEST_INVALID"),
            "{digest}"
        );
    }
    let reply = get(registry.address(), &format!("/v2/ACME/blobs/{missing}"));
    assert_eq!((reply.status, reply.code().as_str()), (400, "NAME_INVALID"));
    for path in ["/", "/v1/", "/v2/x", "/v2/acme/echo/nothing/x", "/token"] {
        assert_eq!(get(registry.address(), path).status, 404, "{path}");
    }
}

#[tokio::test]
async fn ranges_are_served_unless_switched_off() {
    let registry = FakeRegistry::builder().serve().await;
    let blob = registry.put_blob("a/b", b"0123456789".as_slice());
    let path = format!("/v2/a/b/blobs/{}", blob.digest());
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=0-0,2-2", 200, "0123456789", ""),
    ] {
        let reply = request(registry.address(), "GET", &path)
            .header("range", range)
            .send();
        assert_eq!((reply.status, reply.text()), (status, body), "{range}");
        assert_eq!(reply.header("content-range"), content_range, "{range}");
    }
    let reply = request(registry.address(), "GET", &path)
        .header("range", "bytes=10-")
        .send();
    assert_eq!(
        (reply.status, reply.header("content-range")),
        (416, "bytes */10")
    );

    let registry = FakeRegistry::builder().ranges(false).serve().await;
    registry.put_blob("a/b", b"0123456789".as_slice());
    let reply = request(registry.address(), "GET", &path)
        .header("range", "bytes=2-4")
        .send();
    assert_eq!((reply.status, reply.text()), (200, "0123456789"));
    assert_eq!(reply.header("accept-ranges"), "");
}

#[tokio::test]
async fn a_blob_is_deleted_where_that_is_allowed() {
    let registry = FakeRegistry::builder().serve().await;
    let blob = registry.put_blob("a/b", b"x".as_slice());
    let path = format!("/v2/a/b/blobs/{}", blob.digest());
    assert_eq!(
        request(registry.address(), "DELETE", &path).send().status,
        202
    );
    assert_eq!(get(registry.address(), &path).status, 404);
    assert_eq!(
        request(registry.address(), "DELETE", &path).send().status,
        404
    );

    let registry = FakeRegistry::builder().deletes(false).serve().await;
    registry.put_blob("a/b", b"x".as_slice());
    let reply = request(registry.address(), "DELETE", &path).send();
    assert_eq!((reply.status, reply.code().as_str()), (405, "UNSUPPORTED"));
    assert_eq!(get(registry.address(), &path).status, 200);
}

#[tokio::test]
async fn planted_content_lies_about_its_digest() {
    let registry = FakeRegistry::builder().serve().await;
    let digest = Digest::of(DigestAlgorithm::Sha512, b"promised");
    registry.plant_blob("a/b", &digest, b"delivered".as_slice());
    let reply = get(registry.address(), &format!("/v2/a/b/blobs/{digest}"));
    assert_eq!(reply.text(), "delivered");
    assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    assert_eq!(registry.delete_blob("a/b", &digest).unwrap(), "delivered");
    assert_eq!(registry.blob("a/b", &digest), None);
}
