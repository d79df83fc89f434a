//! Mirrors: asked in order, trusted for content only, and skipped after wrong content.

mod evidence;
mod time;

use std::time::Duration;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, PinnedReference, Registry, RegistryError, manifest};
use qmt_registry::limits::Limits;
use qmt_registry::{ClientError, HttpRegistry, MirrorOptions, Mirrors, RegistryEvent};
use qmt_testkit::{Auth, Cut, FakeRegistry, Fault, TlsOptions};

use crate::encodings::GZIP;
use crate::referrers::one_referring;
use crate::support::{
    CANARY, Detail as _, MANIFEST, Recorder, builder, noise, plain, pull, put_image, quick,
};

struct Pair {
    origin: FakeRegistry,
    mirror: FakeRegistry,
    recorder: Recorder,
}

impl Pair {
    async fn start() -> Self {
        let origin = FakeRegistry::builder().serve().await;
        let mirror = FakeRegistry::builder().serve().await;
        Self {
            origin,
            mirror,
            recorder: Recorder::default(),
        }
    }

    fn mirrors(&self, authoritative: bool) -> Mirrors {
        self.limited(authoritative, quick())
    }

    fn timed(&self, total: Duration) -> Mirrors {
        self.limited(false, quick().total_timeout(total))
    }

    fn limited(&self, authoritative: bool, limits: Limits) -> Mirrors {
        let client = HttpRegistry::builder()
            .host(self.origin.host(), plain())
            .limits(limits)
            .events(self.recorder.sink())
            .build()
            .unwrap();
        let mirror = MirrorOptions::new(self.mirror.host())
            .plain_http(true)
            .authoritative(authoritative);
        Mirrors::new(client)
            .mirror(&self.origin.host(), mirror)
            .unwrap()
    }

    fn client(&self) -> Mirrors {
        self.mirrors(false)
    }

    fn blob(&self, content: &Bytes) -> Descriptor {
        self.mirror.put_blob("acme/echo", content.clone());
        self.origin.put_blob("acme/echo", content.clone())
    }

    async fn pull(&self, client: &Mirrors, blob: &Descriptor) -> Result<Bytes, RegistryError> {
        pull(client, &self.origin.repository("acme/echo"), blob).await
    }

    fn skips(&self, wrong: bool) -> usize {
        self.recorder
            .count(|e| matches!(e, RegistryEvent::MirrorSkipped { wrong_content, .. } if *wrong_content == wrong))
    }
}

#[tokio::test]
async fn content_comes_from_the_mirror_and_tags_from_the_origin() {
    let pair = Pair::start().await;
    put_image(&pair.origin);
    put_image(&pair.mirror);
    let blob = pair.blob(&noise(1000));
    let client = pair.client();
    let resolved = client
        .resolve(&pair.origin.reference("acme/echo:1"))
        .await
        .unwrap();
    assert_eq!(
        (pair.origin.requests().len(), pair.mirror.requests().len()),
        (1, 0)
    );
    let repository = pair.origin.repository("acme/echo");
    let pin = PinnedReference::new(repository, resolved.digest().clone());
    client.manifest(&pin, 1 << 20).await.unwrap();
    pair.pull(&client, &blob).await.unwrap();
    assert_eq!(
        (pair.origin.requests().len(), pair.mirror.requests().len()),
        (1, 2)
    );
}

#[tokio::test]
async fn an_authoritative_mirror_resolves_tags() {
    let pair = Pair::start().await;
    put_image(&pair.origin);
    let moved = pair.mirror.put_manifest(
        "acme/echo",
        "1",
        manifest::OCI_MANIFEST,
        MANIFEST.replace("[]", "[ ]"),
    );
    let reference = pair.origin.reference("acme/echo:1");
    let trusted = pair.mirrors(true).resolve(&reference).await.unwrap();
    assert_eq!(trusted.digest(), moved.digest());
    let not_trusted = pair.client().resolve(&reference).await.unwrap();
    assert_ne!(not_trusted.digest(), moved.digest());
}

#[tokio::test]
async fn a_mirror_that_lacks_something_is_passed_over() {
    let pair = Pair::start().await;
    let content = noise(1000);
    let blob = pair.origin.put_blob("acme/echo", content.clone());
    assert!(pair.pull(&pair.client(), &blob).await.unwrap() == content);
    assert_eq!(pair.skips(false), 1);
    pair.mirror.fault(Fault::on("GET", "/v2/*").respond(503));
    pair.mirror.clear_requests();
    assert!(pair.pull(&pair.client(), &blob).await.unwrap() == content);
    // The registry has the content as well.
    let tries = qmt_registry::limits::MIRROR_TRIES_MAX;
    assert_eq!(pair.mirror.requests().len(), tries);
}

