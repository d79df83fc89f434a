//! The lockfile: what each provider was resolved to, its signer, and its rights.
//!
//! `plugins.lock` is next to the config. It is TOML, sorted by name, and only changed entries are
//! rewritten, so that differences are easy to read under version control. Several configs in one
//! folder share the file; each entry names its config, and only this one changes or removes it.

mod difference;
mod document;
mod error;
mod shared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qmt_oci_ref::{Digest, PluginKind};
use qmt_storage::files::Fingerprint;
use qmt_verify::SignerId;
use serde::{Deserialize, Serialize};

use self::difference::{difference, is_same};
use self::document::{Read, read_entries, write_entries};
pub use self::error::LockfileError;
pub(crate) use self::shared::SharedLockfile;
use crate::config::{AllowConfig, NativeRule};

/// The name of the file, next to the config.
const NAME: &str = "plugins.lock";

/// How the lockfile may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockMode {
    /// New entries are added, and changed ones written.
    #[default]
    Update,
    /// Any change is an error: `--locked`.
    Locked,
    /// Any change and any network request is an error: `--frozen`.
    Frozen,
}

impl LockMode {
    /// Returns the option that forbids changes.
    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Update => None,
            Self::Locked => Some("--locked"),
            Self::Frozen => Some("--frozen"),
        }
    }
}

/// What one provider was resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LockEntry {
    /// The provider's name.
    pub name: String,
    /// The file name of the config that has the provider. Lockfiles of older versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Its source, as text.
    pub reference: String,
    /// The digest that the reference was resolved to: an index or a manifest.
    pub digest: Digest,
    /// The digest of the manifest that was selected for the host that wrote the entry. It differs
    /// from `digest` if that is an index; a host of another platform of the index keeps the entry.
    pub manifest: Digest,
    /// The kind of plugin.
    pub kind: PluginKind,
    /// The name of the extracted file.
    pub file: String,
    /// The digest of that file.
    pub file_digest: Digest,
    /// The size of that file in bytes.
    pub size: u64,
    /// The signer; `None` if verification was switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerId>,
    /// When it was signed, in seconds since 1970, if a trusted time proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<u64>,
    /// [`NativeRule::Isolated`] if the config isolates its native code; `None` for native code in the
    /// process of the host, and for Wasm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<NativeRule>,
    /// The rights that the config grants.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub granted: AllowConfig,
}

fn is_nothing(allow: &AllowConfig) -> bool {
    *allow == AllowConfig::default()
}

/// The lockfile, as one config sees it. It is changed through [`SharedLockfile::change`].
#[derive(Clone, Debug)]
pub(crate) struct Lockfile {
    path: PathBuf,
    /// The folder of the lockfile, if the config is a file in it.
    folder: Option<PathBuf>,
    /// The file name of the config; `None` for one without a file.
    config: Option<String>,
    entries: Entries,
    /// By name, the entries in use that the file no longer has.
    held: BTreeMap<String, LockEntry>,
    warning: Option<String>,
    /// The file as it was read; `None` if there was none.
    fingerprint: Option<Fingerprint>,
    /// Whether the entries are those of the file.
    is_read: bool,
}

/// The entries by the provider's name and the config's.
type Entries = BTreeMap<(String, Option<String>), LockEntry>;

impl Lockfile {
    /// Reads the lockfile next to the config at `config`; a missing one is empty.
    pub(crate) fn read(config: &Path) -> Result<Self, LockfileError> {
        Self::read_at(folder_of(config).join(NAME), config)
    }

    /// Returns the lockfile next to the config at `config` as if there was none, and follows no
    /// change of it.
    pub(crate) fn unread(config: &Path) -> Self {
        let lockfile = Self::with(config.with_file_name(NAME), config, Read::default());
        Self {
            is_read: false,
            ..lockfile
        }
    }

    /// Reads the lockfile at `path` for the config at `config`; a missing one is empty.
    pub(crate) fn read_at(path: PathBuf, config: &Path) -> Result<Self, LockfileError> {
        let read = read_entries(&path)?;
        Ok(Self::with(path, config, read))
    }

    fn with(path: PathBuf, config: &Path, read: Read) -> Self {
        let name = config.file_name();
        let folder = folder_of(config);
        let is_here = folder == folder_of(&path) && config.is_file();
        Self {
            path,
            folder: is_here.then(|| folder.to_owned()),
            config: name.map(|name| name.to_string_lossy().into_owned()),
            entries: read.entries,
            held: BTreeMap::new(),
            warning: read.warning,
            fingerprint: read.fingerprint,
            is_read: true,
        }
    }

