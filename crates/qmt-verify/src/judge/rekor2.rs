//! Entries of Rekor v2 that the library cannot read: those of RSA and P-384 keys. cosign 3 writes
//! them, so we check them ourselves, with the library's parts and every check of its own path:
//! inclusion, checkpoint, and that the entry is about this signature, key and message.
//! <https://github.com/sigstore/rekor-tiles/blob/main/api/proto/rekor/v2/hashedrekord.proto>

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sigstore_verify::crypto::{KeyAlgorithm, Keyring, parse_certificate_info, sha256, sha384};
use sigstore_verify::rekor::body::RekorEntryBody;
use sigstore_verify::types::{
    DerCertificate, DerPublicKey, KindVersion, SignatureBytes, TransparencyLogEntry,
};

use crate::fault::Fault;

/// Who is said to have signed.
pub(super) enum Signatory<'a> {
    Certificate(&'a DerCertificate),
    Key(&'a DerPublicKey),
}

/// What was signed, or as much as is known of it.
pub(super) enum Content<'a> {
    Bytes(&'a [u8]),
    /// Only its SHA-256.
    Sha256(Vec<u8>),
}

impl Content<'_> {
    fn digest(&self, hash: &str) -> Result<Vec<u8>, Fault> {
        match (self, hash) {
            (Self::Bytes(bytes), "SHA2_384") => Ok(sha384(bytes).as_slice().to_vec()),
            (Self::Bytes(bytes), _) => Ok(sha256(bytes).as_slice().to_vec()),
            (Self::Sha256(digest), "SHA2_256") => Ok(digest.clone()),
            (Self::Sha256(_), _) => Err(Fault::Signature(
                "its content is needed, not only its digest".to_owned(),
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_version: String,
    kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "hashedRekordV002")]
    record: Record,
}

#[derive(Deserialize)]
struct Record {
    data: Data,
    signature: LoggedSignature,
}

#[derive(Deserialize)]
struct Data {
    algorithm: String,
    digest: String,
}

#[derive(Deserialize)]
struct LoggedSignature {
    content: String,
    verifier: LoggedVerifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedVerifier {
    key_details: String,
    #[serde(default)]
    public_key: Option<Raw>,
    #[serde(default)]
    x509_certificate: Option<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    raw_bytes: String,
}

/// Whether the library cannot read this entry and we may.
pub(super) fn is_ours(entry: &TransparencyLogEntry) -> bool {
    entry.kind_version == KindVersion::HashedRekordV002
        && RekorEntryBody::parse(&entry.canonicalized_body, entry.kind_version).is_err()
}

/// Checks that a trusted log holds `entry`, and that it is about this very signature.
pub(super) fn check(
    entry: &TransparencyLogEntry,
    content: &Content<'_>,
    signature: &SignatureBytes,
    signatory: &Signatory<'_>,
    logs: &Keyring,
    now: SystemTime,
) -> Result<(), Fault> {
    included(entry, logs, now)?;
    let body = entry.canonicalized_body.as_bytes();
    is_about(body, content, signature, signatory)
}

/// Checks that an entry's body is about this message, signature and signer.
fn is_about(
    body: &[u8],
    content: &Content<'_>,
    signature: &SignatureBytes,
    signatory: &Signatory<'_>,
) -> Result<(), Fault> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| Fault::Log(format!("it cannot be read: {error}")))?;
    if body.kind != "hashedrekord" || body.api_version != "0.0.2" {
        return Err(Fault::Log(format!(
            "it is a {} {}",
            body.kind, body.api_version
        )));
    }
    let Record {
        data,
        signature: logged,
    } = body.spec.record;

    let (algorithm, hash) = kind(&logged.verifier.key_details)?;
    if data.algorithm != hash {
        return Err(Fault::Log(format!(
            "it hashes with {} instead of {hash}",
            data.algorithm
        )));
    }
    if decode(&data.digest)? != content.digest(hash)? {
        return Err(Fault::Log("it is about other content".to_owned()));
    }
    if decode(&logged.content)? != signature.as_bytes() {
        return Err(Fault::Log("it is about another signature".to_owned()));
    }
    let LoggedVerifier {
        public_key,
        x509_certificate,
        ..
    } = &logged.verifier;
    let (logged_der, own_der, own_algorithm) = match (signatory, public_key, x509_certificate) {
        (Signatory::Key(key), Some(raw), None) => {
            (raw, key.as_bytes(), KeyAlgorithm::from_spki(key).ok())
        }
        (Signatory::Certificate(der), None, Some(raw)) => {
            let own = parse_certificate_info(der)
                .ok()
                .map(|info| info.key_algorithm);
            (raw, der.as_bytes(), own)
        }
        _ => return Err(Fault::Log("it names no signer of this kind".to_owned())),
    };
    if decode(&logged_der.raw_bytes)? != own_der {
        return Err(Fault::Log("it is about another signer".to_owned()));
    }
    if own_algorithm != Some(algorithm) {
        return Err(Fault::Log("it misnames the kind of the key".to_owned()));
    }
    Ok(())
}

/// The kinds of keys that we read here, and what each hashes with.
fn kind(details: &str) -> Result<(KeyAlgorithm, &'static str), Fault> {
    match details {
        "PKIX_RSA_PKCS1V15_2048_SHA256"
        | "PKIX_RSA_PKCS1V15_3072_SHA256"
        | "PKIX_RSA_PKCS1V15_4096_SHA256" => Ok((KeyAlgorithm::Rsa, "SHA2_256")),
        "PKIX_ECDSA_P384_SHA_384" => Ok((KeyAlgorithm::EcdsaP384, "SHA2_384")),
        other => Err(Fault::Log(format!("it is of a key of kind {other}"))),
    }
}

/// Checks the inclusion proof against a checkpoint that a trusted log signed. Index, size and root
/// come from the signed parts; their copies in the proof are not authenticated.
fn included(entry: &TransparencyLogEntry, logs: &Keyring, now: SystemTime) -> Result<(), Fault> {
    let proof = entry
        .inclusion_proof
        .as_ref()
        .ok_or_else(|| Fault::Log("it has no proof of inclusion".to_owned()))?;
    let checkpoint = proof
        .checkpoint
        .checkpoint()
        .ok_or_else(|| Fault::Log("its proof has no checkpoint".to_owned()))?;
    sigstore_merkle::verify_inclusion_proof(
        &sigstore_merkle::hash_leaf(entry.canonicalized_body.as_bytes()),
        entry.log_index.get(),
        checkpoint.tree_size(),
        &proof.hashes,
        checkpoint.root_hash(),
    )
    .map_err(|error| Fault::Log(format!("its proof of inclusion is wrong: {error}")))?;
    let now = now
        .try_into()
        .map_err(|_| Fault::Time("our clock is out of range".to_owned()))?;
    // Hints are four bytes and may collide: every key is tried.
    let signed = checkpoint.signatures().iter().any(|one| {
        logs.keys_by_hint(&one.key_id, now)
            .any(|key| key.verify(checkpoint.signed_data(), &one.signature).is_ok())
    });
    if signed {
        Ok(())
    } else {
        Err(Fault::Log(
            "no trusted log signed its checkpoint".to_owned(),
        ))
    }
}

fn decode(base64: &str) -> Result<Vec<u8>, Fault> {
    STANDARD
        .decode(base64)
        .map_err(|error| Fault::Log(format!("it cannot be read: {error}")))
}

#[cfg(test)]
pub(super) mod tests;
