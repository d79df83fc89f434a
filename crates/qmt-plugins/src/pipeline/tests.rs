//! Order and "never": what is called when, with mocks; everything else is tested over real HTTP.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use qmt_artifact::{ExtractLimits, HostPlatform};
use qmt_cache::{Cache, CacheOptions, FsCache, MockCache};
use qmt_oci_ref::{
    Digest, MediaType, MockRegistry, RawManifest, Reference, Registry, RegistryError,
};
use qmt_registry::{HostOptions, HttpRegistry, Offline};
use qmt_testkit::{Cut, FakeRegistry, Fault, plugins};
use qmt_verify::{MockVerifier, VerifyError};

use super::*;
use crate::caching::CachedRegistry;
use crate::config::PullPolicy;
use crate::events::Reporter;
use crate::stage::{Request, Trust, VersionPolicy};

fn manifest() -> RawManifest {
    manifest_of(b"layer")
}

/// The manifest of an image whose layer is `layer`.
fn manifest_of(layer: &[u8]) -> RawManifest {
    let size = layer.len();
    let layer = Digest::sha256(layer);
    let config = Digest::sha256("{}");
    let json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.wasm.v1.config+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.wasm.v1.layer+wasm","digest":"{layer}","size":{size}}}]}}"#,
        MediaType::ImageManifest
    );
    RawManifest::new(MediaType::ImageManifest, Bytes::from(json))
}

fn request() -> Request {
    Request {
        reference: "ghcr.io/acme/echo:1".parse().unwrap(),
        source: "oci://ghcr.io/acme/echo:1".to_owned(),
        kind: None,
        file: None,
        replaced: None,
        locked: None,
        pinned_signer: None,
        pull: PullPolicy::IfNotPresent,
        refresh_after: None,
        version: VersionPolicy::Configured,
    }
}

fn context(
    registry: impl Registry + 'static,
    cache: impl Cache + 'static,
    verifier: MockVerifier,
) -> Context {
    let cache: Arc<dyn Cache> = Arc::new(cache);
    Context {
        request: request(),
        registry: CachedRegistry::new(Arc::new(registry), cache.clone()),
        is_local: false,
        cache,
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
        .returning(|_: &Reference| Ok(manifest()));
    registry
}

fn refusing() -> MockVerifier {
    let mut verifier = MockVerifier::new();
    verifier
        .expect_discover()
        .returning(|_, subject| Ok(qmt_verify::Evidence::empty(subject)));
    verifier
        .expect_check()
        .returning(|subject, _, _, _| Err(VerifyError::no_signature(subject)));
    verifier
}

/// Nothing below the root manifest is requested before the policy is met, and a refusal writes
/// nothing: no artifact, no manifest, no signature material, no tag.
#[tokio::test]
async fn a_refused_image_is_neither_fetched_nor_written() {
    // Any request but the one by tag fails the test: nothing else is expected.
    let registry = resolving(1);
    let mut cache = empty_cache();
    cache.expect_begin().never();
    cache.expect_put_bytes().never();
    cache.expect_put_evidence().never();
    cache.expect_set_ref().never();
    let error = run(&context(registry, cache, refusing()))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::NotVerified { .. }), "{error}");
}

/// Without a verifier nothing is accepted.
#[tokio::test]
async fn without_a_policy_nothing_is_fetched() {
    let mut context = context(resolving(1), empty_cache(), MockVerifier::new());
    context.trust = None;
    let error = run(&context).await.err().unwrap();
    assert!(matches!(error, Error::NotVerified { .. }), "{error}");
}

#[tokio::test]
async fn offline_without_a_digest_is_an_error_of_its_own() {
    let mut context = context(
        Offline::new("`--offline`"),
        empty_cache(),
        MockVerifier::new(),
    );
    context.offline = Some("`--offline`");
    let error = run(&context).await.err().unwrap();
    assert!(
        matches!(
            error,
            Error::Offline {
                missing: "the digest",
                rule: "`--offline`",
                ..
            }
        ),
        "{error}"
    );
}

