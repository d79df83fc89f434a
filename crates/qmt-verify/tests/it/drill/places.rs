//! Places: a good signature split into its smallest parts, and the parts that no check relies on.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde_json::Value;

/// The unchanged content, under a name that is not read.
const RENAMED: &str = ", under another name";

/// What bundles and cosign 2 call a timestamp.
const TOKENS: [&str; 2] = ["signedTimestamp", "SignedRFC3161Timestamp"];

/// Base64 that takes any bits after the last byte, as checkpoints are read.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Where a timestamp has what its authority signed.
const SIGNED_CONTENT: &str = "/30.0/30.1/a0.0/30.0/30.0/a0.0";

/// The signatures in which no check relies on a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Any,
    /// Those whose log entry is of Rekor v2.
    RekorV2,
}

/// Places that are not signed and that no check relies on, and why. A place that ends with `/` is
/// everything within it. Places in timestamps are tags: `30.0/02.0` is the first integer of the
/// first sequence.
const UNUSED: &[(&str, In, &str)] = &[
    (
        "/bundle/json/verificationMaterial/publicKey/hint",
        In::Any,
        "the policy names the key",
    ),
    (
        "/bundle/json/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp, \
         under another name",
        In::Any,
        "a promise can be taken away where there is a proof: then no time is proven by it",
    ),
    (
        "/bundle/json/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope/others/",
        In::Any,
        "what others say about the log is not asked",
    ),
    (
        "/bundle/json/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope/own/name",
        In::Any,
        "the name in front of a signature is not signed; its key is found by the hint",
    ),
    (
        "/bundle/json/verificationMaterial/tlogEntries/0/inclusionProof/logIndex",
        In::RekorV2,
        "the index of the entry itself is proven",
    ),
    (
        "/bundle/json/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
        In::RekorV2,
        "the root of the signed checkpoint is taken",
    ),
    (
        "/bundle/json/verificationMaterial/tlogEntries/0/inclusionProof/treeSize",
        In::RekorV2,
        "the size of the signed checkpoint is taken",
    ),
    (
        "/bundle/json/verificationMaterial/tlogEntries/0/logId/keyId",
        In::RekorV2,
        "the log is the one that signed the checkpoint",
    ),
    (
        "/simple-signing/annotations/dev.sigstore.cosign~1chain",
        In::Any,
        "the trust root has the intermediates too",
    ),
    (
        "timestamp, taken away",
        In::Any,
        "where a log proves the time too; then one time less is proven",
    ),
    (
        "timestamp/30.0/30.0/02.0",
        In::Any,
        "`granted` and `grantedWithMods` are both a grant; no other bit of it flips",
    ),
    (
        "timestamp/30.0/30.1/a0.0/30.0/02.0",
        In::Any,
        "the version of the syntax",
    ),
    (
        "timestamp/30.0/30.1/a0.0/30.0/31.0/30.0/06.0",
        In::Any,
        "which digests occur; the signer's own says it again",
    ),
    (
        "timestamp/30.0/30.1/a0.0/30.0/30.0/a0.0/04.0, under another name",
        In::Any,
        "the tag of the content, which is as it was signed",
    ),
    (
        "timestamp/30.0/30.1/a0.0/30.0/a0.0/",
        In::Any,
        "a certificate in a timestamp; the trust root's is taken",
    ),
    (
        "timestamp/30.0/30.1/a0.0/30.0/a0.0",
        In::Any,
        "no certificates in a timestamp",
    ),
    (
        "timestamp/30.0/30.1/a0.0/30.0/31.1/30.0/02.0",
        In::Any,
        "the version of the syntax",
    ),
    (
        "timestamp/30.0/30.1/a0.0/30.0/31.1/30.0/30.2/06.0",
        In::Any,
        "how it is signed, which the key of the trust root knows",
    ),
];

/// Every part by its place. Objects and arrays are opened, and so are JSON in texts and in base64,
/// timestamp tokens and checkpoints.
pub(super) type Parts = BTreeMap<String, Vec<u8>>;

/// The places in which two pieces of evidence differ, in what they hold and not in how it is
/// encoded.
pub(super) fn changed(before: &Parts, after: &Parts) -> BTreeSet<String> {
    let added: Vec<_> = after
        .iter()
        .filter(|(place, _)| !before.contains_key(*place))
        .collect();
    let mut places = BTreeSet::new();
    for (place, value) in before {
        if after.get(place) == Some(value) {
            continue;
        }
        let renamed = added.iter().any(|(_, other)| *other == value);
        let suffix = if renamed { RENAMED } else { "" };
        places.insert(format!("{place}{suffix}"));
    }
    if places.is_empty() {
        places.extend(added.iter().map(|(place, _)| (*place).clone()));
    }
    short(before, places)
}

/// Places within a timestamp by their tags alone, and all of them as one where none is left.
fn short(before: &Parts, places: BTreeSet<String>) -> BTreeSet<String> {
    let within = |place: &str| {
        TOKENS.iter().find_map(|name| {
            let (_, rest) = place.split_once(&format!("/{name}/"))?;
            Some(rest.to_owned())
        })
    };
    let all = before.keys().filter_map(|place| within(place)).count();
    let changed = places.iter().filter_map(|place| within(place)).count();
    let places = places.into_iter().map(|place| match within(&place) {
        None => place,
        Some(_) if changed == all => "timestamp, taken away".to_owned(),
        Some(tags) => format!("timestamp/{tags}"),
    });
    places.collect()
}

