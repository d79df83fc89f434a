//! The parts of a signature that are ignored. They prove nothing.
//!
//! Log entries and timestamps by logs and authorities that the trust root does not have are no
//! defect: a signature is verified without them. Where they cannot be read, a signature with a key
//! that needs no log is enough; everything else is refused with the reason that is kept here.

use std::borrow::Cow;
use std::fmt;

use sigstore_verify::types::{Bundle, MediaType, TimestampToken, TransparencyLogEntry};

use super::Signature;
use super::verifier::{SignatureVerifier, entries, raw_signature};
use crate::reason::Reason;

/// A part of a signature that was not checked. It proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// The trust root knows no transparency log.
    LogEntries,
    /// The trust root does not know the log.
    UnknownLog,
    /// The trust root knows no timestamp authority.
    Timestamps,
    /// The trust root does not know the timestamp authority.
    UnknownAuthority,
    /// The trust root knows no certificate transparency log.
    CertificateTimestamps,
    /// A log entry or timestamp that cannot be read, of a kind that the trust root knows.
    Unreadable,
}

impl Ignored {
    pub(crate) fn warning(self) -> &'static str {
        match self {
            Self::LogEntries => {
                "its log entry was ignored: the trust root knows no transparency log"
            }
            Self::UnknownLog => {
                "a log entry was ignored: the trust root does not know its transparency log"
            }
            Self::UnknownAuthority => {
                "a timestamp was ignored: the trust root does not know its timestamp authority"
            }
            Self::Timestamps => {
                "its timestamp was ignored: the trust root knows no timestamp authority"
            }
            Self::CertificateTimestamps => {
                "the timestamps in its certificate were not checked: the trust root knows no \
                 certificate transparency log"
            }
            Self::Unreadable => {
                "its log entry or timestamp cannot be read, and was ignored: its key needs none"
            }
        }
    }
}

impl SignatureVerifier {
    /// The bundle of `signature` without what unknown logs and authorities made, and everything in
    /// the signature that is ignored. Where a log is required, the entries of unknown logs are left
    /// out only if one of a known log remains. A certificate requires a proven time: where nothing
    /// else could prove one, the entries or timestamps stay, and are refused.
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
        let unread = &signature.unread;
        let (has_unread_entry, has_unread_time) =
            (unread.log_entries.is_some(), unread.timestamps.is_some());
        let others = [
            (Ignored::LogEntries, !knows_logs && has_unread_entry),
            (Ignored::Timestamps, !knows_any && has_unread_time),
            (
                Ignored::CertificateTimestamps,
                signature.has_certificate() && !self.knows_certificate_logs,
            ),
            (
                Ignored::Unreadable,
                (knows_logs && has_unread_entry) || (knows_any && has_unread_time),
            ),
        ];
        let others = others.into_iter().filter(|(_, is_ignored)| *is_ignored);
        ignored.extend(others.map(|(part, _)| part));
        (known, ignored)
    }
}

/// Why a part of a signature cannot be read.
#[derive(Debug)]
pub(super) struct Defect {
    what: &'static str,
    problem: String,
}

impl Defect {
    pub(super) fn new(what: &'static str, problem: impl fmt::Display) -> Self {
        let problem = problem.to_string();
        Self { what, problem }
    }
}

impl From<&Defect> for Reason {
    fn from(defect: &Defect) -> Self {
        Self::unreadable(defect.what, defect.problem.as_str())
    }
}

/// The parts of one signature that cannot be read, and are missing in its bundle.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pub(super) log_entries: Option<Defect>,
    pub(super) timestamps: Option<Defect>,
}

impl Unread {
    /// Refuses a signature that requires a log entry or a time.
    pub(super) fn refuse(&self) -> Result<(), Reason> {
        let defect = self.timestamps.as_ref().or(self.log_entries.as_ref());
        defect.map_or(Ok(()), |defect| Err(defect.into()))
    }
}
