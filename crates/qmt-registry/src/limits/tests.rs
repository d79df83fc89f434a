//! Tests of limits.

use super::*;

/// The table of the security notes, value by value: LIM-01, LIM-02, LIM-03, LIM-09, LIM-10.
#[test]
fn the_constants_are_the_documented_ones() {
    assert_eq!(MANIFEST_MAX, 4_194_304);
    assert_eq!(REFERRERS_PAGE_MAX, 4_194_304);
    assert_eq!((REFERRERS_MAX, REFERRERS_BYTES_MAX), (8_192, 16_777_216));
    assert_eq!(REFERRER_ANNOTATIONS_MAX, 4_096);
    assert_eq!(REFERRERS_ANNOTATIONS_MAX, 2_097_152);
    assert_eq!((REFERRERS_TIMEOUT.as_secs(), LIST_TRIES_MAX), (6, 3));
    assert_eq!(MERGED_REFERRERS_TIMEOUT.as_secs(), 7);
    assert_eq!((TOKEN_BODY_MAX, ERROR_BODY_MAX), (65_536, 65_536));
    assert_eq!((HEADERS_MAX, HEADER_BYTES_MAX), (100, 65_536));
    assert_eq!((REDIRECTS_MAX, TRIES_MAX, CHALLENGES_MAX), (10, 5, 3));
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

/// LIM: a limit can be lowered, not raised, and zero does not turn it off.
#[test]
fn limits_are_only_lowered() {
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
