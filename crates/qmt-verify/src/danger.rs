//! Ways around verification. Each is visible in the log and in its result.

use qmt_oci_ref::PinnedReference;

use crate::report::Report;
#[cfg(feature = "test-util")]
use crate::signer::SignerId;
use crate::verification::Verification;

/// Accepts `subject` without a signature because the operator configured that. Nothing is proven,
/// a warning is logged each time, and [`Verification::is_skipped`] is true.
pub fn dangerous_skip_verification(subject: &PinnedReference) -> Verification {
    tracing::warn!(%subject, "signature verification is switched off: any publisher is accepted");
    let mut report = Report::of(subject);
    report.skipped = true;
    "none: verification is switched off".clone_into(&mut report.authority);
    report.warnings = vec!["signature verification is switched off".to_owned()];
    Verification::assertion(subject, Vec::new(), None, report)
}

/// Makes what a verifier would return, for tests of code that uses one through a mock.
#[cfg(feature = "test-util")]
pub fn dangerous_verification_for_tests(
    subject: &PinnedReference,
    signer: SignerId,
) -> Verification {
    let mut report = Report::of(subject);
    "a test".clone_into(&mut report.authority);
    report.signer = Some(signer);
    Verification::assertion(subject, Vec::new(), None, report)
}
