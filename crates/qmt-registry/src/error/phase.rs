//! What a server was given time for.

use std::fmt;

/// What was waited for when the time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The connection, TLS included.
    Connect,
    /// The head of the answer.
    Answer,
    /// A body at the slowest acceptable rate.
    Body,
    /// The whole operation.
    Finish,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "accept a connection",
            Self::Answer => "answer",
            Self::Body => "send its content at 1 KiB/s or more",
            Self::Finish => "finish",
        })
    }
}
