//! Log entries and timestamps that cannot be read. They prove nothing. A signature with a key that
//! needs no log is enough without them; everything else is refused with the reason that is kept
//! here.

use std::fmt;

use crate::reason::Reason;

/// Why a part of a signature cannot be read.
#[derive(Debug)]
pub(super) struct Defect {
    what: &'static str,
    problem: String,
}

impl Defect {
    pub(super) fn new(what: &'static str, problem: impl fmt::Display) -> Self {
        let problem = problem.to_string();
        Self { what, problem }
    }
}

impl From<&Defect> for Reason {
    fn from(defect: &Defect) -> Self {
        Self::unreadable(defect.what, defect.problem.as_str())
    }
}

/// The parts of one signature that cannot be read, and are missing in its bundle.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pub(super) log_entries: Option<Defect>,
    pub(super) timestamps: Option<Defect>,
}

impl Unread {
    /// Refuses a signature that requires a log entry or a time.
    pub(super) fn refuse(&self) -> Result<(), Reason> {
        let defect = self.timestamps.as_ref().or(self.log_entries.as_ref());
        defect.map_or(Ok(()), |defect| Err(defect.into()))
    }
}
