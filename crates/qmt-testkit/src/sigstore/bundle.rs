//! Sigstore bundles v0.3: what cosign 3 attaches as a referrer.
//!
//! Spec: <https://docs.sigstore.dev/about/bundle/>,
//! <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>.

use std::fmt::Display;

use bytes::Bytes;
use qmt_oci_ref::manifest::OCI_MANIFEST;
use qmt_oci_ref::time::rfc3339;
use serde_json::{Value, json};

use super::PrivateSigstore;
use super::codec::{Must, base64};
use super::entry::{IN_TOTO, Signed, SignerProof};
use super::image::{SignatureImage, SignedSubject, bytes, digest, hex_of};
use super::key::{sha256, sha512};
use super::signing::{Material, Signing, Style};
use super::tampered::{Format, Tampered};

/// The media type of a bundle, of its layer and of the referrer.
pub const BUNDLE_V03: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The predicate by which a statement is a signature of cosign 3.
pub const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

const BUNDLE_V01: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A bundle, and what its referrer says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedBundle {
    /// The bundle's JSON.
    pub json: Bytes,
    /// The type of the statement's predicate.
    pub predicate_type: String,
    /// When it was made, RFC 3339.
    pub created: String,
}

impl SignedBundle {
    /// The referrer that cosign 3 writes for the image `subject`.
    pub fn referrer(&self, subject: &SignedSubject) -> SignatureImage {
        let config = Bytes::from_static(b"{}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": BUNDLE_V03,
            "config": {
                "mediaType": EMPTY,
                "size": config.len(),
                "digest": digest(&config),
                "artifactType": BUNDLE_V03,
            },
            "layers": [{
                "mediaType": BUNDLE_V03,
                "size": self.json.len(),
                "digest": digest(&self.json),
            }],
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": self.predicate_type,
                "org.opencontainers.image.created": self.created,
            },
            "subject": subject.to_json(),
        });
        let blobs = vec![
            (EMPTY.to_owned(), config),
            (BUNDLE_V03.to_owned(), self.json.clone()),
        ];
        SignatureImage::new(None, &manifest, blobs)
    }

    /// The same bundle with its log entry `count` times. All of them hold.
    #[must_use]
    pub fn with_entries(&self, count: usize) -> Self {
        self.repeated("/verificationMaterial/tlogEntries", count)
    }

    /// The same bundle with its timestamp `count` times. All of them hold.
    #[must_use]
    pub fn with_timestamps(&self, count: usize) -> Self {
        let list = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
        self.repeated(list, count)
    }

    fn repeated(&self, list: &str, count: usize) -> Self {
        let mut value = self.value();
        let items = value
            .pointer_mut(list)
            .and_then(Value::as_array_mut)
            .must("find what to repeat in the bundle");
        let first = items.first().must("find what to repeat").clone();
        *items = vec![first; count];
        Self {
            json: bytes(&value),
            ..self.clone()
        }
    }

    pub(super) fn value(&self) -> Value {
        serde_json::from_slice(&self.json).must("read its own bundle")
    }
}

