//! cosign 2 keeps signature, certificate, log entry and timestamp in annotations of a layer. This
//! puts them into a bundle v0.1, whose rules they satisfy: a promise of inclusion, no proof.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

use crate::fault::Fault;
use crate::limits::CHAIN_MAX;
use crate::pem;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// What a PEM block calls a certificate.
const CERTIFICATE_LABEL: &str = "CERTIFICATE";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

type Annotations = BTreeMap<String, String>;

/// The bundle of a `.sig` layer.
pub(super) fn message(payload: &[u8], annotations: &Annotations) -> Result<Bundle, Fault> {
    let Some(signature) = filled(annotations, SIGNATURE) else {
        let detail = format!("the annotation `{SIGNATURE}` is missing");
        return Err(Fault::Unreadable {
            what: "the signature",
            detail,
        });
    };
    // Strictly, as cosign reads it: the library would take other alphabets too.
    let signature = STANDARD
        .decode(signature)
        .map(SignatureBytes::new)
        .map_err(|error| unreadable("the signature", &error))?;
    let digest = DigestBytes::new(sha256(payload).as_bytes().to_vec());
    let content = MessageSignature::new(signature)
        .with_message_digest(MessageDigest::new(HashAlgorithm::Sha2256, digest));
    let timestamps = timestamps(annotations)?;
    let material = material(annotations)?.with_timestamp_verification_data(timestamps);
    // Without a log entry there is no promise, which v0.1 would demand; whether that is allowed is
    // decided later.
    let version = if material.tlog_entries.is_empty() {
        MediaType::Bundle0_2
    } else {
        MediaType::Bundle0_1
    };
    Ok(Bundle::new(
        version,
        material,
        SignatureContent::MessageSignature(content),
    ))
}

/// The bundle of a `.att` layer. Its timestamp is over the whole envelope and not over the
/// signature, which bundles cannot express: it is left out, so that the log alone gives the time.
pub(super) fn envelope(json: &[u8], annotations: &Annotations) -> Result<Bundle, Fault> {
    let envelope: DsseEnvelope =
        serde_json::from_slice(json).map_err(|error| unreadable("the envelope", &error))?;
    let material = material(annotations)?;
    let version = if material.tlog_entries.is_empty() {
        MediaType::Bundle0_2
    } else {
        MediaType::Bundle0_1
    };
    Ok(Bundle::new(
        version,
        material,
        SignatureContent::DsseEnvelope(envelope),
    ))
}

fn material(annotations: &Annotations) -> Result<VerificationMaterial, Fault> {
    let content = match filled(annotations, CERTIFICATE) {
        Some(pem) => VerificationMaterialContent::X509CertificateChain {
            certificates: chain(pem, filled(annotations, CHAIN))?,
        },
        None => VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new("")),
    };
    let entries = match filled(annotations, LOG_ENTRY) {
        Some(text) => vec![log_entry(text)?],
        None => Vec::new(),
    };
    Ok(VerificationMaterial::new(content).with_tlog_entries(entries))
}

/// The certificate and, from the chain beside it, the intermediates. Roots come from the trust
/// root alone; a self-signed certificate in an annotation is left out.
fn chain(leaf: &str, chain: Option<&str>) -> Result<Vec<X509Certificate>, Fault> {
    let broken = |detail: String| Fault::Unreadable {
        what: "the certificate",
        detail,
    };
    let [leaf] = <[_; 1]>::try_from(pem::blocks(leaf.as_bytes()).map_err(broken)?)
        .map_err(|blocks| broken(format!("{} PEM blocks where one belongs", blocks.len())))?;
    if leaf.label != CERTIFICATE_LABEL {
        return Err(broken(format!("it is a `{}`", leaf.label)));
    }
    let mut certificates = vec![X509Certificate::new(DerCertificate::new(leaf.der))];
    for block in pem::blocks(chain.unwrap_or_default().as_bytes()).map_err(broken)? {
        let parsed =
            Certificate::from_der(&block.der).map_err(|error| broken(error.to_string()))?;
        let tbs = &parsed.tbs_certificate;
        if tbs.issuer == tbs.subject {
            continue;
        }
        if certificates.len() == CHAIN_MAX {
            return Err(Fault::TooMany {
                what: "certificates",
                limit: CHAIN_MAX,
            });
        }
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

fn log_entry(text: &str) -> Result<TransparencyLogEntry, Fault> {
    const WHAT: &str = "the log entry";
    let RekorBundle {
        signed_entry_timestamp,
        payload,
    } = serde_json::from_str(text).map_err(|error| unreadable(WHAT, &error))?;
    let body = STANDARD
        .decode(&payload.body)
        .map_err(|error| unreadable(WHAT, &error))?;
    let EntryKind { kind, api_version } =
        serde_json::from_slice(&body).map_err(|error| unreadable(WHAT, &error))?;
    let log = hex::decode(&payload.log_id).map_err(|error| unreadable(WHAT, &error))?;
    // Through the library's own form, so that its own validation applies.
    let entry: Value = json!({
        "logIndex": payload.log_index.to_string(),
        "logId": { "keyId": STANDARD.encode(log) },
        "kindVersion": { "kind": kind, "version": api_version },
        "integratedTime": payload.integrated_time.to_string(),
        "inclusionPromise": { "signedEntryTimestamp": signed_entry_timestamp },
        "canonicalizedBody": payload.body,
    });
    serde_json::from_value(entry).map_err(|error| unreadable(WHAT, &error))
}

#[derive(Deserialize)]
struct SignedTimestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

fn timestamps(annotations: &Annotations) -> Result<TimestampVerificationData, Fault> {
    const WHAT: &str = "the timestamp";
    let Some(text) = filled(annotations, TIMESTAMP) else {
        return Ok(TimestampVerificationData::default());
    };
    let SignedTimestamp { token } =
        serde_json::from_str(text).map_err(|error| unreadable(WHAT, &error))?;
    let token = STANDARD
        .decode(token)
        .map(TimestampToken::new)
        .map_err(|error| unreadable(WHAT, &error))?;
    Ok(TimestampVerificationData::new(vec![Rfc3161Timestamp::new(
        token,
    )]))
}

/// cosign writes empty annotations for what there is not.
fn filled<'a>(annotations: &'a Annotations, name: &str) -> Option<&'a str> {
    annotations
        .get(name)
        .map(String::as_str)
        .filter(|text| !text.trim().is_empty())
}

fn unreadable(what: &'static str, error: &dyn std::fmt::Display) -> Fault {
    Fault::Unreadable {
        what,
        detail: error.to_string(),
    }
}
