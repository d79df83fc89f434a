//! Every limit of this crate, in one place.
//!
//! What a registry sends is bounded before it is trusted. The constants are ceilings:
//! [`Limits`] takes smaller values, a larger one is brought down to the constant.

use std::time::Duration;

/// Largest manifest or index: 4 MiB (`LIM`, `DIG-09`).
pub const MANIFEST_MAX: u64 = 4 << 20;
/// Largest page of the referrers list: 4 MiB.
pub const REFERRERS_PAGE_MAX: u64 = 4 << 20;
/// Most referrers of one subject, over all pages.
pub const REFERRERS_MAX: usize = 1_000;
/// Most pages of one referrers list.
pub const REFERRERS_PAGES_MAX: usize = 32;
/// Largest answer of a token server: 64 KiB.
pub const TOKEN_BODY_MAX: u64 = 64 << 10;
/// Most bytes of an error body that are read: 64 KiB (1 KiB of it is shown).
pub const ERROR_BODY_MAX: u64 = 64 << 10;
/// Most header lines of one answer.
pub const HEADERS_MAX: usize = 100;
/// Most bytes of all header names and values of one answer: 64 KiB.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Most redirects that one request follows.
pub const REDIRECTS_MAX: usize = 5;
/// Most tries of one request, the first included.
pub const TRIES_MAX: usize = 5;
/// Most tries of one request where nobody listens under the name and port, and nobody did before.
pub const ABSENT_TRIES_MAX: usize = 3;
/// Longest pause between two tries: 60 s. A registry that asks for more is not waited for.
pub const RETRY_WAIT_MAX: Duration = Duration::from_mins(1);
/// Pause before the second try, doubled before each further one.
pub const RETRY_WAIT_MIN: Duration = Duration::from_millis(500);
/// Most answers `401` that one operation accepts before it gives up.
pub const CHALLENGES_MAX: usize = 3;
/// Time to connect, TLS included: 10 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from the sent request to the whole head of the answer: 30 s.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Over how much waiting for the body the slowest acceptable rate is judged: 30 s.
pub const STALL_WINDOW: Duration = Duration::from_secs(30);
/// The slowest acceptable rate of a body: 1 KiB per second.
pub const STALL_BYTES_PER_SECOND: u64 = 1 << 10;
/// Time for one whole operation, retries and the blob's stream included: 15 min.
pub const TOTAL_TIMEOUT: Duration = Duration::from_mins(15);
/// Longest time that a token is kept, whatever its server says: 1 h.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_hours(1);
/// Life of a token whose server names none, or less: 60 s, as the token specification says.
pub const TOKEN_LIFETIME_MIN: Duration = Duration::from_mins(1);
/// Most tokens that are held at once; the rest are asked for again.
pub const TOKENS_HELD_MAX: usize = 1_024;
/// Largest part of a chunked upload: 32 MiB. Smaller blobs go in one request.
pub const UPLOAD_CHUNK_MAX: u64 = 32 << 20;
/// Most blobs that are downloaded at once over one client.
pub const STREAMS_MAX: usize = 64;

/// Most bytes of one `WWW-Authenticate` value that are read: 8 KiB.
pub const CHALLENGE_BYTES_MAX: usize = 8 << 10;
/// Most bytes of a server's text that are shown: 1 KiB.
pub const SERVER_TEXT_MAX: usize = 1 << 10;
/// Time that a credential helper gets: 30 s.
pub const HELPER_TIME_MAX: Duration = Duration::from_secs(30);
/// Most bytes that a credential helper may print: 64 KiB.
pub const HELPER_OUTPUT_MAX: u64 = 64 << 10;
/// Largest file with credentials: 1 MiB.
pub const CREDENTIAL_FILE_MAX: u64 = 1 << 20;
/// Largest `oci-layout` file of a layout: 4 KiB. A real one has 30 bytes.
pub const LAYOUT_MARKER_MAX: u64 = 4 << 10;
/// Largest `index.json` of a layout: 32 MiB, room for about 100,000 images.
pub const LAYOUT_INDEX_MAX: u64 = 32 << 20;
/// Most files of a layout in an archive.
pub const LAYOUT_ENTRIES_MAX: usize = 65_536;
/// Most images of a layout that are searched for referrers.
pub const LAYOUT_SEARCHED_MAX: usize = 100_000;

/// The limits that a client works under. All start at their constants and go downwards only.
#[derive(Clone, Debug)]
pub struct Limits {
    pub(crate) manifest: u64,
    pub(crate) referrers_page: u64,
    pub(crate) referrers: usize,
    pub(crate) referrers_pages: usize,
    pub(crate) token_body: u64,
    pub(crate) error_body: u64,
    pub(crate) headers: usize,
    pub(crate) header_bytes: usize,
    pub(crate) redirects: usize,
    pub(crate) tries: usize,
    pub(crate) retry_wait_max: Duration,
    pub(crate) retry_wait_min: Duration,
    pub(crate) challenges: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) stall_window: Duration,
    pub(crate) total_timeout: Duration,
    pub(crate) upload_chunk: u64,
    pub(crate) streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: MANIFEST_MAX,
            referrers_page: REFERRERS_PAGE_MAX,
            referrers: REFERRERS_MAX,
            referrers_pages: REFERRERS_PAGES_MAX,
            token_body: TOKEN_BODY_MAX,
            error_body: ERROR_BODY_MAX,
            headers: HEADERS_MAX,
            header_bytes: HEADER_BYTES_MAX,
            redirects: REDIRECTS_MAX,
            tries: TRIES_MAX,
            retry_wait_max: RETRY_WAIT_MAX,
            retry_wait_min: RETRY_WAIT_MIN,
            challenges: CHALLENGES_MAX,
            connect_timeout: CONNECT_TIMEOUT,
            header_timeout: HEADER_TIMEOUT,
            stall_window: STALL_WINDOW,
            total_timeout: TOTAL_TIMEOUT,
            upload_chunk: UPLOAD_CHUNK_MAX,
            streams: STREAMS_MAX,
        }
    }
}

