//! The JSON of bundles, envelopes and trusted roots by the rules of protocol buffers, as sigstore-go
//! reads it: `null` is an absent field, and a field has two names.
//! <https://protobuf.dev/programming-guides/json/>

use qmt_oci_ref::json;
use serde_json::Value;

/// A field by its name in the definition, and the fields of the message that it holds.
/// <https://github.com/sigstore/protobuf-specs/tree/v0.5.0/protos>
struct Field(&'static str, &'static [Self]);

const BUNDLE: &[Field] = &[
    Field("media_type", &[]),
    Field("verification_material", MATERIAL),
    Field("message_signature", MESSAGE_SIGNATURE),
    Field("dsse_envelope", ENVELOPE),
];
const MATERIAL: &[Field] = &[
    Field("public_key", &[Field("hint", &[])]),
    Field(
        "x509_certificate_chain",
        &[Field("certificates", CERTIFICATE)],
    ),
    Field("certificate", CERTIFICATE),
    Field("tlog_entries", LOG_ENTRY),
    Field("timestamp_verification_data", TIMESTAMPS),
];
const CERTIFICATE: &[Field] = &[Field("raw_bytes", &[])];
const TIMESTAMPS: &[Field] = &[Field(
    "rfc3161_timestamps",
    &[Field("signed_timestamp", &[])],
)];
const LOG_ENTRY: &[Field] = &[
    Field("log_index", &[]),
    Field("log_id", LOG_ID),
    Field("kind_version", &[Field("kind", &[]), Field("version", &[])]),
    Field("integrated_time", &[]),
    Field("inclusion_promise", &[Field("signed_entry_timestamp", &[])]),
    Field("inclusion_proof", INCLUSION_PROOF),
    Field("canonicalized_body", &[]),
];
const INCLUSION_PROOF: &[Field] = &[
    Field("log_index", &[]),
    Field("root_hash", &[]),
    Field("tree_size", &[]),
    Field("hashes", &[]),
    Field("checkpoint", &[Field("envelope", &[])]),
];
const MESSAGE_SIGNATURE: &[Field] = &[
    Field(
        "message_digest",
        &[Field("algorithm", &[]), Field("digest", &[])],
    ),
    Field("signature", &[]),
];
/// DSSE defines `payloadType` under this one name.
const ENVELOPE: &[Field] = &[
    Field("payload", &[]),
    Field("payloadType", &[]),
    Field("signatures", &[Field("sig", &[]), Field("keyid", &[])]),
];

const TRUSTED_ROOT: &[Field] = &[
    Field("media_type", &[]),
    Field("tlogs", LOG),
    Field("certificate_authorities", AUTHORITY),
    Field("ctlogs", LOG),
    Field("timestamp_authorities", AUTHORITY),
];
const LOG: &[Field] = &[
    Field("base_url", &[]),
    Field("hash_algorithm", &[]),
    Field("public_key", PUBLIC_KEY),
    Field("log_id", LOG_ID),
    Field("checkpoint_key_id", LOG_ID),
    Field("operator", &[]),
];
const LOG_ID: &[Field] = &[Field("key_id", &[])];
const PUBLIC_KEY: &[Field] = &[
    Field("raw_bytes", &[]),
    Field("key_details", &[]),
    Field("valid_for", TIME_RANGE),
];
const TIME_RANGE: &[Field] = &[Field("start", &[]), Field("end", &[])];
const AUTHORITY: &[Field] = &[
    Field(
        "subject",
        &[Field("organization", &[]), Field("common_name", &[])],
    ),
    Field("uri", &[]),
    Field("cert_chain", &[Field("certificates", CERTIFICATE)]),
    Field("valid_for", TIME_RANGE),
    Field("operator", &[]),
];

/// A field that a message has under both of its names.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("duplicate field `{0}`")]
pub(crate) struct Duplicate(String);

/// The JSON of a bundle with the names that the library reads, and without `null`; `None` if it is
/// that already, or is not read.
pub(super) fn normalized_bundle(json: &[u8]) -> Result<Option<String>, Duplicate> {
    normalized(json, BUNDLE)
}

/// The same for an envelope, whose fields have one name each.
pub(super) fn normalized_envelope(json: &[u8]) -> Result<Option<String>, Duplicate> {
    normalized(json, ENVELOPE)
}

fn normalized(document: &[u8], message: &[Field]) -> Result<Option<String>, Duplicate> {
    let Some(mut value) = json::value(document) else {
        return Ok(None);
    };
    let mut changed = false;
    normalize(&mut value, message, &mut changed)?;
    Ok(changed.then(|| value.to_string()))
}

/// The texts of a trusted root that the library requires.
const REQUIRED_TEXTS: [(&str, &str); 3] = [
    ("tlogs", "baseUrl"),
    ("ctlogs", "baseUrl"),
    ("certificateAuthorities", "uri"),
];

/// Gives the fields of a trusted root the names that the library reads, removes `null`, and adds the
/// texts that are absent because they are empty.
pub(crate) fn normalize_root(root: &mut Value) -> Result<(), Duplicate> {
    normalize(root, TRUSTED_ROOT, &mut false)?;
    for (list, field) in REQUIRED_TEXTS {
        let entries = root.get_mut(list).and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            if let Some(entry) = entry.as_object_mut() {
                entry.entry(field).or_insert_with(|| "".into());
            }
        }
    }
    Ok(())
}

/// Fields that the message does not define stay, and so do the items of lists, which can't be
/// `null`.
fn normalize(value: &mut Value, message: &[Field], changed: &mut bool) -> Result<(), Duplicate> {
    match value {
        Value::Array(items) => {
            for item in items {
                normalize(item, message, changed)?;
            }
        }
        Value::Object(fields) => {
            for Field(proto_name, message) in message {
                let name = json_name(proto_name);
                if name != *proto_name
                    && let Some(value) = fields.remove(*proto_name)
                {
                    *changed = true;
                    if fields.insert(name.clone(), value).is_some() {
                        return Err(Duplicate(name));
                    }
                }
                match fields.get_mut(&name) {
                    Some(Value::Null) => {
                        *changed = true;
                        fields.remove(&name);
                    }
                    Some(value) => normalize(value, message, changed)?,
                    None => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The name in JSON: without underscores, and the letter behind each in upper case.
fn json_name(proto_name: &str) -> String {
    let mut words = proto_name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at_checked(1).unwrap_or_default();
        name + &initial.to_ascii_uppercase() + rest
    })
}

#[cfg(test)]
mod tests;
