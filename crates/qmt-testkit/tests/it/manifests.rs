//! Manifests: pull, push, delete, and what is refused.

use qmt_oci_ref::{Digest, DigestAlgorithm, manifest};
use qmt_testkit::{FakeRegistry, ImageBuilder, IndexBuilder};

use crate::http::{Reply, get, head, request};

const MANIFEST: &str = manifest::OCI_MANIFEST;

fn put(registry: &FakeRegistry, reference: &str, media_type: &str, body: &[u8]) -> Reply {
    request(
        registry.address(),
        "PUT",
        &format!("/v2/a/b/manifests/{reference}"),
    )
    .header("content-type", media_type)
    .body(body)
    .send()
}

#[tokio::test]
async fn a_manifest_is_pushed_and_pulled_by_tag_and_digest() {
    let registry = FakeRegistry::builder().serve().await;
    let image = ImageBuilder::wasm(b"\0asm".as_slice()).build();
    for (_, bytes) in image.blobs() {
        registry.put_blob("a/b", bytes.clone());
    }
    let reply = put(&registry, "v1", MANIFEST, image.root_bytes());
    let digest = image.root().digest();
    assert_eq!(reply.status, 201);
    assert_eq!(
        reply.header("location"),
        format!("/v2/a/b/manifests/{digest}")
    );
    assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    assert_eq!(reply.header("oci-subject"), "");
    for reference in ["v1", &digest.to_string()] {
        let path = format!("/v2/a/b/manifests/{reference}");
        let reply = get(registry.address(), &path);
        assert_eq!(reply.body, image.root_bytes().as_ref());
        assert_eq!(reply.header("content-type"), MANIFEST);
        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
        let reply = head(registry.address(), &path);
        assert_eq!(
            reply.header("content-length"),
            image.root().size().to_string()
        );
        assert!(reply.body.is_empty());
    }
    let sha512 = Digest::of(DigestAlgorithm::Sha512, image.root_bytes());
    assert_eq!(
        put(&registry, &sha512.to_string(), MANIFEST, image.root_bytes()).status,
        201
    );
    let reply = get(registry.address(), &format!("/v2/a/b/manifests/{sha512}"));
    assert_eq!(reply.header("docker-content-digest"), sha512.to_string());
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let registry = FakeRegistry::builder().serve().await;
    let good = br#"{"schemaVersion":2}"#;
    assert_eq!(put(&registry, "ok", MANIFEST, good).status, 201);
    for (reference, media_type, body, code) in [
        ("v1", MANIFEST, b"not JSON".as_slice(), "MANIFEST_INVALID"),
        ("v1", MANIFEST, br#"{"layers":7}"#, "MANIFEST_INVALID"),
        ("-bad", MANIFEST, good, "MANIFEST_INVALID"),
        ("sha256:abc", MANIFEST, good, "DIGEST_INVALID"),
        (
            "v1",
            manifest::OCI_INDEX,
            format!(r#"{{"mediaType":"{MANIFEST}"}}"#).as_bytes(),
            "MANIFEST_INVALID",
        ),
    ] {
        let reply = put(&registry, reference, media_type, body);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{reference} {media_type}"
        );
    }
    let other = Digest::sha256(b"other").to_string();
    assert_eq!(
        put(&registry, &other, MANIFEST, good).code(),
        "DIGEST_INVALID"
    );
    let reply = request(registry.address(), "PUT", "/v2/a/b/manifests/v1")
        .body(good)
        .send();
    assert_eq!(reply.code(), "MANIFEST_INVALID");
    assert_eq!(registry.tags("a/b"), ["ok"]);
}

#[tokio::test]
async fn a_manifest_of_4_mib_is_taken_and_one_byte_more_is_not() {
    let registry = FakeRegistry::builder().serve().await;
    let mut body = br#"{"schemaVersion":2}"#.to_vec();
    body.resize(4 * 1024 * 1024, b' ');
    assert_eq!(put(&registry, "limit", MANIFEST, &body).status, 201);
    body.push(b' ');
    let reply = put(&registry, "over", MANIFEST, &body);
    assert_eq!((reply.status, reply.code().as_str()), (413, "SIZE_INVALID"));
}

#[tokio::test]
async fn content_that_a_manifest_names_must_be_there() {
    let registry = FakeRegistry::builder().serve().await;
    let image = ImageBuilder::wasm(b"\0asm".as_slice()).build();
    let index = IndexBuilder::new().wasm(&image).build();
    assert_eq!(
        put(&registry, "v1", MANIFEST, image.root_bytes()).code(),
        "MANIFEST_BLOB_UNKNOWN"
    );
    let reply = put(&registry, "v1", manifest::OCI_INDEX, index.root_bytes());
    assert_eq!(reply.code(), "MANIFEST_BLOB_UNKNOWN");
    image.push(&registry, "a/b", None);
    assert_eq!(
        put(&registry, "v1", manifest::OCI_INDEX, index.root_bytes()).status,
        201
    );

    let lax = FakeRegistry::builder()
        .check_references(false)
        .serve()
        .await;
    assert_eq!(put(&lax, "v1", MANIFEST, image.root_bytes()).status, 201);
}

#[tokio::test]
async fn tags_and_manifests_are_deleted() {
    let registry = FakeRegistry::builder().serve().await;
    let address = registry.address();
    let image = ImageBuilder::new().build();
    let digest = image.push(&registry, "a/b", "v1").digest().clone();
    registry.retag("a/b", "v2", &digest);
    let delete = |reference: &str| {
        request(address, "DELETE", &format!("/v2/a/b/manifests/{reference}"))
            .send()
            .status
    };
    assert_eq!(delete("v1"), 202);
    assert_eq!(delete("v1"), 404);
    assert_eq!(registry.tags("a/b"), ["v2"]);
    assert_eq!(delete(&digest.to_string()), 202);
    assert_eq!(registry.tags("a/b"), Vec::<String>::new());
    assert_eq!(
        get(address, "/v2/a/b/manifests/v2").code(),
        "MANIFEST_UNKNOWN"
    );
    let closed = FakeRegistry::builder().deletes(false).serve().await;
    image.push(&closed, "a/b", "v1");
    let reply = request(closed.address(), "DELETE", "/v2/a/b/manifests/v1").send();
    assert_eq!(reply.status, 405);
}

#[tokio::test]
async fn a_tag_moves_under_a_client() {
    let registry = FakeRegistry::builder().serve().await;
    let one = ImageBuilder::new().annotation("n", "1").build();
    let two = ImageBuilder::new().annotation("n", "2").build();
    one.push(&registry, "a/b", "v");
    assert_eq!(
        get(registry.address(), "/v2/a/b/manifests/v").body,
        one.root_bytes().as_ref()
    );
    two.push(&registry, "a/b", "v");
    assert_eq!(
        get(registry.address(), "/v2/a/b/manifests/v").body,
        two.root_bytes().as_ref()
    );
    registry.retag("a/b", "v", one.root().digest());
    assert_eq!(
        registry.manifest("a/b", "v").unwrap().0.digest(),
        one.root().digest()
    );
    assert_eq!(
        registry.delete_tag("a/b", "v").as_ref(),
        Some(one.root().digest())
    );
    assert_eq!(get(registry.address(), "/v2/a/b/manifests/v").status, 404);
    assert!(
        registry
            .delete_manifest("a/b", one.root().digest())
            .is_some()
    );
    let path = format!("/v2/a/b/manifests/{}", one.root().digest());
    assert_eq!(get(registry.address(), &path).status, 404);
}

#[tokio::test]
async fn tags_beside_a_digest_are_set_and_named() {
    let registry = FakeRegistry::builder().serve().await;
    let body = br#"{"schemaVersion":2}"#;
    let reference = format!("{}?tag=v1&tag=v2&tag=-bad", Digest::sha256(body));
    let reply = put(&registry, &reference, MANIFEST, body);
    assert_eq!(reply.all("oci-tag"), ["v1", "v2"]);
    assert_eq!(registry.tags("a/b"), ["v1", "v2"]);
}
