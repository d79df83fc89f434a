//! Finds the issuers of a certificate by name and by verified signature. A name alone proves
//! nothing: a renewed root has the name of the expired one, and did not sign what that one issued.

use std::sync::OnceLock;

use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::limits::{CHAIN_MAX, PATHS_MAX};

/// What is wrong with a certificate that is not one of an authority.
pub(super) const NO_AUTHORITY: &str = "is not a certificate of an authority (CA:TRUE)";

/// A certificate with the bytes that are signed in it.
pub(super) struct Issued {
    pub(super) certificate: Certificate,
    pub(super) der: Vec<u8>,
    signed: Vec<u8>,
    /// Whether its own key signed it, once that was checked: every chain ends with this question.
    self_signed: OnceLock<Result<bool, String>>,
}

impl PartialEq for Issued {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Issued {
    pub(super) fn parse(der: &DerCertificate) -> Result<Self, String> {
        let bad = |error| format!("is not a certificate: {error}");
        let certificate = Certificate::from_der(der.as_bytes()).map_err(bad)?;
        let mut outer = SliceReader::new(der.as_bytes()).map_err(bad)?;
        let header = x509_cert::der::Header::decode(&mut outer).map_err(bad)?;
        let inner = outer.read_slice(header.length).map_err(bad)?;
        let mut inner = SliceReader::new(inner).map_err(bad)?;
        // The original bytes: encoding the parsed certificate again could give others.
        let signed = inner.tlv_bytes().map_err(bad)?.to_vec();
        let der = der.as_bytes().to_vec();
        Ok(Self {
            certificate,
            der,
            signed,
            self_signed: OnceLock::new(),
        })
    }

    /// Whether it is the certificate of an authority, and not of a signer, which as an anchor could
    /// issue others.
    pub(super) fn is_authority(&self) -> bool {
        let constraints = self.certificate.tbs_certificate.get::<BasicConstraints>();
        let constraints = constraints.ok().flatten();
        constraints.is_some_and(|(_, constraints)| constraints.ca)
    }

    fn is_self_signed(&self) -> Result<bool, String> {
        let result = self.self_signed.get_or_init(|| self.is_issued_by(self));
        result.clone()
    }

    /// Whether the key of `issuer` signed this certificate, and `issuer` has the name that it
    /// gives.
    fn is_issued_by(&self, issuer: &Self) -> Result<bool, String> {
        let (tbs, upper) = (&self.certificate.tbs_certificate, &issuer.certificate);
        if tbs.issuer != upper.tbs_certificate.subject {
            return Ok(false);
        }
        let key = &upper.tbs_certificate.subject_public_key_info;
        let scheme = &self.certificate.signature_algorithm;
        let (scheme_id, key_id) = (identifier(scheme)?, identifier(&key.algorithm)?);
        let has_key = |id: &[u8]| id == key_id;
        let all = webpki::ALL_VERIFICATION_ALGS;
        let fitting = all
            .iter()
            .filter(|one| *one.signature_alg_id() == *scheme_id);
        let mut fitting = fitting.peekable();
        if fitting.peek().is_none() || !all.iter().any(|one| has_key(&one.public_key_alg_id())) {
            // Without a check of the signature, the dates of the issuer are not known either.
            let oid = scheme.oid;
            return Err(format!("is signed with an unsupported algorithm ({oid})"));
        }
        let key = key.subject_public_key.raw_bytes();
        let signature = self.certificate.signature.raw_bytes();
        // A key of one type makes no signature of another type.
        Ok(fitting.any(|one| {
            has_key(&one.public_key_alg_id())
                && one.verify_signature(key, &self.signed, signature).is_ok()
        }))
    }
}

/// An algorithm and its parameters as `webpki` writes them, without their header.
fn identifier(algorithm: &AlgorithmIdentifierOwned) -> Result<Vec<u8>, String> {
    let bad = |error| format!("is not a certificate: {error}");
    let oid = algorithm.oid.to_der().map_err(bad)?;
    let parameters = algorithm.parameters.to_der().map_err(bad)?;
    Ok([oid, parameters].concat())
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
        if !last.is_self_signed()? {
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

/// Reports whether `candidate` issued another one of `certificates`.
pub(super) fn is_issuer(candidate: &Issued, certificates: &[Issued]) -> Result<bool, String> {
    for other in certificates.iter().filter(|other| *other != candidate) {
        if other.is_issued_by(candidate)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