/// Where the network is forbidden and the cache can't be written, what fails is that the plugin is
/// not in the cache.
#[tokio::test]
async fn offline_a_missing_plugin_is_told_as_such() {
    let root = manifest();
    let digest = root.digest().clone();
    let mut cache = MockCache::new();
    cache
        .expect_ref_()
        .returning(move |_| Ok(Some((digest.clone(), SystemTime::UNIX_EPOCH))));
    let bytes = root.bytes().clone();
    cache
        .expect_bytes()
        .returning(move |_, _| Ok(Some(bytes.clone())));
    cache.expect_lookup().returning(|_| Ok(None));
    cache.expect_begin().returning(|_| {
        Err(CacheError::Unwritable {
            path: "cache".into(),
            source: std::io::ErrorKind::ReadOnlyFilesystem.into(),
        })
    });
    cache.expect_put_bytes().never();
    let mut context = context(Offline::new("`--offline`"), cache, MockVerifier::new());
    context.trust = Some(Trust::Skip);
    context.offline = Some("`--frozen`");
    let error = run(&context).await.err().unwrap();
    assert!(
        matches!(
            error,
            Error::Offline {
                missing: "the plugin",
                ..
            }
        ),
        "{error}"
    );
}

/// The registry is asked for signatures, refuses because it is offline, and the error says so.
#[tokio::test]
async fn offline_without_signature_material_says_what_is_missing() {
    let root = manifest();
    let digest = root.digest().clone();
    let bytes = root.bytes().clone();
    let mut cache = MockCache::new();
    cache
        .expect_ref_()
        .returning(move |_| Ok(Some((digest.clone(), SystemTime::UNIX_EPOCH))));
    cache
        .expect_bytes()
        .returning(move |_, _| Ok(Some(bytes.clone())));
    cache.expect_evidence().returning(|_| Ok(None));
    let mut verifier = MockVerifier::new();
    verifier.expect_discover().returning(|_, _| {
        let source = offline_error();
        Err(VerifyError::Source {
            place: "the registry".to_owned(),
            source,
            refusal: None,
        })
    });
    verifier.expect_check().never();
    let mut context = context(Offline::new("`--offline`"), cache, verifier);
    context.offline = Some("`--offline`");
    let error = run(&context).await.err().unwrap();
    assert!(
        matches!(
            error,
            Error::Offline {
                missing: "the signature",
                ..
            }
        ),
        "{error}"
    );
}

/// A download that broke off after wrong bytes starts over in the same run, also where those bytes
/// are from an earlier run.
#[tokio::test]
async fn wrong_bytes_before_a_break_are_downloaded_again() {
    let layer = plugins::echo_wasm();
    let image = manifest_of(&layer);
    for is_of_earlier_run in [false, true] {
        let server = FakeRegistry::builder().serve().await;
        let blob = server.put_blob("acme/echo", layer.clone());
        let media_type = image.media_type().as_ref();
        server.put_manifest("acme/echo", "1", media_type, image.bytes().clone());
        let of_layer = || Fault::on("GET", format!("/v2/*/blobs/{}", blob.digest()));
        server.fault(of_layer().once().flip_bit(81).cut(20, Cut::Fin));
        if is_of_earlier_run {
            // With a range, and without.
            server.fault(of_layer().once().respond(404));
            server.fault(of_layer().once().respond(404));
        }
        let options = HostOptions::new().plain_http(true);
        let registry = HttpRegistry::builder().host(server.host(), options).build();
        let folder = tempfile::tempdir().unwrap();
        let cache = FsCache::open(CacheOptions::at(folder.path())).unwrap();
        let mut context = context(registry.unwrap(), cache, MockVerifier::new());
        context.trust = Some(Trust::Skip);
        context.request.reference = server.reference("acme/echo:1");
        if is_of_earlier_run {
            run(&context).await.err().unwrap();
        }
        run(&context).await.unwrap();
    }
}

fn offline_error() -> RegistryError {
    let reference = "ghcr.io/acme/echo:1".parse().unwrap();
    let refused =
        futures_util::FutureExt::now_or_never(Offline::new("`--offline`").resolve(&reference));
    refused.unwrap().unwrap_err()
}
