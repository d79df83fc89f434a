//! Timestamps of authorities and entries of logs that the trust root does not know, next to parts
//! that it knows: they prove nothing and veto nothing.

use qmt_testkit::{Format, LogKind, PrivateSigstore, SignedBundle, Signing, Tampered};
use qmt_verify::policy::Authority;
use qmt_verify::{SigstoreVerifier, Verification};
use serde_json::Value;

use crate::support::{
    any_of, changed, check, code, dev, dev_authority, everything, evidence, key_authority, subject,
    trust_json, verifier,
};
use crate::tampered::sign;

const STAGING: &str = include_str!(
    "../../../../fixtures/sigstore/genuine/sct-multi-intermediate/staging_trusted_root.json"
);

/// A verifier that trusts `sigstore`, except that `list` is the one of Sigstore's staging instance.
fn with_others(sigstore: &PrivateSigstore, list: &str, authority: Authority) -> SigstoreVerifier {
    let staging: Value = serde_json::from_str(STAGING).unwrap();
    let mut root: Value = serde_json::from_str(&sigstore.trusted_root_json()).unwrap();
    root[list] = staging[list].clone();
    let trust = trust_json(&root.to_string()).unwrap();
    SigstoreVerifier::new(trust, everything(any_of(vec![authority]))).unwrap()
}

fn warns(verified: &Verification, of: &str) -> bool {
    let mut warnings = verified.report().warnings.iter();
    warnings.any(|one| one.contains(of))
}

#[tokio::test]
async fn a_timestamp_of_an_unknown_authority_is_ignored_where_a_log_proves_the_time() {
    let sigstore = PrivateSigstore::new();
    let key = || key_authority(&sigstore, "p256");
    for format in [Format::Simple, Format::Bundle] {
        for (signing, authority) in [
            (Signing::keyless(dev()), dev_authority()),
            (Signing::key("p256"), key()),
        ] {
            let signing = signing.timestamp(true);
            let found = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
            let known = verifier(&sigstore, any_of(vec![authority.clone()]));
            let known = check(&known, &subject(), &found).unwrap();
            assert_eq!(known.report().signed_at.len(), 2, "{format:?}");
            assert!(!warns(&known, "ignored"));
            let unknown = with_others(&sigstore, "timestampAuthorities", authority);
            let unknown = check(&unknown, &subject(), &found).unwrap();
            assert_eq!(unknown.report().signed_at.len(), 1, "{format:?}");
            assert!(warns(&unknown, "a timestamp was ignored"));
        }
    }
    // Nothing else proves the time of these certificates.
    for (log, authority) in [
        (LogKind::RekorV2, dev_authority()),
        (LogKind::None, dev_authority().without_log()),
    ] {
        let signing = Signing::keyless(dev()).log(log).timestamp(true);
        let found = evidence(&subject(), [sign(&sigstore, Format::Bundle, &signing)]).await;
        let unknown = with_others(&sigstore, "timestampAuthorities", authority);
        assert_eq!(code(check(&unknown, &subject(), &found)), "time", "{log:?}");
    }
}

#[tokio::test]
async fn an_entry_of_an_unknown_log_is_ignored_where_no_log_is_required() {
    let sigstore = PrivateSigstore::new();
    let key = || key_authority(&sigstore, "p256");
    for (format, log) in [
        (Format::Simple, LogKind::RekorV1),
        (Format::Bundle, LogKind::RekorV1),
        (Format::Bundle, LogKind::RekorV2),
    ] {
        for (signing, authority) in [
            (Signing::key("p256"), key()),
            (Signing::keyless(dev()), dev_authority()),
        ] {
            let signing = signing.log(log).timestamp(true);
            let found = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
            let optional = with_others(&sigstore, "tlogs", authority.clone().without_log());
            let verified = check(&optional, &subject(), &found).unwrap();
            let report = verified.report();
            assert!(report.log_entries.is_empty() && report.signed_at.len() == 1);
            assert!(!report.checks.contains(&"transparency log".to_owned()));
            assert!(warns(&verified, "a log entry was ignored"), "{format:?}");
            let required = with_others(&sigstore, "tlogs", authority);
            assert_eq!(code(check(&required, &subject(), &found)), "log");
        }
    }
    // Without the entry, nothing proves the time of this certificate.
    let signing = Signing::keyless(dev());
    let found = evidence(&subject(), [sign(&sigstore, Format::Bundle, &signing)]).await;
    let optional = with_others(&sigstore, "tlogs", dev_authority().without_log());
    assert_eq!(code(check(&optional, &subject(), &found)), "log");
}

/// An entry of a known log is what a required log asks for; a further one changes nothing.
#[tokio::test]
async fn an_entry_of_an_unknown_log_is_ignored_next_to_one_of_a_known_log() {
    let (sigstore, other) = (PrivateSigstore::new(), PrivateSigstore::new());
    let entries = |bundle: &SignedBundle| {
        let bundle: Value = serde_json::from_slice(&bundle.json).unwrap();
        bundle["verificationMaterial"]["tlogEntries"].clone()
    };
    let key = || key_authority(&sigstore, "p256");
    for (signing, authority) in [
        (Signing::keyless(dev()), dev_authority()),
        (Signing::keyless(dev()).timestamp(true), dev_authority()),
        (Signing::key("p256"), key()),
        (Signing::key("p256").log(LogKind::RekorV2), key()),
    ] {
        let of = |sigstore: &PrivateSigstore, signing: &Signing| {
            sigstore.sign_bundle(subject().digest(), signing)
        };
        let unknown = entries(&of(&other, &signing));
        let verifier = verifier(&sigstore, any_of(vec![authority]));
        let outcome = async |bundle: &SignedBundle, is_first: bool| {
            let both = changed(bundle, |bundle| {
                let own = bundle["verificationMaterial"]["tlogEntries"].as_array_mut();
                let own = own.unwrap();
                own.insert(if is_first { 0 } else { own.len() }, unknown[0].clone());
            });
            check(&verifier, &subject(), &evidence(&subject(), [both]).await)
        };
        for is_first in [true, false] {
            let verified = outcome(&of(&sigstore, &signing), is_first).await.unwrap();
            assert_eq!(verified.report().log_entries.len(), 1, "{signing:?}");
            assert!(warns(&verified, "a log entry was ignored"), "{signing:?}");
            // The entry of the known log is still verified.
            let bad = signing.clone().tampered(Tampered::BrokenProof);
            let bad = outcome(&of(&sigstore, &bad), is_first).await;
            assert_eq!(code(bad), "log", "{signing:?}");
        }
    }
}
