//! Signatures: every source that may be asked for a tag or a list of referrers counts.

use qmt_oci_ref::{RawManifest, Reference};

use super::*;

/// Puts `content` under the `.sig` tag of `image`.
fn put_signature(server: &FakeRegistry, image: &Descriptor, content: &str) -> Descriptor {
    let tag = tag_of(image);
    server.put_manifest(
        "acme/echo",
        tag.as_str(),
        manifest::OCI_MANIFEST,
        content.to_owned(),
    )
}

fn tag_of(image: &Descriptor) -> String {
    format!("sha256-{}.sig", image.digest().hex())
}

/// A manifest that differs from those of other numbers.
fn numbered(n: usize) -> String {
    MANIFEST.replace("[]", &format!("[{}]", " ".repeat(n)))
}

fn put_referrer(server: &FakeRegistry, referrer: &RawManifest) {
    let media_type = referrer.media_type().as_ref();
    server.put_blob("acme/echo", "{}");
    server.put_manifest("acme/echo", None, media_type, referrer.bytes().clone());
}

impl Pair {
    async fn with_image() -> (Self, Descriptor) {
        let pair = Self::start().await;
        let image = put_image(&pair.origin);
        put_image(&pair.mirror);
        (pair, image)
    }

    fn signature(&self, image: &Descriptor) -> Reference {
        self.origin
            .reference(&format!("acme/echo:{}", tag_of(image)))
    }

    fn pin(&self, image: &Descriptor) -> PinnedReference {
        PinnedReference::new(self.origin.repository("acme/echo"), image.digest().clone())
    }

    fn cut_origin(&self) {
        let fault = Fault::on("*", "*").drop_connection(Cut::Reset);
        self.origin.fault(fault);
    }
}

/// Digests of what was read, and the kinds of the errors.
fn outcomes(all: &[Result<RawManifest, RegistryError>]) -> (Vec<String>, Vec<&RegistryError>) {
    let read = all.iter().flatten();
    let read = read.map(|raw| raw.digest().to_string()).collect();
    let failed = all.iter().filter_map(|one| one.as_ref().err()).collect();
    (read, failed)
}

/// Neither source has the tag.
#[track_caller]
fn assert_absent(all: &[Result<RawManifest, RegistryError>]) {
    assert!(
        matches!(all, [Err(error)] if error.is_not_found()),
        "{all:?}"
    );
}

#[track_caller]
fn assert_only(all: &[Result<RawManifest, RegistryError>], only: &Descriptor) {
    assert!(
        matches!(all, [Ok(raw)] if raw.digest() == only.digest()),
        "{all:?}"
    );
}

/// An older, an empty or an odd `.sig` tag of an authoritative mirror hides none of the registry.
#[tokio::test]
async fn a_signature_tag_of_a_mirror_hides_none_of_the_registry() {
    let index = concat!(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","#,
        r#""manifests":[]}"#
    );
    for (media_type, content) in [
        (manifest::OCI_MANIFEST, numbered(1)),
        (manifest::OCI_INDEX, index.to_owned()),
    ] {
        let (pair, image) = Pair::with_image().await;
        let full = put_signature(&pair.origin, &image, &numbered(2));
        let older =
            pair.mirror
                .put_manifest("acme/echo", tag_of(&image).as_str(), media_type, content);
        let signature = pair.signature(&image);
        let all = pair.mirrors(true).resolve_all(&signature).await;
        let (read, failed) = outcomes(&all);
        let expected = [older.digest().to_string(), full.digest().to_string()];
        assert_eq!((read, failed.len()), (expected.to_vec(), 0), "{media_type}");
        // A mirror that is not authoritative is not asked.
        let all = pair.client().resolve_all(&signature).await;
        assert_eq!(outcomes(&all).0, [full.digest().to_string()]);
    }
}

