//! Public keys that signatures are verified with.

use qmt_oci_ref::Digest;
use sigstore_verify::crypto::{
    Error as CryptoError, KeyAlgorithm, VerificationKey, validate_raw_public_key,
};
use sigstore_verify::types::DerPublicKey;

use crate::pem::{self, Label};
use crate::signer::SignerId;

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
        let blocks = pem::blocks(pem)?;
        let block = match blocks.as_slice() {
            [block] => block,
            [] => return Err("holds no key in PEM form".to_owned()),
            more => return Err(format!("holds {} keys, expected one", more.len())),
        };
        match block.label {
            Label::PublicKey => {}
            Label::PrivateKey
            | Label::EncryptedPrivateKey
            | Label::EncryptedCosignKey
            | Label::LegacyPrivateKey => {
                return Err("is a private key; name the public one".to_owned());
            }
            Label::Certificate | Label::Other => {
                return Err(format!("is a `{}`, not a `PUBLIC KEY`", block.name));
            }
        }
        let der = DerPublicKey::new(block.der.clone());
        let unusable = |error: CryptoError| format!("cannot be used: {error}");
        let algorithm = KeyAlgorithm::from_spki(&der).map_err(unusable)?;
        if !matches!(
            algorithm,
            KeyAlgorithm::EcdsaP256
                | KeyAlgorithm::EcdsaP384
                | KeyAlgorithm::Ed25519
                | KeyAlgorithm::Rsa
        ) {
            return Err("is of a kind that cosign does not sign with".to_owned());
        }
        let key = VerificationKey::from_spki(&der).map_err(unusable)?;
        validate_raw_public_key(key.scheme(), key.as_bytes()).map_err(unusable)?;
        Ok(Self {
            name,
            der,
            algorithm,
        })
    }

    /// The signer that this key stands for.
    pub(crate) fn signer(&self) -> SignerId {
        SignerId::key(Digest::sha256(self.der.as_bytes()).to_string())
    }
}
