//! Which cached content is used, and what is stored, with mocks.

use qmt_cache::MockCache;
use qmt_oci_ref::{MediaType, MockRegistry};

use super::*;

const LIMIT: u64 = 1000;

fn manifest(annotation: &str) -> RawManifest {
    let config = Descriptor::of(MediaType::EmptyJSON, b"{}");
    let json = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": config,
        "layers": [config],
        "annotations": { "a": annotation },
    });
    RawManifest::new(MediaType::ImageManifest, json.to_string().into())
}

fn repository() -> Repository {
    "ghcr.io/acme/echo".parse().unwrap()
}

fn pin(manifest: &RawManifest) -> PinnedReference {
    PinnedReference::new(repository(), manifest.digest().clone())
}

fn too_large(digest: &Digest, limit: u64) -> CacheError {
    CacheError::TooLarge {
        digest: digest.clone(),
        size: limit + 1,
        limit,
    }
}

type Cached = fn(&Digest, u64) -> Result<Option<Bytes>, CacheError>;

/// A cache that is read once and returns `cached`. Exactly `stored` blobs are put into it.
fn cache(cached: Cached, stored: usize) -> Arc<MockCache> {
    let mut cache = MockCache::new();
    cache.expect_bytes().times(1).returning(cached);
    let put = cache.expect_put_bytes().times(stored);
    put.returning(|_, _| Ok(()));
    Arc::new(cache)
}

/// A registry whose answer to the one request for a manifest is `manifest`.
fn answering(manifest: &RawManifest) -> Arc<MockRegistry> {
    let mut registry = MockRegistry::new();
    let manifest = manifest.clone();
    let asked = registry.expect_manifest().times(1);
    asked.returning(move |_, _| Ok(manifest.clone()));
    Arc::new(registry)
}

#[tokio::test]
async fn a_cached_blob_that_is_not_a_manifest_counts_as_missing() {
    let wanted = manifest("1");
    let not_a_manifest = |_: &Digest, _| Ok(Some(Bytes::from("\0asm")));
    for cached in [not_a_manifest, |digest: &Digest, limit| {
        Err(too_large(digest, limit))
    }] {
        let registry = CachedRegistry::new(answering(&wanted), cache(cached, 1)).storing();
        let found = registry.manifest(&pin(&wanted), LIMIT).await.unwrap();
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn a_cached_blob_that_is_too_large_counts_as_missing() {
    let wanted = Bytes::from("{}");
    let blob = Descriptor::of(MediaType::EmptyJSON, &wanted);
    let mut registry = MockRegistry::new();
    let answer = wanted.clone();
    let asked = registry.expect_blob().times(1);
    asked.returning(move |_, _, _| {
        let chunk = Ok(answer.clone());
        Ok(Box::pin(futures_util::stream::iter([chunk])))
    });
    let cache = cache(|digest, limit| Err(too_large(digest, limit)), 1);
    let registry = CachedRegistry::new(Arc::new(registry), cache).storing();
    assert_eq!(
        registry.pull_blob(&repository(), &blob).await.unwrap(),
        wanted
    );
}

#[tokio::test]
async fn only_the_requested_manifest_is_stored() {
    let (wanted, other) = (manifest("1"), manifest("2"));
    for (answer, stored) in [(&wanted, 1), (&other, 0)] {
        let registry = CachedRegistry::new(answering(answer), cache(|_, _| Ok(None), stored));
        let found = registry.storing().manifest(&pin(&wanted), LIMIT).await;
        assert_eq!(found.unwrap(), *answer);
    }
}
