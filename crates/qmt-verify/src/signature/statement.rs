//! What was signed: in-toto statements and cosign's simple-signing payload. They are parsed here,
//! so that the comparison of the digest does not depend on a library.

use std::collections::BTreeMap;

use qmt_oci_ref::{Digest, json};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sigstore_verify::types::DsseEnvelope;

use crate::reason::Reason;

pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
pub(crate) const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
const STATEMENT_TYPES: [&str; 2] = [STATEMENT_V1, "https://in-toto.io/Statement/v0.1"];
const SIMPLE_SIGNING_TYPE: &str = "cosign container image signature";

/// An in-toto statement that names the expected subject.
/// <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>
pub(super) struct Statement {
    pub(super) predicate: Predicate,
    /// The annotations of that subject.
    pub(super) annotations: BTreeMap<String, String>,
}

/// What a statement says about its subjects.
pub(crate) struct Predicate {
    /// The predicate type.
    pub(crate) kind: String,
    /// Not parsed: as a tree of values, it takes up to a hundred times the memory.
    json: Box<RawValue>,
}

impl Predicate {
    /// Parses the predicate; `null` if it is nested too deeply. Only a verified one is worth that.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(self.json.get()).unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStatement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<WireSubject>,
    predicate_type: String,
    #[serde(default)]
    predicate: Box<RawValue>,
}

#[derive(Deserialize)]
struct WireSubject {
    digest: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Box<RawValue>>>,
}

impl Statement {
    /// Parses a statement, which must name one of `digests` and at most `most` subjects.
    pub(super) fn parse(
        envelope: &DsseEnvelope,
        digests: &[&Digest],
        most: usize,
    ) -> Result<Self, Reason> {
        if envelope.payload_type != PAYLOAD_TYPE {
            let (found, expected) = (envelope.payload_type.clone(), PAYLOAD_TYPE);
            return Err(Reason::OtherType { found, expected });
        }
        let wire: WireStatement = serde_json::from_slice(envelope.payload.as_bytes())
            .map_err(|error| Reason::unreadable("the statement", error))?;
        if !STATEMENT_TYPES.contains(&wire.kind.as_str()) {
            let (found, expected) = (wire.kind, "in-toto statement");
            return Err(Reason::OtherType { found, expected });
        }
        super::at_most("subjects", wire.subject.len(), most)?;
        let names_digest = |one: &&WireSubject| {
            digests.iter().any(|digest| {
                let named = one.digest.get(digest.algorithm().as_str());
                named.is_some_and(|hex| hex == digest.hex())
            })
        };
        let Some(subject) = wire.subject.iter().find(names_digest) else {
            let mut digests = wire.subject.first().into_iter().flat_map(|one| &one.digest);
            let first = digests.next().map(|(kind, hex)| format!("{kind}:{hex}"));
            let named = first.unwrap_or_else(|| "nothing".to_owned());
            return Err(Reason::OtherDigest { named });
        };
        let annotations = subject.annotations.clone().unwrap_or_default();
        Ok(Self {
            annotations: texts(annotations),
            predicate: Predicate {
                kind: wire.predicate_type,
                json: wire.predicate,
            },
        })
    }
}

/// What cosign 2 signs.
/// <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#simple-signing>
pub(super) struct SimpleSigning {
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
struct WirePayload {
    critical: Critical,
    #[serde(default)]
    optional: Option<BTreeMap<String, Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Critical {
    #[serde(default)]
    identity: Option<Identity>,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference", default)]
    docker_reference: Option<String>,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: String,
}

impl SimpleSigning {
    pub(super) fn parse(payload: &[u8], subject: &Digest) -> Result<Self, Reason> {
        let wire: WirePayload = serde_json::from_slice(payload)
            .map_err(|error| Reason::unreadable("the signed payload", error))?;
        if wire.critical.kind != SIMPLE_SIGNING_TYPE {
            let (found, expected) = (wire.critical.kind, SIMPLE_SIGNING_TYPE);
            return Err(Reason::OtherType { found, expected });
        }
        let named = wire.critical.image.docker_manifest_digest;
        if named != subject.to_string() {
            return Err(Reason::OtherDigest { named });
        }
        let identity = wire.critical.identity;
        let name = identity.and_then(|identity| identity.docker_reference);
        Ok(Self {
            annotations: texts(wire.optional.unwrap_or_default()),
            name: name.filter(|name| !name.is_empty()),
        })
    }
}

fn texts(values: BTreeMap<String, Box<RawValue>>) -> BTreeMap<String, String> {
    let text = |json: &str| match json::value(json.as_bytes()) {
        Some(value) => plain_text(&value),
        None => json.to_owned(),
    };
    let values = values.into_iter();
    values
        .map(|(name, value)| (name, text(value.get())))
        .collect()
}

/// The content of a string, the JSON of any other value.
pub(crate) fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs in Go write `null` or an empty text for what is absent.
    #[test]
    fn an_absent_name_is_written_in_several_ways() {
        let subject = Digest::sha256("image");
        let name = |identity: &str| {
            let payload = format!(
                r#"{{"critical":{{{identity}"image":{{"docker-manifest-digest":"{subject}"}},"type":"{SIMPLE_SIGNING_TYPE}"}}}}"#
            );
            SimpleSigning::parse(payload.as_bytes(), &subject)
                .unwrap()
                .name
        };
        for absent in [
            "",
            r#""identity":null,"#,
            r#""identity":{},"#,
            r#""identity":{"docker-reference":null},"#,
            r#""identity":{"docker-reference":""},"#,
        ] {
            assert_eq!(name(absent), None, "{absent}");
        }
        let given = name(r#""identity":{"docker-reference":"a.b/c"},"#);
        assert_eq!(given.as_deref(), Some("a.b/c"));
    }
}
