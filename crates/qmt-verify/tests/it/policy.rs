//! Policies: which signers are enough, and that everything an authority requires holds on one
//! signature.

mod identities;
mod pins;
mod times;

use std::time::{Duration, SystemTime};

use qmt_oci_ref::{PinnedReference, Repository};
use qmt_testkit::{
    Format, GITHUB_ISSUER, Identity, LogKind, PrivateSigstore, Signing, SubjectName, Tampered,
};
use qmt_verify::policy::{Authority, IdentityRule, Policy, PolicySet, Scope, WorkflowClaims};
use qmt_verify::{SignerId, SigstoreVerifier, Verifier as _, VerifyError};

use crate::support::{
    EMAIL, ISSUER, Item, any_of, authority, check, code, dev, dev_authority, everything, evidence,
    key_authority, pin, subject, trust, verifier,
};
use crate::tampered::sign;

fn regex(pattern: &str) -> Authority {
    Authority::certificate(ISSUER, IdentityRule::regex(pattern).unwrap()).unwrap()
}

fn eve() -> Identity {
    Identity::email("eve@example.com", ISSUER)
}

/// SIG-04: identity from one signature and annotation from another make no good one.
#[tokio::test]
async fn all_constraints_hold_on_one_signature() {
    let sigstore = PrivateSigstore::new();
    let wanted = dev_authority().with_annotation("channel", "stable");
    let verifier = verifier(&sigstore, any_of(vec![wanted]));
    for format in [Format::Simple, Format::Bundle] {
        let right = sign(
            &sigstore,
            format,
            &Signing::keyless(dev()).annotation("channel", "stable"),
        );
        let other_value = sign(
            &sigstore,
            format,
            &Signing::keyless(dev()).annotation("channel", "beta"),
        );
        let other_signer = sign(
            &sigstore,
            format,
            &Signing::keyless(eve()).annotation("channel", "stable"),
        );
        let halves = evidence(&subject(), [other_value.clone(), other_signer.clone()]).await;
        let error = check(&verifier, &subject(), &halves).unwrap_err();
        let mut codes: Vec<_> = error
            .rejections()
            .iter()
            .map(|one| one.code.to_string())
            .collect();
        codes.sort_unstable();
        assert_eq!(codes, ["other-annotation", "other-identity"]);
        let whole = evidence(&subject(), [other_value, other_signer, right]).await;
        let verified = check(&verifier, &subject(), &whole).unwrap();
        assert_eq!(verified.report().annotations["channel"], "stable");
        assert_eq!(verified.report().rejected.len(), 2);
    }
}

/// SIG-07: the name in a `.sig` payload is shown, and compared where the policy says so.
#[tokio::test]
async fn the_signed_name_is_compared_where_the_policy_says_so() {
    let sigstore = PrivateSigstore::new();
    let any = verifier(&sigstore, any_of(vec![dev_authority()]));
    let matching = verifier(
        &sigstore,
        any_of(vec![dev_authority()]).with_matching_name(),
    );
    let hub: Repository = "docker.io/acme/echo".parse().unwrap();
    let hub = PinnedReference::new(hub, subject().digest().clone());
    for (asked, name, same) in [
        (&subject(), "registry.example/acme/echo", true),
        (&subject(), "registry.example/acme/echo:1.2", true),
        (&subject(), "registry.example/acme/other", false),
        (&subject(), "registry.example/acme/echo-evil", false),
        (&subject(), "not a name!", false),
        (&hub, "index.docker.io/acme/echo", true),
        (&hub, "acme/echo", true),
    ] {
        let signing = Signing::keyless(dev()).docker_reference(name);
        let item = sigstore.sign_simple(asked.digest(), &signing);
        let evidence = evidence(asked, [item]).await;
        let verified = check(&any, asked, &evidence).unwrap();
        assert_eq!(verified.report().signed_name.as_deref(), Some(name));
        let outcome = check(&matching, asked, &evidence);
        if same {
            outcome.unwrap();
        } else {
            assert_eq!(code(outcome), "other-name", "{name}");
        }
    }
    // Bundles carry no name.
    let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    check(&matching, &subject(), &evidence(&subject(), [bundle]).await).unwrap();
}

