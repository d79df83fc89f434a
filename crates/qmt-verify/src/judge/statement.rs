//! What was signed: in-toto statements and cosign's simple-signing payload, read by ourselves, so
//! that the digest in it is compared by our own code whatever a library does.

use std::collections::BTreeMap;

use qmt_oci_ref::Digest;
use serde::Deserialize;
use serde_json::Value;
use sigstore_verify::types::DsseEnvelope;

use crate::error::printable;
use crate::fault::Fault;

pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPES: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];
const SIMPLE_SIGNING_TYPE: &str = "cosign container image signature";

/// An in-toto statement that names the subject that was asked about.
/// <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>
pub(super) struct Statement {
    pub(super) predicate_type: String,
    pub(super) predicate: Value,
    /// Annotations of that very subject.
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStatement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<WireSubject>,
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

#[derive(Deserialize)]
struct WireSubject {
    digest: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Value>>,
}

impl Statement {
    /// Reads a statement, which must be about a subject of one of these digests and name at most
    /// so many.
    pub(super) fn parse(
        envelope: &DsseEnvelope,
        subjects: &[&Digest],
        most: usize,
    ) -> Result<Self, Fault> {
        if envelope.payload_type != PAYLOAD_TYPE {
            let found = envelope.payload_type.clone();
            return Err(Fault::OtherType {
                found,
                expected: PAYLOAD_TYPE,
            });
        }
        let wire: WireStatement = serde_json::from_slice(envelope.payload.as_bytes())
            .map_err(|error| unreadable("the statement", &error))?;
        if !STATEMENT_TYPES.contains(&wire.kind.as_str()) {
            return Err(Fault::OtherType {
                found: wire.kind,
                expected: "in-toto statement",
            });
        }
        if wire.subject.len() > most {
            return Err(Fault::TooMany {
                what: "subjects",
                limit: most,
            });
        }
        let is_ours = |one: &&WireSubject| {
            subjects.iter().any(|subject| {
                let named = one.digest.get(subject.algorithm().as_str());
                named.is_some_and(|hex| hex == subject.hex())
            })
        };
        let Some(ours) = wire.subject.iter().find(is_ours) else {
            return Err(Fault::OtherDigest {
                named: name_of(&wire.subject),
            });
        };
        let annotations = texts(ours.annotations.clone().unwrap_or_default());
        let WireStatement {
            predicate_type,
            predicate,
            ..
        } = wire;
        Ok(Self {
            predicate_type,
            predicate,
            annotations,
        })
    }
}

/// The digest of the first subject, whatever its algorithm, for messages.
fn name_of(subjects: &[WireSubject]) -> String {
    subjects
        .first()
        .and_then(|one| one.digest.iter().next())
        .map_or_else(
            || "nothing".to_owned(),
            |(kind, hex)| printable(&format!("{kind}:{hex}")),
        )
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
    optional: Option<BTreeMap<String, Value>>,
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
    docker_reference: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: String,
}

impl SimpleSigning {
    pub(super) fn parse(payload: &[u8], subject: &Digest) -> Result<Self, Fault> {
        let wire: WirePayload = serde_json::from_slice(payload)
            .map_err(|error| unreadable("the signed payload", &error))?;
        if wire.critical.kind != SIMPLE_SIGNING_TYPE {
            let found = wire.critical.kind;
            return Err(Fault::OtherType {
                found,
                expected: SIMPLE_SIGNING_TYPE,
            });
        }
        let named = wire.critical.image.docker_manifest_digest;
        if named != subject.to_string() {
            return Err(Fault::OtherDigest { named });
        }
        let name = wire
            .critical
            .identity
            .map(|identity| identity.docker_reference);
        Ok(Self {
            annotations: texts(wire.optional.unwrap_or_default()),
            name: name.filter(|name| !name.is_empty()),
        })
    }
}

fn unreadable(what: &'static str, error: &serde_json::Error) -> Fault {
    Fault::Unreadable {
        what,
        detail: error.to_string(),
    }
}

fn texts(values: BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    values
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect()
}
