//! Every limit of this crate, in one place.
//!
//! The constants are ceilings: [`Limits`] takes smaller values, and lowers a larger one to them.

use std::time::Duration;

use qmt_oci_ref::manifest::ClaimLimits;

/// Most attempts of one operation where no server was reached under the name and port.
pub const ABSENT_TRIES_MAX: usize = 3;
/// Most attempts of one operation at a mirror: the next source has the content as well.
pub const MIRROR_TRIES_MAX: usize = 3;
/// The slowest acceptable rate of a body: 1 KiB per second.
pub const STALL_BYTES_PER_SECOND: u64 = 1 << 10;
/// Longest time that a token is used, whatever its server says: 1 h.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_hours(1);
/// Lifetime of a token whose server gives none, or less: 60 s, as the token specification says.
pub const TOKEN_LIFETIME_MIN: Duration = Duration::from_mins(1);
/// Most sessions with tokens that are held at once.
pub const TOKENS_HELD_MAX: usize = 1_024;
/// Most bytes of one `WWW-Authenticate` value that are read: 8 KiB.
pub const CHALLENGE_BYTES_MAX: usize = 8 << 10;
/// Time that a credential helper gets: 30 s.
pub const HELPER_TIME_MAX: Duration = Duration::from_secs(30);
/// Most bytes that a credential helper may print: 64 KiB.
pub const HELPER_OUTPUT_MAX: u64 = 64 << 10;
/// Largest file with credentials: 1 MiB.
pub const CREDENTIAL_FILE_MAX: u64 = 1 << 20;

/// Most attempts of one request for a list of referrers, of which a registry has two, or for a tag
/// that stands for a digest.
pub const LIST_TRIES_MAX: usize = 3;
/// Time for the referrers lists of a registry and its mirrors, or for all that they have under the
/// tag of a signature: 7 s.
pub const MERGED_REFERRERS_TIMEOUT: Duration = Duration::from_secs(7);
/// Most bytes of all pages of one referrers list: 16 MiB.
pub const REFERRERS_BYTES_MAX: u64 = 16 << 20;
/// Most entries that are read of one page of a referrers list, from both ends.
pub const PAGE_ENTRIES_MAX: usize = 32_768;
/// Most bytes in memory of the annotations of one referrer in a list; one with more is listed
/// without them: 4 KiB.
pub const REFERRER_ANNOTATIONS_MAX: usize = ClaimLimits::REFERRER_ANNOTATIONS;
/// Most bytes in memory of the annotations of all referrers in a list: 2 MiB.
pub const REFERRERS_ANNOTATIONS_MAX: usize = ClaimLimits::REFERRERS_ANNOTATIONS;

/// Declares the limits that a client can lower: a constant, a field that starts at it, and a setter
/// that clamps the value to it.
macro_rules! limits {
    ($($(#[$doc:meta])* $max:ident: $kind:ty = $value:expr, $name:ident from $least:expr;)*) => {
        $($(#[$doc])*
        pub const $max: $kind = $value;)*

        /// The limits of a client. All start at their constants and can only be lowered.
        #[derive(Clone, Debug)]
        pub struct Limits {
            $(pub(crate) $name: $kind,)*
            /// Whether a request that a server does not answer in time, or only in part, is sent
            /// again.
            #[cfg(feature = "http")]
            pub(crate) retries_silence: bool,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self {
                    $($name: $max,)*
                    #[cfg(feature = "http")]
                    retries_silence: true,
                }
            }
        }

        impl Limits {
            $(#[doc = concat!("Lowers [`", stringify!($max), "`] for this client.")]
            #[must_use]
            pub fn $name(mut self, value: $kind) -> Self {
                self.$name = value.clamp($least, $max);
                self
            })*
        }
    };
}

limits! {
    /// Largest manifest or index: 4 MiB.
    MANIFEST_MAX: u64 = 4 << 20, manifest from 1;
    /// Largest page of the referrers list: 4 MiB.
    REFERRERS_PAGE_MAX: u64 = 4 << 20, referrers_page from 1;
    /// Most referrers of one subject that are listed, over all pages. Where there are more, those whose
    /// artifact type is not one of signatures are left out. Callers sort them before they read any.
    REFERRERS_MAX: usize = 8_192, referrers from 1;
    /// Most pages of one referrers list: the time and the bytes for the list end it before.
    REFERRERS_PAGES_MAX: usize = 65_536, referrers_pages from 1;
    /// Time for one referrers list, retries included: 6 s. Other sources of evidence are not delayed
    /// for longer.
    REFERRERS_TIMEOUT: Duration = Duration::from_secs(6), referrers_timeout from Duration::from_millis(1);
    /// Largest answer of a token server: 64 KiB.
    TOKEN_BODY_MAX: u64 = 64 << 10, token_body from 1;
    /// Most bytes of an error body that are read: 64 KiB (1,024 characters of it are shown).
    ERROR_BODY_MAX: u64 = 64 << 10, error_body from 1;
    /// Most header lines of one answer.
    HEADERS_MAX: usize = 100, headers from 1;
    /// Most bytes of all header names and values of one answer: 64 KiB.
    HEADER_BYTES_MAX: usize = 64 << 10, header_bytes from 1;
    /// Most redirects that one request follows.
    REDIRECTS_MAX: usize = 10, redirects from 0;
    /// Most attempts of one operation, the first included. A blob transfer that makes progress
    /// starts counting again.
    TRIES_MAX: usize = 5, tries from 1;
    /// Longest pause between two attempts: 60 s. A registry that asks for more is not asked again.
    RETRY_WAIT_MAX: Duration = Duration::from_mins(1), retry_wait_max from Duration::ZERO;
    /// Pause before the second attempt, doubled before each further one.
    RETRY_WAIT_MIN: Duration = Duration::from_millis(500), retry_wait_min from Duration::ZERO;
    /// Most answers `401` that one operation accepts before it gives up.
    CHALLENGES_MAX: usize = 3, challenges from 1;
    /// Time to connect, TLS included: 10 s.
    CONNECT_TIMEOUT: Duration = Duration::from_secs(10), connect_timeout from Duration::from_millis(1);
    /// Time from the sent request to the whole head of the answer: 30 s.
    HEADER_TIMEOUT: Duration = Duration::from_secs(30), header_timeout from Duration::from_millis(1);
    /// How much waiting for a body the slowest acceptable rate is measured over: 30 s.
    STALL_WINDOW: Duration = Duration::from_secs(30), stall_window from Duration::from_millis(1);
    /// Time for one whole operation, retries and the blob's stream included: 15 min.
    TOTAL_TIMEOUT: Duration = Duration::from_mins(15), total_timeout from Duration::from_millis(1);
    /// Largest part of a chunked upload: 32 MiB. Smaller blobs are sent in one request.
    UPLOAD_CHUNK_MAX: u64 = 32 << 20, upload_chunk from 1;
    /// Most blobs that are downloaded at once over one client.
    STREAMS_MAX: usize = 64, streams from 1;
}

#[cfg(test)]
mod tests;
