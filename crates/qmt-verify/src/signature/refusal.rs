//! Why the library refused a signature. Some of its errors give the reason only as text that names
//! its own types: for these, the usual causes are looked for here.

use std::time::SystemTime;

use qmt_oci_ref::time::rfc3339;
use sigstore_verify::crypto::WEBPKI_VERIFICATION_ALGS;
use sigstore_verify::types::{Bundle, DerCertificate};
use sigstore_verify::{CertificateError, Error as LibraryError, TransparencyLogError};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::ExtendedKeyUsage;

use super::verifier::{SignatureVerifier, entries, raw_signature};
use crate::reason::Reason;

const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

impl SignatureVerifier {
    /// The reason for an error of the library. Only its text says why a chain is not valid, and
    /// whether the key of a log is missing, so both are looked for again.
    pub(super) fn explain(&self, error: LibraryError, bundle: &Bundle) -> Reason {
        match (&error, bundle.signing_certificate()) {
            (LibraryError::Certificate(CertificateError::ChainInvalid(_)), Some(der)) => {
                chain_reason(der, &self.possible_times(bundle))
            }
            (
                LibraryError::TransparencyLog(
                    TransparencyLogError::InclusionPromise(_) | TransparencyLogError::Checkpoint(_),
                ),
                _,
            ) if entries(bundle)
                .iter()
                .all(|one| self.logs.have_keys_of(one)) =>
            {
                Reason::log_mismatch(error)
            }
            _ => error.into(),
        }
    }

    /// The times that the library proved before it looked at the chain.
    fn possible_times(&self, bundle: &Bundle) -> Vec<SystemTime> {
        let tokens = &bundle.verification_material.timestamp_verification_data;
        let tokens = &tokens.rfc3161_timestamps;
        let times = raw_signature(bundle).map(|raw| self.timestamps.times(tokens, raw));
        let promised = entries(bundle)
            .iter()
            .filter(|one| one.inclusion_promise.is_some());
        let logged = promised.filter_map(|one| one.integrated_time);
        let logged = logged.map(SystemTime::from);
        times
            .unwrap_or_default()
            .into_iter()
            .chain(logged)
            .collect()
    }
}

/// The reason against `der`, of which no chain was valid at all of the proven `times`.
fn chain_reason(der: &DerCertificate, times: &[SystemTime]) -> Reason {
    let Ok(certificate) = Certificate::from_der(der.as_bytes()) else {
        return Reason::certificate("it cannot be read");
    };
    let tbs = &certificate.tbs_certificate;
    let (from, until) = (&tbs.validity.not_before, &tbs.validity.not_after);
    let (from, until) = (from.to_system_time(), until.to_system_time());
    if let Some(early) = times.iter().find(|time| **time < from) {
        let (early, from) = (rfc3339(*early), rfc3339(from));
        return Reason::CertificateTime(format!(
            "it is valid from {from}, but the signature was made at {early}"
        ));
    }
    if let Some(late) = times.iter().find(|time| **time > until) {
        let (late, until) = (rfc3339(*late), rfc3339(until));
        return Reason::CertificateTime(format!(
            "it expired at {until}; the signature was made at {late}"
        ));
    }
    let usage = tbs.get::<ExtendedKeyUsage>().ok().flatten();
    if !usage.is_some_and(|(_, usage)| usage.0.contains(&CODE_SIGNING)) {
        return Reason::certificate(
            "it is not for signing code: its extended key usage has no `codeSigning`",
        );
    }
    let algorithm = certificate.signature_algorithm.oid;
    let id = algorithm.to_der().unwrap_or_default();
    let mut supported = WEBPKI_VERIFICATION_ALGS.iter();
    if !supported.any(|one| one.signature_alg_id().as_ref().starts_with(&id)) {
        return Reason::certificate(format!(
            "its authority signed it with an algorithm ({algorithm}) that is not supported; use an \
             authority with an ECDSA key on P-256 or P-384, Ed25519, or RSA"
        ));
    }
    Reason::certificate(
        "no chain of usable certificates leads from it to an authority of the trust root",
    )
}
