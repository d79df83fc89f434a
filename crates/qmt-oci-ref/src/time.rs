//! Times in the form of RFC 3339, and as whole seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, after which RFC 3339 has no years.
const LAST_SECOND: u64 = 253_402_300_799;

/// Writes a time in UTC to the second, such as `2024-02-29T12:00:00Z`.
///
/// Times before 1970 and after 9999 are written as the nearest time in that range.
/// Grammar: <https://www.rfc-editor.org/rfc/rfc3339#section-5.6>
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = seconds(time).min(LAST_SECOND);
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Returns the whole seconds since 1970; 0 for earlier times.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
