//! The seam of the stage. Start here.

use std::time::SystemTime;

use async_trait::async_trait;
use qmt_oci_ref::PinnedReference;

use crate::error::VerifyError;
use crate::evidence::{Evidence, EvidenceSource};
use crate::signer::SignerId;
use crate::verification::Verification;

/// Decides whether a digest may be used. Collecting does I/O and never decides; judging decides
/// and never does I/O, so that stored evidence is judged again at every load, offline.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// Collects what may be a signature of `subject`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Source`], [`VerifyError::WrongContent`], [`VerifyError::Timeout`] if a place
    /// could not be read: an error while looking is not "unsigned".
    async fn collect(
        &self,
        source: &dyn EvidenceSource,
        subject: &PinnedReference,
    ) -> Result<Evidence, VerifyError>;

    /// Judges `evidence` about `subject` as of `now`, against the policy and the trust root.
    ///
    /// `expected` is the signer that the lockfile pins, if any. Under pin-on-first-use another
    /// signer is refused. Where the policy names its signers the policy decides, and
    /// [`Verification::differs_from_pin`] tells of a change.
    ///
    /// # Errors
    ///
    /// [`VerifyError::NoSignature`], [`VerifyError::Refused`], or [`VerifyError::Policy`] where no
    /// policy covers the subject.
    fn judge(
        &self,
        subject: &PinnedReference,
        evidence: &Evidence,
        expected: Option<&SignerId>,
        now: SystemTime,
    ) -> Result<Verification, VerifyError>;
}

#[cfg(feature = "test-util")]
mockall::mock! {
    /// A scripted [`Verifier`]: `expect_collect`, `expect_judge`.
    // Written out, because automock and async_trait disagree about the lifetime of `dyn`.
    pub Verifier {
        /// See [`Verifier::collect`].
        pub fn collect(
            &self,
            source: &dyn EvidenceSource,
            subject: &PinnedReference,
        ) -> Result<Evidence, VerifyError>;

        /// See [`Verifier::judge`].
        pub fn judge(
            &self,
            subject: &PinnedReference,
            evidence: &Evidence,
            expected: Option<SignerId>,
            now: SystemTime,
        ) -> Result<Verification, VerifyError>;
    }
}

#[cfg(feature = "test-util")]
#[async_trait]
impl Verifier for MockVerifier {
    async fn collect(
        &self,
        source: &dyn EvidenceSource,
        subject: &PinnedReference,
    ) -> Result<Evidence, VerifyError> {
        // The method of the mock itself, not this one.
        Self::collect(self, source, subject)
    }

    fn judge(
        &self,
        subject: &PinnedReference,
        evidence: &Evidence,
        expected: Option<&SignerId>,
        now: SystemTime,
    ) -> Result<Verification, VerifyError> {
        Self::judge(self, subject, evidence, expected.cloned(), now)
    }
}
