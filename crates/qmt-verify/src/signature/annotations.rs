//! cosign 2 stores signature, certificate, log entry and timestamp in annotations of a layer. They
//! become a bundle v0.1, whose rules they satisfy: a promise of inclusion, no proof.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::text::without_byte_order_mark;
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_verify::crypto::sha256;
use sigstore_verify::types::{
    Bundle, DerCertificate, DigestBytes, DsseEnvelope, HashAlgorithm, MediaType, MessageDigest,
    MessageSignature, PublicKeyIdentifier, Rfc3161Timestamp, SignatureBytes, SignatureContent,
    TimestampToken, TimestampVerificationData, TransparencyLogEntry, VerificationMaterial,
    VerificationMaterialContent, X509Certificate,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::ignored::{Defect, Unread};
use super::{base64_text, protojson};
use crate::evidence::{CERTIFICATE, CHAIN, LOG_ENTRY, SIGNATURE, TIMESTAMP};
use crate::limits::CHAIN_MAX;
use crate::pem::{self, Label};
use crate::reason::Reason;

type Annotations = BTreeMap<String, String>;

/// The bundle of a `.sig` layer.
pub(super) fn message(
    payload: &[u8],
    annotations: &Annotations,
) -> Result<(Bundle, Unread), Reason> {
    const WHAT: &str = "the signature";
    let Some(signature) = filled(annotations, SIGNATURE) else {
        let missing = format!("the annotation `{SIGNATURE}` is missing");
        return Err(Reason::unreadable(WHAT, missing));
    };
    // As cosign reads it: the library accepts other alphabets too.
    let signature =
        base64_text::decode(signature).map_err(|_| Reason::from(&not_base64(WHAT, SIGNATURE)))?;
    let signature = SignatureBytes::new(signature);
    let digest = DigestBytes::new(sha256(payload).as_bytes().to_vec());
    let content = MessageSignature::new(signature)
        .with_message_digest(MessageDigest::new(HashAlgorithm::Sha2256, digest));
    let content = SignatureContent::MessageSignature(content);
    let (material, mut unread) = material(annotations)?;
    let timestamps = or_default(timestamps(annotations), &mut unread.timestamps);
    let material = material.with_timestamp_verification_data(timestamps);
    Ok((bundle(material, content), unread))
}

/// The bundle of an `.att` layer. Its timestamp is over the whole envelope and not over the
/// signature, which bundles cannot express: it is left out, so that the log alone gives the time.
pub(super) fn envelope(json: &[u8], annotations: &Annotations) -> Result<(Bundle, Unread), Reason> {
    let json = without_byte_order_mark(json);
    let envelope = serde_json::from_slice::<DsseEnvelope>(json).or_else(|error| {
        let normalized = protojson::normalized_envelope(json).ok().flatten();
        let json = normalized.as_ref().map_or(json, String::as_bytes);
        let joined = base64_text::joined_json(json);
        let read = serde_json::from_slice(joined.as_deref().unwrap_or(json));
        read.map_err(|_| Reason::unreadable("the envelope", error))
    })?;
    let (material, unread) = material(annotations)?;
    let content = SignatureContent::DsseEnvelope(envelope);
    Ok((bundle(material, content), unread))
}

/// Without a log entry there is no promise, which v0.1 requires. The policy decides whether a
/// missing entry is accepted.
fn bundle(material: VerificationMaterial, content: SignatureContent) -> Bundle {
    let version = if material.tlog_entries.is_empty() {
        MediaType::Bundle0_2
    } else {
        MediaType::Bundle0_1
    };
    Bundle::new(version, material, content)
}

fn material(annotations: &Annotations) -> Result<(VerificationMaterial, Unread), Reason> {
    let mut unread = Unread::default();
    let content = match filled(annotations, CERTIFICATE) {
        Some(pem) => VerificationMaterialContent::X509CertificateChain {
            certificates: chain(pem, filled(annotations, CHAIN))?,
        },
        None => VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new("")),
    };
    let entry = filled(annotations, LOG_ENTRY).map(log_entry).transpose();
    let entry = or_default(entry, &mut unread.log_entries).flatten();
    let entries = entry.into_iter().collect();
    let material = VerificationMaterial::new(content).with_tlog_entries(entries);
    Ok((material, unread))
}

/// Keeps why a part cannot be read, and treats it as missing.
fn or_default<T: Default>(read: Result<T, Defect>, kept: &mut Option<Defect>) -> T {
    read.unwrap_or_else(|defect| {
        *kept = Some(defect);
        T::default()
    })
}