/// Why no check relies on `place`, if so. An unused place may also have another name.
pub(super) fn unused(place: &str, of_rekor_v2: bool) -> Option<&'static str> {
    let itself = place.strip_suffix(RENAMED).unwrap_or(place);
    let found = UNUSED.iter().find(|(unused, within, _)| {
        let there = place == *unused
            || itself == *unused
            || unused.ends_with('/') && place.starts_with(unused);
        there && (*within == In::Any || of_rekor_v2)
    });
    found.map(|(_, _, why)| *why)
}

/// Where a checkpoint has the signature of its log.
pub(super) const OWN_SIGNATURE: &str = "/checkpoint/envelope/own/signature";

/// Lays `value` open. `own` is the signature of the log on its checkpoint, where that is known.
pub(super) fn lay_open(value: &Value, own: Option<&[u8]>) -> Parts {
    let mut parts = Parts::new();
    open_json(value, "", own, &mut parts);
    parts
}

fn open_json(value: &Value, place: &str, own: Option<&[u8]>, parts: &mut Parts) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                open_json(
                    value,
                    &format!("{place}/{}", name.replace('/', "~1")),
                    own,
                    parts,
                );
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                open_json(item, &format!("{place}/{index}"), own, parts);
            }
        }
        Value::String(text) => open_text(text, place, own, parts),
        other => {
            parts.insert(place.to_owned(), other.to_string().into_bytes());
        }
    }
}

fn open_text(text: &str, place: &str, own: Option<&[u8]>, parts: &mut Parts) {
    if place.ends_with("/checkpoint/envelope") {
        return open_checkpoint(text, place, own, parts);
    }
    let bytes = STANDARD
        .decode(text)
        .unwrap_or_else(|_| text.to_owned().into_bytes());
    if let Ok(inner @ Value::Object(_)) = serde_json::from_slice(&bytes) {
        return open_json(&inner, place, own, parts);
    }
    if TOKENS
        .iter()
        .any(|name| place.ends_with(&format!("/{name}")))
    {
        let mut inner = Parts::new();
        if open_der(&bytes, place, &mut inner).is_some() {
            parts.append(&mut inner);
            return;
        }
    }
    // Text around a PEM block is not read.
    let text = text.trim();
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = match STANDARD.decode(text) {
        _ if is_hex => text.to_ascii_lowercase().into_bytes(),
        Ok(bytes) => bytes,
        Err(_) => text.as_bytes().to_vec(),
    };
    parts.insert(place.to_owned(), bytes);
}

/// The signed text, and a line for each claimed signer. The log's own line is the only one, or the
/// middle one of three; or the one with the signature that is known to be its own.
/// <https://github.com/C2SP/C2SP/blob/main/signed-note.md>
fn open_checkpoint(note: &str, place: &str, own: Option<&[u8]>, parts: &mut Parts) {
    let (text, lines) = note.split_once("\n\n").unwrap_or((note, ""));
    parts.insert(format!("{place}/text"), text.as_bytes().to_vec());
    let lines = lines.split_terminator('\n').map(|line| {
        // A dash, the name, the signature.
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let signature = if words.len() > 2 { words.remove(2) } else { "" };
        let decoded = LENIENT.decode(signature);
        let decoded = decoded.unwrap_or_else(|_| signature.into());
        (words.join(" "), decoded)
    });
    let lines: Vec<(String, Vec<u8>)> = lines.collect();
    let known = lines
        .iter()
        .position(|(_, signature)| own == Some(signature.as_slice()));
    let own = known.unwrap_or(lines.len() / 2);
    for (index, (name, signature)) in lines.into_iter().enumerate() {
        let place = if index == own {
            format!("{place}/own")
        } else {
            format!("{place}/others/{index}")
        };
        parts.insert(format!("{place}/name"), name.into_bytes());
        parts.insert(format!("{place}/signature"), signature);
    }
}

/// Every value of a DER document. A place names the tags on the way, and which of several with the
/// same tag it is. `None` where it is no DER.
fn open_der(der: &[u8], place: &str, parts: &mut Parts) -> Option<()> {
    let mut rest = der;
    let mut seen: BTreeMap<u8, usize> = BTreeMap::new();
    while let Some((&tag, after)) = rest.split_first() {
        let (length, after) = der_length(after)?;
        let (content, after) = after.split_at_checked(length)?;
        rest = after;
        let number = seen.entry(tag).or_default();
        // What is signed is bytes, whatever tag it has.
        let is_bytes = place.ends_with(SIGNED_CONTENT);
        let place = format!("{place}/{tag:02x}.{number}");
        *number += 1;
        if is_bytes || tag & 0x20 == 0 || content.is_empty() {
            parts.insert(place, content.to_vec());
        } else {
            open_der(content, &place, parts)?;
        }
    }
    Some(())
}

fn der_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((first.into(), rest));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    if digits.len() > 4 {
        return None;
    }
    let length = digits
        .iter()
        .fold(0, |length, digit| length << 8 | usize::from(*digit));
    Some((length, rest))
}
