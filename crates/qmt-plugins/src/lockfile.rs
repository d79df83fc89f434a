//! The lockfile: what each provider was resolved to, who signed it, what it was granted.
//!
//! `plugins.lock` is next to the config. It is TOML, sorted by name, and only changed entries are
//! rewritten, so that differences are easy to read under version control.

mod document;
mod error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qmt_oci_ref::{Digest, PluginKind};
use qmt_verify::SignerId;
use serde::{Deserialize, Serialize};

use self::document::{guard, read_entries, write_entries};
pub use self::error::LockfileError;
use crate::config::AllowConfig;

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

/// What one provider was resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LockEntry {
    /// The provider's name.
    pub name: String,
    /// Its source, as text.
    pub reference: String,
    /// The digest that the reference was resolved to: an index or a manifest.
    pub digest: Digest,
    /// The digest of the manifest that was selected for this host.
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
    /// The rights that the config grants.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub granted: AllowConfig,
}

fn is_nothing(allow: &AllowConfig) -> bool {
    *allow == AllowConfig::default()
}

/// The lockfile of one config.
#[derive(Debug)]
pub(crate) struct Lockfile {
    path: PathBuf,
    entries: BTreeMap<String, LockEntry>,
}

impl Lockfile {
    /// Reads the lockfile in `folder`; a missing one is empty.
    pub(crate) fn read(folder: &Path) -> Result<Self, LockfileError> {
        let path = folder.join(NAME);
        let entries = read_entries(&path)?;
        Ok(Self { path, entries })
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &LockEntry> {
        self.entries.values()
    }

    /// Returns the entry of `name`, if it is for `reference`.
    pub(crate) fn entry(&self, name: &str, reference: &str) -> Option<&LockEntry> {
        self.entries
            .get(name)
            .filter(|entry| entry.reference == reference)
    }

    /// Records `entry` and writes the file, unless nothing changes.
    pub(crate) fn record(&mut self, entry: LockEntry, mode: LockMode) -> Result<(), LockfileError> {
        let old = self.entries.get(&entry.name);
        if old == Some(&entry) {
            return Ok(());
        }
        if mode != LockMode::Update {
            let change = old.map_or_else(
                || "it has no entry yet".to_owned(),
                |old| difference(old, &entry),
            );
            let (path, name) = (self.path.clone(), entry.name);
            return Err(LockfileError::WouldChange { path, name, change });
        }
        // Another process may have written entries meanwhile. They stay, pinned signers above all.
        let _guard = guard(&self.path);
        let mut entries = read_entries(&self.path)?;
        if let Some(theirs) = entries.get(&entry.name)
            && old.is_none()
            && theirs.reference == entry.reference
            && theirs.signer != entry.signer
        {
            let (path, change) = (self.path.clone(), difference(theirs, &entry));
            return Err(LockfileError::Raced {
                path,
                name: entry.name,
                change,
            });
        }
        entries.insert(entry.name.clone(), entry);
        write_entries(&self.path, &entries)?;
        self.entries = entries;
        Ok(())
    }

    /// Removes all entries but those of `names`, also of what another process wrote meanwhile.
    pub(crate) fn retain(&mut self, names: &[&str]) -> Result<(), LockfileError> {
        let _guard = guard(&self.path);
        let mut entries = read_entries(&self.path)?;
        let before = entries.len();
        entries.retain(|name, _| names.contains(&name.as_str()));
        if entries.len() != before {
            write_entries(&self.path, &entries)?;
        }
        self.entries = entries;
        Ok(())
    }
}

fn difference(old: &LockEntry, new: &LockEntry) -> String {
    let mut parts = Vec::new();
    if old.reference != new.reference {
        parts.push(format!(
            "reference {} instead of {}",
            new.reference, old.reference
        ));
    }
    if old.digest != new.digest {
        parts.push(format!("digest {} instead of {}", new.digest, old.digest));
    }
    if old.kind != new.kind {
        parts.push("another kind of plugin".to_owned());
    }
    if old.signer != new.signer {
        let shown = |signer: &Option<SignerId>| {
            signer
                .as_ref()
                .map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        parts.push(format!(
            "signer {} instead of {}",
            shown(&new.signer),
            shown(&old.signer)
        ));
    }
    if old.granted != new.granted {
        parts.push("other rights".to_owned());
    }
    if parts.is_empty() {
        "other details".to_owned()
    } else {
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests;
