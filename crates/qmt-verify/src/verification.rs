//! The evidence that a digest may be used. Only the verifier makes it.

use std::time::SystemTime;

use qmt_oci_ref::{Digest, PinnedReference};

use crate::report::Report;
use crate::signer::SignerId;

/// Evidence that one digest satisfies the policy that covers it.
///
/// Only the verifier makes one, by `Verification::assertion`. The exception is in
/// [`danger`](crate::danger); then [`Verification::is_skipped`] is true. Callers compare
/// [`Verification::digest`] with the digest of what they are about to use.
#[derive(Clone, Debug)]
pub struct Verification {
    digest: Digest,
    times: Vec<SystemTime>,
    signed_at: Option<SystemTime>,
    report: Report,
}

impl Verification {
    /// The only constructor. The caller asserts that everything in `report` is proven, or that the
    /// operator requires no proof (`report.skipped`).
    pub(crate) fn assertion(
        subject: &PinnedReference,
        times: Vec<SystemTime>,
        signed_at: Option<SystemTime>,
        report: Report,
    ) -> Self {
        Self {
            digest: subject.digest().clone(),
            times,
            signed_at,
            report,
        }
    }

    /// The digest that was checked. Nothing else is verified.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The signer; `None` only where verification was skipped.
    pub fn signer(&self) -> Option<&SignerId> {
        self.report.signer.as_ref()
    }

    /// The entry of the policy that is satisfied, in words.
    pub fn authority(&self) -> &str {
        &self.report.authority
    }

    /// Proven times; empty where the policy does not require one. The signature existed at each of
    /// them, but may be older.
    pub fn times(&self) -> &[SystemTime] {
        &self.times
    }

    /// The signing time by which versions are ordered, and which the lockfile records: when a
    /// transparency log recorded the signature, else when its short-lived certificate was issued.
    /// Of several signatures by one signer, it is that of the latest. A timestamp can be requested
    /// for an old signature at any time, so it proves no age, and a key alone has no signing time.
    pub fn signed_at(&self) -> Option<SystemTime> {
        self.signed_at
    }

    /// Whether the signer was accepted because none is configured and none is pinned yet. The
    /// caller pins it.
    pub fn first_use(&self) -> bool {
        self.report.first_use
    }

    /// Whether the lockfile pins another signer than the one that the policy accepted.
    pub fn differs_from_pin(&self) -> bool {
        self.report.differs_from_pin
    }

    /// Whether verification was switched off, so that nothing is proven.
    pub fn is_skipped(&self) -> bool {
        self.report.skipped
    }

    /// All of it, for people and machines.
    pub fn report(&self) -> &Report {
        &self.report
    }
}
