//! Keys that sign: what cosign can hold in a key file, and what the services sign with.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384};

use super::codec::{Must, pem};

/// A kind of signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256, cosign's default.
    P256,
    /// ECDSA on P-384 with SHA-384. Real Rekor v1 takes no `.sig` entries of such keys.
    P384,
    /// ECDSA on P-521 with SHA-512. Cosign can make such keys; few verifiers take them.
    P521,
    /// Ed25519 over the message itself. Real Rekor v1 takes no `.sig` entries of such keys.
    Ed25519,
    /// RSA of 2048 bits, PKCS #1 v1.5 with SHA-256.
    Rsa2048,
    /// RSA of 4096 bits, PKCS #1 v1.5 with SHA-256. Making one takes a second or more.
    Rsa4096,
}

impl KeyKind {
    /// Every kind, the quick ones first.
    pub const ALL: [Self; 6] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa4096,
    ];

    /// The name in Sigstore's `PublicKeyDetails`, as Rekor v2 entries and trusted roots write it.
    pub(super) fn details(self) -> &'static str {
        match self {
            Self::P256 => "PKIX_ECDSA_P256_SHA_256",
            Self::P384 => "PKIX_ECDSA_P384_SHA_384",
            Self::P521 => "PKIX_ECDSA_P521_SHA_512",
            Self::Ed25519 => "PKIX_ED25519",
            Self::Rsa2048 => "PKIX_RSA_PKCS1V15_2048_SHA256",
            Self::Rsa4096 => "PKIX_RSA_PKCS1V15_4096_SHA256",
        }
    }
}

enum Private {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A key pair made for one test run; the private half never leaves it.
pub struct KeyPair {
    kind: KeyKind,
    private: Private,
    spki: Vec<u8>,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("kind", &self.kind)
            .field("fingerprint", &hex::encode(sha256(&self.spki)))
            .finish_non_exhaustive()
    }
}

impl KeyPair {
    /// Makes a new key.
    pub fn generate(kind: KeyKind) -> Self {
        let private = match kind {
            KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeyKind::P521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            KeyKind::Ed25519 => {
                Private::Ed25519(Ed25519KeyPair::generate().must("make an Ed25519 key"))
            }
            KeyKind::Rsa2048 => rsa(KeySize::Rsa2048),
            KeyKind::Rsa4096 => rsa(KeySize::Rsa4096),
        };
        let spki = spki_of(&private);
        Self {
            kind,
            private,
            spki,
        }
    }

    /// The kind of key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key as DER of a `SubjectPublicKeyInfo`.
    pub fn public_der(&self) -> &[u8] {
        &self.spki
    }

    /// The public key as cosign writes `cosign.pub`.
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// Signs `message` with the hash that belongs to the kind of key.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.private {
            Private::Ecdsa(key) => key
                .sign(&random, message)
                .must("sign with ECDSA")
                .as_ref()
                .to_vec(),
            Private::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .must("sign with RSA");
                signature
            }
        }
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`: what Sigstore calls a log by.
    pub(super) fn id(&self) -> [u8; 32] {
        sha256(&self.spki)
    }

    /// The bits inside the `SubjectPublicKeyInfo`: a raw Ed25519 key, or an uncompressed point.
    pub(super) fn public_bits(&self) -> &[u8] {
        match &self.private {
            Private::Ecdsa(key) => key.public_key().as_ref(),
            Private::Ed25519(key) => key.public_key().as_ref(),
            Private::Rsa(key) => key.public_key().as_ref(),
        }
    }

    /// The X.509 signature algorithm. Only ECDSA keys sign certificates here.
    pub(super) fn x509_algorithm(&self) -> ObjectIdentifier {
        match self.kind {
            KeyKind::P256 => ECDSA_WITH_SHA_256,
            KeyKind::P384 => ECDSA_WITH_SHA_384,
            other => panic!("no authority of the private Sigstore holds a key of kind {other:?}"),
        }
    }
}

fn ecdsa(algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm) -> Private {
    Private::Ecdsa(EcdsaKeyPair::generate(algorithm).must("make an ECDSA key"))
}

fn rsa(size: KeySize) -> Private {
    Private::Rsa(RsaKeyPair::generate(size).must("make an RSA key"))
}

fn spki_of(private: &Private) -> Vec<u8> {
    let der: Result<PublicKeyX509Der<'_>, _> = match private {
        Private::Ecdsa(key) => key.public_key().as_der(),
        Private::Ed25519(key) => key.public_key().as_der(),
        Private::Rsa(key) => key.public_key().as_der(),
    };
    der.must("write the public key").as_ref().to_vec()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

pub(super) fn sha384(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA384, bytes).as_ref().to_vec()
}

pub(super) fn sha512(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA512, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
        RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };

    use super::*;

    #[test]
    fn every_kind_signs_with_its_hash() {
        for kind in KeyKind::ALL {
            let algorithm: &'static dyn VerificationAlgorithm = match kind {
                KeyKind::P256 => &ECDSA_P256_SHA256_ASN1,
                KeyKind::P384 => &ECDSA_P384_SHA384_ASN1,
                KeyKind::P521 => &ECDSA_P521_SHA512_ASN1,
                KeyKind::Ed25519 => &ED25519,
                KeyKind::Rsa2048 | KeyKind::Rsa4096 => &RSA_PKCS1_2048_8192_SHA256,
            };
            let key = KeyPair::generate(kind);
            let signature = key.sign(b"message");
            let public = UnparsedPublicKey::new(algorithm, key.public_bits());
            public.verify(b"message", &signature).unwrap();
            public.verify(b"massage", &signature).unwrap_err();
            assert_eq!(key.kind(), kind);
            assert!(key.public_pem().starts_with("-----BEGIN PUBLIC KEY-----\n"));
            assert!(!format!("{key:?}").contains("private"));
        }
    }
}
