//! What the lockfile records about the repository of a plugin.

use crate::host::PluginHost;
use crate::lockfile::{LockEntry, Lockfile};
use crate::source::PluginSource;
use crate::stage::allow::Recorded;
use crate::target::Target;

impl PluginHost {
    /// Returns what the lockfile records about the target's repository, under any tag and name: for
    /// the same provider, else what all other entries have in common.
    pub(crate) fn in_repository<T: PartialEq>(
        &self,
        target: &Target,
        value: impl Fn(&LockEntry) -> T,
    ) -> Option<T> {
        let lock = self.lock();
        let (own, others) = self.entries_of(&lock, target);
        if let Some(entry) = own {
            return Some(value(entry));
        }
        let mut values = others.map(value);
        let first = values.next()?;
        values.all(|other| other == first).then_some(first)
    }

    /// Returns the plugin whose lockfile entry [`Self::in_repository`] reads, if it is another one.
    fn recorded_for(&self, target: &Target) -> Option<String> {
        let lock = self.lock();
        match self.entries_of(&lock, target) {
            (None, mut others) => others.next().map(|entry| entry.name.clone()),
            (Some(_), _) => None,
        }
    }

    /// Returns the kind that the lockfile records for the target's repository.
    pub(crate) fn recorded_kind(&self, target: &Target) -> Option<Recorded> {
        let kind = self.in_repository(target, |entry| entry.kind)?;
        let other = self.recorded_for(target);
        Some(Recorded { kind, other })
    }

    /// Returns the entry of the target and all entries for its repository. These are parsed as they
    /// are read: only a target without an entry needs them.
    fn entries_of<'a>(
        &'a self,
        lock: &'a Lockfile,
        target: &Target,
    ) -> (
        Option<&'a LockEntry>,
        impl Iterator<Item = &'a LockEntry> + use<'a>,
    ) {
        let folder = self.file.folder();
        let source = target.located(folder);
        let is_same = move |entry: &&LockEntry| {
            let locked = PluginSource::parse(&entry.reference, None);
            locked.is_ok_and(|locked| locked.relative_to(folder).is_same_repository(&source))
        };
        let reference = target.source().to_string();
        let own = target
            .is_configured()
            .then(|| lock.own(target.name(), &reference));
        let own = own.flatten().filter(&is_same);
        (own, lock.entries().filter(is_same))
    }

    /// Returns the target's own entry for its reference.
    pub(crate) fn entry(&self, target: &Target) -> Option<LockEntry> {
        let reference = target.source().to_string();
        target
            .is_configured()
            .then(|| self.lock().entry(target.name(), &reference).cloned())?
    }
}
