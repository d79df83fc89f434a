//! Looking for signatures: everywhere, within limits, and never guessing.

mod bounds;

use std::time::Duration;

use bytes::Bytes;
use qmt_oci_ref::manifest::OCI_MANIFEST;
use qmt_oci_ref::{
    Descriptor, Digest, MediaType, MockRegistry, PinnedReference, RegistryError, RegistryErrorKind,
    Repository,
};
use qmt_testkit::{PrivateSigstore, SIMPLE_SIGNING, Signing, SimpleSigning};
use qmt_verify::policy::AttestationDemand;
use qmt_verify::{DiscoveryOptions, Evidence, Verifier as _, VerifyError, discover};

use crate::support::{
    Memory, any_of, check, code, dev, dev_authority, look, missing, pin, served, signed_subject,
    subject, verifier,
};

fn simple(sigstore: &PrivateSigstore) -> SimpleSigning {
    sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()))
}

/// All places are looked at, at once: one request each, and only by digest or by a tag made of it
/// (SIG-06: no tag that could move is asked again).
#[tokio::test]
async fn every_place_is_looked_at_once() {
    let sigstore = PrivateSigstore::new();
    let mut memory = Memory::default();
    memory.put(&SimpleSigning::image(
        subject().digest(),
        &[simple(&sigstore)],
    ));
    memory.put(&SimpleSigning::referrer(
        &signed_subject(&subject()),
        &[simple(&sigstore)],
    ));
    let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    memory.put(&bundle.referrer(&signed_subject(&subject())));
    let evidence = look(&memory, &subject()).await;
    assert_eq!(evidence.len(), 3);
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    check(&verifier, &subject(), &evidence).unwrap();
    let hex = subject().digest().hex().to_owned();
    let asked = memory.requests();
    assert_eq!(asked.len(), 1 + 2 + 2 + 3, "{asked:#?}");
    for question in asked {
        let by_digest = question.contains("@sha256:") || question.starts_with("blob sha256:");
        let by_tag = question.contains(&format!(":sha256-{hex}."));
        assert!(by_digest || by_tag, "{question}");
    }
}

/// `COSIGN_REPOSITORY` and a tag prefix.
#[tokio::test]
async fn signatures_in_another_repository_are_found_where_the_options_say() {
    let sigstore = PrivateSigstore::new();
    let mut memory = Memory::default();
    let image = SimpleSigning::image(subject().digest(), &[simple(&sigstore)]);
    let tag = format!("release-{}", image.tag.clone().unwrap());
    memory.tags.insert(tag, image.manifest.clone());
    memory.blobs.extend(
        image
            .blobs
            .iter()
            .map(|(_, blob)| (Digest::sha256(blob), blob.clone())),
    );
    assert!(look(&memory, &subject()).await.is_empty());
    let elsewhere: Repository = "signatures.example/all".parse().unwrap();
    let options = DiscoveryOptions::default()
        .with_repository(elsewhere)
        .with_tag_prefix("release-");
    let unsigned = pin("unsigned");
    let evidence = discover(&memory, &unsigned, &options).await.unwrap();
    let elsewhere = verifier(&sigstore, any_of(vec![dev_authority()])).with_discovery(options);
    let error = check(&elsewhere, &unsigned, &evidence).unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("digest in `signatures.example/all`"),
        "{text}"
    );
    let evidence = elsewhere.discover(&memory, &subject()).await.unwrap();
    assert_eq!(evidence.len(), 1);
    assert!(
        memory
            .requests()
            .iter()
            .any(|one| one.contains("signatures.example/all"))
    );
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    check(&verifier, &subject(), &evidence).unwrap();
    let bad = DiscoveryOptions::default().with_tag_prefix("no/slash");
    assert!(matches!(
        discover(&memory, &subject(), &bad).await,
        Err(VerifyError::Policy { .. })
    ));
}

fn config() -> Descriptor {
    Descriptor::of(MediaType::EmptyJSON, b"{}")
}

fn busy() -> RegistryError {
    RegistryError::new(RegistryErrorKind::Network { retryable: true }, "503")
}

