//! The seam of the stage. Start here.

use std::time::SystemTime;

use async_trait::async_trait;
use qmt_oci_ref::{PinnedReference, Registry};

use crate::error::VerifyError;
use crate::evidence::Evidence;
use crate::signer::SignerId;
use crate::verification::Verification;

/// Decides whether a digest may be used. Discovery does I/O and never decides; a check decides and
/// never does I/O, so that stored evidence is checked again at every load, offline.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// Discovers everything in `registry` that may be a signature of `subject`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Source`] if no place can be read: that never means "unsigned". Where some
    /// cannot be read, the evidence says so, and a check that is not satisfied reports it.
    async fn discover(
        &self,
        registry: &dyn Registry,
        subject: &PinnedReference,
    ) -> Result<Evidence, VerifyError>;

    /// Checks `evidence` about `subject` against the policy and the trust root, as of `now`.
    ///
    /// `expected` is the signer that the lockfile pins, if any. Under pin-on-first-use another
    /// signer is refused. Where the policy names its signers the policy decides, and
    /// [`Verification::differs_from_pin`] reports a change.
    ///
    /// # Errors
    ///
    /// [`VerifyError::NoSignature`] or [`VerifyError::Refused`]; [`VerifyError::Source`] around one
    /// of them where a place could not be read; [`VerifyError::Policy`] where no policy covers the
    /// subject.
    fn check(
        &self,
        subject: &PinnedReference,
        evidence: &Evidence,
        expected: Option<&SignerId>,
        now: SystemTime,
    ) -> Result<Verification, VerifyError>;

    /// Discovers the signatures of `pin` in `registry` and checks them as of `now`, with no pinned
    /// signer.
    ///
    /// # Errors
    ///
    /// Those of [`Verifier::discover`] and [`Verifier::check`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the requests and nothing else.
    async fn verify(
        &self,
        registry: &dyn Registry,
        pin: &PinnedReference,
        now: SystemTime,
    ) -> Result<Verification, VerifyError> {
        let evidence = self.discover(registry, pin).await?;
        self.check(pin, &evidence, None, now)
    }
}

#[cfg(feature = "test-util")]
mockall::mock! {
    /// A scripted [`Verifier`]: `expect_discover`, `expect_check`.
    // Written out, because automock and async_trait disagree about the lifetime of `dyn`.
    pub Verifier {
        /// See [`Verifier::discover`].
        pub fn discover(
            &self,
            registry: &dyn Registry,
            subject: &PinnedReference,
        ) -> Result<Evidence, VerifyError>;

        /// See [`Verifier::check`].
        pub fn check(
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
    async fn discover(
        &self,
        registry: &dyn Registry,
        subject: &PinnedReference,
    ) -> Result<Evidence, VerifyError> {
        // The method of the mock itself, not this one.
        Self::discover(self, registry, subject)
    }

    fn check(
        &self,
        subject: &PinnedReference,
        evidence: &Evidence,
        expected: Option<&SignerId>,
        now: SystemTime,
    ) -> Result<Verification, VerifyError> {
        Self::check(self, subject, evidence, expected.cloned(), now)
    }
}
