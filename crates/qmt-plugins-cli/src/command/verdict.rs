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
    let verdict = match &version.result {
        Ok(report) if report.skipped => "which is not verified",
        Ok(_) => "which is accepted",
        Err(Error::Rollback { .. }) => "which is not proven to be newer",
        Err(error) if error.kind() == ErrorKind::NotVerified => "which is refused",
        Err(error) => {
            let looked_up = "whose signatures could not be looked up";
            let cause = messages(error).pop();
            return cause.map_or_else(
                || looked_up.to_owned(),
                |cause| format!("{looked_up}: {cause}"),
            );
        }
    };
    verdict.to_owned()
}

/// Says that a version is refused for another reason than its signatures.
pub(super) fn refusal(version: &VersionReport) -> Option<String> {
    let error = version.refused.as_ref()?;
    let causes = messages(error).join(": ");
    Some(format!("loading it is refused: {causes}"))
}
