//! Keys without a log and without a Sigstore instance: log entries and timestamps cannot be
//! checked, and are ignored.

use qmt_testkit::{Format, LogKind, PrivateSigstore, Signing, Tampered};
use qmt_verify::SigstoreVerifier;
use qmt_verify::policy::{Authority, Policy};
use qmt_verify::trust::TrustRoot;

use crate::support::{
    any_of, check, code, dev_authority, everything, evidence, key_authority, subject,
};
use crate::tampered::sign;

fn alone(authority: Authority) -> SigstoreVerifier {
    SigstoreVerifier::new(
        TrustRoot::none().unwrap(),
        everything(any_of(vec![authority])),
    )
    .unwrap()
}

#[tokio::test]
async fn entries_and_timestamps_of_unknown_instances_are_ignored() {
    let sigstore = PrivateSigstore::new();
    for key in ["p256", "p384", "rsa2048"] {
        let verifier = alone(key_authority(&sigstore, key).without_log());
        for format in [Format::Simple, Format::Bundle] {
            for (log, timestamp) in [
                (LogKind::None, false),
                (LogKind::None, true),
                (LogKind::RekorV1, false),
                (LogKind::RekorV2, true),
            ] {
                if format == Format::Simple && log == LogKind::RekorV2 {
                    continue; // `.sig` layers have no form for it.
                }
                let signing = Signing::key(key).log(log).timestamp(timestamp);
                let good = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
                let verified = check(&verifier, &subject(), &good)
                    .unwrap_or_else(|error| panic!("{key} {format:?} {log:?}: {error}"));
                let report = verified.report();
                assert!(report.log_entries.is_empty() && report.signed_at.is_empty());
                assert_eq!(verified.signed_at(), None);
                let ignored = report
                    .warnings
                    .iter()
                    .filter(|one| one.contains("was ignored"));
                let expected = usize::from(log != LogKind::None) + usize::from(timestamp);
                assert_eq!(ignored.count(), expected, "{:?}", report.warnings);
                for tampered in [
                    Tampered::GarbageSignature,
                    Tampered::OtherKey,
                    Tampered::WrongSubject,
                ] {
                    let bad = sign(&sigstore, format, &signing.clone().tampered(tampered));
                    let bad = evidence(&subject(), [bad]).await;
                    assert!(
                        check(&verifier, &subject(), &bad).is_err(),
                        "{}",
                        tampered.name()
                    );
                }
            }
        }
    }
}

/// A damaged signature is not reported as one of another key, also where no log names its key.
#[tokio::test]
async fn a_signature_of_another_length_is_damaged() {
    let sigstore = PrivateSigstore::new();
    for key in ["p256", "p384"] {
        let verifier = alone(key_authority(&sigstore, key).without_log());
        for (tampered, format, expected) in [
            (Tampered::TrailingByte, Format::Simple, "signature"),
            (Tampered::TrailingByte, Format::Bundle, "signature"),
            (Tampered::OtherKey, Format::Simple, "other-key"),
            // It names the key.
            (Tampered::OtherKey, Format::Bundle, "signature"),
        ] {
            let signing = Signing::key(key).log(LogKind::None).tampered(tampered);
            let bad = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
            let found = code(check(&verifier, &subject(), &bad));
            assert_eq!(found, expected, "{key} {format:?}");
        }
    }
}

/// Only policies that need no Sigstore instance can be used without one.
#[tokio::test]
async fn whether_keys_are_alone_is_decided_by_the_policies() {
    let sigstore = PrivateSigstore::new();
    let key = || key_authority(&sigstore, "p256");
    for (policy, is_alone) in [
        (any_of(vec![key().without_log()]), true),
        (any_of(vec![key()]), false),
        (any_of(vec![key().without_log(), key()]), false),
        (
            any_of(vec![key().without_log(), dev_authority().without_log()]),
            false,
        ),
        (Policy::pin_on_first_use(), false),
        (Policy::pin_on_first_use_without_log(), false),
    ] {
        let policies = everything(policy);
        assert_eq!(policies.trusts_keys_alone(), is_alone, "{policies:?}");
        let verifier = SigstoreVerifier::new(TrustRoot::none().unwrap(), policies);
        assert_eq!(verifier.is_ok(), is_alone);
    }
    // A signature with a certificate is refused, because the policy names only keys.
    let verifier = alone(key().without_log());
    let keyless = Signing::keyless(crate::support::dev());
    let keyless = evidence(&subject(), [sign(&sigstore, Format::Bundle, &keyless)]).await;
    assert_eq!(code(check(&verifier, &subject(), &keyless)), "only-keys");
}
