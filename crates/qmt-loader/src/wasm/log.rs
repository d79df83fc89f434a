//! Log lines of plugins: so many a second, so long, and without power over a terminal.

use std::time::{Duration, Instant};

use qmt_oci_ref::text;
use tracing::Level;

/// How many lines may still be logged in this second.
#[derive(Debug)]
pub(super) struct LogBudget {
    most: u32,
    since: Option<Instant>,
    lines: u32,
    dropped: u64,
}

impl LogBudget {
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            since: None,
            lines: 0,
            dropped: 0,
        }
    }

    /// Takes one line, and returns how many were dropped before it; `None` drops this one.
    pub(super) fn take(&mut self) -> Option<u64> {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> Option<u64> {
        let is_new = self
            .since
            .is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1));
        if is_new {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines >= self.most {
            self.dropped += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

/// Makes a line safe to show: valid UTF-8, with everything escaped that [`text::escape`] escapes,
/// tabs excepted.
pub(super) fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let parts: Vec<String> = text
        .split('\t')
        .map(|part| text::escape_to(part, usize::MAX))
        .collect();
    parts.join("\t")
}

/// Passes the line to the host's log.
pub(super) fn emit(plugin: &str, level: Level, line: &str, dropped: u64) {
    if dropped > 0 {
        tracing::warn!(target: TARGET, plugin, dropped, "too many log lines; some were dropped");
    }
    // The level of an event is fixed where it is written.
    match level {
        Level::TRACE => tracing::trace!(target: TARGET, plugin, "{line}"),
        Level::DEBUG => tracing::debug!(target: TARGET, plugin, "{line}"),
        Level::INFO => tracing::info!(target: TARGET, plugin, "{line}"),
        Level::WARN => tracing::warn!(target: TARGET, plugin, "{line}"),
        Level::ERROR => tracing::error!(target: TARGET, plugin, "{line}"),
    }
}

/// What a host filters by to see plugins' own lines.
const TARGET: &str = "qmt_loader::plugin";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_LINES_PER_SECOND;

    /// WASM-10, LIM-12: a million log lines are a thousand a second.
    #[test]
    fn the_thousand_and_first_line_of_a_second_is_dropped() {
        let mut budget = LogBudget::new(LOG_LINES_PER_SECOND);
        let start = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(budget.take_at(start), Some(0));
        }
        assert_eq!(budget.take_at(start), None);
        assert_eq!(budget.take_at(start + Duration::from_millis(999)), None);
        let next = start + Duration::from_secs(1);
        assert_eq!(budget.take_at(next), Some(2));
        assert_eq!(budget.take_at(next), Some(0));
    }

    /// LIM-12: a host may want fewer of them.
    #[test]
    fn a_lower_number_of_lines_holds() {
        let start = Instant::now();
        let mut budget = LogBudget::new(2);
        assert_eq!(budget.take_at(start), Some(0));
        assert_eq!(budget.take_at(start), Some(0));
        assert_eq!(budget.take_at(start), None);
        assert_eq!(LogBudget::new(0).take_at(start), None);
    }

    /// WASM-10: neither escapes nor invalid UTF-8 get through.
    #[test]
    fn lines_are_escaped() {
        assert_eq!(line(b"a\x1b[2J\r\nb\tc"), "a\\u{1b}[2J\\r\\nb\tc");
        assert_eq!(line(b"\xff"), "\u{fffd}");
        assert_eq!(line("\u{9b}2J".as_bytes()), "\\u{9b}2J");
    }
}