/// What mirror and registry both have is one item, and what neither has does not exist.
#[tokio::test]
async fn equal_signatures_of_mirror_and_registry_are_one() {
    let (pair, image) = Pair::with_image().await;
    let client = pair.mirrors(true);
    let signature = pair.signature(&image);
    assert_absent(&client.resolve_all(&signature).await);
    let only = put_signature(&pair.origin, &image, &numbered(1));
    assert_only(&client.resolve_all(&signature).await, &only);
    put_signature(&pair.mirror, &image, &numbered(1));
    assert_only(&client.resolve_all(&signature).await, &only);
    pair.origin.delete_tag("acme/echo", &tag_of(&image));
    assert_only(&client.resolve_all(&signature).await, &only);
}

/// A source that refuses the tag of a signature lacks it, which is remarked next to what others have.
#[tokio::test]
async fn a_refused_signature_tag_is_remarked() {
    let refused = || Fault::on("GET", "/v2/*/manifests/sha256-*").respond(422);
    let (pair, image) = Pair::with_image().await;
    let (client, signature) = (pair.mirrors(true), pair.signature(&image));
    let only = put_signature(&pair.origin, &image, &numbered(1));
    let remarked = |all: &[Result<RawManifest, RegistryError>]| {
        let errors = all.iter().filter_map(|one| one.as_ref().err());
        errors.filter_map(RegistryError::remark).count()
    };
    pair.mirror.fault(refused());
    let all = client.resolve_all(&signature).await;
    assert_eq!(outcomes(&all).0, [only.digest().to_string()]);
    assert_eq!((all.len(), remarked(&all)), (2, 1), "{all:?}");
    pair.origin.fault(refused());
    let all = client.resolve_all(&signature).await;
    assert_eq!((all.len(), remarked(&all)), (2, 2), "{all:?}");
    pair.origin.clear_faults();
    pair.cut_origin();
    let all = client.resolve_all(&signature).await;
    assert_eq!((all.len(), remarked(&all)), (2, 1), "{all:?}");
}

/// A registry that can't be reached is one failure, next to what the mirror has or lacks.
#[tokio::test]
async fn an_unreachable_registry_hides_no_signature_of_a_mirror() {
    let (pair, image) = Pair::with_image().await;
    pair.cut_origin();
    let client = pair.mirrors(true);
    let signature = pair.signature(&image);
    let all = client.resolve_all(&signature).await;
    let (read, failed) = outcomes(&all);
    assert!(read.is_empty() && failed[0].is_network(), "{failed:?}");
    let only = put_signature(&pair.mirror, &image, &numbered(1));
    let all = client.resolve_all(&signature).await;
    let (read, failed) = outcomes(&all);
    assert_eq!(read, [only.digest().to_string()]);
    assert!(
        matches!(&failed[..], [error] if error.is_network()),
        "{failed:?}"
    );
    // The image itself needs no registry.
    client.manifest(&pair.pin(&image), 1 << 20).await.unwrap();
}

/// A registry that does not answer is waited for until the time of such a search is up.
#[tokio::test]
async fn a_silent_registry_hides_no_signature_of_a_mirror() {
    let (pair, image) = Pair::with_image().await;
    let only = put_signature(&pair.mirror, &image, &numbered(1));
    let referrer = one_referring(&image);
    put_referrer(&pair.mirror, &referrer);
    pair.origin.fault(Fault::on("*", "*").stall());
    let client = pair.limited(true, Limits::default());
    let (signature, pin) = (pair.signature(&image), pair.pin(&image));
    let started = std::time::Instant::now();
    let (all, listed) = tokio::join!(client.resolve_all(&signature), client.referrers(&pin));
    // Discovery gives up after 8 s.
    assert!(started.elapsed() < Duration::from_millis(7900));
    let (read, failed) = outcomes(&all);
    assert_eq!(read, [only.digest().to_string()]);
    assert!(
        matches!(&failed[..], [error] if error.is_network()),
        "{failed:?}"
    );
    let listed = listed.unwrap_err().take_listed().unwrap();
    assert_eq!(listed.len(), 1);
}

