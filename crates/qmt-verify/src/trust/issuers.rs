//! Finds the issuers of a certificate by name and by verified signature. A name alone proves
//! nothing: a renewed root has the name of the expired one, and did not sign what that one issued.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Reader as _, SliceReader};

use crate::limits::{CHAIN_MAX, PATHS_MAX};

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A certificate with the bytes that are signed in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) certificate: Certificate,
    pub(super) der: Vec<u8>,
    signed: Vec<u8>,
}

impl Issued {
    pub(super) fn parse(der: &DerCertificate) -> Result<Self, String> {
        let bad = |error| format!("is not a certificate: {error}");
        let certificate = Certificate::from_der(der.as_bytes()).map_err(bad)?;
        let mut outer = SliceReader::new(der.as_bytes()).map_err(bad)?;
        let header = x509_cert::der::Header::decode(&mut outer).map_err(bad)?;
        let mut inner = outer.read_slice(header.length).map_err(bad)?;
        let mut inner = SliceReader::new(std::mem::take(&mut inner)).map_err(bad)?;
        // The original bytes: encoding the parsed certificate again could give others.
        let signed = inner.tlv_bytes().map_err(bad)?.to_vec();
        let der = der.as_bytes().to_vec();
        Ok(Self {
            certificate,
            der,
            signed,
        })
    }

    /// Whether the key of `issuer` signed this certificate, and `issuer` has the name that it gives.
    fn is_issued_by(&self, issuer: &Self) -> Result<bool, String> {
        let (tbs, upper) = (&self.certificate.tbs_certificate, &issuer.certificate);
        if tbs.issuer != upper.tbs_certificate.subject {
            return Ok(false);
        }
        let key = &upper.tbs_certificate.subject_public_key_info;
        let parameters = key.algorithm.parameters.as_ref();
        let curve = parameters.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
        let scheme = self.certificate.signature_algorithm.oid;
        let algorithm: &'static dyn VerificationAlgorithm = match (scheme, key.algorithm.oid, curve)
        {
            (ECDSA_SHA256, EC, Some(P256)) => &ECDSA_P256_SHA256_ASN1,
            (ECDSA_SHA384, EC, Some(P256)) => &ECDSA_P256_SHA384_ASN1,
            (ECDSA_SHA512, EC, Some(P256)) => &ECDSA_P256_SHA512_ASN1,
            (ECDSA_SHA256, EC, Some(P384)) => &ECDSA_P384_SHA256_ASN1,
            (ECDSA_SHA384, EC, Some(P384)) => &ECDSA_P384_SHA384_ASN1,
            (ECDSA_SHA512, EC, Some(P384)) => &ECDSA_P384_SHA512_ASN1,
            (ECDSA_SHA256, EC, Some(P521)) => &ECDSA_P521_SHA256_ASN1,
            (ECDSA_SHA384, EC, Some(P521)) => &ECDSA_P521_SHA384_ASN1,
            (ECDSA_SHA512, EC, Some(P521)) => &ECDSA_P521_SHA512_ASN1,
            (RSA_SHA256, RSA, _) => &RSA_PKCS1_2048_8192_SHA256,
            (RSA_SHA384, RSA, _) => &RSA_PKCS1_2048_8192_SHA384,
            (RSA_SHA512, RSA, _) => &RSA_PKCS1_2048_8192_SHA512,
            (ED, ED, _) => &ED25519,
            // A key of one type makes no signature of another type.
            (ECDSA_SHA256 | ECDSA_SHA384 | ECDSA_SHA512, RSA | ED, _)
            | (RSA_SHA256 | RSA_SHA384 | RSA_SHA512, EC | ED, _)
            | (ED, EC | RSA, _) => return Ok(false),
            // Without a check of the signature, the dates of the issuer are not known either.
            _ => {
                return Err(format!(
                    "is signed with an unsupported algorithm ({scheme})"
                ));
            }
        };
        let signature = self.certificate.signature.raw_bytes();
        let key = UnparsedPublicKey::new(algorithm, key.subject_public_key.raw_bytes());
        Ok(key.verify(&self.signed, signature).is_ok())
    }
}

/// All chains from `leaf` upwards, each to a self-signed certificate or to one whose issuer is not
/// among `certificates`. There are several where an issuer was renewed with the same key.
pub(super) fn chains<'a>(
    leaf: &'a Issued,
    certificates: &'a [Issued],
) -> Result<Vec<Vec<&'a Issued>>, String> {
    let mut complete = Vec::new();
    let mut growing = vec![vec![leaf]];
    while let Some(chain) = growing.pop() {
        let Some(last) = chain.last() else { continue };
        let mut issuers = Vec::new();
        if !last.is_issued_by(last)? {
            for other in certificates.iter().filter(|other| !chain.contains(other)) {
                if !issuers.contains(&other) && last.is_issued_by(other)? {
                    issuers.push(other);
                }
            }
        }
        if chain.len() + usize::from(!issuers.is_empty()) > CHAIN_MAX {
            return Err(format!("is in a chain of over {CHAIN_MAX} certificates"));
        }
        if issuers.is_empty() {
            complete.push(chain);
        } else {
            growing.extend(issuers.into_iter().map(|issuer| {
                let mut longer = chain.clone();
                longer.push(issuer);
                longer
            }));
        }
        if complete.len() + growing.len() > PATHS_MAX {
            return Err(format!("has over {PATHS_MAX} chains of issuers"));
        }
    }
    Ok(complete)
}

/// Those of `certificates` that issued none of the others.
pub(super) fn leaves(certificates: &[Issued]) -> Result<Vec<&Issued>, String> {
    let mut leaves = Vec::new();
    for candidate in certificates {
        let mut issues = false;
        for other in certificates.iter().filter(|other| *other != candidate) {
            issues |= other.is_issued_by(candidate)?;
        }
        if !issues {
            leaves.push(candidate);
        }
    }
    Ok(leaves)
}

#[cfg(test)]
mod tests;
