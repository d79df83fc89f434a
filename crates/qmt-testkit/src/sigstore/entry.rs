//! What is logged about a signature: the canonical bodies of Rekor's entries.
//!
//! Schemas: <https://github.com/sigstore/rekor/tree/main/pkg/types> and
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/rekor/v2/hashedrekord.proto>.

use serde_json::{Value, json};

use super::codec::{Canonical, base64, canonical_json, certificate_pem, pem};
use super::key::{KeyKind, sha256, sha384, sha512};

/// The media type of an in-toto statement in an envelope.
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An entry's body in the bytes that the log hashed.
#[derive(Clone)]
pub(super) struct Body {
    pub(super) kind: &'static str,
    pub(super) version: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// What is signed.
#[derive(Clone)]
pub(super) enum Signed {
    /// A payload by itself, as in a `.sig` layer.
    Payload(Vec<u8>),
    /// A payload in a DSSE envelope.
    Envelope { payload: Vec<u8>, r#type: String },
}

impl Signed {
    /// The bytes under the signature.
    pub(super) fn message(&self) -> Vec<u8> {
        match self {
            Self::Payload(payload) => payload.clone(),
            Self::Envelope { payload, r#type } => {
                let mut message =
                    format!("DSSEv1 {} {} {} ", r#type.len(), r#type, payload.len()).into_bytes();
                message.extend_from_slice(payload);
                message
            }
        }
    }

    /// The same kind of thing about something else.
    pub(super) fn other(&self) -> Self {
        let mut other = self.clone();
        let (Self::Payload(payload) | Self::Envelope { payload, .. }) = &mut other;
        payload.push(b' ');
        other
    }

    /// The envelope as cosign 2 writes it into a layer: what Rekor v1 hashes.
    pub(super) fn envelope(&self, signature: &[u8]) -> Value {
        match self {
            Self::Payload(_) => panic!("a plain payload has no envelope"),
            Self::Envelope { payload, r#type } => json!({
                "payloadType": r#type,
                "payload": base64(payload),
                "signatures": [{ "keyid": "", "sig": base64(signature) }],
            }),
        }
    }
}

/// Whose signature it is.
#[derive(Clone)]
pub(super) enum SignerProof {
    Certificate(Vec<u8>),
    PublicKey(Vec<u8>),
}

impl SignerProof {
    fn pem(&self) -> String {
        match self {
            Self::Certificate(der) => certificate_pem(der),
            Self::PublicKey(der) => pem("PUBLIC KEY", der),
        }
    }
}

/// The body that Rekor v1 logs: `hashedrekord` for payloads, `dsse` for envelopes.
pub(super) fn v1(signed: &Signed, signature: &[u8], signer: &SignerProof) -> Body {
    match signed {
        Signed::Payload(payload) => body(
            "hashedrekord",
            "0.0.1",
            &json!({
                "data": { "hash": hash(payload) },
                "signature": {
                    "content": base64(signature),
                    "publicKey": { "content": base64(signer.pem()) },
                },
            }),
        ),
        Signed::Envelope { payload, .. } => body(
            "dsse",
            "0.0.1",
            &json!({
                "envelopeHash": hash(signed.envelope(signature).to_string().as_bytes()),
                "payloadHash": hash(payload),
                "signatures": [{
                    "signature": base64(signature),
                    "verifier": base64(signer.pem()),
                }],
            }),
        ),
    }
}

/// The body that Rekor v1 logs for envelopes where it is asked for `intoto`, as cosign 2.0 does.
///
/// The canonical form leaves the payload out and encodes the signature once more.
pub(super) fn v1_intoto(signed: &Signed, signature: &[u8], signer: &SignerProof) -> Body {
    let Signed::Envelope { payload, r#type } = signed else {
        panic!("entries of kind `intoto` are about envelopes, and a `.sig` has none");
    };
    let envelope = signed.envelope(signature).to_string();
    body(
        "intoto",
        "0.0.2",
        &json!({
            "content": {
                "envelope": {
                    "payloadType": r#type,
                    "signatures": [{
                        "sig": base64(base64(signature)),
                        "publicKey": base64(signer.pem()),
                    }],
                },
                "hash": hash(envelope.as_bytes()),
                "payloadHash": hash(payload),
            },
        }),
    )
}

/// The body that Rekor v2 logs: `hashedrekord` over the bytes under the signature.
pub(super) fn v2(signed: &Signed, signature: &[u8], signer: &SignerProof, kind: KeyKind) -> Body {
    let message = signed.message();
    let (algorithm, digest) = match kind {
        KeyKind::P384 => ("SHA2_384", sha384(&message)),
        KeyKind::P521 => ("SHA2_512", sha512(&message)),
        _ => ("SHA2_256", sha256(&message).to_vec()),
    };
    let mut verifier = json!({ "keyDetails": kind.details() });
    let (member, der) = match signer {
        SignerProof::Certificate(der) => ("x509Certificate", der),
        SignerProof::PublicKey(der) => ("publicKey", der),
    };
    verifier[member] = json!({ "rawBytes": base64(der) });
    body(
        "hashedrekord",
        "0.0.2",
        &json!({
            "hashedRekordV002": {
                "data": { "algorithm": algorithm, "digest": base64(digest) },
                "signature": { "content": base64(signature), "verifier": verifier },
            },
        }),
    )
}

fn hash(bytes: &[u8]) -> Value {
    json!({ "algorithm": "sha256", "value": hex::encode(sha256(bytes)) })
}

fn body(kind: &'static str, version: &'static str, spec: &Value) -> Body {
    let value = json!({ "apiVersion": version, "kind": kind, "spec": spec });
    Body {
        kind,
        version,
        bytes: canonical_json(&value, Canonical::Jcs),
    }
}
