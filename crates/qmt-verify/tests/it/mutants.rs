//! Structured mutants of good signatures: none is accepted as something else, nothing panics.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use qmt_oci_ref::PinnedReference;
use qmt_testkit::{LogKind, PrivateSigstore, Signing};
use qmt_verify::policy::Authority;
use qmt_verify::report::Report;
use qmt_verify::{Evidence, SigstoreVerifier};
use serde_json::Value;

use crate::support::{
    any_of, check, dev, dev_authority, evidence, key_authority, subject, verifier,
};

/// How many mutants are made; see `drill`.
fn mutants() -> u32 {
    match std::env::var("QMT_DRILL").as_deref() {
        Ok("long") => 200_000,
        Ok("full") => 50_000,
        _ => 10_000,
    }
}

/// Small and the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // xorshift64*: <https://doi.org/10.1145/2845077>
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let rolled = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(rolled).unwrap() % sides.max(1)
    }
}

/// All places of a document that hold a value of their own.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                leaves(value, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                leaves(value, &format!("{path}/{index}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// Changes one leaf: a bit of what it encodes, a digit, its type, or its presence.
fn mutate(document: &mut Value, dice: &mut Dice) -> String {
    let mut places = Vec::new();
    leaves(document, "", &mut places);
    let place = places[dice.roll(places.len())].clone();
    let choice = dice.roll(10);
    if choice == 0 {
        // Take it away.
        let (parent, name) = place.rsplit_once('/').unwrap();
        match document.pointer_mut(parent) {
            Some(Value::Object(fields)) => {
                fields.remove(&name.replace("~1", "/").replace("~0", "~"));
            }
            Some(Value::Array(items)) => {
                items.remove(name.parse().unwrap());
            }
            _ => {}
        }
        return format!("without {place}");
    }
    if choice == 1 {
        // Put another value of the document there.
        let other = document
            .pointer(&places[dice.roll(places.len())])
            .cloned()
            .unwrap();
        *document.pointer_mut(&place).unwrap() = other;
        return format!("another value at {place}");
    }
    let value = document.pointer_mut(&place).unwrap();
    *value = match &*value {
        Value::String(text) => mutate_text(text, dice).into(),
        Value::Number(_) => (dice.roll(1 << 20) as u64).into(),
        Value::Bool(flag) => (!flag).into(),
        _ => Value::from("x"),
    };
    place
}

fn mutate_text(text: &str, dice: &mut Dice) -> String {
    if let Ok(inner) = serde_json::from_str::<Value>(text)
        && inner.is_object()
    {
        let mut inner = inner;
        mutate(&mut inner, dice);
        return inner.to_string();
    }
    if let Ok(mut bytes) = STANDARD.decode(text)
        && !bytes.is_empty()
    {
        // JSON within base64 (payloads, log entries) is changed as JSON half of the time.
        if let Ok(mut inner) = serde_json::from_slice::<Value>(&bytes)
            && inner.is_object()
            && dice.roll(2) == 0
        {
            mutate(&mut inner, dice);
            return STANDARD.encode(inner.to_string());
        }
        match dice.roll(8) {
            0 => bytes.truncate(dice.roll(bytes.len())),
            1 => bytes.push(0),
            _ => {
                let at = dice.roll(bytes.len());
                bytes[at] ^= 1 << dice.roll(8);
            }
        }
        return STANDARD.encode(bytes);
    }
    let mut characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return "x".to_owned();
    }
    let at = dice.roll(characters.len());
    match dice.roll(3) {
        0 => characters[at] = if characters[at] == 'A' { 'B' } else { 'A' },
        1 => {
            characters.remove(at);
        }
        _ => characters.insert(at, '0'),
    }
    characters.into_iter().collect()
}

/// What an accepted signature proves, apart from its times.
fn proven(report: &Report) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        report.signer.clone(),
        report.annotations.clone(),
        report.claims.clone(),
        report.identities.clone(),
        report.signed_name.clone(),
    )
}

/// Good signatures, each with the only signer that is accepted.
async fn originals(sigstore: &PrivateSigstore) -> Vec<(Evidence, Authority)> {
    let v2 = |signing: Signing| signing.log(LogKind::RekorV2).timestamp(true);
    let keyless = || Signing::keyless(dev());
    let key = |name| key_authority(sigstore, name);
    let mut all = Vec::new();
    for (signing, authority) in [
        (keyless(), dev_authority()),
        (
            keyless().timestamp(true).annotation("a", "b"),
            dev_authority(),
        ),
        (Signing::key("p256"), key("p256")),
        (Signing::key("rsa2048"), key("rsa2048")),
    ] {
        let item = sigstore.sign_simple(subject().digest(), &signing);
        all.push((evidence(&subject(), [item]).await, authority));
    }
    for (signing, authority) in [
        (keyless(), dev_authority()),
        (
            keyless().timestamp(true).annotation("a", "b"),
            dev_authority(),
        ),
        (v2(keyless()), dev_authority()),
        (Signing::key("p256"), key("p256")),
        (v2(Signing::key("rsa2048")), key("rsa2048")),
        (v2(Signing::key("p384")), key("p384")),
    ] {
        let item = sigstore.sign_bundle(subject().digest(), &signing);
        all.push((evidence(&subject(), [item]).await, authority));
    }
    all
}

