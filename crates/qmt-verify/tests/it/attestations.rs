//! Attestations: demanded in addition to a signature, and never one.

use qmt_testkit::{Attestation, Identity, PrivateSigstore, SLSA_V1, SLSA_V02, Signing, Tampered};
use qmt_verify::policy::{AttestationDemand, Policy};

use crate::support::{
    ISSUER, Item, any_of, check, code, dev, dev_authority, evidence, key_authority, pin, subject,
    verifier,
};

const BUILDER: &str = "https://github.com/actions/runner";
const SOURCE: &str = "https://github.com/acme/echo";
const REF: &str = "refs/tags/v1.0.0";

fn v1() -> AttestationDemand {
    AttestationDemand::new(SLSA_V1).unwrap()
}

/// SIG-13 (CVE-2022-35929): in whatever form and of whatever type, an attestation is no signature.
#[tokio::test]
async fn an_attestation_is_no_signature() {
    let sigstore = PrivateSigstore::new();
    let provenance = Attestation::slsa_v1(BUILDER, SOURCE, REF);
    let signing = Signing::keyless(dev());
    let bundle = sigstore.attest_bundle(subject().digest(), &provenance, &signing);
    let layer = sigstore.attest_simple(subject().digest(), &provenance, &signing);
    // Even one that calls itself a signature, where attestations lie.
    let disguised = Attestation::new(qmt_testkit::SIGN_PREDICATE, "{}");
    let disguised = sigstore.attest_simple(subject().digest(), &disguised, &signing);
    for policy in [any_of(vec![dev_authority()]), Policy::pin_on_first_use()] {
        let verifier = verifier(&sigstore, policy);
        for item in [
            Item::from(bundle.clone()),
            layer.clone().into(),
            disguised.clone().into(),
        ] {
            let evidence = evidence(&subject(), [item]).await;
            assert_eq!(code(check(&verifier, &subject(), &evidence)), "attestation");
        }
    }
    // And a signature is no attestation.
    assert!(AttestationDemand::new(qmt_testkit::SIGN_PREDICATE).is_err());
    let demanding = any_of(vec![dev_authority()]).with_attestation(v1());
    let demanding = verifier(&sigstore, demanding);
    let signature = sigstore.sign_bundle(subject().digest(), &signing);
    let outcome = check(
        &demanding,
        &subject(),
        &evidence(&subject(), [signature]).await,
    );
    assert_eq!(code(outcome), "demand");
}

/// SLSA provenance v1 and v0.2, from bundles and from `.att` tags: each field that is demanded.
#[tokio::test]
async fn provenance_is_checked_field_by_field() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(dev());
    let signature: Item = sigstore.sign_simple(subject().digest(), &signing).into();
    for (predicate_type, attestation, build_type) in [
        (
            SLSA_V1,
            Attestation::slsa_v1(BUILDER, SOURCE, REF),
            "https://actions.github.io/buildtypes/workflow/v1",
        ),
        (
            SLSA_V02,
            Attestation::slsa_v02(BUILDER, SOURCE, REF),
            "https://github.com/slsa-framework/slsa-github-generator/container@v1",
        ),
    ] {
        let demand = || AttestationDemand::new(predicate_type).unwrap();
        let workflow = ".github/workflows/release.yml";
        let good = demand()
            .with_builder(BUILDER)
            .and_then(|one| one.with_source(SOURCE))
            .and_then(|one| one.with_build_type(build_type))
            .and_then(|one| one.with_workflow(workflow))
            .unwrap();
        let bad = [
            demand().with_builder("https://evil.example"),
            demand().with_source("https://github.com/acme/other"),
            demand().with_source("https://github.com/acme/ech"),
            demand().with_build_type("other"),
            demand().with_workflow("other.yml"),
            demand().with_field("/no/such", "x"),
            AttestationDemand::new("https://example.com/other"),
        ];
        let bundle = sigstore.attest_bundle(subject().digest(), &attestation, &signing);
        let layer = sigstore.attest_simple(subject().digest(), &attestation, &signing);
        for item in [Item::from(bundle), layer.into()] {
            let both = evidence(&subject(), [signature.clone(), item]).await;
            let check_with = |demand: AttestationDemand| {
                let policy = any_of(vec![dev_authority()]).with_attestation(demand);
                check(&verifier(&sigstore, policy), &subject(), &both)
            };
            let verified = check_with(good.clone()).unwrap();
            assert_eq!(verified.report().attestations, [predicate_type]);
            for demand in bad.iter().map(|one| one.as_ref().unwrap()) {
                assert_eq!(code(check_with(demand.clone())), "demand");
            }
        }
    }
}

