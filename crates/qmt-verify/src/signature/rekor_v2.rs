//! Entries of Rekor v2 that the library cannot read: those of RSA and P-384 keys. cosign 3 writes
//! them, so they are checked here with the library's parts and all checks that it does itself:
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

use crate::reason::Reason;

/// What is said to have signed.
pub(super) enum SigningKey<'a> {
    Certificate(&'a DerCertificate),
    Key(&'a DerPublicKey),
}

/// What was signed, or as much as is known of it.
pub(super) enum Content<'a> {
    Bytes(&'a [u8]),
    /// Only its SHA-256.
    Sha256(Vec<u8>),
}

/// The hash over the content, as entries name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Hash {
    #[serde(rename = "SHA2_256")]
    Sha256,
    #[serde(rename = "SHA2_384")]
    Sha384,
    #[serde(other)]
    Other,
}

impl Content<'_> {
    fn digest(&self, hash: Hash) -> Result<Vec<u8>, Reason> {
        match (self, hash) {
            (Self::Bytes(bytes), Hash::Sha256) => Ok(sha256(bytes).as_slice().to_vec()),
            (Self::Bytes(bytes), Hash::Sha384) => Ok(sha384(bytes).as_slice().to_vec()),
            (Self::Sha256(digest), Hash::Sha256) => Ok(digest.clone()),
            (Self::Sha256(_), Hash::Sha384) => Err(content_needed()),
            (_, Hash::Other) => Err(Reason::log("it hashes with an unknown algorithm")),
        }
    }
}

pub(super) fn content_needed() -> Reason {
    Reason::signature("verifying it requires the content, not only the digest")
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
    algorithm: Hash,
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

/// Whether the library cannot read this entry, which this module may be able to.
pub(super) fn is_unsupported_by_library(entry: &TransparencyLogEntry) -> bool {
    entry.kind_version == KindVersion::HashedRekordV002
        && RekorEntryBody::parse(&entry.canonicalized_body, entry.kind_version).is_err()
}

/// Checks that an entry's body is about this message, signature and signer.
pub(super) fn is_about(
    body: &[u8],
    content: &Content<'_>,
    signature: &SignatureBytes,
    signing_key: &SigningKey<'_>,
) -> Result<(), Reason> {
    let body: Body = serde_json::from_slice(body).map_err(Reason::log)?;
    if body.kind != "hashedrekord" || body.api_version != "0.0.2" {
        let found = format!("it is a {} {}", body.kind, body.api_version);
        return Err(Reason::log(found));
    }
    let (data, logged) = (body.spec.record.data, body.spec.record.signature);
    let verifier = logged.verifier;
    let (algorithm, hash) = kind(&verifier.key_details)?;
    if data.algorithm != hash {
        return Err(Reason::log("its hash is not the one of its key"));
    }
    if decode(&data.digest)? != content.digest(hash)? {
        return Err(Reason::log_mismatch("it is about other content"));
    }
    if decode(&logged.content)? != signature.as_bytes() {
        return Err(Reason::log_mismatch("it is about another signature"));
    }
    let (key, certificate) = (&verifier.public_key, &verifier.x509_certificate);
    let (logged_der, own_der, own_algorithm) = match (signing_key, key, certificate) {
        (SigningKey::Key(key), Some(raw), None) => {
            (raw, key.as_bytes(), KeyAlgorithm::from_spki(key).ok())
        }
        (SigningKey::Certificate(der), None, Some(raw)) => {
            let info = parse_certificate_info(der).ok();
            (raw, der.as_bytes(), info.map(|info| info.key_algorithm))
        }
        _ => return Err(Reason::log("it names no signer of this kind")),
    };
    if decode(&logged_der.raw_bytes)? != own_der {
        return Err(Reason::log_mismatch("it is about another signer"));
    }
    if own_algorithm != Some(algorithm) {
        return Err(Reason::log("it names another kind of key"));
    }
    Ok(())
}

/// The kinds of keys that are read here, and the hash of each.
fn kind(details: &str) -> Result<(KeyAlgorithm, Hash), Reason> {
    match details {
        "PKIX_RSA_PKCS1V15_2048_SHA256"
        | "PKIX_RSA_PKCS1V15_3072_SHA256"
        | "PKIX_RSA_PKCS1V15_4096_SHA256" => Ok((KeyAlgorithm::Rsa, Hash::Sha256)),
        "PKIX_ECDSA_P384_SHA_384" => Ok((KeyAlgorithm::EcdsaP384, Hash::Sha384)),
        other => Err(Reason::log(format!("its key is of kind {other}"))),
    }
}

/// Checks the inclusion proof against a checkpoint that a trusted log signed. Index, size and root
/// come from the signed parts; their copies in the proof are not authenticated.
pub(super) fn included(
    entry: &TransparencyLogEntry,
    logs: &Keyring,
    now: SystemTime,
) -> Result<(), Reason> {
    let Some(proof) = &entry.inclusion_proof else {
        return Err(Reason::log("it has no proof of inclusion"));
    };
    let Some(checkpoint) = proof.checkpoint.checkpoint() else {
        return Err(Reason::log("its proof has no checkpoint"));
    };
    sigstore_merkle::verify_inclusion_proof(
        &sigstore_merkle::hash_leaf(entry.canonicalized_body.as_bytes()),
        entry.log_index.get(),
        checkpoint.tree_size(),
        &proof.hashes,
        checkpoint.root_hash(),
    )
    .map_err(Reason::log_mismatch)?;
    let now = now
        .try_into()
        .map_err(|_| Reason::time("the clock is out of range"))?;
    // Hints are four bytes and may collide: every key is tried.
    let signed = checkpoint.signatures().iter().any(|one| {
        logs.keys_by_hint(&one.key_id, now)
            .any(|key| key.verify(checkpoint.signed_data(), &one.signature).is_ok())
    });
    if !signed {
        return Err(Reason::log("no trusted log signed its checkpoint"));
    }
    Ok(())
}

fn decode(base64: &str) -> Result<Vec<u8>, Reason> {
    STANDARD.decode(base64).map_err(Reason::log)
}

#[cfg(test)]
pub(super) mod tests;