/// One setter per limit: the value is clamped to the constant.
macro_rules! lower {
    ($($(#[$doc:meta])* $name:ident: $kind:ty, $least:expr, $max:expr;)*) => {
        impl Limits {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(mut self, value: $kind) -> Self {
                self.$name = value.clamp($least, $max);
                self
            })*
        }
    };
}

lower! {
    /// Lowers the size of a manifest or index, in bytes; at most [`MANIFEST_MAX`].
    manifest: u64, 1, MANIFEST_MAX;
    /// Lowers the size of a referrers page, in bytes; at most [`REFERRERS_PAGE_MAX`].
    referrers_page: u64, 1, REFERRERS_PAGE_MAX;
    /// Lowers the number of referrers of one subject; at most [`REFERRERS_MAX`].
    referrers: usize, 1, REFERRERS_MAX;
    /// Lowers the number of pages of one referrers list; at most [`REFERRERS_PAGES_MAX`].
    referrers_pages: usize, 1, REFERRERS_PAGES_MAX;
    /// Lowers the size of a token answer, in bytes; at most [`TOKEN_BODY_MAX`].
    token_body: u64, 1, TOKEN_BODY_MAX;
    /// Lowers the bytes read of an error body; at most [`ERROR_BODY_MAX`].
    error_body: u64, 1, ERROR_BODY_MAX;
    /// Lowers the number of header lines; at most [`HEADERS_MAX`].
    headers: usize, 1, HEADERS_MAX;
    /// Lowers the bytes of all header lines; at most [`HEADER_BYTES_MAX`].
    header_bytes: usize, 1, HEADER_BYTES_MAX;
    /// Lowers the redirects of one request, 0 for none; at most [`REDIRECTS_MAX`].
    redirects: usize, 0, REDIRECTS_MAX;
    /// Lowers the tries of one request, 1 for no second one; at most [`TRIES_MAX`].
    tries: usize, 1, TRIES_MAX;
    /// Lowers the longest pause between tries; at most [`RETRY_WAIT_MAX`].
    retry_wait_max: Duration, Duration::ZERO, RETRY_WAIT_MAX;
    /// Lowers the first pause between tries; at most [`RETRY_WAIT_MIN`].
    retry_wait_min: Duration, Duration::ZERO, RETRY_WAIT_MIN;
    /// Lowers the answers `401` of one operation; at most [`CHALLENGES_MAX`].
    challenges: usize, 1, CHALLENGES_MAX;
    /// Lowers the time to connect; at most [`CONNECT_TIMEOUT`].
    connect_timeout: Duration, Duration::from_millis(1), CONNECT_TIMEOUT;
    /// Lowers the time to the head of an answer; at most [`HEADER_TIMEOUT`].
    header_timeout: Duration, Duration::from_millis(1), HEADER_TIMEOUT;
    /// Lowers the window in which the slowest rate is judged; at most [`STALL_WINDOW`].
    stall_window: Duration, Duration::from_millis(1), STALL_WINDOW;
    /// Lowers the time of one whole operation; at most [`TOTAL_TIMEOUT`].
    total_timeout: Duration, Duration::from_millis(1), TOTAL_TIMEOUT;
    /// Lowers the size of an upload's parts, in bytes; at most [`UPLOAD_CHUNK_MAX`].
    upload_chunk: u64, 1, UPLOAD_CHUNK_MAX;
    /// Lowers the number of concurrent downloads; at most [`STREAMS_MAX`].
    streams: usize, 1, STREAMS_MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the security notes, value by value: LIM-01, LIM-02, LIM-03, LIM-09, LIM-10.
    #[test]
    fn the_constants_are_the_promised_ones() {
        assert_eq!(MANIFEST_MAX, 4_194_304);
        assert_eq!(REFERRERS_PAGE_MAX, 4_194_304);
        assert_eq!((TOKEN_BODY_MAX, ERROR_BODY_MAX), (65_536, 65_536));
        assert_eq!((HEADERS_MAX, HEADER_BYTES_MAX), (100, 65_536));
        assert_eq!((REDIRECTS_MAX, TRIES_MAX, CHALLENGES_MAX), (5, 5, 3));
        assert_eq!(RETRY_WAIT_MAX.as_secs(), 60);
        assert_eq!(
            (CONNECT_TIMEOUT.as_secs(), HEADER_TIMEOUT.as_secs()),
            (10, 30)
        );
        assert_eq!(
            (STALL_WINDOW.as_secs(), STALL_BYTES_PER_SECOND),
            (30, 1_024)
        );
        assert_eq!(TOTAL_TIMEOUT.as_secs(), 900);
        assert_eq!(STREAMS_MAX, 64);
        assert_eq!((HELPER_TIME_MAX.as_secs(), HELPER_OUTPUT_MAX), (30, 65_536));
    }

    /// LIM: downwards works, upwards is brought down, zero does not switch a limit off.
    #[test]
    fn limits_go_downwards_only() {
        let limits = Limits::default().manifest(100).tries(2).redirects(0);
        assert_eq!(
            (limits.manifest, limits.tries, limits.redirects),
            (100, 2, 0)
        );
        let limits = Limits::default()
            .manifest(u64::MAX)
            .tries(0)
            .total_timeout(Duration::MAX);
        assert_eq!((limits.manifest, limits.tries), (MANIFEST_MAX, 1));
        assert_eq!(limits.total_timeout, TOTAL_TIMEOUT);
    }
}