/// SIG-13: an attestation counts only if it holds, is about this image, and is by an accepted
/// signer.
#[tokio::test]
async fn a_demanded_attestation_must_hold_itself() {
    let sigstore = PrivateSigstore::new();
    let provenance = Attestation::slsa_v1(BUILDER, SOURCE, REF);
    let signature: Item = sigstore
        .sign_bundle(subject().digest(), &Signing::keyless(dev()))
        .into();
    let attest = |signing: &Signing| -> Item {
        sigstore
            .attest_bundle(subject().digest(), &provenance, signing)
            .into()
    };
    let eve = Signing::keyless(Identity::email("eve@example.com", ISSUER));
    let moved =
        sigstore.attest_bundle(pin("other").digest(), &provenance, &Signing::keyless(dev()));
    for policy in [any_of(vec![dev_authority()]), Policy::pin_on_first_use()] {
        let verifier = verifier(&sigstore, policy.with_attestation(v1()));
        let good = evidence(
            &subject(),
            [signature.clone(), attest(&Signing::keyless(dev()))],
        )
        .await;
        check(&verifier, &subject(), &good).unwrap();
        let mut bad = vec![attest(&eve), moved.clone().into()];
        for tampered in [
            Tampered::GarbageSignature,
            Tampered::UnknownCa,
            Tampered::ForeignEntry,
            Tampered::ExpiredCertificate,
            Tampered::OtherDigestAlgorithm,
            Tampered::WrongPayloadType,
            Tampered::TwoSignatures,
            Tampered::MalformedPayload,
        ] {
            bad.push(attest(&Signing::keyless(dev()).tampered(tampered)));
        }
        for item in bad {
            let evidence = evidence(&subject(), [signature.clone(), item]).await;
            assert!(check(&verifier, &subject(), &evidence).is_err());
        }
    }
}

/// The signature of the image is accepted: the message does not call the attestation the only item,
/// and an attestation of another type is not answered with the advice to sign the image.
#[tokio::test]
async fn an_unmet_demand_does_not_hide_the_signature() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(dev());
    let attest = |attestation: &Attestation| {
        sigstore.attest_simple(subject().digest(), attestation, &signing)
    };
    let provenance = attest(&Attestation::slsa_v1(BUILDER, SOURCE, REF));
    let scan = attest(&Attestation::new("https://example.com/scan/v1", "{}"));
    let signature = sigstore.sign_simple(subject().digest(), &signing);
    let check_with = async |items: Vec<Item>, demands: Vec<AttestationDemand>| {
        let policy = any_of(vec![dev_authority()]);
        let policy = demands.into_iter().fold(policy, Policy::with_attestation);
        let items = std::iter::once(signature.clone().into()).chain(items);
        let evidence = evidence(&subject(), items.collect::<Vec<_>>()).await;
        check(&verifier(&sigstore, policy), &subject(), &evidence)
    };
    let other_builder = v1().with_builder("https://other").unwrap();
    let error = check_with(vec![provenance.into()], vec![other_builder]).await;
    let text = error.unwrap_err().to_string();
    let expected = format!("`{}` does not satisfy the policy `**`: tag ", subject());
    assert!(text.starts_with(&expected), "{text}");
    assert!(
        text.ends_with(&format!("its builder is `{BUILDER}`, not `https://other`")),
        "{text}"
    );

    let is_advised = |hint: &str| hint.contains("sign the image");
    let error = check_with(vec![scan.clone().into()], vec![v1()])
        .await
        .unwrap_err();
    assert_eq!(error.rejections().len(), 2);
    assert!(
        !error.rejections().iter().any(|one| is_advised(&one.hint)),
        "{error:?}"
    );
    let verified = check_with(vec![scan.into()], vec![]).await.unwrap();
    let rejected = &verified.report().rejected;
    assert_eq!(rejected.len(), 1);
    assert!(
        !rejected.iter().any(|one| is_advised(&one.hint)),
        "{rejected:?}"
    );
}

