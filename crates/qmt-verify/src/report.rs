//! Reports: what was proven and what was not, for people and for machines.

use std::collections::BTreeMap;
#[cfg(any(feature = "sigstore", test))]
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qmt_oci_ref::PinnedReference;
use serde::Serialize;

use crate::error::Rejection;
use crate::signer::SignerId;

/// What one verification proved. Texts are from the publisher and safe to print.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The image, with its digest.
    pub subject: String,
    /// Whether verification was skipped; then nothing below was proven.
    pub skipped: bool,
    /// The scope of the policy that applied.
    pub scope: String,
    /// The entry of the policy that held.
    pub authority: String,
    /// Who signed.
    pub signer: Option<SignerId>,
    /// Further signers that the policy asked for.
    pub cosigners: Vec<SignerId>,
    /// Whether no signer is configured or pinned, so that this one is to be pinned.
    pub first_use: bool,
    /// Whether the lockfile pins another signer, which the policy overrides.
    pub differs_from_pin: bool,
    /// The config line that accepts exactly this signer.
    pub config_line: Option<String>,
    /// Where the signature was found.
    pub found: String,
    /// `bundle v0.3`, `.sig` and so on.
    pub format: String,
    /// All identities of the certificate.
    pub identities: Vec<String>,
    /// What the CI system claims about the workflow that signed.
    pub claims: BTreeMap<String, String>,
    /// The annotations of the signature.
    pub annotations: BTreeMap<String, String>,
    /// The image name in the signed payload; not compared unless the policy says so.
    pub signed_name: Option<String>,
    /// The log entries that hold.
    pub log_entries: Vec<LogEntry>,
    /// All proven times of signing, RFC 3339.
    pub signed_at: Vec<String>,
    /// Which checks ran and held.
    pub checks: Vec<String>,
    /// The types of the attestations that the policy demanded and found.
    pub attestations: Vec<String>,
    /// What the policy relaxed, and what deserves a second look.
    pub warnings: Vec<String>,
    /// Where the trust root came from, its version and age.
    pub trust_root: Option<TrustReport>,
    /// Other pieces of evidence, which were not enough.
    pub rejected: Vec<Rejection>,
}

impl Report {
    /// A report about `subject` that claims nothing yet.
    pub(crate) fn of(subject: &PinnedReference) -> Self {
        Self {
            subject: subject.to_string(),
            skipped: false,
            scope: String::new(),
            authority: String::new(),
            signer: None,
            cosigners: Vec::new(),
            first_use: false,
            differs_from_pin: false,
            config_line: None,
            found: String::new(),
            format: String::new(),
            identities: Vec::new(),
            claims: BTreeMap::new(),
            annotations: BTreeMap::new(),
            signed_name: None,
            log_entries: Vec::new(),
            signed_at: Vec::new(),
            checks: Vec::new(),
            attestations: Vec::new(),
            warnings: Vec::new(),
            trust_root: None,
            rejected: Vec::new(),
        }
    }
}

/// One transparency log entry that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogEntry {
    /// The index of the entry in its log, as its log signed it: in the log's current tree where
    /// Rekor v1 gave a proof and no promise.
    pub index: u64,
    /// The id of the log that signed, base64.
    pub log: String,
    /// `hashedrekord 0.0.1` and so on.
    pub kind: String,
    /// When the log recorded it, RFC 3339, where the log says so.
    pub integrated_at: Option<String>,
}

/// The trust root of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrustReport {
    /// `embedded`, a file name, or the URL of a TUF repository.
    pub source: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// Seconds since it was last refreshed, where that is known.
    pub age_seconds: Option<u64>,
}

impl LogEntry {
    #[cfg(feature = "sigstore")]
    pub(crate) fn new(index: u64, log: String, kind: String, at: Option<String>) -> Self {
        Self {
            index,
            log,
            kind,
            integrated_at: at,
        }
    }
}

/// A time as RFC 3339 in UTC, to the second.
#[cfg(any(feature = "sigstore", test))]
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            // Rounded down, as everything else.
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            let partial = i64::from(before > Duration::from_secs(before.as_secs()));
            0_i64.saturating_sub(whole).saturating_sub(partial)
        }
    };
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

/// Days since 1970-01-01 to year, month and day.
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
#[cfg(any(feature = "sigstore", test))]
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_493_331, "2026-11-24T04:08:51Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            rfc3339(UNIX_EPOCH - Duration::from_secs(1)),
            "1969-12-31T23:59:59Z"
        );
        assert_eq!(
            rfc3339(UNIX_EPOCH - Duration::from_millis(1)),
            "1969-12-31T23:59:59Z"
        );
    }
}