/// The certificate and the intermediates, from the blocks after it and from the chain next to it.
/// As cosign reads it, the first block is the signer's certificate. Roots come from the trust root
/// alone; a self-signed certificate in an annotation is left out.
fn chain(leaf: &str, chain: Option<&str>) -> Result<Vec<X509Certificate>, Reason> {
    const ISSUERS: &str = "the certificate chain";
    let broken = |problem: String| Reason::unreadable("the certificate", problem);
    let mut blocks = pem::blocks(leaf.as_bytes()).map_err(broken)?.into_iter();
    let Some(leaf) = blocks.next() else {
        return Err(broken("it holds no PEM block".to_owned()));
    };
    if leaf.label != Label::Certificate {
        return Err(broken(format!("it is a `{}`", leaf.name)));
    }
    let mut certificates = vec![X509Certificate::new(DerCertificate::new(leaf.der))];
    let chain = pem::blocks(chain.unwrap_or_default().as_bytes());
    let chain = chain.map_err(|problem| Reason::unreadable(ISSUERS, problem))?;
    for block in blocks.chain(chain) {
        let parsed = Certificate::from_der(&block.der);
        let parsed = parsed.map_err(|error| Reason::unreadable(ISSUERS, error))?;
        let tbs = &parsed.tbs_certificate;
        if tbs.issuer == tbs.subject {
            continue;
        }
        super::at_most("certificates", certificates.len() + 1, CHAIN_MAX)?;
        certificates.push(X509Certificate::new(DerCertificate::new(block.der)));
    }
    Ok(certificates)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RekorBundle {
    signed_entry_timestamp: String,
    payload: RekorPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RekorPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
struct EntryKind {
    kind: String,
    #[serde(rename = "apiVersion")]
    api_version: String,
}

/// The log entry; `null` is absence, as an empty annotation is.
fn log_entry(text: &str) -> Result<Option<TransparencyLogEntry>, Defect> {
    const WHAT: &str = "the log entry";
    fn broken(error: impl fmt::Display) -> Defect {
        Defect::new(WHAT, error)
    }
    let bundle: Option<RekorBundle> = serde_json::from_str(text).map_err(broken)?;
    let Some(bundle) = bundle else {
        return Ok(None);
    };
    let payload = bundle.payload;
    let body = base64_text::decode(&payload.body);
    let body = body.map_err(|_| not_base64(WHAT, LOG_ENTRY))?;
    let EntryKind { kind, api_version } = serde_json::from_slice(&body).map_err(broken)?;
    let log = hex::decode(payload.log_id.trim()).map_err(broken)?;
    // Through the library's own JSON form, so that its validation applies.
    let entry: Value = json!({
        "logIndex": payload.log_index.to_string(),
        "logId": { "keyId": STANDARD.encode(log) },
        "kindVersion": { "kind": kind, "version": api_version },
        "integratedTime": payload.integrated_time.to_string(),
        "inclusionPromise": {
            "signedEntryTimestamp": base64_text::joined(&bundle.signed_entry_timestamp),
        },
        "canonicalizedBody": STANDARD.encode(body),
    });
    serde_json::from_value(entry).map(Some).map_err(broken)
}

#[derive(Deserialize)]
struct SignedTimestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

fn timestamps(annotations: &Annotations) -> Result<TimestampVerificationData, Defect> {
    const WHAT: &str = "the timestamp";
    let Some(text) = filled(annotations, TIMESTAMP) else {
        return Ok(TimestampVerificationData::default());
    };
    let signed: Option<SignedTimestamp> =
        serde_json::from_str(text).map_err(|error| Defect::new(WHAT, error))?;
    let Some(SignedTimestamp { token }) = signed else {
        return Ok(TimestampVerificationData::default());
    };
    let token = base64_text::decode(&token).map_err(|_| not_base64(WHAT, TIMESTAMP))?;
    let timestamps = vec![Rfc3161Timestamp::new(TimestampToken::new(token))];
    Ok(TimestampVerificationData::new(timestamps))
}

/// The decoder's own words name a position in a text that is not shown.
fn not_base64(what: &'static str, annotation: &str) -> Defect {
    let problem = format!("the annotation `{annotation}` has a value that is not base64");
    Defect::new(what, problem)
}

/// The value of an annotation; cosign writes empty ones for what is missing.
fn filled<'a>(annotations: &'a Annotations, name: &str) -> Option<&'a str> {
    let text = annotations.get(name)?;
    (!text.trim().is_empty()).then_some(text)
}