/// DIG-02: a mirror that sends another manifest is caught and not asked again.
#[tokio::test]
async fn wrong_content_of_a_mirror_is_found_by_digest() {
    let pair = Pair::start().await;
    let image = put_image(&pair.origin);
    let other = MANIFEST.replace("[]", "[ ]");
    pair.mirror
        .plant_manifest("acme/echo", image.digest(), manifest::OCI_MANIFEST, other);
    let pin = PinnedReference::new(pair.origin.repository("acme/echo"), image.digest().clone());
    let client = pair.client();
    for _ in 0..2 {
        assert_eq!(
            client.manifest(&pin, 1 << 20).await.unwrap().bytes(),
            MANIFEST
        );
    }
    assert_eq!(pair.skips(true), 1, "{:?}", pair.recorder.all());
    assert_eq!(pair.mirror.requests().len(), 1);
}

/// DIG-08: a wrong length is noticed before the first byte, so the next source is used at once.
#[tokio::test]
async fn a_mirror_with_a_wrong_length_is_skipped_at_once() {
    let pair = Pair::start().await;
    let content = noise(1000);
    let blob = pair.blob(&content);
    pair.mirror
        .plant_blob("acme/echo", blob.digest(), noise(999));
    assert!(pair.pull(&pair.client(), &blob).await.unwrap() == content);
    assert_eq!(pair.skips(true), 1);
}

/// DIG-02: wrong bytes of the right length are known at the end: the error says to ask again, and
/// the second time the mirror is not asked.
#[tokio::test]
async fn a_mirror_with_wrong_bytes_is_not_asked_again() {
    let pair = Pair::start().await;
    for length in [(1 << 20) + 1, 2 << 20] {
        let content = noise(length);
        let blob = pair.blob(&content);
        let mut other = content.to_vec();
        other[length - 1] ^= 1;
        pair.mirror.plant_blob("acme/echo", blob.digest(), other);
        let client = pair.client();
        let error = pair.pull(&client, &blob).await.unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::MirrorContent { .. })),
            "{error:?}"
        );
        assert!(error.is_retryable());
        assert!(pair.pull(&client, &blob).await.unwrap() == content);
    }
}

/// DIG-02: of a small blob nothing is handed out before it is proven, so the next source is used.
#[tokio::test]
async fn wrong_content_of_a_small_blob_is_not_handed_out() {
    let pair = Pair::start().await;
    for length in [1, 1 << 20] {
        let content = noise(length);
        let blob = pair.blob(&content);
        let mut other = content.to_vec();
        other[length - 1] ^= 1;
        pair.mirror.plant_blob("acme/echo", blob.digest(), other);
        let client = pair.client();
        assert!(pair.pull(&client, &blob).await.unwrap() == content);
        assert!(pair.pull(&client, &blob).await.unwrap() == content);
    }
    assert_eq!(pair.skips(true), 2);
    assert_eq!(
        pair.mirror.requests().len(),
        2,
        "one wrong answer each, then not asked"
    );
}

/// DIG-02, AUTH-20: a mirror that compresses blobs, or sends gzip data without a document, is given up
/// like one with other wrong content.
#[tokio::test]
async fn a_mirror_that_compresses_content_is_not_asked_again() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n17\r\n";
    let chunked = [head.as_bytes(), GZIP, b"\r\n0\r\n\r\n"].concat();
    let announced = || Fault::on("GET", "/v2/*").header("content-encoding", "gzip");
    for fault in [
        announced().respond(200).body(GZIP),
        Fault::on("GET", "/v2/*").raw(chunked),
    ] {
        let pair = Pair::start().await;
        pair.mirror.fault(fault);
        let image = put_image(&pair.origin);
        let pin = PinnedReference::new(pair.origin.repository("acme/echo"), image.digest().clone());
        let client = pair.client();
        client.manifest(&pin, 1 << 20).await.unwrap();
        client.manifest(&pin, 1 << 20).await.unwrap();
        for length in [10, 1000] {
            let blob = pair.origin.put_blob("acme/echo", noise(length));
            let client = pair.client();
            assert_eq!(pair.pull(&client, &blob).await.unwrap(), noise(length));
            assert_eq!(pair.pull(&client, &blob).await.unwrap(), noise(length));
        }
        assert_eq!((pair.skips(true), pair.skips(false)), (3, 0));
        assert_eq!(pair.mirror.requests().len(), 3);
        // Where a part was handed out already, the error says to ask again.
        let content = noise(2 << 20);
        let blob = pair.origin.put_blob("acme/echo", content.clone());
        let client = pair.client();
        if let Err(error) = pair.pull(&client, &blob).await {
            let detail = error.detail();
            let is_of_mirror = matches!(detail, Some(ClientError::MirrorContent { .. }));
            assert!(is_of_mirror && error.is_retryable(), "{error:?}");
        }
        assert!(pair.pull(&client, &blob).await.unwrap() == content);
        assert_eq!(pair.mirror.requests().len(), 4);
    }
}

