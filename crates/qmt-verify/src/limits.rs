//! Every limit of this crate in one table. Registries and their publishers may be hostile.
//!
//! Where two sources disagree the smaller number is taken. The numbers follow CVE-2023-46737,
//! CVE-2024-29902, CVE-2024-29903 and CVE-2024-45395, where signatures had none.
#![cfg_attr(
    not(feature = "sigstore"),
    allow(dead_code, reason = "limits of the verifier")
)]

use std::time::Duration;

/// Most small manifests of referrers that are fetched, those that look like signatures first.
pub(crate) const SMALL_MANIFESTS_MAX: usize = 256;
/// Most larger manifests of referrers that are fetched, after the small ones.
pub(crate) const LARGE_MANIFESTS_MAX: usize = 64;
/// How many referrers of each kind are fetched before more of a likelier kind.
pub(crate) const LIKELY_EACH_MAX: usize = 12;
/// Most bytes of a small manifest or layer. Signatures are small, so small ones are fetched first.
pub(crate) const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// Most bytes of the manifest of a referrer.
pub(crate) const REFERRER_BYTES_MAX: u64 = 1024 * 1024;
/// Most bytes in memory of the annotations of all signature layers of referrers.
pub(crate) const REFERRER_ANNOTATIONS_MAX: usize = 12 * 1024 * 1024;
/// Most bytes in memory of the annotations of all signature layers of one tag.
pub(crate) const TAG_ANNOTATIONS_MAX: usize = 4 * 1024 * 1024;
/// Most children of an index, and of the indexes in it, that are searched for signatures.
pub(crate) const CHILDREN_MAX: usize = 16;
/// Most indexes within one another whose children are searched: as many as an image is selected from.
pub(crate) const INDEX_DEPTH_MAX: usize = 2;
/// Most indexes in an index whose children are searched.
pub(crate) const INDEXES_MAX: usize = 8;
/// Most children that are searched at the same time.
pub(crate) const CHILDREN_AT_ONCE: usize = 4;
/// Most layers of one referrer that are read.
pub(crate) const LAYERS_MAX: usize = 64;
/// Most layers of a `.sig` or `.att` tag that are read: all signatures of a digest are in one.
pub(crate) const TAG_LAYERS_MAX: usize = SIGNATURES_MAX;
/// How many layers of referrers are held before only the last one of each further referrer is.
pub(crate) const LAYERS_HELD_MAX: usize = 4096;
/// Most signatures that are stored for one digest.
pub(crate) const SIGNATURES_MAX: usize = 256;
/// Most envelopes of a `.att` tag that are stored for one digest.
pub(crate) const ENVELOPES_MAX: usize = 32;
/// Most bytes of one bundle, payload or envelope.
pub(crate) const ITEM_BYTES_MAX: u64 = 1024 * 1024;
/// Most bytes of all bundles, payloads, envelopes and annotations of one digest together.
pub(crate) const TOTAL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of the annotations of one signature layer.
pub(crate) const ANNOTATION_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of the manifest under a `.sig` or `.att` tag.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most bytes of serialised evidence that are read back.
pub(crate) const EVIDENCE_BYTES_MAX: usize = 2 * TOTAL_BYTES_MAX;
/// Most notes about what was not stored.
pub(crate) const NOTES_MAX: usize = 64;
/// Most requests to a registry at the same time.
pub(crate) const REQUESTS_AT_ONCE: usize = 16;
/// How many of these are for the envelopes of attestations.
pub(crate) const ENVELOPES_AT_ONCE: usize = 4;
/// Most requests for large manifests at the same time.
pub(crate) const LARGE_AT_ONCE: usize = 2;
/// Most failed look-ups that are reported.
pub(crate) const FAILURES_MAX: usize = 16;
/// The longest that discovery may take in all.
pub(crate) const DISCOVERY_TIME_MAX: Duration = Duration::from_secs(10);
/// For how long attestations that are not required are waited for at least, after the signatures.
pub(crate) const OPTIONAL_TIME_MIN: Duration = Duration::from_millis(500);

/// Most certificates of one chain.
pub(crate) const CHAIN_MAX: usize = 8;
/// Most chains from one certificate of a trust root to its roots.
pub(crate) const PATHS_MAX: usize = 32;
/// Most hashes of one inclusion proof: a tree of 2^64 leaves is 64 deep.
pub(crate) const PROOF_HASHES_MAX: usize = 64;
/// How far a proven time may be ahead of the time of the check. The Sigstore library also compares
/// the time that a log promised with the clock of the system, and refuses a later one.
pub(crate) const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);

/// The longest validity of a certificate whose time of issue counts as the signing time. Fulcio's
/// certificates are valid for ten minutes.
pub(crate) const SHORT_LIVED_MAX: Duration = Duration::from_hours(24);

/// Most authorities of one policy, so that checks stay cheap.
pub(crate) const AUTHORITIES_MAX: usize = 64;
/// Most bytes of a compiled identity expression.
pub(crate) const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// Most bytes of a trusted root, a PEM file or a target of a TUF repository.
pub(crate) const TRUST_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How old the last refresh of a TUF repository may be before it is repeated.
pub(crate) const TUF_REFRESH_AFTER: Duration = Duration::from_hours(24);
/// How long a TUF repository that could not be reached is not asked again, while its last metadata
/// is valid.
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

/// What one refresh of a TUF repository may read and take; can be lowered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TufLimits {
    /// Of `root.json`.
    pub(crate) root_bytes: u64,
    /// Of any other metadata.
    pub(crate) metadata_bytes: u64,
    /// New roots that one refresh follows.
    pub(crate) rotations: u32,
    pub(crate) time: Duration,
}

pub(crate) const TUF_LIMITS: TufLimits = TufLimits {
    root_bytes: 1024 * 1024,
    metadata_bytes: 10 * 1024 * 1024,
    rotations: 1024,
    time: Duration::from_mins(1),
};

/// What one bundle may hold; can be lowered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BundleLimits {
    /// Transparency-log entries.
    pub(crate) log_entries: usize,
    /// RFC 3161 timestamps.
    pub(crate) timestamps: usize,
    /// Subjects of its in-toto statement.
    pub(crate) subjects: usize,
}

pub(crate) const BUNDLE_LIMITS: BundleLimits = BundleLimits {
    log_entries: 8,
    timestamps: 8,
    subjects: 1024,
};
