//! What one call of the judge is about, and what was heard so far.

use std::time::SystemTime;

use qmt_oci_ref::PinnedReference;

use super::candidate::Candidate;
use super::facts::Facts;
use crate::error::Rejection;
use crate::policy::Policy;
use crate::signer::SignerId;

/// What one call of the judge is about.
pub(super) struct Case<'a> {
    pub(super) subject: &'a PinnedReference,
    pub(super) policy: &'a Policy,
    pub(super) scope: String,
    pub(super) expected: Option<&'a SignerId>,
    pub(super) now: SystemTime,
}

/// What was heard so far.
#[derive(Default)]
pub(super) struct Docket<'a> {
    pub(super) accepted: Vec<Accepted>,
    pub(super) attestations: Vec<Candidate<'a>>,
    pub(super) rejected: Vec<Rejection>,
}

/// One signature that satisfies one authority.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    /// The index of the authority; 0 on first use.
    pub(super) authority: usize,
    /// The authority in words.
    pub(super) label: String,
    pub(super) signer: SignerId,
    pub(super) facts: Facts,
}
