//! Private keys of the kinds that cosign can hold and both sides can verify.
//!
//! P-256 and RSA (PKCS #1 v1.5) sign the SHA-256 of a message, Ed25519 the message itself. There is
//! no hash for P-384: cosign 3 (3.1.2) signs with SHA-384 and verifies with SHA-256.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use sigstore_verify::types::{DerPublicKey, SignatureBytes};
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::AnyRef;

/// What is accepted, for messages.
const ACCEPTED: &str = "ECDSA on P-256, Ed25519, or RSA of 2048 to 8192 bits";

/// A key that signs.
pub(super) enum PrivateKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    /// Reads PKCS #8. The library's own words may tell about the key, and are not passed on.
    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, String> {
        // One structure, and nothing after it.
        AnyRef::from_der(pkcs8).map_err(|_| "it is not PKCS #8".to_owned())?;
        let ecdsa = |kind: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::from_pkcs8(kind, pkcs8);
        if let Ok(key) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING) {
            return Ok(Self::Ecdsa(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8(pkcs8)
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8))
        {
            return Ok(Self::Ed25519(key));
        }
        if let Ok(key) = RsaKeyPair::from_pkcs8(pkcs8) {
            return Ok(Self::Rsa(key));
        }
        Err(if ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING).is_ok() {
            format!(
                "it is on P-384, for which cosign 3 verifies with SHA-256 and others with SHA-384, \
                 so that no signature suits all; use {ACCEPTED}"
            )
        } else if ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING).is_ok() {
            format!("it is on P-521, which verifiers do not take; use {ACCEPTED}")
        } else {
            format!("it holds no key of a kind that signs here: {ACCEPTED}, in PKCS #8")
        })
    }

    pub(super) fn public(&self) -> Result<DerPublicKey, Unspecified> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ecdsa(key) => key.public_key().as_der(),
            Self::Ed25519(key) => key.public_key().as_der(),
            Self::Rsa(key) => key.public_key().as_der(),
        }?;
        Ok(DerPublicKey::new(der.as_ref().to_vec()))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<SignatureBytes, Unspecified> {
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ecdsa(key) => key.sign(&random, message)?.as_ref().to_vec(),
            Self::Ed25519(key) => key.try_sign(message)?.as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                signature
            }
        };
        Ok(SignatureBytes::new(signature))
    }
}
