//! Transparency logs: which one vouches for an entry, and what is said about it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_testkit::{LogKind, PrivateSigstore, SignedBundle, Signing, TrustPart};
use qmt_verify::report::LogEntry;
use qmt_verify::{Evidence, SigstoreVerifier};
use serde_json::{Value, json};

use crate::support::{
    any_of, check, code, dev, dev_authority, everything, evidence, key_authority, subject,
    trust_json, verifier,
};

/// The logs of the kit, and what a trusted root calls them.
const LOGS: [(LogKind, TrustPart); 2] = [
    (LogKind::RekorV1, TrustPart::RekorV1),
    (LogKind::RekorV2, TrustPart::RekorV2),
];
const ENTRY: &str = "/verificationMaterial/tlogEntries/0";

fn sign(sigstore: &PrivateSigstore, log: LogKind) -> SignedBundle {
    let signing = Signing::keyless(dev()).log(log).timestamp(true);
    sigstore.sign_bundle(subject().digest(), &signing)
}

/// Evidence of `bundle` with its log entry changed.
async fn changed(bundle: &SignedBundle, change: impl FnOnce(&mut Value)) -> Evidence {
    let mut changed = bundle.clone();
    let mut json: Value = serde_json::from_slice(&bundle.json).unwrap();
    change(json.pointer_mut(ENTRY).unwrap());
    changed.json = json.to_string().into();
    evidence(&subject(), [changed]).await
}

/// The ID of the log at `index` of the trusted root.
fn id(root: &str, index: usize) -> Vec<u8> {
    let root: Value = serde_json::from_str(root).unwrap();
    let id = root["tlogs"][index]["logId"]["keyId"].as_str().unwrap();
    STANDARD.decode(id).unwrap()
}

fn entry(verifier: &SigstoreVerifier, evidence: &Evidence) -> LogEntry {
    let verified = check(verifier, &subject(), evidence).unwrap();
    let [entry] = verified.report().log_entries.as_slice() else {
        panic!("{:?}", verified.report());
    };
    entry.clone()
}

/// SIG-11: a retired log stays retired, whichever other log its checkpoint names as a signer: the
/// four bytes of another log's ID are easily written.
#[tokio::test]
async fn the_hint_of_another_log_does_not_revive_a_retired_one() {
    let sigstore = PrivateSigstore::new();
    let day = Duration::from_hours(24);
    let (ages, before) = (sigstore.time() - 30 * day, sigstore.time() - day);
    for (log, part) in LOGS {
        let bundle = sign(&sigstore, log);
        let trusted = sigstore.trusted_root_json();
        let retired = sigstore
            .trusted_root()
            .valid(part, ages, Some(before))
            .json();
        let policy = || everything(any_of(vec![dev_authority()]));
        let root = trust_json(&retired).unwrap();
        let strict = SigstoreVerifier::new(root, policy()).unwrap();
        for other in 0..2 {
            let line = [&id(&trusted, other)[..4], &[0x30; 70]].concat();
            let line = format!("\u{2014} log.example {}\n", STANDARD.encode(line));
            let evidence = changed(&bundle, |entry| {
                // The promise of a retired log is refused for itself.
                entry.as_object_mut().unwrap().remove("inclusionPromise");
                let note = &mut entry["inclusionProof"]["checkpoint"]["envelope"];
                *note = format!("{}{line}", note.as_str().unwrap()).into();
            })
            .await;
            // A line of others changes nothing.
            check(
                &verifier(&sigstore, any_of(vec![dev_authority()])),
                &subject(),
                &evidence,
            )
            .unwrap();
            assert_eq!(
                code(check(&strict, &subject(), &evidence)),
                "log",
                "{log:?} {other}"
            );
        }
    }
}

/// SIG-09, SIG-11: times that are taken away do not make a retired log one that is in use. With a
/// key no time is needed, so nothing else would notice.
#[tokio::test]
async fn a_retired_log_stays_retired_without_times() {
    let sigstore = PrivateSigstore::new();
    let day = Duration::from_hours(24);
    let (ages, before) = (sigstore.time() - 30 * day, sigstore.time() - day);
    for (log, part) in LOGS {
        for key in ["p256", "rsa2048"] {
            let signing = Signing::key(key).log(log);
            let bundle = sigstore.sign_bundle(subject().digest(), &signing);
            let evidence = changed(&bundle, |entry| {
                entry.as_object_mut().unwrap().remove("inclusionPromise");
            })
            .await;
            for (until, is_good) in [(None, true), (Some(before), false)] {
                let trusted = sigstore.trusted_root().valid(part, ages, until).json();
                let policy = everything(any_of(vec![key_authority(&sigstore, key)]));
                let root = trust_json(&trusted).unwrap();
                let verifier = SigstoreVerifier::new(root, policy).unwrap();
                let outcome = check(&verifier, &subject(), &evidence);
                if is_good {
                    let verified = outcome.unwrap();
                    assert!(verified.times().is_empty(), "{log:?} {key}");
                } else {
                    assert_eq!(code(outcome), "log", "{log:?} {key}");
                }
            }
        }
    }
}

/// What is said about an entry is what its log signed, not what stands next to it.
#[tokio::test]
async fn an_entry_is_described_by_what_its_log_signed() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    for log in [LogKind::RekorV1, LogKind::RekorV2] {
        let bundle = sign(&sigstore, log);
        let good = entry(&verifier, &changed(&bundle, |_| {}).await);
        assert_eq!(good.integrated_at.is_some(), log == LogKind::RekorV1);
        let mut tree_index = Value::Null;
        let bent = changed(&bundle, |entry| {
            entry.as_object_mut().unwrap().remove("inclusionPromise");
            entry["logId"]["keyId"] = STANDARD.encode([7; 32]).into();
            entry["integratedTime"] = "1".into();
            tree_index = entry["inclusionProof"]["logIndex"].clone();
            // Of the two indices the one that is not signed.
            if log == LogKind::RekorV1 {
                entry["logIndex"] = "7777".into();
            } else {
                entry["inclusionProof"]["logIndex"] = "7777".into();
            }
        })
        .await;
        let reported = entry(&verifier, &bent);
        assert_eq!(reported.log, good.log);
        assert_eq!(json!(reported.index.to_string()), tree_index);
        assert_eq!((reported.kind, reported.integrated_at), (good.kind, None));
    }
}

/// SIG-10: an authority with an empty chain proves no time and no certificate: it is not a root
/// that accepts everything.
#[tokio::test]
async fn an_authority_without_certificates_vouches_for_nothing() {
    let sigstore = PrivateSigstore::new();
    let evidence = changed(&sign(&sigstore, LogKind::RekorV2), |_| {}).await;
    for authority in ["timestampAuthorities", "certificateAuthorities"] {
        let mut root: Value = serde_json::from_str(&sigstore.trusted_root_json()).unwrap();
        for one in root[authority].as_array_mut().unwrap() {
            one["certChain"]["certificates"] = json!([]);
        }
        let outcome = trust_json(&root.to_string())
            .and_then(|root| SigstoreVerifier::new(root, everything(any_of(vec![dev_authority()]))))
            .and_then(|verifier| check(&verifier, &subject(), &evidence));
        assert!(outcome.is_err(), "{authority}: {outcome:?}");
    }
}
