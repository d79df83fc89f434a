//! The differences that are meant to be, each with its reason.

use super::compare::Difference;

/// A difference that is allowed.
pub(super) struct Allowed {
    /// The name of the case; a star at the end stands for anything.
    pub(super) case: &'static str,
    /// A part of what is printed of the difference.
    pub(super) words: &'static str,
    pub(super) reason: &'static str,
}

/// All of them.
pub(super) const ALLOWED: &[Allowed] = &[
    Allowed {
        case: "corner/error_not_text",
        words: "unable to load error message",
        reason: "an error that is not UTF-8 is shown with replacement characters, so that the rest of it can be read",
    },
    Allowed {
        case: "corner/log_not_text",
        words: "unable to log message",
        reason: "a log line that is not UTF-8 is shown with replacement characters, at its own level",
    },
    Allowed {
        case: "corner/headers",
        words: "",
        reason: "headers of a response are always given to a plugin; without a response, as an empty object",
    },
    Allowed {
        case: "corner/a large variable replaced",
        words: "",
        reason: "the variable that is replaced does not count towards the limit of variables",
    },
    Allowed {
        case: "corner/result i64",
        words: "code -1",
        reason: "an export with another result than one i32 cannot be called; Extism runs it and calls its result code -1",
    },
    Allowed {
        case: "corner/result f64",
        words: "code -1",
        reason: "as for i64",
    },
    Allowed {
        case: "corner/a parameter",
        words: "expected 1 arguments",
        reason: "an export with parameters cannot be called; Extism fails in the call",
    },
    Allowed {
        case: "corner/two memories",
        words: "code 1",
        reason: "a module may have one memory: its limit is meant for one",
    },
    Allowed {
        case: "corner/memory above the limit",
        words: "stopped: Memory",
        reason: "a module that declares more memory than it may have is refused before it is compiled",
    },
    Allowed {
        case: "corner/alloc_everything",
        words: "stopped: Memory",
        reason: "an allocation that cannot be had ends the call; the sum of such a length wraps in Extism, which returns an offset",
    },
    Allowed {
        case: "corner/memory_bytes",
        words: "output",
        reason: "the size of the shared memory is that of the memory, which begins without a page",
    },
    Allowed {
        case: "corner/typed function references",
        words: "refused",
        reason: "modules with typed references are refused before they are compiled",
    },
];

impl Allowed {
    fn is_of(&self, case: &str) -> bool {
        match self.case.strip_suffix('*') {
            Some(begin) => case.starts_with(begin),
            None => case == self.case,
        }
    }

    fn allows(&self, difference: &Difference) -> bool {
        self.is_of(&difference.case) && difference.to_string().contains(self.words)
    }
}

/// What was run, and what differed.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) cases: Vec<String>,
    pub(super) differences: Vec<Difference>,
}

impl Findings {
    /// Returns what is wrong: differences that are not allowed, and entries that allow nothing. Only
    /// if `all` cases were run, an entry must have a case.
    pub(super) fn problems(&self, allowed: &[Allowed], all: bool) -> Vec<String> {
        let differences = self
            .differences
            .iter()
            .filter(|difference| !allowed.iter().any(|entry| entry.allows(difference)))
            .map(ToString::to_string);
        let entries = allowed
            .iter()
            .filter(|entry| {
                let was_run = all || self.cases.iter().any(|case| entry.is_of(case));
                let is_used = self.differences.iter().any(|one| entry.allows(one));
                was_run && !is_used
            })
            .map(|entry| {
                format!(
                    "`{}` allows nothing: remove it from `allowed.rs` (its reason was: {})",
                    entry.case, entry.reason
                )
            });
        differences.chain(entries).collect()
    }
}