impl PrivateSigstore {
    /// Signs the image `subject` (`sha256:…`) as cosign 3 does.
    ///
    /// # Panics
    ///
    /// If the request is contradictory: another digest algorithm, a defect that does not apply to such
    /// a signature.
    pub fn sign_bundle(&self, subject: impl Display, signing: &Signing) -> SignedBundle {
        let predicate_type = match signing.tampered {
            Some(Tampered::WrongType) => "https://cosign.sigstore.dev/attestation/v1",
            _ => SIGN_PREDICATE,
        };
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects(&subject.to_string(), signing, None),
            "predicateType": predicate_type,
            "predicate": {},
        });
        self.bundle(&statement, predicate_type, signing)
    }

    /// Puts a statement into an envelope, signs it, and bundles everything.
    pub(super) fn bundle(
        &self,
        statement: &Value,
        predicate_type: &str,
        signing: &Signing,
    ) -> SignedBundle {
        if let Some(tampered) = signing.tampered {
            tampered.require(Format::Bundle, signing);
        }
        let text = statement.to_string();
        let signed = Signed::Envelope {
            payload: match signing.tampered {
                Some(Tampered::MalformedPayload) => text.replace(':', " ").into_bytes(),
                _ => text.into_bytes(),
            },
            r#type: match signing.tampered {
                Some(Tampered::WrongPayloadType) => "text/plain".to_owned(),
                _ => IN_TOTO.to_owned(),
            },
        };
        let material = self.material(&signed, signing, Style::Cosign3);
        let mut bundle = json!({
            "mediaType": BUNDLE_V03,
            "verificationMaterial": verification_material(&material),
            "dsseEnvelope": envelope(&signed, &material.signature, signing.tampered),
        });
        if signing.tampered == Some(Tampered::OldBundle) {
            relabel(&mut bundle);
        }
        SignedBundle {
            json: bytes(&bundle),
            predicate_type: predicate_type.to_owned(),
            created: rfc3339(self.begins(signing)),
        }
    }
}

/// The subjects of a statement about `subject`, in the form that the order asks for.
pub(super) fn subjects(subject: &str, signing: &Signing, name: Option<&str>) -> Value {
    let hex = hex_of(subject);
    let digest = match signing.tampered {
        Some(Tampered::NoSubject) => return json!([]),
        Some(Tampered::WrongSubject) => json!({ "sha256": hex::encode(sha256(hex.as_bytes())) }),
        Some(Tampered::OtherDigestAlgorithm) => {
            json!({ "sha512": hex::encode(sha512(hex.as_bytes())) })
        }
        _ => json!({ "sha256": hex }),
    };
    let mut entry = json!({ "digest": digest });
    match name {
        Some(name) => entry["name"] = name.into(),
        None => entry["annotations"] = json!(signing.annotations),
    }
    let mut subjects: Vec<Value> = (0..signing.more_subjects)
        .map(|number| {
            let other = hex::encode(sha256(&number.to_be_bytes()));
            json!({ "name": format!("other-{number}"), "digest": { "sha256": other } })
        })
        .collect();
    subjects.push(entry);
    subjects.into()
}

fn verification_material(material: &Material) -> Value {
    let mut out = match &material.proof {
        SignerProof::Certificate(leaf) => json!({ "certificate": { "rawBytes": base64(leaf) } }),
        SignerProof::PublicKey(der) => {
            json!({ "publicKey": { "hint": base64(sha256(der)) } })
        }
    };
    if let Some(entry) = &material.entry {
        out["tlogEntries"] = json!([entry.to_bundle_json()]);
    }
    if !material.timestamps.is_empty() {
        let tokens: Vec<_> = material
            .timestamps
            .iter()
            .map(|token| json!({ "signedTimestamp": base64(token) }))
            .collect();
        out["timestampVerificationData"] = json!({ "rfc3161Timestamps": tokens });
    }
    out
}

fn envelope(signed: &Signed, signature: &[u8], tampered: Option<Tampered>) -> Value {
    let Signed::Envelope { payload, r#type } = signed else {
        panic!("a bundle of cosign holds an envelope");
    };
    let mut signatures = vec![json!({ "sig": base64(signature) })];
    if tampered == Some(Tampered::TwoSignatures) {
        signatures.push(json!({ "sig": base64([0x2a; 70]) }));
    }
    json!({ "payload": base64(payload), "payloadType": r#type, "signatures": signatures })
}

/// Makes a v0.1 bundle of it, and drops the proof that v0.1 does not ask for.
fn relabel(bundle: &mut Value) {
    bundle["mediaType"] = BUNDLE_V01.into();
    let material = &mut bundle["verificationMaterial"];
    if let Some(entry) = material["tlogEntries"][0].as_object_mut() {
        entry.remove("inclusionProof");
    }
}
