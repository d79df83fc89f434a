//! What a server was asked, in the order in which it was asked.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::{HeaderMap, Method, Version};

/// One request as it arrived, and what was answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// The method.
    pub method: Method,
    /// Path and query, as sent.
    pub target: String,
    /// The version of HTTP that it came by.
    pub version: Version,
    /// All headers, as sent. Tests look here for credentials that should not have come.
    pub headers: HeaderMap,
    /// Bytes of the request's body that were read.
    pub body_len: u64,
    /// The status that was answered; `None` while it is not decided and where the connection was
    /// closed without an answer.
    pub status: Option<u16>,
    /// Which connection it came over, counted from 0.
    pub connection: u64,
    /// When its head had arrived: what tests of back-off and retry look at.
    pub at: Instant,
}

impl LoggedRequest {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(&self.target, |(path, _)| path)
    }

    /// The first value of a header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The log of one server.
#[derive(Debug, Default)]
pub(crate) struct Log {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many entries were forgotten: the place of the first that is left.
    first: usize,
    entries: Vec<LoggedRequest>,
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a request and returns its place.
    pub(crate) fn push(&self, entry: LoggedRequest) -> usize {
        let mut state = self.state();
        state.entries.push(entry);
        state.first + state.entries.len() - 1
    }

    /// Notes how the request at `place` ended, unless it is forgotten already.
    pub(crate) fn finish(&self, place: usize, body_len: u64, status: Option<u16>) {
        let mut state = self.state();
        let place = place.checked_sub(state.first);
        if let Some(entry) = place.and_then(|place| state.entries.get_mut(place)) {
            entry.body_len = body_len;
            entry.status = status;
        }
    }

    /// All requests so far.
    pub(crate) fn all(&self) -> Vec<LoggedRequest> {
        self.state().entries.clone()
    }

    /// Forgets all requests.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.first += state.entries.len();
        state.entries.clear();
    }

    /// One line per request: method, target, status. Made for snapshot tests.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.state().entries {
            let status = entry
                .status
                .map_or_else(|| "-".to_owned(), |status| status.to_string());
            let _ = writeln!(text, "{} {} {status}", entry.method, entry.target);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(target: &str) -> LoggedRequest {
        LoggedRequest {
            method: Method::GET,
            target: target.to_owned(),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            body_len: 0,
            status: None,
            connection: 0,
            at: Instant::now(),
        }
    }

    #[test]
    fn an_answer_that_comes_after_the_log_was_cleared_is_noted_nowhere() {
        let log = Log::default();
        let old = log.push(entry("/old"));
        log.clear();
        let new = log.push(entry("/new"));
        log.finish(old, 1, Some(500));
        assert_eq!(log.text(), "GET /new -\n");
        log.finish(new, 1, Some(200));
        assert_eq!(log.text(), "GET /new 200\n");
    }
}
