//! What was signed by a transparency log or a timestamp authority that the trust root does not
//! know. It proves nothing, and is no defect of the signature either: without it, the signature is
//! verified as if it had never had it.

use std::borrow::Cow;
use std::time::SystemTime;

use sigstore_trust_root::{TrustedRoot, TsaAuthority};
use sigstore_verify::tsa::{Error as TimestampError, verify_timestamp_for_authority};
use sigstore_verify::types::{
    Bundle, MediaType, Rfc3161Timestamp, SignatureBytes, TimestampToken, TransparencyLogEntry,
};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use super::verifier::{SignatureVerifier, raw_signature};
use super::{Ignored, Signature};

/// The timestamp authorities that are trusted.
pub(super) struct TimestampAuthorities {
    known: Vec<TsaAuthority>,
    /// By which of its bytes a token names one of them: the issuer or the key of its certificate.
    names: Vec<Vec<u8>>,
}

impl TimestampAuthorities {
    pub(super) fn new(root: &TrustedRoot) -> Self {
        let chains = root.timestamp_authorities.iter().map(|one| &one.cert_chain);
        let leaves = chains.filter_map(|chain| chain.certificates.first());
        let leaves =
            leaves.filter_map(|leaf| Certificate::from_der(leaf.raw_bytes.as_bytes()).ok());
        let names = leaves.flat_map(|leaf| {
            let tbs = &leaf.tbs_certificate;
            let key = tbs.get::<SubjectKeyIdentifier>().ok().flatten();
            let key = key.map(|(_, key)| key.0.as_bytes().to_vec());
            [tbs.issuer.to_der().ok(), key]
        });
        Self {
            known: root.tsa_authorities(),
            names: names.flatten().filter(|name| !name.is_empty()).collect(),
        }
    }

    pub(super) fn are_known(&self) -> bool {
        !self.names.is_empty()
    }

    /// The times of those of `tokens` that are valid timestamps of `signature`.
    pub(super) fn times(
        &self,
        tokens: &[Rfc3161Timestamp],
        signature: &SignatureBytes,
    ) -> Vec<SystemTime> {
        let pairs = tokens
            .iter()
            .flat_map(|one| self.known.iter().map(move |by| (one, by)));
        let times = pairs.filter_map(|(one, authority)| {
            verify_timestamp_for_authority(&one.signed_timestamp, signature, authority).ok()
        });
        times.map(SystemTime::from).collect()
    }

    /// Whether `token` is a timestamp of `signature` that no known authority made. One that names a
    /// known authority is that authority's or forged.
    fn is_unknown(&self, token: &TimestampToken, signature: &SignatureBytes) -> bool {
        let bytes = token.as_bytes();
        let is_in = |name: &Vec<u8>| {
            bytes
                .windows(name.len())
                .any(|part| part == name.as_slice())
        };
        !self.names.iter().any(is_in)
            && self.known.iter().all(|authority| {
                let verified = verify_timestamp_for_authority(token, signature, authority);
                // Any other error is about the token itself.
                matches!(verified, Err(TimestampError::SignatureVerificationError(_)))
            })
    }
}

impl SignatureVerifier {
    /// Leaves out the log entries of unknown logs unless `log_required`, and the timestamps of
    /// unknown authorities. A certificate requires a proven time: where these would be its only
    /// ones, they stay, and are refused.
    pub(super) fn without_unknown<'s, 'a>(
        &self,
        signature: &'s Signature<'a>,
        log_required: bool,
    ) -> Cow<'s, Signature<'a>> {
        let mut known = Cow::Borrowed(signature);
        let material = &signature.bundle.verification_material;
        let tokens = &material.timestamp_verification_data.rfc3161_timestamps;
        let entries = &material.tlog_entries;
        let log_required = log_required || (signature.has_certificate() && tokens.is_empty());
        let is_known = |entry: &TransparencyLogEntry| {
            self.knows_logs && (log_required || self.logs.know(entry))
        };
        if !entries.iter().all(is_known) {
            let known = known.to_mut();
            let bundle = &mut known.bundle;
            let mut material = bundle.verification_material.clone();
            material.tlog_entries.retain(is_known);
            let version = match bundle.media_type() {
                // It requires the promise of a log.
                MediaType::Bundle0_1 if material.tlog_entries.is_empty() => MediaType::Bundle0_2,
                version => version,
            };
            *bundle = Bundle::new(version, material, bundle.content.clone());
            known.ignored.push(if self.knows_logs {
                Ignored::UnknownLog
            } else {
                Ignored::LogEntries
            });
        }
        let Ok(raw) = raw_signature(&signature.bundle) else {
            return known;
        };
        let knows_any = self.timestamps.are_known();
        let is_unknown =
            |token: &TimestampToken| !knows_any || self.timestamps.is_unknown(token, raw);
        let mut others = tokens.clone();
        others.retain(|one| !is_unknown(&one.signed_timestamp));
        let mut entries = known.bundle.verification_material.tlog_entries.iter();
        let is_timed = !others.is_empty()
            || !signature.has_certificate()
            || entries.any(|one| one.inclusion_promise.is_some() && one.integrated_time.is_some());
        if others.len() < tokens.len() && (is_timed || !knows_any) {
            let known = known.to_mut();
            let material = &mut known.bundle.verification_material;
            material.timestamp_verification_data.rfc3161_timestamps = others;
            known.ignored.push(if knows_any {
                Ignored::UnknownAuthority
            } else {
                Ignored::Timestamps
            });
        }
        known
    }
}
