//! Tests of times.

use super::*;

#[test]
fn known_times() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_709_208_000, "2024-02-29T12:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (LAST_SECOND, "9999-12-31T23:59:59Z"),
        (LAST_SECOND + 1, "9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
    }
    let earlier = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(rfc3339(earlier), "1970-01-01T00:00:00Z");
    assert_eq!(seconds(earlier), 0);
}
