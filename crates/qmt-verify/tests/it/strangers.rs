//! Odd referrers that any publisher can add next to a good signature, and places that refuse:
//! neither hides the signature, and both are reported.

mod answers;
mod busy;
mod crowds;
mod damaged;
mod places;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use qmt_oci_ref::manifest::{OCI_MANIFEST, Referrers};
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, MediaType, PinnedReference, RawManifest, Reference,
    Registry, RegistryError, RegistryErrorKind, Repository,
};
use qmt_testkit::{
    Attestation, PrivateSigstore, SIMPLE_SIGNING, SignatureImage, SignedBundle, Signing,
    SimpleAttestation, SimpleSigning,
};
use qmt_verify::policy::AttestationDemand;
use qmt_verify::{DiscoveryOptions, Verifier as _, VerifyError, discover};
use serde_json::{Value, json};

use self::places::Refusing;
use crate::support::{
    Memory, any_of, check, dev, dev_authority, key_authority, look, pin, signed_subject, subject,
    verifier,
};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";

fn good_bundle(sigstore: &PrivateSigstore) -> SignedBundle {
    sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()))
}

/// The image of a `.sig` tag with a good signature.
fn good_tag(sigstore: &PrivateSigstore) -> SignatureImage {
    let simple = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    SimpleSigning::image(subject().digest(), &[simple])
}

/// A change that makes a manifest odd.
type Change = dyn Fn(&mut Value);

/// A manifest that refers to the subject, with one bundle layer, changed by `change`.
fn referrer(number: usize, change: &dyn Fn(&mut Value)) -> Bytes {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": BUNDLE,
        "config": Descriptor::of(MediaType::EmptyJSON, b"{}"),
        "layers": [{ "mediaType": BUNDLE, "digest": Digest::sha256("gone"), "size": 700 }],
        "subject": { "mediaType": OCI_MANIFEST, "digest": subject().digest(), "size": 100 },
        "annotations": { "number": number.to_string() },
    });
    change(&mut manifest);
    manifest.to_string().into()
}

fn listed(manifest: &Bytes) -> Descriptor {
    Descriptor::of(MediaType::ImageManifest, manifest).with_artifact_type(MediaType::from(BUNDLE))
}

/// SIG-14: odd referrers, in front of a good one.
#[tokio::test]
async fn an_odd_referrer_hides_no_signature() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let bundle = good_bundle(&sigstore);
    let blob = Digest::sha256(&bundle.json);
    let layer = move |size: Value| {
        let blob = blob.clone();
        move |manifest: &mut Value| {
            manifest["layers"] = json!([{ "mediaType": BUNDLE, "digest": blob, "size": size }]);
        }
    };
    let field = |name: &'static str, value: Value| {
        move |manifest: &mut Value| manifest[name] = value.clone()
    };
    let changes: Vec<(&str, Box<Change>)> = vec![
        ("a missing blob", Box::new(|_| {})),
        ("a size that is too small", Box::new(layer(json!(7)))),
        ("a size that is too large", Box::new(layer(json!(70_000)))),
        ("a size over the limit", Box::new(layer(json!(1_u64 << 40)))),
        ("no size", Box::new(layer(Value::Null))),
        ("a size in text", Box::new(layer(json!("700")))),
        ("a negative size", Box::new(layer(json!(-1)))),
        ("layers of null", Box::new(field("layers", Value::Null))),
        ("a layer of null", Box::new(field("layers", json!([null])))),
        (
            "a digest of an unknown algorithm",
            Box::new(field(
                "layers",
                json!([
                    { "mediaType": BUNDLE, "digest": format!("blake3:{}", "0".repeat(64)), "size": 7 },
                ]),
            )),
        ),
        ("no config", Box::new(field("config", Value::Null))),
        ("no subject", Box::new(field("subject", Value::Null))),
        (
            "another subject",
            Box::new(field(
                "subject",
                json!({
                    "mediaType": OCI_MANIFEST, "digest": pin("another").digest(), "size": 7,
                }),
            )),
        ),
        (
            "an index",
            Box::new(|manifest| {
                *manifest =
                    json!({ "schemaVersion": 2, "manifests": [], "subject": manifest["subject"] });
            }),
        ),
        (
            "another type",
            Box::new(field("artifactType", json!("application/spdx+json"))),
        ),
        (
            "a list as its annotations",
            Box::new(field("annotations", json!([]))),
        ),
        (
            "not an object",
            Box::new(|manifest| *manifest = json!([1, 2])),
        ),
        (
            "a large manifest",
            Box::new(field("x", json!("x".repeat(2 << 20)))),
        ),
    ];
    for (name, change) in changes {
        let manifest = referrer(0, &*change);
        let mut memory = Memory::default();
        memory.referrers.push(listed(&manifest));
        memory.blobs.insert(Digest::sha256(&manifest), manifest);
        let alone = look(&memory, &subject()).await;
        let error = check(&verifier, &subject(), &alone).unwrap_err();
        assert!(
            matches!(error, VerifyError::NoSignature { .. }),
            "{name}: {error}"
        );
        memory.put(&bundle.referrer(&signed_subject(&subject())));
        let evidence = look(&memory, &subject()).await;
        check(&verifier, &subject(), &evidence).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    // A list with a wrong size for the good manifest.
    let image = bundle.referrer(&signed_subject(&subject()));
    let wrong = |size| {
        let digest = Digest::sha256(&image.manifest);
        Descriptor::new(MediaType::ImageManifest, digest, size)
    };
    for size in [0, 7, 60_000] {
        let mut memory = Memory::default();
        memory.put(&image);
        memory.referrers = vec![wrong(size)];
        let evidence = look(&memory, &subject()).await;
        check(&verifier, &subject(), &evidence).unwrap_or_else(|error| panic!("{size}: {error}"));
    }
}