/// Attestations by key, and predicates of any type with demanded fields.
#[tokio::test]
async fn any_predicate_can_be_demanded() {
    let sigstore = PrivateSigstore::new();
    let kind = "https://example.com/scan/v1";
    let scan = Attestation::new(kind, r#"{"result":"clean","findings":0,"by":{"tool":"x"}}"#);
    let signing = Signing::key("p256");
    let signature: Item = sigstore.sign_simple(subject().digest(), &signing).into();
    let bundle: Item = sigstore
        .attest_bundle(subject().digest(), &scan, &signing)
        .into();
    let layer: Item = sigstore
        .attest_simple(subject().digest(), &scan, &signing)
        .into();
    let stranger: Item = sigstore
        .attest_bundle(subject().digest(), &scan, &Signing::key("p256-other"))
        .into();
    let demand = |pointer: &str, expected: &str| {
        AttestationDemand::new(kind)
            .unwrap()
            .with_field(pointer, expected)
            .unwrap()
    };
    let check_with = async |item: &Item, demand: AttestationDemand| {
        let policy = any_of(vec![key_authority(&sigstore, "p256")]).with_attestation(demand);
        let both = evidence(&subject(), [signature.clone(), item.clone()]).await;
        check(&verifier(&sigstore, policy), &subject(), &both)
    };
    for item in [&bundle, &layer] {
        for (pointer, value) in [("/result", "clean"), ("/findings", "0"), ("/by/tool", "x")] {
            check_with(item, demand(pointer, value)).await.unwrap();
        }
        for (pointer, value) in [("/result", "dirty"), ("/findings", "1"), ("/by", "x")] {
            check_with(item, demand(pointer, value)).await.unwrap_err();
        }
    }
    check_with(&stranger, demand("/result", "clean"))
        .await
        .unwrap_err();
    // Contradictions are reported when the policy is made.
    assert!(AttestationDemand::new(" ").is_err());
    assert!(
        AttestationDemand::new(kind)
            .unwrap()
            .with_builder("x")
            .is_err()
    );
    assert!(
        AttestationDemand::new(kind)
            .unwrap()
            .with_field("result", "x")
            .is_err()
    );
    assert!(v1().with_builder("").is_err());
}

/// The signature is accepted, and the message says so: another signer of an attestation is not
/// offered as a signer of the image.
#[tokio::test]
async fn a_missing_attestation_is_reported_as_such() {
    let sigstore = PrivateSigstore::new();
    let policy = any_of(vec![dev_authority()]).with_attestation(v1());
    let verifier = verifier(&sigstore, policy);
    let signature = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    let stranger = Signing::keyless(Identity::email("eve@example.com", ISSUER));
    let provenance = Attestation::slsa_v1(BUILDER, SOURCE, REF);
    let foreign = sigstore.attest_bundle(subject().digest(), &provenance, &stranger);
    for (items, others) in [
        (vec![signature.clone(), foreign], 1),
        (vec![signature.clone()], 0),
    ] {
        let error = check(&verifier, &subject(), &evidence(&subject(), items).await).unwrap_err();
        let text = error.to_string();
        let expected = format!(
            "`{}` does not satisfy the policy `**`: the signature by dev@example.com (issuer \
             {ISSUER}) is accepted; an attestation of type `{SLSA_V1}` by an accepted signer is missing",
            subject()
        );
        assert_eq!(text, expected);
        let rejected = error.rejections();
        assert_eq!(rejected[0].code.to_string(), "demand");
        assert_eq!(rejected.len(), 1 + others);
        assert!(rejected.iter().all(|one| one.config_line.is_none()));
    }
}