/// A transfer that breaks at the mirror resumes at the next source.
#[tokio::test]
async fn a_transfer_resumes_at_the_next_source() {
    let pair = Pair::start().await;
    let content = noise(3 << 20);
    let blob = pair.blob(&content);
    pair.mirror.fault(
        Fault::on("GET", "/v2/*/blobs/*")
            .once()
            .cut(1_000_000, Cut::Fin),
    );
    pair.mirror
        .fault(Fault::on("GET", "/v2/*/blobs/*").respond(404));
    assert!(pair.pull(&pair.client(), &blob).await.unwrap() == content);
    let last = pair.origin.requests().pop().unwrap();
    let first: u64 = last
        .header("range")
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix(&format!("-{}", content.len() - 1))?
                .parse()
                .ok()
        })
        .unwrap();
    assert!(first > 0 && first <= 1_000_000, "{first}");
}

/// Without the origin, mirrors give content and referrers; only authoritative ones give tags.
#[tokio::test]
async fn mirrors_serve_without_the_origin() {
    let pair = Pair::start().await;
    let image = put_image(&pair.mirror);
    let content = noise(1000);
    let blob = pair.blob(&content);
    pair.origin
        .fault(Fault::on("*", "*").drop_connection(Cut::Reset));
    let client = pair.client();
    let pin = PinnedReference::new(pair.origin.repository("acme/echo"), image.digest().clone());
    client.manifest(&pin, 1 << 20).await.unwrap();
    assert!(pair.pull(&client, &blob).await.unwrap() == content);
    let mut error = client.referrers(&pin).await.unwrap_err();
    assert!(error.take_listed().unwrap().is_empty(), "{error:?}");
    let error = client
        .resolve(&pair.origin.reference("acme/echo:1"))
        .await
        .unwrap_err();
    assert!(error.is_network(), "{error:?}");
    let authoritative = pair.mirrors(true);
    authoritative
        .resolve(&pair.origin.reference("acme/echo:1"))
        .await
        .unwrap();
    // The origin may have what the mirror lacks.
    let lacking = pair.origin.reference("acme/echo:2");
    let error = authoritative.resolve(&lacking).await.unwrap_err();
    assert!(error.is_network(), "{error:?}");
    let (hint, mirror) = (error.hint().unwrap(), pair.mirror.host());
    assert!(
        hint.ends_with(&format!("its mirrors do not have it: `{mirror}`")),
        "{hint}"
    );
    let error = pair.client().resolve(&lacking).await.unwrap_err();
    assert!(error.is_network(), "{error:?}");
}

/// A mirror has its own path prefix and credential; the origin's credential is not sent to it.
#[tokio::test]
async fn a_mirror_has_its_own_credential() {
    let origin = FakeRegistry::builder().serve().await;
    let mirror = FakeRegistry::builder()
        .auth(Auth::basic("alice", CANARY))
        .serve()
        .await;
    let content = noise(1000);
    let blob = mirror.put_blob("proxy/hub/acme/echo", content.clone());
    let options: MirrorOptions = format!("http://{}/proxy/hub", mirror.host())
        .parse()
        .unwrap();
    let mut store = qmt_registry::credentials::MockCredentialStore::new();
    let (host, path) = (mirror.host(), "proxy/hub/acme/echo");
    store
        .expect_credential()
        .withf(move |asked, repository| {
            *asked == host && repository.as_ref().is_some_and(|r| r.path() == path)
        })
        .times(1)
        .returning(|_, _| {
            Ok(Some(qmt_registry::credentials::Credential::basic(
                "alice", CANARY,
            )))
        });
    let client = HttpRegistry::builder()
        .host(origin.host(), plain())
        .credentials(std::sync::Arc::new(store))
        .limits(quick())
        .build()
        .unwrap();
    let client = Mirrors::new(client)
        .mirror(&origin.host(), options)
        .unwrap();
    assert!(
        pull(&client, &origin.repository("acme/echo"), &blob)
            .await
            .unwrap()
            == content
    );
    assert!(origin.requests().is_empty());
}