/// SIG-14: of two sizes that are listed for one referrer, the smaller one counts. A stranger can list
/// any, and it hides no signature whose manifest is large.
#[tokio::test]
async fn a_size_that_is_too_small_hides_no_large_manifest() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let image = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["annotations"]["large"] = json!("x".repeat(100_000));
    let manifest = Bytes::from(manifest.to_string());
    for size in [0, 7, 60_000, manifest.len() as u64] {
        let mut memory = Memory::default();
        memory.put(&image);
        let digest = Digest::sha256(&manifest);
        memory.referrers = vec![Descriptor::new(MediaType::ImageManifest, digest, size)];
        memory
            .blobs
            .insert(Digest::sha256(&manifest), manifest.clone());
        let evidence = look(&memory, &subject()).await;
        check(&verifier, &subject(), &evidence).unwrap_or_else(|error| panic!("{size}: {error}"));
    }
}

/// SIG-14: many attestations, or many referrers that look like signatures, do not push a signature
/// out.
#[tokio::test]
async fn a_crowd_pushes_no_signature_out() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let bundle = good_bundle(&sigstore);
    let image = bundle.referrer(&signed_subject(&subject()));
    let good = listed(&image.manifest);
    let slsa = "https://slsa.dev/provenance/v1";
    let annotated =
        |of: &Descriptor, predicate: &str| of.clone().with_annotation(PREDICATE, predicate);
    let typed = |of: &Descriptor, kind: &str| of.clone().with_artifact_type(MediaType::from(kind));
    let sign = "https://sigstore.dev/cosign/sign/v1";
    let untyped = Descriptor::of(MediaType::ImageManifest, &image.manifest);
    let crowd: Vec<Bytes> = (0..500).map(|number| referrer(number, &|_| {})).collect();
    for (name, good, like) in [
        ("attestations", annotated(&good, sign), slsa),
        (
            "attestations, and nothing is known of the signature",
            good.clone(),
            slsa,
        ),
        (
            "signatures, and nothing is known of the signature",
            good.clone(),
            sign,
        ),
        ("signatures, and the list has no types", untyped, sign),
        (
            "attestations, and the type is cosign's old one",
            typed(&good, "application/vnd.dev.cosign.artifact.sig.v1+json"),
            slsa,
        ),
    ] {
        let mut memory = Memory::default();
        memory.put(&image);
        memory.referrers = crowd
            .iter()
            .map(|one| annotated(&listed(one), like))
            .collect();
        for one in &crowd {
            memory.blobs.insert(Digest::sha256(one), one.clone());
        }
        memory.referrers.push(good);
        let evidence = look(&memory, &subject()).await;
        check(&verifier, &subject(), &evidence).unwrap_or_else(|error| panic!("{name}: {error}"));
        let fetched = memory
            .requests()
            .iter()
            .filter(|one| one.starts_with("manifest"))
            .count();
        assert!(fetched <= 256 + 2, "{name}: {fetched}");
    }
}

