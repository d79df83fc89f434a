//! What differs between the two sides.

use std::fmt;

use super::host::{Call, Host, Module, Outcome};

/// One thing that the two sides do differently.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    /// The name of the case, as in `allowed.rs`.
    pub(super) case: String,
    /// The call or the program.
    pub(super) what: String,
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.case, self.what.trim_end())?;
        writeln!(f, "    extism:     {}", self.theirs)?;
        write!(f, "    qmt-loader: {}", self.ours)
    }
}

/// Runs `calls` on both sides; returns the first difference, since the rest may follow from it.
pub(super) fn compare(
    reference: &dyn Host,
    ours: &dyn Host,
    module: &Module,
    calls: &[Call],
) -> anyhow::Result<Option<Difference>> {
    let theirs = reference.run(module, calls)?;
    let ours = ours.run(module, calls)?;
    let Some(index) = first_difference(&theirs, &ours) else {
        return Ok(None);
    };
    let show = |outcome: &Outcome| match outcome.calls.get(index) {
        Some(called) => called.to_string(),
        None => "not called any more".to_owned(),
    };
    Ok(Some(Difference {
        case: module.name.clone(),
        what: calls
            .get(index)
            .map(ToString::to_string)
            .unwrap_or_default(),
        theirs: show(&theirs),
        ours: show(&ours),
    }))
}

/// Returns the index of the first call that differs.
pub(super) fn first_difference(theirs: &Outcome, ours: &Outcome) -> Option<usize> {
    let length = theirs.calls.len().max(ours.calls.len());
    (0..length).find(|index| theirs.calls.get(*index) != ours.calls.get(*index))
}
