//! Signing with a private key: what `publish --sign-key` attaches to an image.
//!
//! Writes what cosign 3 writes: an in-toto statement about the digest in a DSSE envelope, inside a
//! bundle v0.3. There is no transparency log entry, so verifiers must not require one.
//!
//! Spec: <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>,
//! <https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md>

mod cosign_key;
mod private_key;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use qmt_oci_ref::{Digest, DigestAlgorithm, PinnedReference, text};
use serde_json::json;
use sigstore_verify::types::DerPublicKey;
use sigstore_verify::types::bundle::{
    Bundle, MediaType, PublicKeyIdentifier, SignatureContent, VerificationMaterial,
    VerificationMaterialContent,
};
use sigstore_verify::types::dsse::{DsseEnvelope, DsseSignature, pae};
use sigstore_verify::types::encoding::{KeyId, PayloadBytes};
use zeroize::Zeroizing;

use self::private_key::PrivateKey;
use crate::error::VerifyError;
use crate::evidence::COSIGN_SIGN;
use crate::pem::{self, Der, Label};
use crate::signature::{PAYLOAD_TYPE, STATEMENT_V1};
use crate::signer::SignerId;

/// Most bytes of a file with a key.
const KEY_BYTES_MAX: usize = 64 * 1024;

/// Signs digests with a private key. The key stays inside; `Debug` shows the fingerprint only.
///
/// Keys are ECDSA on P-256, as `cosign generate-key-pair` makes them, Ed25519, or RSA of 2048 to
/// 8192 bits.
pub struct KeySigner {
    key: PrivateKey,
    public: DerPublicKey,
}

impl fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySigner")
            .field("signer", &self.signer())
            .finish_non_exhaustive()
    }
}

impl KeySigner {
    /// The media type of a bundle, of its layer and of the referrer that holds it.
    pub const BUNDLE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    /// The predicate by which a statement is a signature of an image.
    pub const PREDICATE_TYPE: &str = COSIGN_SIGN;

    /// Reads a private key: PKCS #8 in PEM (`PRIVATE KEY`), or cosign's own encrypted form, which
    /// needs the `password`. Deriving the key from it takes a second or so, and 64 MiB.
    ///
    /// # Errors
    ///
    /// [`VerifyError::SigningKey`] if the file holds no such key, or the password is missing or
    /// wrong.
    pub fn from_pem(pem: &[u8], password: Option<&str>) -> Result<Self, VerifyError> {
        if pem.len() > KEY_BYTES_MAX {
            return Err(refused(format!("the file is over {KEY_BYTES_MAX} bytes")));
        }
        if let Some(form) = Der::of(pem) {
            return Err(refused(match form {
                Der::Pkcs12 => {
                    "it is a PKCS #12 file; `openssl pkcs12 -in FILE -nocerts -nodes -out NEW_FILE` writes \
                     its private key in PEM"
                }
                Der::PrivateKey | Der::Other => {
                    "it is in DER, not in PEM form; convert a private key with `openssl pkey -inform \
                     DER -in FILE -out NEW_FILE`"
                }
            }));
        }
        let blocks = pem::blocks(pem).map_err(refused)?;
        let [block] = <[pem::Block; 1]>::try_from(blocks).map_err(|blocks| {
            let count = blocks.len();
            refused(format!(
                "the file holds {count} PEM blocks, not one private key"
            ))
        })?;
        let body = Zeroizing::new(block.der);
        let pkcs8 = match block.label {
            Label::PrivateKey => Ok(body),
            Label::EncryptedCosignKey => match password {
                Some(password) => cosign_key::decrypt(&body, password),
                None => Err("it is encrypted: give its password in COSIGN_PASSWORD".to_owned()),
            },
            Label::EncryptedPrivateKey => Err("PKCS #8 with a password is not supported; decrypt \
                it with `openssl pkcs8 -in FILE -out NEW_FILE`, or convert it with \
                `cosign import-key-pair`"
                .to_owned()),
            Label::EncryptedLegacyKey => Err("it is encrypted in the form of older OpenSSL \
                versions, which is not supported; decrypt it with `openssl pkcs8 -topk8 -nocrypt \
                -in FILE -out NEW_FILE`"
                .to_owned()),
            Label::LegacyPrivateKey => Err("PKCS #1 and SEC 1 are not supported; convert it to \
                PKCS #8 with `openssl pkcs8 -topk8 -nocrypt -in FILE -out NEW_FILE`"
                .to_owned()),
            Label::Certificate | Label::PublicKey | Label::PublicKeyOfPkcs1 | Label::Other => {
                let name = text::escape(&block.name);
                Err(format!(
                    "it is a block `{name}`; signing requires `PRIVATE KEY` (PKCS #8), or a key by \
                     `cosign generate-key-pair`"
                ))
            }
        };
        let key = pkcs8.and_then(|pkcs8| PrivateKey::from_pkcs8(&pkcs8));
        let key = key.map_err(refused)?;
        let public = key.public();
        let public = public.map_err(|_| refused("its public key cannot be computed"))?;
        Ok(Self { key, public })
    }

    /// Returns the signer: the fingerprint of the public key, as verifiers report it.
    pub fn signer(&self) -> SignerId {
        SignerId::key(Digest::sha256(self.public.as_bytes()).to_string())
    }

    /// Returns the public key as cosign writes `cosign.pub`, for verifiers.
    pub fn public_key_pem(&self) -> String {
        // The library ends lines with CRLF; other tools write LF.
        self.public.to_pem().replace("\r\n", "\n")
    }

    /// Signs the digest of `subject` and returns the bundle, in JSON. The name is not signed.
    ///
    /// # Errors
    ///
    /// [`VerifyError::UnsupportedDigest`] if the digest is not SHA-256, the only one that the
    /// format can name; [`VerifyError::SigningKey`] if the signature cannot be made.
    pub fn sign(&self, subject: &PinnedReference) -> Result<Bytes, VerifyError> {
        if subject.digest().algorithm() != DigestAlgorithm::Sha256 {
            return Err(VerifyError::unsupported(subject));
        }
        let statement = json!({
            "_type": STATEMENT_V1,
            "subject": [{ "digest": { "sha256": subject.digest().hex() } }],
            "predicateType": Self::PREDICATE_TYPE,
            "predicate": {},
        })
        .to_string()
        .into_bytes();
        let signature = self.key.sign(&pae(PAYLOAD_TYPE, &statement));
        let signature = signature.map_err(|_| refused("signing failed"))?;
        let envelope = DsseEnvelope::new(
            PAYLOAD_TYPE,
            PayloadBytes::new(statement),
            DsseSignature::new(signature, KeyId::new("")),
        );
        // The same hint as cosign's: the digest of the public key, by which it can be found.
        let hint = sigstore_verify::crypto::sha256(self.public.as_bytes());
        let hint = PublicKeyIdentifier::new(STANDARD.encode(hint.as_bytes()));
        let bundle = Bundle::new(
            MediaType::Bundle0_3,
            VerificationMaterial::new(VerificationMaterialContent::PublicKey(hint)),
            SignatureContent::DsseEnvelope(envelope),
        );
        let text = bundle.to_json();
        Ok(text
            .map_err(|_| refused("the bundle cannot be written"))?
            .into())
    }
}

fn refused(problem: impl Into<String>) -> VerifyError {
    VerifyError::SigningKey {
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests;
