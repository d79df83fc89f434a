//! What a server was asked, in the order in which it was asked.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::{HeaderMap, Method};

/// One request as it arrived, and what was answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// The method.
    pub method: Method,
    /// Path and query, as sent.
    pub target: String,
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
    entries: Mutex<Vec<LoggedRequest>>,
}

impl Log {
    /// Appends a request and returns its place.
    pub(crate) fn push(&self, entry: LoggedRequest) -> usize {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry);
        entries.len() - 1
    }

    /// Notes how the request at `place` ended. A log that was cleared meanwhile ignores it.
    pub(crate) fn finish(&self, place: usize, body_len: u64, status: Option<u16>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(place) {
            entry.body_len = body_len;
            entry.status = status;
        }
    }

    /// All requests so far.
    pub(crate) fn all(&self) -> Vec<LoggedRequest> {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets all requests.
    pub(crate) fn clear(&self) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// One line per request: method, target, status. Made for snapshot tests.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for entry in self
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let status = entry
                .status
                .map_or_else(|| "-".to_owned(), |status| status.to_string());
            let _ = writeln!(text, "{} {} {status}", entry.method, entry.target);
        }
        text
    }
}