/// SIG-11: m of n counts distinct authorities, each by another signer.
#[tokio::test]
async fn m_of_n_counts_distinct_signers() {
    let sigstore = PrivateSigstore::new();
    let two_of = |authorities| {
        SigstoreVerifier::new(
            trust(&sigstore),
            everything(Policy::any_of(authorities, 2).unwrap()),
        )
        .unwrap()
    };
    let by = |identity| -> Item {
        sigstore
            .sign_bundle(subject().digest(), &Signing::keyless(identity))
            .into()
    };
    let key: Item = sigstore
        .sign_simple(subject().digest(), &Signing::key("p256"))
        .into();
    let named = two_of(vec![
        dev_authority(),
        authority(ISSUER, "eve@example.com"),
        key_authority(&sigstore, "p256"),
    ]);
    for (pieces, enough) in [
        (vec![by(dev())], false),
        (vec![by(dev()), by(dev())], false),
        (vec![by(dev()), by(eve())], true),
        (vec![by(dev()), key.clone()], true),
        (
            vec![
                by(Identity::email("mallory@example.com", ISSUER)),
                key.clone(),
            ],
            false,
        ),
    ] {
        let count = pieces.len();
        let evidence = evidence(&subject(), pieces).await;
        let outcome = check(&named, &subject(), &evidence);
        assert_eq!(outcome.is_ok(), enough, "{count}");
        match outcome {
            Ok(verified) => assert_eq!(verified.report().cosigners.len(), 1),
            Err(error) => {
                assert!(
                    error
                        .rejections()
                        .iter()
                        .any(|one| one.code.to_string() == "not-enough"),
                    "{error}"
                );
            }
        }
    }
    // One signer that matches two entries is still one signer.
    let overlapping = two_of(vec![dev_authority(), regex(".*@example.com")]);
    let once = evidence(&subject(), [by(dev()), by(dev())]).await;
    assert!(check(&overlapping, &subject(), &once).is_err());
    let twice = evidence(&subject(), [by(dev()), by(eve())]).await;
    check(&overlapping, &subject(), &twice).unwrap();
}

/// The most specific scope decides, even if a wider one would accept.
#[tokio::test]
async fn the_most_specific_scope_decides() {
    let sigstore = PrivateSigstore::new();
    let policies = PolicySet::new(vec![
        (Scope::everything(), any_of(vec![dev_authority()])),
        (
            "registry.example/acme/**".parse().unwrap(),
            any_of(vec![authority(ISSUER, "eve@example.com")]),
        ),
    ])
    .unwrap();
    let verifier = SigstoreVerifier::new(trust(&sigstore), policies).unwrap();
    let item = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let inside = evidence(&subject(), [item]).await;
    assert_eq!(
        code(check(&verifier, &subject(), &inside)),
        "other-identity"
    );
    let repository: Repository = "registry.example/acme-evil/echo".parse().unwrap();
    let outside = PinnedReference::new(repository, subject().digest().clone());
    let verified = check(&verifier, &outside, &inside).unwrap();
    assert_eq!(verified.report().scope, "**");
    // Nothing covers it: refused, not accepted.
    let policies = PolicySet::new(vec![(
        "ghcr.io/**".parse().unwrap(),
        any_of(vec![dev_authority()]),
    )])
    .unwrap();
    let verifier = SigstoreVerifier::new(trust(&sigstore), policies).unwrap();
    let error = check(&verifier, &subject(), &inside).unwrap_err();
    assert!(matches!(error, VerifyError::Policy { .. }), "{error}");
}

/// SIG-17: bad signatures next to a good one are reported, and decide nothing.
#[tokio::test]
async fn one_good_signature_among_bad_ones_is_enough() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let bad = sigstore.sign_simple(
        subject().digest(),
        &Signing::keyless(dev()).tampered(Tampered::GarbageSignature),
    );
    let good = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    // Before and after, up to the limit of layers.
    let mut layers = vec![bad.clone(); 63];
    layers.insert(62, good.clone());
    let verified = check(&verifier, &subject(), &evidence(&subject(), layers).await).unwrap();
    assert_eq!(verified.report().rejected.len(), 63);
    // Beyond the limit it is not seen, and the error says that there was more.
    let mut layers = vec![good];
    layers.resize(257, bad);
    let error = check(&verifier, &subject(), &evidence(&subject(), layers).await).unwrap_err();
    assert!(
        error
            .rejections()
            .iter()
            .any(|one| one.code.to_string() == "not-read"),
        "{error}"
    );
}

/// A signature of a kind that the policy does not name is distinguished from a bad one.
#[tokio::test]
async fn keys_and_certificates_are_not_mixed_up() {
    let sigstore = PrivateSigstore::new();
    let keys = verifier(&sigstore, any_of(vec![key_authority(&sigstore, "p256")]));
    let people = verifier(&sigstore, any_of(vec![dev_authority()]));
    for format in [Format::Simple, Format::Bundle] {
        let keyless = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::keyless(dev()))],
        )
        .await;
        assert_eq!(code(check(&keys, &subject(), &keyless)), "only-keys");
        let keyed = evidence(&subject(), [sign(&sigstore, format, &Signing::key("p256"))]).await;
        assert_eq!(code(check(&people, &subject(), &keyed)), "no-key");
    }
}

/// A digest of another algorithm is refused before anything is compared.
#[tokio::test]
async fn only_sha256_digests_are_checked() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let digest = qmt_oci_ref::Digest::of(qmt_oci_ref::DigestAlgorithm::Sha512, "x");
    let long = PinnedReference::new(pin("x").repository().clone(), digest);
    let evidence = qmt_verify::Evidence::empty(&long);
    let error = check(&verifier, &long, &evidence).unwrap_err();
    assert!(
        matches!(error, VerifyError::UnsupportedDigest { .. }),
        "{error}"
    );
}