/// SIG-14: the layers of one manifest do not push out those of another, nor do large ones.
#[tokio::test]
async fn no_manifest_takes_all_the_room() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let signature = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let other = sigstore.sign_simple(pin("another").digest(), &Signing::keyless(dev()));
    // Five referrers with 64 signatures each: the limit is 256.
    let mut memory = Memory::default();
    let filler = vec![other.clone(); 64];
    for kind in ["a", "b", "c", "d", "e"] {
        let image = SimpleSigning::referrer(&signed_subject(&subject()), &filler);
        let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        manifest["annotations"] = json!({ "kind": kind });
        let manifest = Bytes::from(manifest.to_string());
        memory.put(&image);
        memory.referrers.push(listed(&manifest));
        memory.blobs.insert(Digest::sha256(&manifest), manifest);
    }
    let signed = SimpleSigning::image(subject().digest(), std::slice::from_ref(&signature));
    memory.put(&signed);
    let evidence = look(&memory, &subject()).await;
    assert_eq!(evidence.len(), 256);
    check(&verifier, &subject(), &evidence).unwrap();
    // Bundles of a megabyte, of which at most 16 fit into the limit.
    let mut memory = Memory::default();
    for number in 0..40 {
        let blob = Bytes::from(format!("{number:04}{}", "x".repeat(1024 * 1024 - 4)));
        let digest = Digest::sha256(&blob);
        let manifest = referrer(number, &|manifest| {
            manifest["layers"][0]["digest"] = json!(digest);
            manifest["layers"][0]["size"] = json!(blob.len());
        });
        memory.blobs.insert(digest.clone(), blob.clone());
        memory
            .referrers
            .push(listed(&manifest).with_annotation(PREDICATE, "a"));
        memory.blobs.insert(Digest::sha256(&manifest), manifest);
    }
    memory.put(&good_bundle(&sigstore).referrer(&signed_subject(&subject())));
    let evidence = look(&memory, &subject()).await;
    assert!((10..=17).contains(&evidence.len()), "{}", evidence.len());
    check(&verifier, &subject(), &evidence).unwrap();
    // Attestations under their own tag do not count against signatures.
    let statement = Attestation::new("https://example.com/a", "{}");
    let signing = Signing::keyless(dev());
    let attestation = sigstore.attest_simple(subject().digest(), &statement, &signing);
    memory = Memory::default();
    memory.put(&SimpleAttestation::image(
        subject().digest(),
        &vec![attestation; 64],
    ));
    memory.put(&signed);
    check(&verifier, &subject(), &look(&memory, &subject()).await).unwrap();
}

