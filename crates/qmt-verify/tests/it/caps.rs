//! SIG-14: the parts of one bundle are counted before anything is computed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_testkit::{LogKind, PrivateSigstore, SignedBundle, Signing};
use serde_json::{Value, json};

use crate::support::{
    any_of, changed, check, code, dev, dev_authority, evidence, key_authority, subject, verifier,
};

fn repeat(list: &mut Value, count: usize) {
    let first = list[0].clone();
    *list = Value::Array(vec![first; count]);
}

/// LIM-07: eight log entries, eight timestamps, 64 hashes of a proof, and one past each.
#[tokio::test]
async fn log_entries_and_timestamps_are_counted() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let signing = Signing::keyless(dev()).timestamp(true);
    let bundle = sigstore.sign_bundle(subject().digest(), &signing);
    for pointer in [
        "/verificationMaterial/tlogEntries",
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps",
    ] {
        for (count, held) in [(1, true), (8, true), (9, false), (100_000, false)] {
            let many = changed(&bundle, |value| {
                repeat(value.pointer_mut(pointer).unwrap(), count.min(400));
            });
            let outcome = check(&verifier, &subject(), &evidence(&subject(), [many]).await);
            if held {
                outcome.unwrap();
            } else {
                let code = code(outcome);
                assert!(
                    ["too-many", "not-read"].contains(&code.as_str()),
                    "{pointer}: {code}"
                );
            }
        }
    }
    let proof = "/verificationMaterial/tlogEntries/0/inclusionProof/hashes";
    let hash = STANDARD.encode([0; 32]);
    for (depth, too_many) in [(64, false), (65, true)] {
        let deep = changed(&bundle, |value| {
            *value.pointer_mut(proof).unwrap() = Value::Array(vec![hash.clone().into(); depth]);
        });
        let outcome = check(&verifier, &subject(), &evidence(&subject(), [deep]).await);
        assert_eq!(code(outcome) == "too-many", too_many, "{depth}");
    }
}

/// LIM-07: an embedder lowers what one bundle may hold, and never raises it.
#[tokio::test]
async fn what_a_bundle_may_hold_goes_downwards_only() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(dev()).timestamp(true);
    let bundle = sigstore.sign_bundle(subject().digest(), &signing);
    let with = |pointer: &str, count: usize| {
        changed(&bundle, |value| {
            repeat(value.pointer_mut(pointer).unwrap(), count);
        })
    };
    let entries = "/verificationMaterial/tlogEntries";
    let timestamps = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
    let plain = || verifier(&sigstore, any_of(vec![dev_authority()]));
    for (verifier, pointer, most) in [
        (plain().with_most_log_entries(3), entries, 3),
        (plain().with_most_log_entries(1_000), entries, 8),
        (plain().with_most_timestamps(3), timestamps, 3),
        (plain().with_most_timestamps(1_000), timestamps, 8),
    ] {
        let fits = evidence(&subject(), [with(pointer, most)]).await;
        check(&verifier, &subject(), &fits).unwrap();
        let over = evidence(&subject(), [with(pointer, most + 1)]).await;
        assert_eq!(code(check(&verifier, &subject(), &over)), "too-many");
    }
    let none = plain().with_most_subjects(0);
    let one = evidence(&subject(), [bundle.clone()]).await;
    assert_eq!(code(check(&none, &subject(), &one)), "too-many");
    let one_each = plain()
        .with_most_subjects(1)
        .with_most_log_entries(1)
        .with_most_timestamps(1);
    check(&one_each, &subject(), &one).unwrap();
}

/// A statement that a key signed, so that it can say anything.
fn statement(sigstore: &PrivateSigstore, statement: &Value) -> SignedBundle {
    let kind = "application/vnd.in-toto+json";
    let payload = statement.to_string();
    let pae = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let signing = Signing::key("p256").log(LogKind::None);
    let template = sigstore.sign_bundle(subject().digest(), &signing);
    changed(&template, |value| {
        value["dsseEnvelope"]["payload"] = STANDARD.encode(&payload).into();
        let signature = sigstore.key("p256").sign(pae.as_bytes());
        value["dsseEnvelope"]["signatures"][0]["sig"] = STANDARD.encode(signature).into();
    })
}

fn saying(subjects: &[Value]) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": qmt_testkit::SIGN_PREDICATE,
        "predicate": {},
    })
}

/// SIG-13, SIG-15, LIM-07: what a signed statement says is read strictly.
#[tokio::test]
async fn statements_are_read_strictly() {
    let sigstore = PrivateSigstore::new();
    let unlogged = key_authority(&sigstore, "p256").without_log();
    let verifier = verifier(&sigstore, any_of(vec![unlogged]));
    let hex = subject().digest().hex().to_owned();
    let ours = json!({ "digest": { "sha256": hex } });
    let other = json!({ "digest": { "sha256": "0".repeat(64) } });
    let padded = |count: usize| {
        let mut subjects = vec![other.clone(); count - 1];
        subjects.push(ours.clone());
        subjects
    };
    let held = [
        saying(std::slice::from_ref(&ours)),
        saying(&padded(2)),
        saying(&padded(1024)),
        json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "subject": [ours.clone()],
            "predicateType": qmt_testkit::SIGN_PREDICATE,
        }),
    ];
    for said in held {
        let bundle = statement(&sigstore, &said);
        check(&verifier, &subject(), &evidence(&subject(), [bundle]).await)
            .unwrap_or_else(|error| panic!("{said}: {error}"));
    }
    let type_of = |kind: &str| {
        let mut said = saying(std::slice::from_ref(&ours));
        said["_type"] = kind.into();
        said
    };
    let refused = [
        (saying(&padded(1025)), "too-many"),
        (saying(&[]), "other-digest"),
        (saying(std::slice::from_ref(&other)), "other-digest"),
        (
            saying(&[json!({ "digest": { "sha256": hex.to_uppercase() } })]),
            "other-digest",
        ),
        (
            saying(&[json!({ "digest": { "sha512": hex } })]),
            "other-digest",
        ),
        (
            saying(&[json!({ "digest": { "SHA256": hex } })]),
            "other-digest",
        ),
        (saying(&[json!({ "digest": {} })]), "other-digest"),
        (saying(&[json!({})]), "unreadable"),
        (type_of("https://in-toto.io/Statement/v2"), "other-type"),
        (type_of(""), "other-type"),
        (json!([]), "unreadable"),
        (json!("x"), "unreadable"),
    ];
    for (said, expected) in refused {
        let bundle = statement(&sigstore, &said);
        let outcome = check(&verifier, &subject(), &evidence(&subject(), [bundle]).await);
        assert_eq!(code(outcome), expected, "{said}");
    }
    // Annotations are those of the subject that was requested, not of one next to it.
    let theirs =
        json!({ "digest": { "sha256": "0".repeat(64) }, "annotations": { "channel": "stable" } });
    let wanted = key_authority(&sigstore, "p256").without_log();
    let strict = any_of(vec![wanted.with_annotation("channel", "stable")]);
    let strict = crate::support::verifier(&sigstore, strict);
    let bundle = statement(&sigstore, &saying(&[theirs, ours]));
    let outcome = check(&strict, &subject(), &evidence(&subject(), [bundle]).await);
    assert_eq!(code(outcome), "other-annotation");
}
