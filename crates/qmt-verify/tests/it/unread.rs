//! Log entries and timestamps that cannot be read: ignored for a key that needs no log, refused
//! wherever a log entry or a time is required.

use std::time::SystemTime;

use qmt_testkit::{
    Attestation, LogKind, PrivateSigstore, SLSA_V1, Signing, SimpleSigning, Tampered,
};
use qmt_verify::policy::{AttestationDemand, Authority, Policy};
use qmt_verify::trust::TrustRoot;
use qmt_verify::{SigstoreVerifier, Verification};
use serde_json::{Value, json};

use crate::support::{
    Item, any_of, changed, check, code, dev, dev_authority, everything, evidence, key_authority,
    subject, verifier,
};

const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// Log entries that cannot be read, by JSON, fields, base64 and body.
const ENTRIES: [&str; 6] = [
    "garbage",
    "[]",
    "{}",
    r#"{"SignedEntryTimestamp":"","Payload":{"body":"!","integratedTime":1,"logIndex":1,"logID":""}}"#,
    r#"{"SignedEntryTimestamp":"","Payload":{"body":"e30=","integratedTime":1,"logIndex":1,"logID":""}}"#,
    r#"{"SignedEntryTimestamp":"!","Payload":{"body":"e30=","integratedTime":"1","logIndex":1,"logID":"x"}}"#,
];
const TIMESTAMPS: [&str; 3] = ["garbage", "{}", r#"{"SignedRFC3161Timestamp":"!"}"#];

fn with(good: &SimpleSigning, changes: &[(&str, &str)]) -> Item {
    let mut other = good.clone();
    for (name, value) in changes {
        let value = (*value).to_owned();
        other.annotations.insert((*name).to_owned(), value);
    }
    other.into()
}

async fn outcome(
    verifier: &SigstoreVerifier,
    item: Item,
) -> Result<Verification, (String, String)> {
    let outcome = check(verifier, &subject(), &evidence(&subject(), [item]).await);
    outcome.map_err(|error| {
        let rejection = &error.rejections()[0];
        (rejection.code.to_string(), rejection.reason.clone())
    })
}

async fn assert_unreadable(verifier: &SigstoreVerifier, item: Item, what: &str) {
    let (code, reason) = outcome(verifier, item).await.unwrap_err();
    assert_eq!(code, "unreadable", "{reason}");
    let expected = format!("{what} cannot be read: ");
    assert!(reason.starts_with(&expected), "{reason}");
}

/// `THREAT_MODEL.md`: such a signature is proven by the key alone.
#[tokio::test]
async fn a_key_without_a_log_is_enough_alone() {
    let sigstore = PrivateSigstore::new();
    let key = || key_authority(&sigstore, "p256");
    let required = verifier(&sigstore, any_of(vec![key()]));
    let policy = || any_of(vec![key().without_log()]);
    let alone = SigstoreVerifier::new(TrustRoot::none().unwrap(), everything(policy()));
    let signing = Signing::key("p256").log(LogKind::None);
    let sign = |signing: &Signing| sigstore.sign_simple(subject().digest(), signing);
    let good = sign(&signing);
    let forged = sign(&signing.clone().tampered(Tampered::GarbageSignature));
    let cases = ENTRIES.map(|text| (LOG_ENTRY, text, "the log entry"));
    let timestamps = TIMESTAMPS.map(|text| (TIMESTAMP, text, "the timestamp"));
    for optional in [alone.unwrap(), verifier(&sigstore, policy())] {
        for (name, text, what) in cases.into_iter().chain(timestamps) {
            let bad = || with(&good, &[(name, text)]);
            let verified = outcome(&optional, bad()).await;
            let verified = verified.unwrap_or_else(|error| panic!("{text}: {error:?}"));
            let report = verified.report();
            assert!(report.log_entries.is_empty() && verified.times().is_empty());
            assert_eq!(verified.signed_at(), None);
            let warnings = report.warnings.join("\n");
            assert!(warnings.contains("ignored"), "{text}: {warnings}");
            assert_unreadable(&required, bad(), what).await;
            // Nothing else is ignored.
            let forged = with(&forged, &[(name, text)]);
            outcome(&optional, forged).await.unwrap_err();
        }
        let both = with(&good, &[(LOG_ENTRY, "{}"), (TIMESTAMP, "{}")]);
        outcome(&optional, both).await.unwrap();
    }
}

/// What can be read is verified as ever.
#[tokio::test]
async fn the_readable_part_still_counts() {
    let sigstore = PrivateSigstore::new();
    let key = || key_authority(&sigstore, "p256");
    let optional = verifier(&sigstore, any_of(vec![key().without_log()]));
    let required = verifier(&sigstore, any_of(vec![key()]));
    let sign = |signing: &Signing| sigstore.sign_simple(subject().digest(), signing);

    let logged = sign(&Signing::key("p256"));
    let bad_time = || with(&logged, &[(TIMESTAMP, "{}")]);
    let verified = outcome(&optional, bad_time()).await.unwrap();
    assert_eq!(verified.report().log_entries.len(), 1);
    assert!(verified.signed_at().is_some());
    assert_unreadable(&required, bad_time(), "the timestamp").await;

    let stamped = sign(&Signing::key("p256").log(LogKind::None).timestamp(true));
    let bad_entry = || with(&stamped, &[(LOG_ENTRY, "{}")]);
    let verified = outcome(&optional, bad_entry()).await.unwrap();
    assert_eq!(verified.times().len(), 1);
    assert_eq!(verified.signed_at(), None);
    assert_unreadable(&required, bad_entry(), "the log entry").await;

    // An entry that can be read and is wrong is not ignored.
    let other = sign(&Signing::key("p384")).annotations[LOG_ENTRY].clone();
    let moved = with(&stamped, &[(LOG_ENTRY, &other)]);
    let (code, reason) = outcome(&optional, moved).await.unwrap_err();
    assert_ne!(code, "unreadable", "{reason}");
}

/// A certificate is proven valid by a time, and a time is proven by a log or an authority.
#[tokio::test]
async fn a_certificate_is_refused_with_any_unreadable_part() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(dev()).timestamp(true);
    let good = sigstore.sign_simple(subject().digest(), &signing);
    for policy in [
        any_of(vec![dev_authority()]),
        any_of(vec![dev_authority().without_log()]),
        Policy::pin_on_first_use(),
        Policy::pin_on_first_use_without_log(),
    ] {
        let verifier = verifier(&sigstore, policy);
        outcome(&verifier, good.clone().into()).await.unwrap();
        for entry in ENTRIES {
            let bad = with(&good, &[(LOG_ENTRY, entry)]);
            assert_unreadable(&verifier, bad, "the log entry").await;
        }
        for timestamp in TIMESTAMPS {
            let bad = with(&good, &[(TIMESTAMP, timestamp)]);
            assert_unreadable(&verifier, bad, "the timestamp").await;
        }
    }
}