/// An index that is not signed, and a manifest in it that is.
#[tokio::test]
async fn an_index_whose_child_is_signed() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let child = pin("a child");
    let entry = |digest: &Digest| json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 7 });
    let mut attestation = entry(pin("an attestation").digest());
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [attestation, entry(pin("unsigned").digest()), entry(child.digest())],
    });
    let index = Bytes::from(index.to_string());
    let root = PinnedReference::new(child.repository().clone(), Digest::sha256(&index));
    let sign = |memory: &mut Memory, pin: &PinnedReference| {
        let simple = sigstore.sign_simple(pin.digest(), &Signing::keyless(dev()));
        memory.put(&SimpleSigning::image(pin.digest(), &[simple]));
    };
    let mut memory = Memory::default();
    memory.blobs.insert(root.digest().clone(), index.clone());
    let unsigned = check(&verifier, &root, &look(&memory, &root).await).unwrap_err();
    assert!(!unsigned.to_string().contains("index"), "{unsigned}");
    assert!(unsigned.rejections().is_empty());
    sign(&mut memory, &child);
    let evidence = look(&memory, &root).await;
    let error = check(&verifier, &root, &evidence).unwrap_err();
    assert!(matches!(error, VerifyError::NoSignature { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("is signed, but not the index itself"),
        "{error}"
    );
    let rejection = &error.rejections()[0];
    assert_eq!(rejection.code.to_string(), "only-child");
    assert_eq!(rejection.found, child.digest().to_string());
    let hint = format!("sign the index itself: `cosign sign {root}`");
    assert_eq!(rejection.hint, hint);
    // The same where a place could not be read.
    for place in ["referrers", ".sig"] {
        let mut memory = Memory::default();
        memory.blobs.insert(root.digest().clone(), index.clone());
        sign(&mut memory, &child);
        let bundle = sigstore.sign_bundle(child.digest(), &Signing::keyless(dev()));
        memory.put(&bundle.referrer(&signed_subject(&child)));
        let refusing = Refusing {
            memory,
            place,
            kind: RegistryErrorKind::Protocol,
            listed: None,
        };
        let evidence = look(&refusing, &root).await;
        let error = check(&verifier, &root, &evidence).unwrap_err();
        let text = error.to_string();
        for words in [
            "a manifest that this index lists is signed, but not the index itself, and looking for \
             signatures in ",
            place,
            " failed",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let mut hints = error.rejections().iter().map(|one| &one.hint);
        assert!(hints.any(|one| *one == hint), "{error:?}");
    }
    // No child is requested itself.
    let by_digest = format!("manifest {child}");
    assert!(memory.requests().iter().all(|one| *one != by_digest));
    // The same with a bundle, and in another repository for signatures.
    let bundle = sigstore.sign_bundle(child.digest(), &Signing::keyless(dev()));
    let mut memory = Memory::default();
    memory.blobs.insert(root.digest().clone(), index);
    memory.put(&bundle.referrer(&signed_subject(&child)));
    let options =
        DiscoveryOptions::default().with_repository("signatures.example/all".parse().unwrap());
    let evidence = discover(&memory, &root, &options).await.unwrap();
    let keys = any_of(vec![key_authority(&sigstore, "p256")]);
    let keys = self::verifier(&sigstore, keys).with_discovery(options);
    for (verifier, command) in [
        (&verifier, format!("`cosign sign {root}`")),
        (
            &keys,
            format!(
                "`COSIGN_REPOSITORY=signatures.example/all cosign sign --key cosign.key {root}`"
            ),
        ),
    ] {
        let error = check(verifier, &root, &evidence).unwrap_err();
        let last = error.rejections().last().unwrap();
        assert_eq!(last.code.to_string(), "only-child");
        assert!(last.hint.ends_with(&command), "{last:?}");
    }
    // Once the index is signed, its children do not matter.
    sign(&mut memory, &root);
    check(&verifier, &root, &look(&memory, &root).await).unwrap();
}

/// A layout holds the signatures of its images, so they are not searched in another repository.
#[tokio::test]
async fn signatures_of_a_layout_are_in_the_layout() {
    let sigstore = PrivateSigstore::new();
    let elsewhere = "signatures.example/all".parse().unwrap();
    let options = DiscoveryOptions::default().with_repository(elsewhere);
    let verifier =
        verifier(&sigstore, any_of(vec![dev_authority()])).with_discovery(options.clone());
    let layout = Repository::of_layout(std::path::Path::new("/images/layout"));
    let image = PinnedReference::new(layout, subject().digest().clone());
    let mut memory = Memory::default();
    let evidence = discover(&memory, &image, &options).await.unwrap();
    let requests = memory.requests().join(" ");
    assert!(!requests.contains("signatures.example"), "{requests}");
    let error = check(&verifier, &image, &evidence).unwrap_err();
    assert!(!error.to_string().contains("signatures.example"), "{error}");
    memory.put(&good_tag(&sigstore));
    let evidence = discover(&memory, &image, &options).await.unwrap();
    check(&verifier, &image, &evidence).unwrap();
}

/// DIG-10: of indexes within indexes, the children of two levels are searched, as an image is selected
/// from them. What lies deeper, or is listed in a crowd of indexes, costs nothing.
#[tokio::test]
async fn dig_10_an_index_whose_grandchild_is_signed() {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let entry = |media_type: &str, digest: &Digest| json!({ "mediaType": media_type, "digest": digest, "size": 7 });
    let put_index = |memory: &mut Memory, entries: Vec<Value>| {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        let index = Bytes::from(index.to_string());
        let digest = Digest::sha256(&index);
        memory.blobs.insert(digest.clone(), index);
        digest
    };
    let mut memory = Memory::default();
    let signed = pin("a grandchild");
    let simple = sigstore.sign_simple(signed.digest(), &Signing::keyless(dev()));
    memory.put(&SimpleSigning::image(signed.digest(), &[simple]));
    let entries = vec![
        entry(OCI_MANIFEST, pin("unsigned").digest()),
        entry(OCI_MANIFEST, signed.digest()),
    ];
    let inner = put_index(&mut memory, entries);
    // One that the registry lacks hides no other one.
    let missing = entry(INDEX, pin("a missing index").digest());
    let middle = put_index(&mut memory, vec![missing, entry(INDEX, &inner)]);
    let outer = put_index(&mut memory, vec![entry(INDEX, &middle)]);
    let root = |digest: &Digest| PinnedReference::new(signed.repository().clone(), digest.clone());
    for (digest, is_found) in [(&inner, true), (&middle, true), (&outer, false)] {
        let evidence = look(&memory, &root(digest)).await;
        let error = check(&verifier, &root(digest), &evidence).unwrap_err();
        let found: Vec<_> = error.rejections().iter().map(|one| &one.found).collect();
        let expected = signed.digest().to_string();
        assert_eq!(found.contains(&&expected), is_found, "{error}");
    }
    let crowd = (0..100).map(|number| {
        let index = put_index(&mut memory, vec![json!(number), entry(INDEX, &inner)]);
        entry(INDEX, &index)
    });
    let crowd = crowd.collect();
    let crowd = put_index(&mut memory, crowd);
    memory.requests.lock().unwrap().clear();
    look(&memory, &root(&crowd)).await;
    let requests = memory.requests();
    assert!(requests.len() < 100, "{} requests", requests.len());
}

/// SIG-14: the time is measured by the clock, also for a source that computes instead of waiting.
#[tokio::test]
async fn a_source_that_never_waits_is_bounded_in_time() {
    let mut memory = Memory {
        computing: Duration::from_millis(20),
        ..Memory::default()
    };
    for number in 0..64 {
        let manifest = referrer(number, &|_| {});
        memory.referrers.push(listed(&manifest));
        memory.blobs.insert(Digest::sha256(&manifest), manifest);
    }
    let started = Instant::now();
    let options = DiscoveryOptions::default().with_deadline(Duration::from_millis(200));
    discover(&memory, &subject(), &options).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_millis(700),
        "{:?}",
        started.elapsed()
    );
}

/// A layer of another type next to a good one.
#[tokio::test]
async fn an_odd_layer_hides_no_other() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let signature = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let image = SimpleSigning::image(subject().digest(), &[signature]);
    for odd in [
        json!(null),
        json!({}),
        json!({ "mediaType": SIMPLE_SIGNING, "digest": "md5:00", "size": 1 }),
        json!({ "mediaType": null, "digest": Digest::sha256("x"), "size": 1 }),
        json!({ "mediaType": SIMPLE_SIGNING, "digest": Digest::sha256("x"), "size": null }),
        json!({ "mediaType": SIMPLE_SIGNING, "digest": Digest::sha256("x"), "size": 9,
            "annotations": null }),
        json!({ "mediaType": "text/plain", "digest": Digest::sha256("x"), "size": 9 }),
    ] {
        let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        manifest["layers"]
            .as_array_mut()
            .unwrap()
            .insert(0, odd.clone());
        let mut memory = Memory::default();
        memory.put(&image);
        let tag = image.tag.clone().unwrap();
        memory.tags.insert(tag, Bytes::from(manifest.to_string()));
        let evidence = look(&memory, &subject()).await;
        check(&verifier, &subject(), &evidence).unwrap_or_else(|error| panic!("{odd}: {error}"));
    }
}
