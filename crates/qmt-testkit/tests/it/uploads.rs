//! Uploads: in one request, streamed, chunked, broken off, cancelled, mounted.

use std::net::SocketAddr;

use qmt_oci_ref::{Digest, DigestAlgorithm};
use qmt_testkit::{Auth, FakeRegistry};

use crate::http::{get, request};

fn begin(address: SocketAddr) -> String {
    let reply = request(address, "POST", "/v2/a/b/blobs/uploads/").send();
    assert_eq!(reply.status, 202);
    reply.header("location").to_owned()
}

#[tokio::test]
async fn post_with_digest_takes_a_blob_at_once() {
    let registry = FakeRegistry::builder().serve().await;
    for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
        let digest = Digest::of(algorithm, b"blob");
        let target = format!("/v2/a/b/blobs/uploads/?digest={digest}");
        let reply = request(registry.address(), "POST", &target)
            .body("blob")
            .send();
        assert_eq!(reply.status, 201);
        assert_eq!(reply.header("location"), format!("/v2/a/b/blobs/{digest}"));
        assert_eq!(
            get(registry.address(), reply.header("location")).text(),
            "blob"
        );
        let reply = request(registry.address(), "POST", &target)
            .body("other")
            .send();
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "DIGEST_INVALID")
        );
    }
}

#[tokio::test]
async fn post_then_put_proves_the_digest() {
    let registry = FakeRegistry::builder().serve().await;
    let address = registry.address();
    let digest = Digest::sha256(b"blob");
    let location = begin(address);
    assert_eq!(
        request(address, "PUT", &location)
            .body("blob")
            .send()
            .code(),
        "DIGEST_INVALID"
    );
    let target = format!("{location}?digest=sha256:abc");
    assert_eq!(
        request(address, "PUT", &target).body("blob").send().status,
        400
    );

    let target = format!("{}?digest={digest}", begin(address));
    assert_eq!(
        request(address, "PUT", &target).body("blub").send().code(),
        "DIGEST_INVALID"
    );
    assert_eq!(registry.blob("a/b", &digest), None);

    let target = format!("{}?digest={digest}", begin(address));
    assert_eq!(
        request(address, "PUT", &target).body("blob").send().status,
        201
    );
    assert_eq!(registry.blob("a/b", &digest).unwrap(), "blob");
    // The upload is over.
    assert_eq!(
        request(address, "PUT", &target).body("blob").send().code(),
        "BLOB_UPLOAD_UNKNOWN"
    );
}

#[tokio::test]
async fn chunks_come_in_order() {
    let registry = FakeRegistry::builder().serve().await;
    let address = registry.address();
    let location = begin(address);
    let patch = |range: &str, body: &str| {
        request(address, "PATCH", &location)
            .header("content-range", range)
            .body(body)
            .send()
    };
    let reply = patch("0-2", "abc");
    assert_eq!((reply.status, reply.header("range")), (202, "0-2"));
    let reply = patch("6-8", "ghi");
    assert_eq!((reply.status, reply.header("range")), (416, "0-2"));
    assert_eq!(reply.header("location"), location);
    assert_eq!(patch("3-9", "def").code(), "SIZE_INVALID");
    assert_eq!(patch("x", "def").code(), "BLOB_UPLOAD_INVALID");
    let status = get(address, &location);
    assert_eq!((status.status, status.header("range")), (204, "0-2"));
    assert_eq!(patch("3-5", "def").header("range"), "0-5");
    let digest = Digest::sha256(b"abcdefghi");
    let target = format!("{location}?digest={digest}");
    let reply = request(address, "PUT", &target)
        .header("content-range", "6-8")
        .body("ghi")
        .send();
    assert_eq!(reply.status, 201);
    assert_eq!(registry.blob("a/b", &digest).unwrap(), "abcdefghi");
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_stopped() {
    let registry = FakeRegistry::builder().serve().await;
    let address = registry.address();
    let location = begin(address);
    // Nine bytes are announced, three come.
    let _ = request(address, "PATCH", &location)
        .body("abc")
        .send_claiming(9);
    let reply = get(address, &location);
    assert_eq!((reply.status, reply.header("range")), (204, "0-2"));
    assert_eq!(
        request(address, "PATCH", &location)
            .body("def")
            .send()
            .status,
        202
    );
    let digest = Digest::sha256(b"abcdef");
    let reply = request(address, "PUT", &format!("{location}?digest={digest}")).send();
    assert_eq!(reply.status, 201);
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let registry = FakeRegistry::builder().serve().await;
    let location = begin(registry.address());
    assert_eq!(
        request(registry.address(), "DELETE", &location)
            .send()
            .status,
        204
    );
    let reply = get(registry.address(), &location);
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (404, "BLOB_UPLOAD_UNKNOWN")
    );
    // An upload belongs to its repository.
    let location = begin(registry.address());
    let reply = get(registry.address(), &location.replace("/a/b/", "/a/c/"));
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository() {
    let registry = FakeRegistry::builder().serve().await;
    let blob = registry.put_blob("from/here", b"blob".as_slice());
    let mount = |registry: &FakeRegistry, query: &str| {
        let digest = blob.digest();
        let target = format!("/v2/a/b/blobs/uploads/?mount={digest}{query}");
        request(registry.address(), "POST", &target).send()
    };
    assert_eq!(mount(&registry, "&from=no/where").status, 202);
    assert_eq!(registry.blob("a/b", blob.digest()), None);
    assert_eq!(mount(&registry, "&from=from/here").status, 201);
    assert_eq!(registry.blob("a/b", blob.digest()).unwrap(), "blob");
    registry.delete_blob("a/b", blob.digest());
    assert_eq!(mount(&registry, "").status, 201);

    let registry = FakeRegistry::builder().mounts(false).serve().await;
    registry.put_blob("from/here", b"blob".as_slice());
    assert_eq!(mount(&registry, "&from=from/here").status, 202);
}

#[tokio::test]
async fn a_mount_needs_the_right_to_pull_from_the_other_repository() {
    let registry = FakeRegistry::builder()
        .auth(Auth::token("u", "p"))
        .serve()
        .await;
    let blob = registry.put_blob("secret", b"blob".as_slice());
    let token = |scopes: &str| {
        let reply = request(registry.address(), "GET", &format!("/token?{scopes}"))
            .header("authorization", "Basic dTpw")
            .send();
        reply.json()["token"].as_str().unwrap().to_owned()
    };
    let mount = |token: &str| {
        let target = format!("/v2/a/b/blobs/uploads/?mount={}&from=secret", blob.digest());
        request(registry.address(), "POST", &target)
            .header("authorization", &format!("Bearer {token}"))
            .send()
            .status
    };
    assert_eq!(mount(&token("scope=repository:a/b:pull,push")), 202);
    assert_eq!(
        mount(&token(
            "scope=repository:a/b:pull,push&scope=repository:secret:pull"
        )),
        201
    );
}
