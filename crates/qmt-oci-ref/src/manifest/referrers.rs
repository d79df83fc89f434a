//! What a list of referrers is read into.

use std::ops::Deref;

use crate::descriptor::Descriptor;

/// The manifests that refer to another one, as [`Registry::referrers`](crate::Registry::referrers)
/// lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referrers {
    entries: Vec<Descriptor>,
    remarks: Vec<String>,
}

impl Referrers {
    /// Adds a line about an answer that was unexpected and did not change the list.
    pub fn remark(&mut self, line: impl Into<String>) {
        self.remarks.push(line.into());
    }

    /// Returns what was unexpected, one line each.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Returns the entries.
    pub fn into_entries(self) -> Vec<Descriptor> {
        self.entries
    }
}

impl From<Vec<Descriptor>> for Referrers {
    fn from(entries: Vec<Descriptor>) -> Self {
        let remarks = Vec::new();
        Self { entries, remarks }
    }
}

impl Deref for Referrers {
    type Target = [Descriptor];

    fn deref(&self) -> &[Descriptor] {
        &self.entries
    }
}
