//! What a list of referrers is read into.

use std::ops::Deref;

use crate::descriptor::Descriptor;
use crate::registry::RegistryError;

/// The manifests that refer to another one, as [`Registry::referrers`](crate::Registry::referrers)
/// lists them.
#[derive(Clone, Debug, Default)]
pub struct Referrers {
    entries: Vec<Descriptor>,
    remarks: Vec<String>,
    failures: Vec<RegistryError>,
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

    /// Adds the error of a mirror that may list more.
    pub fn fail(&mut self, error: RegistryError) {
        self.failures.push(error);
    }

    /// Returns the errors of mirrors that may list more.
    pub fn failures(&self) -> &[RegistryError] {
        &self.failures
    }

    /// Returns the entries.
    pub fn into_entries(self) -> Vec<Descriptor> {
        self.entries
    }
}

impl From<Vec<Descriptor>> for Referrers {
    fn from(entries: Vec<Descriptor>) -> Self {
        Self {
            entries,
            ..Self::default()
        }
    }
}

impl PartialEq for Referrers {
    fn eq(&self, other: &Self) -> bool {
        let kinds = |of: &Self| -> Vec<_> { of.failures.iter().map(RegistryError::kind).collect() };
        self.entries == other.entries
            && self.remarks == other.remarks
            && kinds(self) == kinds(other)
    }
}

impl Eq for Referrers {}

impl Deref for Referrers {
    type Target = [Descriptor];

    fn deref(&self) -> &[Descriptor] {
        &self.entries
    }
}
