//! The lockfile: what each provider was resolved to, who signed it, what it was granted.
//!
//! `plugins.lock` lies beside the config. It is TOML, sorted by name, and changes only where
//! something changed, so that it reads well in a version control system.

mod document;
mod error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qmt_oci_ref::Digest;
use qmt_verify::SignerId;
use serde::{Deserialize, Serialize};

use self::document::{guard, read_entries, write_entries};
pub use self::error::LockfileError;
use crate::config::{AllowConfig, ProviderKind};

/// The name of the file beside the config.
const NAME: &str = "plugins.lock";

/// What may be done to the lockfile.
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
    pub kind: ProviderKind,
    /// The file that was taken out of the image.
    pub file: String,
    /// The digest of that file.
    pub file_digest: Digest,
    /// The size of that file in bytes.
    pub size: u64,
    /// Who signed it; missing where verification was off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerId>,
    /// When it was signed, in seconds since 1970, where a trusted time says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<u64>,
    /// The rights that the config granted.
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

    /// Returns the entry of `name`, if it still stands for `reference`.
    pub(crate) fn entry(&self, name: &str, reference: &str) -> Option<&LockEntry> {
        self.entries
            .get(name)
            .filter(|entry| entry.reference == reference)
    }

    /// Enters `entry` and writes the file, unless nothing changes.
    pub(crate) fn record(&mut self, entry: LockEntry, mode: LockMode) -> Result<(), LockfileError> {
        let old = self.entries.get(&entry.name);
        if old == Some(&entry) {
            return Ok(());
        }
        if mode != LockMode::Update {
            let change = old.map_or_else(
                || "it has none yet".to_owned(),
                |old| difference(old, &entry),
            );
            let (path, name) = (self.path.clone(), entry.name);
            return Err(LockfileError::WouldChange { path, name, change });
        }
        // Another process may have written since: its entries stay, its pins above all.
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

    /// Keeps the entries of `names` alone, those that another process wrote meanwhile included.
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
                .map_or_else(|| "nobody".to_owned(), ToString::to_string)
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