/// A timestamp that cannot be read proves no time. (`signed_after` requires a log of a key.)
#[tokio::test]
async fn an_unreadable_timestamp_satisfies_no_minimum_time() {
    let sigstore = PrivateSigstore::new();
    let after = |authority: Authority| {
        let dated = authority.signed_after(SystemTime::UNIX_EPOCH);
        verifier(&sigstore, any_of(vec![dated]))
    };
    for (signing, authority) in [
        (Signing::key("p256"), key_authority(&sigstore, "p256")),
        (Signing::keyless(dev()), dev_authority()),
        (Signing::keyless(dev()), dev_authority().without_log()),
    ] {
        let verifier = after(authority);
        let good = sigstore.sign_simple(subject().digest(), &signing);
        outcome(&verifier, good.clone().into()).await.unwrap();
        let bad = with(&good, &[(TIMESTAMP, "{}")]);
        assert_unreadable(&verifier, bad, "the timestamp").await;
        let untimed = with(&good, &[(TIMESTAMP, "{}"), (LOG_ENTRY, "")]);
        outcome(&verifier, untimed).await.unwrap_err();
    }
}

/// The same for bundles, which are read as a whole: also the words are those about the bundle.
#[tokio::test]
async fn the_same_holds_for_bundles() {
    type Change = fn(&mut Value);
    const LOG: [Change; 4] = [
        |material| material["tlogEntries"] = json!("garbage"),
        |material| material["tlogEntries"] = json!([{}]),
        |material| material["tlogEntries"] = json!([1]),
        |material| {
            // One field under two names is refused.
            material.as_object_mut().unwrap().remove("tlogEntries");
            material["tlog_entries"] = json!([{"logIndex": "x"}]);
        },
    ];
    const TIME: [Change; 3] = [
        |material| material["timestampVerificationData"] = json!("garbage"),
        |material| material["timestampVerificationData"] = json!({"rfc3161Timestamps": [1]}),
        |material| {
            let bad = json!({"rfc3161Timestamps": [{"signedTimestamp": "!"}]});
            material["timestampVerificationData"] = bad;
        },
    ];
    let sigstore = PrivateSigstore::new();
    let key = || key_authority(&sigstore, "p256");
    let trusted = |authority: Authority| verifier(&sigstore, any_of(vec![authority]));
    let (optional, required) = (trusted(key().without_log()), trusted(key()));
    let sign = |signing: Signing| sigstore.sign_bundle(subject().digest(), &signing);
    let keyed = sign(Signing::key("p256").timestamp(true));
    let keyless = sign(Signing::keyless(dev()).timestamp(true));
    let forged = sign(Signing::key("p256").tampered(Tampered::GarbageSignature));
    let apply = |bundle, changes: &[Change]| -> Item {
        let changed = changed(bundle, |value| {
            for change in changes {
                change(&mut value["verificationMaterial"]);
            }
        });
        changed.into()
    };
    let lax = trusted(dev_authority().without_log());
    let cases = LOG.map(|change| (change, false)).into_iter();
    for (change, is_logged) in cases.chain(TIME.map(|change| (change, true))) {
        let verified = outcome(&optional, apply(&keyed, &[change])).await;
        let verified = verified.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(verified.signed_at().is_some(), is_logged);
        assert_unreadable(&required, apply(&keyed, &[change]), "the bundle").await;
        assert_unreadable(&lax, apply(&keyless, &[change]), "the bundle").await;
        outcome(&optional, apply(&forged, &[change]))
            .await
            .unwrap_err();
    }
    let both = apply(&keyed, &[LOG[1], TIME[1]]);
    let verified = outcome(&optional, both).await.unwrap();
    assert!(verified.times().is_empty() && verified.report().log_entries.is_empty());
    // The rest of the bundle must be readable.
    let odd = changed(&keyed, |value| {
        value["verificationMaterial"]["tlogEntries"] = json!("garbage");
        value["dsseEnvelope"] = json!("garbage");
    });
    assert_unreadable(&optional, odd.into(), "the bundle").await;
}

/// An `.att` layer of a key that needs no log.
#[tokio::test]
async fn the_same_holds_for_attestations() {
    let sigstore = PrivateSigstore::new();
    let demand = || AttestationDemand::new(SLSA_V1).unwrap();
    let trusted = |authority: Authority| {
        let policy = any_of(vec![authority, dev_authority()]);
        verifier(&sigstore, policy.with_attestation(demand()))
    };
    let key = || key_authority(&sigstore, "p256");
    let signature: Item = sigstore
        .sign_simple(subject().digest(), &Signing::keyless(dev()))
        .into();
    let provenance = Attestation::slsa_v1("https://b.example", "https://s.example", "refs/x");
    let signing = Signing::key("p256").log(LogKind::None);
    let mut layer = sigstore.attest_simple(subject().digest(), &provenance, &signing);
    layer
        .annotations
        .insert(LOG_ENTRY.to_owned(), "{}".to_owned());
    let found = evidence(&subject(), [signature, layer.into()]).await;
    check(&trusted(key().without_log()), &subject(), &found).unwrap();
    let refused = check(&trusted(key()), &subject(), &found);
    assert_eq!(code(refused), "unreadable");
}