    /// Takes what another process wrote. If that has no entry for a reference that the config of
    /// this host still names, another version of the config was locked, and the entry is held until
    /// the next start.
    fn follow(&mut self, read: Read, is_current: impl Fn(&LockEntry) -> bool) {
        let current = self.entries().filter(|entry| is_current(entry));
        let used = current.filter_map(|entry| self.entry(&entry.name, &entry.reference));
        let used: Vec<_> = used.cloned().collect();
        self.take(read);
        self.held.clear();
        for entry in used {
            if self.entry(&entry.name, &entry.reference).is_none() {
                self.held.insert(entry.name.clone(), entry);
            }
        }
    }

    /// Takes the entries that `read` has.
    fn take(&mut self, read: Read) {
        self.entries = read.entries;
        self.fingerprint = read.fingerprint;
    }

    /// Returns the path of the file.
    #[cfg(feature = "sigstore")]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the warning that other users may change the file, if there is one.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Returns the entries of all configs.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &LockEntry> {
        self.entries.values().chain(self.held.values())
    }

    /// Returns the entry of `name` in this config, whatever it was resolved from. `reference` is what
    /// the config names now: it decides between the entries of several configs that were renamed.
    pub(crate) fn own(&self, name: &str, reference: &str) -> Option<&LockEntry> {
        let own = || self.entries.get(&(name.to_owned(), self.config.clone()));
        // An entry without a config is of an older version.
        let held = self.held.get(name);
        held.or_else(own)
            .or_else(|| self.entries.get(&(name.to_owned(), None)))
            .or_else(|| self.left_behind(name, reference))
    }

    /// Returns the entry of `name` in a config that is no longer in the folder: a config that was
    /// renamed keeps its pins. Of several, those for `reference` fit; `None` if they pin different
    /// digests, or if none fits and they differ.
    fn left_behind(&self, name: &str, reference: &str) -> Option<&LockEntry> {
        let gone = self.gone(name);
        let fitting = gone.iter().filter(|entry| entry.reference == reference);
        // Where the digest is the same, the entry with a signer and the latest time allows least.
        let strictest = fitting
            .clone()
            .max_by_key(|entry| (entry.signer.is_some(), entry.signed_at));
        if let Some(strictest) = strictest {
            let is_one = fitting.clone().all(|one| one.digest == strictest.digest);
            return is_one.then_some(strictest);
        }
        let (first, others) = gone.split_first()?;
        let is_one = others.iter().all(|other| is_same(other, first));
        is_one.then_some(first)
    }

    /// Returns the entries of `name` in configs that are no longer in the folder.
    fn gone<'a>(&'a self, name: &str) -> Vec<&'a LockEntry> {
        let Some(folder) = &self.folder else {
            return Vec::new();
        };
        let is_gone = |config: &String| !folder.join(config).exists();
        let entries = self.entries.values().filter(|entry| entry.name == name);
        let gone = entries.filter(|entry| entry.config.as_ref().is_some_and(is_gone));
        gone.collect()
    }

    /// Returns the entry that `entry` is compared with, and that it replaces.
    fn previous(&self, entry: &LockEntry) -> Option<&LockEntry> {
        let own = self.own(&entry.name, &entry.reference)?;
        let gone = self.gone(&entry.name);
        // Of the entries of renamed configs, the one with the same rights fits.
        let is_gone = gone.contains(&own);
        let mut same = gone.into_iter().filter(|gone| is_same(gone, entry));
        Some(same.next().filter(|_| is_gone).unwrap_or(own))
    }

    /// Returns the entry of `name`, if it is for `reference`.
    pub(crate) fn entry(&self, name: &str, reference: &str) -> Option<&LockEntry> {
        self.own(name, reference)
            .filter(|entry| entry.reference == reference)
    }

    /// Reports whether recording `entry` changes the file, or refuses a change that `mode` forbids.
    pub(crate) fn has_change(
        &self,
        entry: &LockEntry,
        mode: LockMode,
    ) -> Result<bool, LockfileError> {
        let old = self.previous(entry);
        if let Some(old) = old
            && is_same(old, entry)
        {
            // What a renamed config is locked to gets its new name, when anything may be written.
            let is_renamed = old.config.is_some() && old.config != self.config;
            return Ok(is_renamed && mode == LockMode::Update);
        }
        if let Some(flag) = mode.flag() {
            let change = old.map_or_else(
                || "it has no entry yet".to_owned(),
                |old| difference(old, entry),
            );
            let (path, name) = (self.path.clone(), entry.name.clone());
            return Err(LockfileError::WouldChange {
                path,
                name,
                change,
                flag,
            });
        }
        Ok(true)
    }

    /// Records `entry` in place of `replaced` and writes the file. Entries that other processes wrote since it was read
    /// stay.
    ///
    /// # Errors
    ///
    /// [`LockfileError::Raced`] if the file's entry of the plugin is not `replaced`, that of the
    /// time when it was resolved, and has another signer or digest than `entry`.
    pub(crate) fn record(
        &mut self,
        mut entry: LockEntry,
        replaced: Option<&LockEntry>,
    ) -> Result<(), LockfileError> {
        entry.config.clone_from(&self.config);
        let key = (entry.name.clone(), self.config.clone());
        let old = self.previous(&entry);
        let old = old.filter(|old| old.reference == entry.reference);
        let of_other = old.map(|old| old.config.clone());
        let of_other = of_other.filter(|config| *config != self.config);
        let mut read = read_entries(&self.path)?;
        let entries = &mut read.entries;
        if let Some(theirs) = entries.get(&key)
            && replaced != Some(theirs)
            && (&theirs.signer, &theirs.digest) != (&entry.signer, &entry.digest)
        {
            let (path, change) = (self.path.clone(), difference(theirs, &entry));
            self.take(read); // What the next attempt is compared with.
            return Err(LockfileError::Raced {
                path,
                name: entry.name,
                change,
            });
        }
        // What an older version or a renamed config wrote about the same plugin is replaced.
        for config in [Some(None), of_other].into_iter().flatten() {
            let other = (entry.name.clone(), config);
            if entries
                .get(&other)
                .is_some_and(|old| old.reference == entry.reference)
            {
                entries.remove(&other);
            }
        }
        let name = key.0.clone();
        entries.insert(key, entry);
        write_entries(&self.path, entries)?;
        self.take(read);
        self.held.remove(&name);
        Ok(())
    }

    /// Removes this config's entries but those of `names`, also of what another process wrote
    /// meanwhile, and returns the names of these. The entries of other configs in the folder stay.
    pub(crate) fn retain(&mut self, names: &[String]) -> Result<Vec<String>, LockfileError> {
        let mut read = read_entries(&self.path)?;
        let is_surplus = |(name, config): &(String, Option<String>), _: &mut LockEntry| {
            *config == self.config && !names.contains(name)
        };
        let removed: Vec<_> = read.entries.extract_if(.., is_surplus).collect();
        if !removed.is_empty() {
            write_entries(&self.path, &read.entries)?;
        }
        self.take(read);
        self.held.retain(|name, _| names.contains(name));
        Ok(removed.into_iter().map(|(_, entry)| entry.name).collect())
    }

    /// Refuses to remove entries of this config but those of `names` if `mode` forbids changes.
    pub(crate) fn check_retain(
        &self,
        names: &[String],
        mode: LockMode,
    ) -> Result<(), LockfileError> {
        let mut entries = self.entries.values();
        let is_surplus =
            |entry: &&LockEntry| entry.config == self.config && !names.contains(&entry.name);
        match (mode.flag(), entries.find(is_surplus)) {
            (Some(flag), Some(entry)) => Err(LockfileError::WouldChange {
                path: self.path.clone(),
                name: entry.name.clone(),
                change: "the config no longer has it".to_owned(),
                flag,
            }),
            _ => Ok(()),
        }
    }
}

/// Reads the lockfile at `path`, if it is another one than `known`. If it is absent or can't be read,
/// it may be about to be replaced, and its pins stay until the next start.
fn reread(path: &Path, known: Option<&Fingerprint>) -> Result<Option<Read>, LockfileError> {
    match Fingerprint::of(path) {
        Ok(Some(now)) if known != Some(&now) => read_entries(path).map(Some),
        Ok(_) | Err(_) => Ok(None),
    }
}

fn folder_of(config: &Path) -> &Path {
    config.parent().unwrap_or(Path::new(""))
}

#[cfg(test)]
mod tests;
