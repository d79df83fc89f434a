//! Tests of ages.

use super::*;

#[test]
fn cache_14_a_use_in_the_future_has_no_negative_age() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let ten_years = Duration::from_hours(10 * 365 * 24);
    assert_eq!(age(Some(now + ten_years), now), Duration::ZERO);
    assert_eq!(age(None, now), Duration::ZERO);
    assert_eq!(age(Some(now - ten_years), now), ten_years);
}