/// A registry that asks for a pause longer than what a slow mirror has left of the time is reported as
/// that, and not waited for.
#[tokio::test]
async fn a_registry_that_limits_requests_after_a_slow_mirror_is_reported() {
    let (pair, image) = Pair::with_image().await;
    pair.mirror.fault(Fault::on("*", "*").stall());
    let limited = Fault::on("*", "*").respond(429);
    pair.origin.fault(limited.header("retry-after", "5"));
    let client = pair.limited(true, Limits::default());
    let (signature, pin) = (pair.signature(&image), pair.pin(&image));
    let (all, listed) = tokio::join!(client.resolve_all(&signature), client.referrers(&pin));
    let tag = outcomes(&all).1[0].to_string();
    for text in [tag, listed.unwrap_err().to_string()] {
        let words = "(status 429) and asks for a pause of 5 s";
        assert!(text.contains(words), "{text}");
    }
}

/// A mirror that lists one referrer, be it of anything, hides none of the registry.
#[tokio::test]
async fn a_list_of_a_mirror_hides_no_referrer_of_the_registry() {
    let (pair, image) = Pair::with_image().await;
    let [foreign, good] = [1, 2].map(|n| numbered_referrer(&image, n));
    put_referrer(&pair.mirror, &foreign);
    pair.mirror.fault(
        Fault::on(
            "GET",
            format!("/v2/acme/echo/manifests/{}", foreign.digest()),
        )
        .respond(404),
    );
    put_referrer(&pair.origin, &good);
    let client = pair.mirrors(true);
    let listed = client.referrers(&pair.pin(&image)).await.unwrap();
    let digests: Vec<_> = listed.iter().map(Descriptor::digest).collect();
    assert_eq!(digests, [foreign.digest(), good.digest()]);
    // What both list is one entry.
    put_referrer(&pair.mirror, &good);
    let listed = client.referrers(&pair.pin(&image)).await.unwrap();
    assert_eq!(listed.len(), 2);
    // Without the registry, what the mirror lists is used, and the failure is noted.
    pair.cut_origin();
    let mut error = client.referrers(&pair.pin(&image)).await.unwrap_err();
    assert!(error.is_network(), "{error:?}");
    assert_eq!(error.take_listed().unwrap().len(), 2);
}

/// Any mirror is asked where the registry lists nothing, and only there.
#[tokio::test]
async fn a_referrer_that_only_a_mirror_has_is_found() {
    let (pair, image) = Pair::with_image().await;
    let [mirrored, own] = [1, 2].map(|n| numbered_referrer(&image, n));
    put_referrer(&pair.mirror, &mirrored);
    let client = pair.client();
    let listed = client.referrers(&pair.pin(&image)).await.unwrap();
    let digests: Vec<_> = listed.iter().map(Descriptor::digest).collect();
    assert_eq!(digests, [mirrored.digest()]);
    put_referrer(&pair.origin, &own);
    let listed = client.referrers(&pair.pin(&image)).await.unwrap();
    let digests: Vec<_> = listed.iter().map(Descriptor::digest).collect();
    assert_eq!(digests, [own.digest()]);
    // A mirror that refuses is no failure of the registry, which answered.
    pair.origin.delete_manifest("acme/echo", own.digest());
    pair.mirror.fault(Fault::on("GET", "/v2/*").respond(403));
    let listed = client.referrers(&pair.pin(&image)).await.unwrap();
    assert!(listed.is_empty());
}

/// Of the sizes that a mirror and the registry claim for one referrer, the smaller one is used.
#[tokio::test]
async fn a_too_large_size_claimed_by_a_mirror_hides_no_referrer() {
    let (pair, image) = Pair::with_image().await;
    let good = one_referring(&image);
    put_referrer(&pair.origin, &good);
    let (digest, size) = (good.digest(), good.bytes().len() as u64);
    let entry = format!(
        r#"{{"mediaType":"a/b","digest":"{digest}","size":{}}}"#,
        size + 1
    );
    let list = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    let page = Fault::on("GET", "/v2/*/referrers/*").respond(200);
    let page = page.header("content-type", manifest::OCI_INDEX);
    pair.mirror.fault(page.body(list));
    let client = pair.mirrors(true);
    let listed = client.referrers(&pair.pin(&image)).await.unwrap();
    let listed: Vec<_> = listed.iter().map(Descriptor::size).collect();
    assert_eq!(listed, [size]);
}

