//! The proof that a digest may be used: made by the judge, and by nobody else.

use std::time::SystemTime;

use qmt_oci_ref::{Digest, PinnedReference};

use crate::report::Report;
use crate::signer::SignerId;

/// Evidence that one digest satisfied the policy that covers it.
///
/// Only the judge makes one, by `Verification::assertion`; the other way is in
/// [`danger`](crate::danger), and then [`Verification::is_skipped`] says so. Whoever uses one compares [`Verification::digest`]
/// with what is about to be used.
#[derive(Clone, Debug)]
pub struct Verification {
    digest: Digest,
    proven: Option<Proven>,
    report: Report,
}

/// What the judge knows about the signature that held.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    pub(crate) signer: SignerId,
    pub(crate) times: Vec<SystemTime>,
}

impl Verification {
    /// The only constructor. Whoever calls it asserts that everything in it was proven, or that
    /// the operator asked for no proof (`proven` is `None`).
    pub(crate) fn assertion(
        subject: &PinnedReference,
        proven: Option<Proven>,
        report: Report,
    ) -> Self {
        Self {
            digest: subject.digest().clone(),
            proven,
            report,
        }
    }

    /// The digest that was judged. Nothing else is verified.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Who signed; `None` only where verification was skipped.
    pub fn signer(&self) -> Option<&SignerId> {
        self.proven.as_ref().map(|proven| &proven.signer)
    }

    /// The entry of the policy that held, in words.
    pub fn authority(&self) -> &str {
        &self.report.authority
    }

    /// Proven times of signing; empty where a policy does without.
    pub fn times(&self) -> &[SystemTime] {
        self.proven.as_ref().map_or(&[], |proven| &proven.times)
    }

    /// The latest proven time of signing, which is what the lockfile notes.
    pub fn signed_at(&self) -> Option<SystemTime> {
        self.times().iter().max().copied()
    }

    /// Whether the signer was taken because none is configured and none is pinned yet: it is to be
    /// pinned at this first use.
    pub fn first_use(&self) -> bool {
        self.report.first_use
    }

    /// Whether the lockfile pins another signer than the one that the policy accepted.
    pub fn differs_from_pin(&self) -> bool {
        self.report.differs_from_pin
    }

    /// Whether verification was switched off, so that nothing was proven.
    pub fn is_skipped(&self) -> bool {
        self.proven.is_none()
    }

    /// All of it, for people and machines.
    pub fn report(&self) -> &Report {
        &self.report
    }
}
