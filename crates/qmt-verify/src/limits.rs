//! Every limit of this crate in one table. A registry, and whoever can push to it, is hostile.
//!
//! Where two sources disagree the smaller number is taken. The numbers follow CVE-2023-46737,
//! CVE-2024-29902, CVE-2024-29903 and CVE-2024-45395, where signatures had none.
#![cfg_attr(
    not(feature = "sigstore"),
    allow(dead_code, reason = "the limits of the judge")
)]

use std::time::Duration;

/// Most descriptors that a list of referrers may hold before the rest is left aside.
pub(crate) const REFERRERS_MAX: usize = 1000;
/// Most referrer manifests that are fetched, those that look like signatures first.
pub(crate) const MANIFESTS_MAX: usize = 64;
/// Most layers of one manifest that are looked at.
pub(crate) const LAYERS_MAX: usize = 64;
/// Most signatures that are kept for one digest.
pub(crate) const SIGNATURES_MAX: usize = 100;
/// Most envelopes of a `.att` tag that are kept for one digest.
pub(crate) const ENVELOPES_MAX: usize = 32;
/// Most bytes of one bundle, payload or envelope.
pub(crate) const PIECE_BYTES_MAX: u64 = 1024 * 1024;
/// Most bytes of all bundles, payloads, envelopes and annotations of one digest together.
pub(crate) const TOTAL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of the annotations of one signature layer.
pub(crate) const ANNOTATION_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a manifest of signatures.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most bytes of serialised evidence that are read back.
pub(crate) const EVIDENCE_BYTES_MAX: usize = 2 * TOTAL_BYTES_MAX;
/// Most notes about what was left aside.
pub(crate) const NOTES_MAX: usize = 64;
/// Most requests to a registry at the same time.
pub(crate) const REQUESTS_AT_ONCE: usize = 16;
/// The longest that looking for signatures may take in all.
pub(crate) const COLLECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Most transparency-log entries of one bundle.
pub(crate) const LOG_ENTRIES_MAX: usize = 8;
/// Most RFC 3161 timestamps of one bundle.
pub(crate) const TIMESTAMPS_MAX: usize = 8;
/// Most subjects of one in-toto statement.
pub(crate) const SUBJECTS_MAX: usize = 1024;
/// Most certificates of one chain.
pub(crate) const CHAIN_MAX: usize = 8;
/// Most hashes of one inclusion proof: a tree of 2^64 leaves is 64 deep.
pub(crate) const PROOF_HASHES_MAX: usize = 64;
/// How far a signed time may lie ahead of our clock.
pub(crate) const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);

/// Most authorities of one policy, so that judging stays cheap.
pub(crate) const AUTHORITIES_MAX: usize = 64;
/// Most bytes of a compiled identity expression.
pub(crate) const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// Most bytes of a trusted root, a PEM file or a target of a TUF repository.
pub(crate) const TRUST_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most bytes of the root metadata of a TUF repository.
pub(crate) const TUF_ROOT_BYTES_MAX: u64 = 1024 * 1024;
/// Most bytes of any other metadata of a TUF repository.
pub(crate) const TUF_METADATA_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Most root rotations that one refresh walks through.
pub(crate) const TUF_ROTATIONS_MAX: u32 = 1024;
/// The longest that one refresh of a TUF repository may take in all.
pub(crate) const TUF_TIME_MAX: Duration = Duration::from_mins(1);
/// How old the last refresh of a TUF repository may be before it is repeated.
pub(crate) const TUF_REFRESH_AFTER: Duration = Duration::from_hours(24);
/// How long a TUF repository that could not be reached is left alone, while its last metadata holds.
pub(crate) const TUF_RETRY_AFTER: Duration = Duration::from_mins(10);

/// Makes setters that lower a limit and never raise it.
macro_rules! lower {
    ($($(#[$doc:meta])* $setter:ident: $kind:ty => $($field:ident).+;)*) => {$(
        $(#[$doc])*
        ///
        /// A value above the one in force changes nothing.
        #[must_use]
        pub fn $setter(mut self, most: $kind) -> Self {
            self.$($field).+ = self.$($field).+.min(most);
            self
        }
    )*};
}
pub(crate) use lower;

/// What one refresh of a TUF repository may read and take: as above, or less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TufLimits {
    pub(crate) root_bytes: u64,
    pub(crate) metadata_bytes: u64,
    pub(crate) rotations: u32,
    pub(crate) time: Duration,
}

impl Default for TufLimits {
    fn default() -> Self {
        Self {
            root_bytes: TUF_ROOT_BYTES_MAX,
            metadata_bytes: TUF_METADATA_BYTES_MAX,
            rotations: TUF_ROTATIONS_MAX,
            time: TUF_TIME_MAX,
        }
    }
}

/// What one bundle may hold: as above, or less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BundleLimits {
    pub(crate) log_entries: usize,
    pub(crate) timestamps: usize,
    pub(crate) subjects: usize,
}

impl Default for BundleLimits {
    fn default() -> Self {
        Self {
            log_entries: LOG_ENTRIES_MAX,
            timestamps: TIMESTAMPS_MAX,
            subjects: SUBJECTS_MAX,
        }
    }
}