fn numbered_referrer(image: &Descriptor, n: usize) -> RawManifest {
    let text = String::from_utf8(one_referring(image).bytes().to_vec()).unwrap();
    let content = text.replace(r#""n":"1""#, &format!(r#""n":"{n}""#));
    RawManifest::new(manifest::OCI_MANIFEST.into(), content.into())
}

/// A registry that answers with an error was not searched, whatever its mirror lacks. That the mirror
/// lacks a signature is not reported as a failure of the mirror.
#[tokio::test]
async fn an_error_of_the_registry_is_not_an_absent_signature() {
    let (pair, image) = Pair::with_image().await;
    let client = pair.mirrors(true);
    assert_absent(&client.resolve_all(&pair.signature(&image)).await);
    assert_eq!(pair.skips(false), 0, "{:?}", pair.recorder.all());
    pair.origin.fault(Fault::on("*", "*").respond(503));
    let all = client.resolve_all(&pair.signature(&image)).await;
    assert!(
        matches!(&all[..], [Err(error)] if error.is_network()),
        "{all:?}"
    );
    let listed = client.referrers(&pair.pin(&image)).await;
    assert!(listed.unwrap_err().is_network());
    let image = client.resolve(&pair.origin.reference("acme/echo:2")).await;
    assert!(image.unwrap_err().is_network());
}

/// A signature may be where it could not be looked for: the errors of mirrors are returned next to what
/// the registry has, of lists and of tags.
#[tokio::test]
async fn the_errors_of_mirrors_are_returned() {
    let page = || {
        Fault::on("GET", "/v2/*")
            .respond(200)
            .body("<!doctype html>")
    };
    let faults = [
        Fault::on("GET", "/v2/*").respond(403),
        Fault::on("GET", "/v2/*").respond(500),
        page().header("content-type", "text/html"),
        Fault::on("GET", "/v2/*").drop_connection(Cut::Reset),
    ];
    for fault in faults {
        let (pair, image) = Pair::with_image().await;
        pair.mirror.fault(fault);
        let mirror = pair.mirror.host();
        let is_of_mirror = |error: &RegistryError| error.mirror() == Some(&mirror);
        for authoritative in [false, true] {
            let client = pair.mirrors(authoritative);
            let listed = client.referrers(&pair.pin(&image)).await.unwrap();
            assert!(listed.is_empty());
            assert_eq!(listed.failures().len(), 1, "{listed:?}");
            assert!(is_of_mirror(&listed.failures()[0]), "{listed:?}");
            let all = client.resolve_all(&pair.signature(&image)).await;
            let (read, failed) = outcomes(&all);
            assert!(read.is_empty() && failed.iter().any(|one| one.is_not_found()));
            let of_mirror = failed.iter().filter(|error| is_of_mirror(error)).count();
            assert_eq!(of_mirror > 0, authoritative, "{all:?}");
        }
    }
}

/// A mirror that was given up was not looked at either.
#[tokio::test]
async fn a_mirror_that_was_given_up_is_an_error() {
    let (pair, image) = Pair::with_image().await;
    pair.mirror.fault(Fault::on("*", "*").stall());
    let limits = quick().referrers_timeout(Duration::from_millis(300));
    let client = pair.limited(true, limits.header_timeout(Duration::from_millis(300)));
    for _ in 0..2 {
        let (signature, pin) = (pair.signature(&image), pair.pin(&image));
        let listed = client.referrers(&pin).await.unwrap();
        assert_eq!(listed.failures().len(), 1, "{listed:?}");
        let all = client.resolve_all(&signature).await;
        let of_mirror = outcomes(&all)
            .1
            .into_iter()
            .filter_map(RegistryError::mirror);
        assert_eq!(of_mirror.count(), 1, "{all:?}");
    }
    let text = client.referrers(&pair.pin(&image)).await.unwrap();
    let text = text.failures()[0].to_string();
    assert!(text.contains("not asked again for 10 minutes"), "{text}");
}
