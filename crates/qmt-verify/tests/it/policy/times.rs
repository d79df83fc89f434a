//! The time of signing, and the log that proves it.

use super::*;

/// Signatures older than the policy allows are refused, and so are those of unproven age (SIG-08).
#[tokio::test]
async fn a_minimum_time_of_signing_is_kept() {
    let sigstore = PrivateSigstore::new();
    let after = |authority: Authority, time| {
        verifier(&sigstore, any_of(vec![authority.signed_after(time)]))
    };
    for format in [Format::Simple, Format::Bundle] {
        let evidence = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::keyless(dev()))],
        )
        .await;
        let plain = verifier(&sigstore, any_of(vec![dev_authority()]));
        let signed = check(&plain, &subject(), &evidence)
            .unwrap()
            .signed_at()
            .unwrap();
        check(&after(dev_authority(), signed), &subject(), &evidence).unwrap();
        let late = after(dev_authority(), signed + Duration::from_secs(1));
        assert_eq!(code(check(&late, &subject(), &evidence)), "too-old");
    }
    let untimed = sigstore.sign_bundle(
        subject().digest(),
        &Signing::key("p256").log(LogKind::RekorV2),
    );
    let untimed = evidence(&subject(), [untimed]).await;
    let plain = verifier(&sigstore, any_of(vec![key_authority(&sigstore, "p256")]));
    check(&plain, &subject(), &untimed).unwrap();
    let timed = after(key_authority(&sigstore, "p256"), SystemTime::UNIX_EPOCH);
    assert_eq!(code(check(&timed, &subject(), &untimed)), "too-old");
}

/// `transparency_log = "optional"` per key: without a log only where that key's entry says so.
#[tokio::test]
async fn a_log_is_required_unless_the_key_does_without() {
    let sigstore = PrivateSigstore::new();
    for key in ["p256", "p384", "ed25519", "rsa2048"] {
        let strict = verifier(&sigstore, any_of(vec![key_authority(&sigstore, key)]));
        let lax = key_authority(&sigstore, key).without_log();
        let lax = verifier(&sigstore, any_of(vec![lax]));
        for format in [Format::Simple, Format::Bundle] {
            for timestamp in [false, true] {
                let signing = Signing::key(key).log(LogKind::None).timestamp(timestamp);
                let unlogged = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
                assert_eq!(
                    code(check(&strict, &subject(), &unlogged)),
                    "no-log",
                    "{key}"
                );
                let verified = check(&lax, &subject(), &unlogged)
                    .unwrap_or_else(|error| panic!("{key} {format:?} {timestamp}: {error}"));
                assert_eq!(verified.times().is_empty(), !timestamp);
                assert_eq!(verified.signed_at(), None);
                // The operator chose this, so there is nothing to warn of.
                let report = verified.report();
                assert!(report.warnings.is_empty(), "{:?}", report.warnings);
                assert!(
                    !report
                        .checks
                        .iter()
                        .any(|check| check == "transparency log")
                );
                // Without a log the signature itself is what there is: it must hold.
                for tampered in [
                    Tampered::GarbageSignature,
                    Tampered::ForeignSignature,
                    Tampered::OtherKey,
                    Tampered::WrongSubject,
                ] {
                    let bad = sign(&sigstore, format, &signing.clone().tampered(tampered));
                    let bad = evidence(&subject(), [bad]).await;
                    assert!(
                        check(&lax, &subject(), &bad).is_err(),
                        "{key}: {}",
                        tampered.name()
                    );
                }
            }
            // An entry that is there must hold, even though none is needed.
            if key == "p256" {
                let logged = Signing::key(key);
                let good = evidence(&subject(), [sign(&sigstore, format, &logged)]).await;
                check(&lax, &subject(), &good).unwrap();
                let bad = sign(&sigstore, format, &logged.tampered(Tampered::ForeignEntry));
                assert!(check(&lax, &subject(), &evidence(&subject(), [bad]).await).is_err());
            }
        }
    }
}

/// The same for certificates, which then need a signed timestamp: they live for minutes. What is
/// asked of one authority is not taken from another.
#[tokio::test]
async fn a_certificate_does_without_a_log_where_its_entry_says_so() {
    let sigstore = PrivateSigstore::new();
    let strict = verifier(&sigstore, any_of(vec![dev_authority()]));
    let lax = verifier(&sigstore, any_of(vec![dev_authority().without_log()]));
    let other = authority(ISSUER, "eve@example.com").without_log();
    let mixed = vec![other, dev_authority()];
    let mixed = verifier(&sigstore, any_of(mixed));
    for format in [Format::Simple, Format::Bundle] {
        let unlogged = Signing::keyless(dev()).log(LogKind::None);
        let timed = unlogged.clone().timestamp(true);
        let sigstore = &sigstore;
        let signed = |signing: Signing| async move {
            let item = sign(sigstore, format, &signing);
            evidence(&subject(), [item]).await
        };
        let good = signed(timed.clone()).await;
        let verified = check(&lax, &subject(), &good).unwrap();
        let report = verified.report();
        assert!(
            !report
                .checks
                .iter()
                .any(|check| check == "transparency log")
        );
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
        assert_eq!(code(check(&strict, &subject(), &good)), "no-log");
        assert_eq!(code(check(&mixed, &subject(), &good)), "no-log");

        assert_eq!(
            code(check(&lax, &subject(), &signed(unlogged).await)),
            "time"
        );
        for (tampered, fault) in [
            (Tampered::TimestampOutsideCertificate, "certificate"),
            (Tampered::ForeignTimestamp, "time"),
            (Tampered::UnknownCa, "certificate"),
            (Tampered::MissingSct, "certificate"),
        ] {
            let bad = signed(timed.clone().tampered(tampered)).await;
            assert_eq!(code(check(&lax, &subject(), &bad)), fault, "{tampered:?}");
        }
        // An entry that is there must hold.
        let logged = Signing::keyless(dev()).timestamp(true);
        check(&lax, &subject(), &signed(logged.clone()).await).unwrap();
        let bad = signed(logged.tampered(Tampered::ForeignEntry)).await;
        assert!(check(&lax, &subject(), &bad).is_err());
    }
}
