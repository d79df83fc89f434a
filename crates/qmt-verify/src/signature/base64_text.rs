//! Base64 with white space: Go's decoder, and so cosign, skips line breaks. Alphabet and padding
//! are checked strictly.

use std::borrow::Cow;

use base64::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::json;
use serde_json::Value;

/// The fields of bundles and envelopes that hold base64.
/// <https://github.com/sigstore/protobuf-specs/tree/main/protos>
const FIELDS: [&str; 11] = [
    "canonicalizedBody",
    "digest",
    "hashes",
    "keyId",
    "payload",
    "rawBytes",
    "rootHash",
    "sig",
    "signature",
    "signedEntryTimestamp",
    "signedTimestamp",
];

/// Decodes `text` in the standard alphabet, with padding.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    STANDARD.decode(joined(text).as_bytes())
}

/// `text` without white space.
pub(crate) fn joined(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        Cow::Owned(text.split_ascii_whitespace().collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The JSON of a bundle or an envelope without white space in its base64; `None` if it has no such
/// white space, or is not read.
pub(super) fn joined_json(document: &[u8]) -> Option<Vec<u8>> {
    let mut value = json::value(document)?;
    let mut changed = false;
    join(&mut value, false, &mut changed);
    changed.then(|| value.to_string().into_bytes())
}

fn join(value: &mut Value, is_base64: bool, changed: &mut bool) {
    match value {
        Value::String(text) if is_base64 => {
            if let Cow::Owned(other) = joined(text) {
                *text = other;
                *changed = true;
            }
        }
        Value::Array(items) => {
            for item in items {
                join(item, is_base64, changed);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                join(value, FIELDS.contains(&name.as_str()), changed);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
