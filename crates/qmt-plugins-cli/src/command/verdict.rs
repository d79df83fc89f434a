//! Clauses that say whether a version of an image is accepted.

use qmt_plugins::inspect::VersionReport;
use qmt_plugins::oci_ref::text::messages;
use qmt_plugins::{Error, ErrorKind};

/// Returns a clause that says whether what the tag names now is accepted, next to the version that is
/// used.
pub(super) fn verdict(used: &VersionReport, current: &VersionReport) -> String {
    match (&used.result, &current.result) {
        (Ok(_), Ok(report)) if !report.skipped && current.refused.is_none() => {
            "which is accepted too".to_owned()
        }
        _ => verdict_of(current),
    }
}

/// Returns a clause that says whether a version is accepted.
pub(super) fn verdict_of(version: &VersionReport) -> String {
    if let Some(error) = &version.refused {
        return format!("which is refused: {}", messages(error).join(": "));
    }
    match &version.result {
        Ok(report) if report.skipped => "which is not verified".to_owned(),
        Ok(_) => "which is accepted".to_owned(),
        Err(Error::Rollback { .. }) => "which is not proven to be newer".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotVerified => "which is refused".to_owned(),
        Err(error) => {
            let cause = messages(error).pop().map(|cause| format!(": {cause}"));
            let cause = cause.unwrap_or_default();
            format!("whose signatures could not be looked up{cause}")
        }
    }
}

/// Says that a version is refused for another reason than its signatures.
pub(super) fn refusal(version: &VersionReport) -> Option<String> {
    let error = version.refused.as_ref()?;
    let causes = messages(error).join(": ");
    Some(format!("loading it is refused: {causes}"))
}
