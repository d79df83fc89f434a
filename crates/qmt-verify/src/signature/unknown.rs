//! Log entries and timestamps by transparency logs and timestamp authorities that the trust root
//! does not have. They prove nothing, and are no defect either: a signature is verified without
//! them.

use std::borrow::Cow;

use sigstore_verify::types::{Bundle, MediaType, TimestampToken, TransparencyLogEntry};

use super::verifier::{SignatureVerifier, entries, raw_signature};
use super::{Ignored, Signature};

impl SignatureVerifier {
    /// The bundle of `signature` without what unknown logs and authorities made, and what was left
    /// out. Where a log is required, the entries of unknown logs are left out only if one of a
    /// known log remains. A certificate requires a proven time: where nothing else could prove one,
    /// the entries or timestamps stay, and are refused.
    pub(super) fn without_unknown<'s>(
        &self,
        signature: &'s Signature<'_>,
        log_required: bool,
    ) -> (Cow<'s, Bundle>, Vec<Ignored>) {
        let mut known = Cow::Borrowed(&signature.bundle);
        let mut ignored = Vec::new();
        let material = &signature.bundle.verification_material;
        let tokens = &material.timestamp_verification_data.rfc3161_timestamps;
        let knows_logs = self.logs.are_known();
        let is_required = log_required || (signature.has_certificate() && tokens.is_empty());
        let keeps_all = is_required && !entries(&known).iter().any(|entry| self.logs.know(entry));
        let is_known =
            |entry: &TransparencyLogEntry| knows_logs && (keeps_all || self.logs.know(entry));
        if !entries(&known).iter().all(is_known) {
            let bundle = known.to_mut();
            let entries = &mut bundle.verification_material.tlog_entries;
            entries.retain(is_known);
            if entries.is_empty() && bundle.media_type == MediaType::Bundle0_1 {
                // Version 0.1 requires the promise of a log.
                bundle.media_type = MediaType::Bundle0_2;
            }
            ignored.push(if knows_logs {
                Ignored::UnknownLog
            } else {
                Ignored::LogEntries
            });
        }
        let Ok(raw) = raw_signature(&signature.bundle) else {
            return (known, ignored);
        };
        let knows_any = self.timestamps.are_known();
        let is_unknown =
            |token: &TimestampToken| !knows_any || self.timestamps.is_unknown(token, raw);
        let mut trusted = tokens.clone();
        trusted.retain(|one| !is_unknown(&one.signed_timestamp));
        let mut entries = entries(&known).iter();
        let has_other_time = !trusted.is_empty()
            || !signature.has_certificate()
            || entries.any(|one| one.inclusion_promise.is_some() && one.integrated_time.is_some());
        if trusted.len() < tokens.len() && (has_other_time || !knows_any) {
            let material = &mut known.to_mut().verification_material;
            material.timestamp_verification_data.rfc3161_timestamps = trusted;
            ignored.push(if knows_any {
                Ignored::UnknownAuthority
            } else {
                Ignored::Timestamps
            });
        }
        (known, ignored)
    }
}
