//! Public keys that signatures are verified with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::Digest;
use serde_json::Value;
use sigstore_verify::crypto::{
    Error as CryptoError, KeyAlgorithm, VerificationKey, sha256, validate_raw_public_key,
};
use sigstore_verify::types::{Bundle, DerPublicKey, VerificationMaterialContent};

use super::base64_text;
use crate::pem::{self, Label};
use crate::signer::SignerId;

/// Most bytes of a log entry that is searched for a key.
const LOG_ENTRY_BYTES_MAX: usize = 64 * 1024;

/// The kinds of keys that can be verified with, for messages.
const USABLE: &str = "ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits";

/// A public key of a kind and size that can be verified with.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey {
    /// What messages call it, such as a file name.
    pub(crate) name: String,
    pub(crate) der: DerPublicKey,
    pub(crate) algorithm: KeyAlgorithm,
}

impl PublicKey {
    /// Reads the one public key in `pem`. The error says what is wrong with it.
    pub(crate) fn from_pem(name: String, pem: &[u8]) -> Result<Self, String> {
        let blocks = pem::blocks(pem).map_err(|problem| {
            if pem::has_pgp(pem) {
                return format!("{problem}; use a key that `cosign generate-key-pair` writes");
            }
            problem
        })?;
        let block = match blocks.as_slice() {
            [block] => block,
            [] => return Err(no_block(pem).to_owned()),
            more => {
                return Err(format!(
                    "it holds {} keys; exactly one is required",
                    more.len()
                ));
            }
        };
        let advice = match block.label {
            Label::PublicKey => None,
            Label::PrivateKey
            | Label::EncryptedPrivateKey
            | Label::EncryptedCosignKey
            | Label::EncryptedLegacyKey
            | Label::LegacyPrivateKey => {
                return Err("it is a private key; name the public one".to_owned());
            }
            Label::PublicKeyOfPkcs1 => Some(
                "; convert it with `openssl rsa -RSAPublicKey_in -in FILE -pubout -out NEW_FILE`",
            ),
            Label::Certificate => {
                Some("; write its key to a file with `openssl x509 -pubkey -noout -in FILE`")
            }
            Label::Other => Some(""),
        };
        if let Some(advice) = advice {
            let name = &block.name;
            return Err(format!("it is a `{name}`, not a `PUBLIC KEY`{advice}"));
        }
        let der = DerPublicKey::new(block.der.clone());
        let unusable = |error: CryptoError| format!("it cannot be used: {error}; use {USABLE}");
        let algorithm = KeyAlgorithm::from_spki(&der).map_err(unusable)?;
        if !matches!(
            algorithm,
            KeyAlgorithm::EcdsaP256
                | KeyAlgorithm::EcdsaP384
                | KeyAlgorithm::Ed25519
                | KeyAlgorithm::Rsa
        ) {
            return Err(format!(
                "it is of a kind that cosign does not sign with; use {USABLE}"
            ));
        }
        let key = VerificationKey::from_spki(&der).map_err(unusable)?;
        validate_raw_public_key(key.scheme(), key.as_bytes()).map_err(unusable)?;
        Ok(Self {
            name,
            der,
            algorithm,
        })
    }

    /// Whether `bundle` names this key as its signer, by its hint or in the entry of a log. This is
    /// an unproven claim, used only for the wording of a message.
    pub(super) fn is_named_in(&self, bundle: &Bundle) -> bool {
        let material = &bundle.verification_material;
        let hint = sha256(self.der.as_bytes());
        let is_hinted = matches!(&material.content,
            VerificationMaterialContent::PublicKey(key) if key.hint == STANDARD.encode(hint));
        let mut entries = material.tlog_entries.iter();
        is_hinted || entries.any(|entry| self.is_named_by(entry.canonicalized_body.as_bytes()))
    }

    fn is_named_by(&self, log_entry: &[u8]) -> bool {
        if log_entry.len() > LOG_ENTRY_BYTES_MAX {
            return false;
        }
        let entry = serde_json::from_slice(log_entry).unwrap_or_default();
        let mut rest: Vec<&Value> = vec![&entry];
        while let Some(value) = rest.pop() {
            match value {
                Value::String(text) => {
                    let bytes = STANDARD.decode(text).unwrap_or_default();
                    let blocks = pem::blocks(&bytes).unwrap_or_default();
                    let der = blocks.first().map_or(&bytes, |block| &block.der);
                    if der.as_slice() == self.der.as_bytes() {
                        return true;
                    }
                }
                Value::Array(items) => rest.extend(items),
                Value::Object(fields) => rest.extend(fields.values()),
                _ => {}
            }
        }
        false
    }

    /// The signer that this key stands for.
    pub(crate) fn signer(&self) -> SignerId {
        SignerId::key(Digest::sha256(self.der.as_bytes()).to_string())
    }
}

/// Says what a file without a PEM block holds instead of one.
fn no_block(file: &[u8]) -> &'static str {
    let text = std::str::from_utf8(file).unwrap_or_default().trim();
    let decoded = base64_text::decode(text).unwrap_or_default();
    if decoded.trim_ascii_start().starts_with(b"-----BEGIN ") {
        "it is a PEM file in base64; decode it with `base64 -d`"
    } else if text.starts_with("ssh-ed25519") || text.starts_with("sk-") {
        "it is an SSH key that cannot be converted; use a key that `cosign generate-key-pair` \
         writes"
    } else if text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-") {
        "it is an SSH key; convert it with `ssh-keygen -e -m PKCS8 -f FILE`"
    } else {
        "it holds no key in PEM form"
    }
}

#[cfg(test)]
mod tests;