/// A look-up that failed is never "unsigned" and never a pass: where the rest is not enough, it
/// decides, and the error says both.
#[tokio::test]
async fn a_failed_look_up_decides_where_the_rest_is_not_enough() {
    let sigstore = PrivateSigstore::new();
    let demand = AttestationDemand::new(qmt_testkit::SLSA_V1).unwrap();
    for broken in ["referrers", ".sig", ".att", "blob"] {
        let mut policy = any_of(vec![dev_authority()]);
        if broken == ".att" {
            // Else this tag cannot hold what is required.
            policy = policy.with_attestation(demand.clone());
        }
        let verifier = verifier(&sigstore, policy);
        let image = SimpleSigning::image(subject().digest(), &[simple(&sigstore)]);
        let manifest = image.manifest.clone();
        let mut registry = MockRegistry::new();
        registry.expect_referrers().returning(move |_| {
            if broken == "referrers" {
                return Err(busy());
            }
            Ok(Vec::new().into())
        });
        registry.expect_resolve().returning(move |reference| {
            let tag = reference.tag().unwrap().to_string();
            if tag.ends_with(broken) {
                return Err(busy());
            }
            let has_signature = broken == "blob" && tag.contains(".sig");
            served(has_signature.then_some(&manifest))
        });
        registry.expect_manifest().returning(|_, _| Err(missing()));
        registry.expect_blob().returning(|_, _, _| Err(busy()));
        let options = DiscoveryOptions::default();
        let evidence = discover(&registry, &subject(), &options).await.unwrap();
        let error = check(&verifier, &subject(), &evidence).unwrap_err();
        assert!(error.is_retryable());
        let text = error.to_string();
        assert!(text.starts_with("no signature of"), "{broken}: {text}");
        let VerifyError::Source {
            source, refusal, ..
        } = &error
        else {
            panic!("{broken}: {error}");
        };
        assert!(source.is_network());
        assert!(matches!(
            **refusal.as_ref().unwrap(),
            VerifyError::NoSignature { .. }
        ));
        assert_eq!(error.rejections()[0].code.to_string(), "lookup-failed");
        assert!(error.rejections()[0].reason.contains("503"), "{error:?}");
    }
    // Where no place can be read, the discovery fails.
    let mut registry = MockRegistry::new();
    registry.expect_referrers().returning(|_| Err(busy()));
    registry.expect_resolve().returning(|_| Err(busy()));
    let options = DiscoveryOptions::default();
    let error = discover(&registry, &subject(), &options).await.unwrap_err();
    assert!(
        matches!(error, VerifyError::Source { refusal: None, .. }),
        "{error}"
    );
    assert!(error.is_retryable());
}

/// CVE-2023-33959: the signatures in a listed manifest that does not belong to the image are not
/// read.
#[tokio::test]
async fn a_referrer_of_another_subject_is_not_read() {
    let sigstore = PrivateSigstore::new();
    let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    let mut memory = Memory::default();
    memory.put(&bundle.referrer(&signed_subject(&pin("another image"))));
    let evidence = look(&memory, &subject()).await;
    assert!(evidence.is_empty());
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let error = check(&verifier, &subject(), &evidence).unwrap_err();
    assert!(matches!(error, VerifyError::NoSignature { .. }), "{error}");
    assert!(
        error.rejections()[0].reason.contains("subject"),
        "{error:?}"
    );
    let mut memory = Memory::default();
    memory.put(&bundle.referrer(&signed_subject(&subject())));
    check(&verifier, &subject(), &look(&memory, &subject()).await).unwrap();
}

/// What is listed without a subject (by hand, or as an accessory of Harbor) is a signature of the
/// image if the signed content says so.
#[tokio::test]
async fn a_listed_manifest_without_a_subject_is_read() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    for signed in [subject(), pin("another image")] {
        let bundle = sigstore.sign_bundle(signed.digest(), &Signing::keyless(dev()));
        let mut image = bundle.referrer(&signed_subject(&subject()));
        let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
        manifest.as_object_mut().unwrap().remove("subject").unwrap();
        image.manifest = manifest.to_string().into();
        let mut memory = Memory::default();
        memory.put(&image);
        let outcome = check(&verifier, &subject(), &look(&memory, &subject()).await);
        if signed == subject() {
            outcome.unwrap();
        } else {
            assert_eq!(code(outcome), "other-digest");
        }
    }
}

/// Content with another digest than the requested one is not a signature.
#[tokio::test]
async fn content_of_another_digest_is_noted() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    let mut memory = Memory::default();
    memory.put(&bundle.referrer(&signed_subject(&subject())));
    let good = memory.blobs.clone();
    for digest in good.keys() {
        memory.blobs.clone_from(&good);
        let content = memory.blobs.get_mut(digest).unwrap();
        let mut changed = content.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        *content = changed.into();
        let outcome = check(&verifier, &subject(), &look(&memory, &subject()).await);
        // The empty config is not read.
        if good[digest].len() == 2 {
            outcome.unwrap();
        } else {
            let error = outcome.unwrap_err();
            assert!(matches!(error, VerifyError::NoSignature { .. }), "{error}");
            assert!(
                error.rejections()[0].reason.contains("hashes to"),
                "{error:?}"
            );
            let message = error.to_string();
            assert!(message.contains("has no usable signature: "), "{message}");
        }
    }
}

/// What is listed and not there is noted; it is neither an error nor a signature.
#[tokio::test]
async fn a_referrer_that_is_gone_is_noted() {
    let mut memory = Memory::default();
    let gone = Descriptor::of(MediaType::ImageManifest, b"gone");
    memory.referrers.push(gone);
    let evidence = look(&memory, &subject()).await;
    assert!(evidence.is_empty());
    let verifier = verifier(&PrivateSigstore::new(), any_of(vec![dev_authority()]));
    assert_eq!(code(check(&verifier, &subject(), &evidence)), "left-aside");
}

/// No signature names anything but sha256.
#[tokio::test]
async fn other_digests_are_not_looked_up() {
    let digest = Digest::of(qmt_oci_ref::DigestAlgorithm::Sha512, "x");
    let long = PinnedReference::new(subject().repository().clone(), digest);
    let memory = Memory::default();
    let error = discover(&memory, &long, &DiscoveryOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, VerifyError::UnsupportedDigest { .. }),
        "{error}"
    );
    assert!(memory.requests().is_empty());
}
