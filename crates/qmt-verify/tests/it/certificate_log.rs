//! Trust roots without certificate transparency logs: the timestamps in certificates can't be
//! checked, and everything else is. SIG-11, SIG-12.

use qmt_testkit::{Format, PrivateSigstore, Signing, Tampered, TrustPart};
use qmt_verify::SigstoreVerifier;
use qmt_verify::policy::{Policy, PolicySet};
use qmt_verify::trust::{PemTrust, TrustRoot};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    PemFiles as _, any_of, authority, check, code, dev, dev_authority, everything, evidence,
    key_authority, subject, trust_json,
};
use crate::tampered::sign;

fn policies() -> PolicySet {
    everything(any_of(vec![dev_authority()]))
}

/// The two files of the manual's air gap.
fn two_files(sigstore: &PrivateSigstore, folder: &TempDir) -> PemTrust {
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    PemTrust::default()
        .with_fulcio(write("fulcio.pem", sigstore.fulcio_pem()))
        .with_rekor(write("rekor.pem", sigstore.rekor_pem()))
}

#[tokio::test]
async fn two_files_are_enough_and_say_what_is_not_checked() {
    let (sigstore, folder) = (PrivateSigstore::new(), TempDir::new().unwrap());
    let files = two_files(&sigstore, &folder);
    let root = TrustRoot::from_pem(&files).unwrap();
    for policy in [any_of(vec![dev_authority()]), Policy::pin_on_first_use()] {
        let verifier = SigstoreVerifier::new(root.clone(), everything(policy)).unwrap();
        let [warning] = verifier.warnings().try_into().unwrap();
        for part in ["ctfe_keys", "certificate_log", "fulcio.pem"] {
            assert!(warning.contains(part), "{warning}");
        }
    }
    let verifier = SigstoreVerifier::new(root.clone(), policies()).unwrap();
    let other = any_of(vec![authority("https://other.example", "eve@example.com")]);
    let other = SigstoreVerifier::new(root.clone(), everything(other)).unwrap();
    for format in [Format::Simple, Format::Bundle] {
        let good = sign(&sigstore, format, &Signing::keyless(dev()));
        let good = evidence(&subject(), [good]).await;
        let verified = check(&verifier, &subject(), &good).unwrap();
        let report = verified.report();
        assert!(!report.checks.iter().any(|check| check == "certificate log"));
        assert!(
            report
                .warnings
                .iter()
                .any(|one| one.contains("not checked")),
            "{report:?}"
        );
        assert_eq!(code(check(&other, &subject(), &good)), "other-issuer");
        for (tampered, reason) in [
            (Tampered::UnknownCa, "certificate"),
            (Tampered::ExpiredCa, "certificate"),
            (Tampered::ForeignEntry, "log"),
            (Tampered::GarbageSignature, "signature"),
            (Tampered::OtherKey, "signature"),
        ] {
            let bad = sign(
                &sigstore,
                format,
                &Signing::keyless(dev()).tampered(tampered),
            );
            let outcome = check(&verifier, &subject(), &evidence(&subject(), [bad]).await);
            assert!(outcome.is_err(), "{}", tampered.name());
            if reason == "certificate" {
                assert_eq!(code(outcome), reason, "{}", tampered.name());
            }
        }
    }
    // With the third file the timestamps are checked, and there is no warning.
    let path = folder.path().join("ctfe.pem");
    std::fs::write(&path, sigstore.ctfe_pem()).unwrap();
    let root = TrustRoot::from_pem(&files.clone().with_ctfe(path)).unwrap();
    let strict = SigstoreVerifier::new(root, policies().certificate_log_required()).unwrap();
    assert!(strict.warnings().is_empty());
    let bad = Signing::keyless(dev()).tampered(Tampered::MissingSct);
    let bad = evidence(&subject(), [sign(&sigstore, Format::Bundle, &bad)]).await;
    assert_eq!(code(check(&strict, &subject(), &bad)), "certificate");
}

/// One of the two files alone names the other; `certificate_log = "required"` names the third.
#[test]
fn what_is_missing_is_named() {
    let (sigstore, folder) = (PrivateSigstore::new(), TempDir::new().unwrap());
    let both = two_files(&sigstore, &folder);
    let (mut fulcio, mut rekor) = (PemTrust::default(), PemTrust::default());
    fulcio.fulcio.clone_from(&both.fulcio);
    rekor.rekor.clone_from(&both.rekor);
    for (files, policies, key) in [
        (fulcio, policies(), "`rekor_pub_keys`"),
        (rekor.clone(), policies(), "`fulcio_certs`"),
        (
            rekor.clone(),
            everything(Policy::pin_on_first_use()),
            "`fulcio_certs`",
        ),
        (both, policies().certificate_log_required(), "`ctfe_keys`"),
    ] {
        let root = TrustRoot::from_pem(&files).unwrap();
        let error = SigstoreVerifier::new(root, policies)
            .unwrap_err()
            .to_string();
        assert!(error.contains(key), "{key}: {error}");
    }
    // A policy of keys requires no certificate authority.
    let keys = everything(any_of(vec![key_authority(&sigstore, "p256")]));
    let verifier = TrustRoot::from_pem(&rekor)
        .and_then(|root| SigstoreVerifier::new(root, keys.certificate_log_required()))
        .unwrap();
    assert!(verifier.warnings().is_empty());
}

/// A root whose certificate logs cannot be used is not one without them.
#[test]
fn unusable_certificate_logs_are_not_absent_ones() {
    let sigstore = PrivateSigstore::new();
    let absent = sigstore.trusted_root().without(TrustPart::Ctfe).json();
    let root = trust_json(&absent).unwrap();
    assert_eq!(
        SigstoreVerifier::new(root, policies())
            .unwrap()
            .warnings()
            .len(),
        1
    );
    let mut unusable: Value = serde_json::from_str(&sigstore.trusted_root_json()).unwrap();
    unusable["ctlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA");
    let root = trust_json(&unusable.to_string()).unwrap();
    let joined = trust_json(&absent).unwrap().joined_with(root.clone());
    for root in [root, joined] {
        let error = SigstoreVerifier::new(root, policies())
            .unwrap_err()
            .to_string();
        assert!(error.contains("certificate transparency log"), "{error}");
    }
}
