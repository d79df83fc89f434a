//! Order and "never": what is called when, with mocks; everything else is tested over real HTTP.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use qmt_artifact::{ExtractLimits, HostPlatform};
use qmt_cache::MockCache;
use qmt_oci_ref::{Digest, MediaType, Reference};
use qmt_registry::{MockRegistry, RawManifest, Resolved};
use qmt_verify::{MockVerifier, VerifyError};

use super::*;
use crate::config::PullPolicy;
use crate::events::Reporter;
use crate::stage::Trust;

fn manifest() -> RawManifest {
    let layer = Digest::sha256("layer");
    let config = Digest::sha256("{}");
    let json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.wasm.v1.config+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.wasm.v1.layer+wasm","digest":"{layer}","size":5}}]}}"#,
        MediaType::OCI_MANIFEST
    );
    RawManifest::new(MediaType::new(MediaType::OCI_MANIFEST), Bytes::from(json))
}

fn request() -> Request {
    Request {
        reference: "ghcr.io/acme/echo:1".parse().unwrap(),
        shown: "oci://ghcr.io/acme/echo:1".to_owned(),
        kind: None,
        file: None,
        locked: None,
        locked_at: None,
        expected: None,
        pull: PullPolicy::IfNotPresent,
        refresh_after: None,
        is_update: false,
    }
}

fn context(registry: MockRegistry, cache: MockCache, verifier: MockVerifier) -> Context {
    Context {
        registry: Arc::new(registry),
        is_local: false,
        cache: Arc::new(cache),
        trust: Some(Trust::Verify(Arc::new(verifier))),
        host: HostPlatform::current(),
        offline: None,
        limits: ExtractLimits::default(),
        reporter: Reporter::new("echo", None),
        now: SystemTime::UNIX_EPOCH,
    }
}

fn empty_cache() -> MockCache {
    let mut cache = MockCache::new();
    cache.expect_ref_().returning(|_| Ok(None));
    cache.expect_bytes().returning(|_, _| Ok(None));
    cache.expect_evidence().returning(|_| Ok(None));
    cache.expect_lookup().returning(|_| Ok(None));
    cache
}

fn resolving(times: usize) -> MockRegistry {
    let mut registry = MockRegistry::new();
    registry
        .expect_resolve()
        .times(times)
        .returning(|reference: &Reference| Resolved::new(reference, manifest()));
    registry
}

fn refusing() -> MockVerifier {
    let mut verifier = MockVerifier::new();
    verifier
        .expect_collect()
        .returning(|_, subject| Ok(qmt_verify::Evidence::empty(subject)));
    verifier.expect_judge().returning(|subject, _, _, _| {
        Err(VerifyError::NoSignature {
            subject: Box::new(subject.clone()),
            rejected: Vec::new(),
        })
    });
    verifier
}

/// P3: a refusal reaches neither a name in the cache nor the tag's record.
#[tokio::test]
async fn a_refused_image_writes_nothing() {
    let registry = resolving(1);
    let mut cache = empty_cache();
    cache.expect_begin().returning(|manifest| {
        Err(qmt_cache::CacheError::LockTimeout {
            path: std::path::PathBuf::from(manifest.hex()),
            waited: std::time::Duration::from_secs(1),
        })
    });
    cache.expect_put_bytes().never();
    cache.expect_put_evidence().never();
    cache.expect_set_ref().never();
    let error = run(&context(registry, cache, refusing()), &request())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::NotVerified { .. }), "{error}");
}

/// Offline means that no registry is asked, whatever is missing.
#[tokio::test]
async fn offline_never_asks() {
    let mut context = context(resolving(0), empty_cache(), MockVerifier::new());
    context.offline = Some("`--offline`");
    let error = run(&context, &request()).await.err().unwrap();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}

/// Where the network is forbidden, a plugin that the cache lacks is neither begun nor half written.
#[tokio::test]
async fn offline_nothing_is_begun() {
    let mut context = context(resolving(0), MockCache::new(), MockVerifier::new());
    let mut cache = MockCache::new();
    let root = manifest();
    let digest = root.digest().clone();
    cache
        .expect_ref_()
        .returning(move |_| Ok(Some((digest.clone(), SystemTime::UNIX_EPOCH))));
    let bytes = root.bytes().clone();
    cache
        .expect_bytes()
        .returning(move |_, _| Ok(Some(bytes.clone())));
    cache.expect_evidence().returning(|_| Ok(None));
    cache.expect_lookup().returning(|_| Ok(None));
    cache.expect_begin().never();
    cache.expect_put_bytes().never();
    context.cache = Arc::new(cache);
    context.offline = Some("`--frozen`");
    let error = run(&context, &request()).await.err().unwrap();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}