/// The stored evidence as JSON all the way down: pieces are decoded, so that mutants reach inside.
fn opened(evidence: &Evidence) -> Value {
    let mut value: Value = serde_json::from_slice(&evidence.to_json().unwrap()).unwrap();
    let content = &mut value["pieces"][0]["content"];
    for pointer in ["/bundle/json", "/simple-signing/payload"] {
        if let Some(text) = content.pointer_mut(pointer) {
            let bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
            *text = serde_json::from_slice(&bytes).unwrap();
        }
    }
    content.clone()
}

fn closed(content: &Value, subject: &PinnedReference) -> Option<Evidence> {
    let mut content = content.clone();
    for pointer in ["/bundle/json", "/simple-signing/payload"] {
        if let Some(inner) = content.pointer_mut(pointer) {
            *inner = STANDARD.encode(inner.to_string()).into();
        }
    }
    let stored = serde_json::json!({
        "schema": 1,
        "subject": subject.digest(),
        "pieces": [{ "found": "a mutant", "content": content }],
    });
    Evidence::from_json(stored.to_string().as_bytes()).ok()
}

/// What the signer, the log and the timestamp authority did not sign, and no check relies on.
/// Everything else must be unchanged for a mutant to be accepted.
const NOT_SIGNED: [&str; 16] = [
    "/publicKey/hint",
    "/logId/keyId",
    "/inclusionProof/logIndex",
    "/inclusionProof/rootHash",
    "/inclusionProof/treeSize",
    "/checkpoint/envelope",
    "/signatures/0/keyid",
    "/rfc3161Timestamps/0/signedTimestamp",
    "/rfc3161Timestamps/0",
    "cosign~1rfc3161timestamp",
    "/messageDigest",
    "cosign~1chain",
    // Text around the PEM block.
    "cosign~1certificate",
    "/logIndex",
    "/integratedTime",
    "cosign~1bundle",
];

/// SIG-18, drill F16 in its short form: ten thousand mutants.
#[tokio::test]
async fn no_mutant_is_accepted() {
    let sigstore = PrivateSigstore::new();
    let mut good = Vec::new();
    let (mut verifiers, mut expected) = (Vec::new(), Vec::new());
    for (evidence, authority) in originals(&sigstore).await {
        let original = opened(&evidence);
        let verifier = verifier(&sigstore, any_of(vec![authority]));
        let evidence = closed(&original, &subject()).unwrap();
        let verified = check(&verifier, &subject(), &evidence).unwrap();
        expected.push((proven(verified.report()), verified.times().to_vec()));
        verifiers.push(verifier);
        good.push(original);
    }
    let mut dice = Dice(0x5157_4d54);
    let mut unchanged = 0;
    for number in 0..mutants() {
        let which = dice.roll(good.len());
        let mut mutant = good[which].clone();
        let place = mutate(&mut mutant, &mut dice);
        if mutant == good[which] {
            unchanged += 1;
            continue;
        }
        let Some(evidence) = closed(&mutant, &subject()) else {
            continue;
        };
        if let Ok(verified) = check(&verifiers[which], &subject(), &evidence) {
            let (proofs, times) = &expected[which];
            assert!(
                proven(verified.report()) == *proofs,
                "mutant {number} at {place}"
            );
            // A timestamp can be taken away; none can be added or changed.
            let known = verified.times().iter().all(|time| times.contains(time));
            assert!(known, "mutant {number} at {place}");
            assert!(
                NOT_SIGNED.iter().any(|part| place.contains(part)),
                "mutant {number} of {which} at {place} is accepted"
            );
        }
    }
    println!(
        "drill F16 mutants: {} cases, {unchanged} were none, 0 violations",
        mutants()
    );
    assert!(unchanged < mutants() / 10, "{unchanged} mutants were none");
}

fn shared() -> &'static SigstoreVerifier {
    static VERIFIER: std::sync::OnceLock<SigstoreVerifier> = std::sync::OnceLock::new();
    VERIFIER.get_or_init(|| verifier(&PrivateSigstore::new(), any_of(vec![dev_authority()])))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// SIG-18: noise in every place where a registry speaks.
    #[test]
    fn noise_is_refused_and_never_panics(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        name in "(dev.cosignproject.cosign/signature|dev.sigstore.cosign/(certificate|chain|bundle|rfc3161timestamp))",
        value in ".{0,100}",
        kind in 0..3_u8,
    ) {
        let payload = STANDARD.encode(&payload);
        let content = match kind {
            0 => serde_json::json!({ "bundle": { "json": payload } }),
            1 => serde_json::json!({ "simple-signing": { "payload": payload, "annotations": { name: value } } }),
            _ => serde_json::json!({ "envelope": { "json": payload, "annotations": { name: value } } }),
        };
        let stored = serde_json::json!({
            "schema": 1, "subject": subject().digest(), "pieces": [{ "found": value, "content": content }],
        });
        let evidence = Evidence::from_json(stored.to_string().as_bytes()).unwrap();
        prop_assert!(check(shared(), &subject(), &evidence).is_err());
        prop_assert!(Evidence::from_json(value.as_bytes()).is_err());
    }
}