/// A pull-through cache that is authoritative for tags and has no lists hides no referrer of its
/// origin; an origin that can't be reached is an error, which has the list of the mirror.
#[tokio::test]
async fn an_empty_list_of_a_mirror_is_not_final() {
    let pair = Pair::start().await;
    let image = put_image(&pair.origin);
    put_image(&pair.mirror);
    let referrer = one_referring(&image);
    pair.origin.put_blob("acme/echo", "{}");
    pair.origin.put_manifest(
        "acme/echo",
        None,
        referrer.media_type().as_ref(),
        referrer.bytes().clone(),
    );
    let client = pair.mirrors(true);
    let pin = PinnedReference::new(pair.origin.repository("acme/echo"), image.digest().clone());
    let listed = client.referrers(&pin).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].digest(), referrer.digest());
    pair.origin
        .fault(Fault::on("GET", "*").drop_connection(Cut::Reset));
    let mut error = client.referrers(&pin).await.unwrap_err();
    assert!(error.is_network(), "{error:?}");
    assert!(error.take_listed().unwrap().is_empty());
}

/// What a mirror or the registry refuses hides nothing that another source lists, and is reported
/// unless the registry itself answers in full.
#[tokio::test]
async fn a_refused_list_hides_no_other() {
    const REFERRERS: &str = "/v2/*/referrers/*";
    for mirror_holds_it in [false, true] {
        let pair = Pair::start().await;
        let image = put_image(&pair.origin);
        put_image(&pair.mirror);
        let referrer = one_referring(&image);
        let (holder, refusing) = if mirror_holds_it {
            (&pair.mirror, &pair.origin)
        } else {
            (&pair.origin, &pair.mirror)
        };
        holder.put_blob("acme/echo", "{}");
        let media_type = referrer.media_type().as_ref();
        holder.put_manifest("acme/echo", None, media_type, referrer.bytes().clone());
        let pin = PinnedReference::new(pair.origin.repository("acme/echo"), image.digest().clone());
        for status in [401, 403, 500] {
            refusing.clear_faults();
            refusing.fault(Fault::on("GET", REFERRERS).respond(status));
            // A mirror that is not authoritative is asked after the registry.
            let outcome = pair.mirrors(!mirror_holds_it).referrers(&pin).await;
            let listed = match outcome {
                Ok(listed) => listed,
                Err(mut error) => {
                    assert!(mirror_holds_it, "{status}: {error:?}");
                    error.take_listed().unwrap()
                }
            };
            assert_eq!(listed.len(), 1, "{status}");
        }
    }
}

/// A mirror whose certificate is not trusted, or that requires a login, is reported with what to do.
#[tokio::test]
async fn a_mirror_without_access_is_reported_with_its_hint() {
    for (mirror, plain_http, words) in [
        (
            FakeRegistry::builder().tls(TlsOptions::new()),
            false,
            "with `ca_file` in",
        ),
        (
            FakeRegistry::builder().auth(Auth::basic("alice", CANARY)),
            true,
            "login",
        ),
    ] {
        let mut pair = Pair::start().await;
        pair.mirror = mirror.serve().await;
        let image = put_image(&pair.origin);
        let client = builder(&pair.origin)
            .events(pair.recorder.sink())
            .build()
            .unwrap();
        let mirror = MirrorOptions::new(pair.mirror.host()).plain_http(plain_http);
        let client = Mirrors::new(client)
            .mirror(&pair.origin.host(), mirror)
            .unwrap();
        let repository = pair.origin.repository("acme/echo");
        let pin = PinnedReference::new(repository, image.digest().clone());
        client.manifest(&pin, 1 << 20).await.unwrap();
        let host = pair.mirror.host().to_string();
        let is_hint = |e: &RegistryEvent| {
            matches!(e, RegistryEvent::MirrorSkipped { reason, .. }
                if reason.split_once("; ").is_some_and(|(_, hint)| hint.contains(words) && hint.contains(&host)))
        };
        assert_eq!(pair.recorder.count(is_hint), 1, "{:?}", pair.recorder.all());
        // Where signatures are searched, the error of the mirror is one of the list.
        let listed = client.referrers(&pin).await.unwrap();
        let hint = listed.failures()[0].hint().unwrap();
        assert!(hint.contains(words), "{hint}");
    }
}
