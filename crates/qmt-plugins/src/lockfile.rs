//! The lockfile: what each provider was resolved to, who signed it, what it was granted.
//!
//! `plugins.lock` lies beside the config. It is TOML, sorted by name, and changes only where
//! something changed, so that it reads well in a version control system.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use qmt_oci_ref::Digest;
use qmt_verify::SignerId;
use serde::{Deserialize, Serialize};

use crate::config::{AllowConfig, ProviderKind};

/// The name of the file beside the config.
const NAME: &str = "plugins.lock";
/// The version of the format that is read and written.
const VERSION: u32 = 1;
/// Largest lockfile, in bytes.
const LOCKFILE_MAX_BYTES: u64 = 4 << 20;
const HEAD: &str = "# Made by qmt-plugins: which digest and signer each provider stands for.\n\
                    # Commit it; `qmt-plugins update` moves it.\n";

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

/// Why the lockfile can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockfileError {
    /// It can't be read.
    #[error("the lockfile {} can't be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what we write.
    #[error(
        "the lockfile {} is damaged or of another version; restore it, or remove it and have every \
         plugin resolved and pinned anew", .path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It can't be written.
    #[error("the lockfile {} can't be written", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `--locked` was asked for, and something would change.
    #[error(
        "the lockfile {} has another entry for `{name}` than would be written now ({change}), and \
         `--locked` forbids to change it; run `qmt-plugins lock`", .path.display()
    )]
    WouldChange {
        /// The file.
        path: PathBuf,
        /// The provider.
        name: String,
        /// What differs.
        change: String,
    },
    /// Another process has just pinned another signer for the same plugin.
    #[error(
        "the lockfile {} has got an entry for `{name}` from another process meanwhile, with {change} \
         here; run it again", .path.display()
    )]
    Raced {
        /// The file.
        path: PathBuf,
        /// The provider.
        name: String,
        /// What differs.
        change: String,
    },
}

/// Keeps other processes from writing while the file is read, changed and written. Where the
/// platform can't lock a folder, each write is still whole, and the last one wins.
fn guard(path: &Path) -> Option<std::fs::File> {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = std::fs::File::open(folder.unwrap_or(Path::new("."))).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<LockEntry>,
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

    /// Keeps the entries of `names` alone.
    pub(crate) fn retain(&mut self, names: &[&str]) -> Result<(), LockfileError> {
        let before = self.entries.len();
        self.entries
            .retain(|name, _| names.contains(&name.as_str()));
        if self.entries.len() == before {
            Ok(())
        } else {
            write_entries(&self.path, &self.entries)
        }
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

fn read_entries(path: &Path) -> Result<BTreeMap<String, LockEntry>, LockfileError> {
    let malformed = |source: Box<dyn std::error::Error + Send + Sync>| LockfileError::Malformed {
        path: path.to_owned(),
        source,
    };
    let read = |source| LockfileError::Read {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(read(error)),
        Ok(metadata) if metadata.len() > LOCKFILE_MAX_BYTES => {
            return Err(malformed("it is larger than any lockfile".into()));
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let document: Document = toml::from_str(&text).map_err(|error| malformed(error.into()))?;
    if document.version != VERSION {
        return Err(malformed(
            format!("it has version {}, we know {VERSION}", document.version).into(),
        ));
    }
    let count = document.plugins.len();
    let entries: BTreeMap<_, _> = document
        .plugins
        .into_iter()
        .map(|entry| (entry.name.clone(), entry))
        .collect();
    if entries.len() == count {
        Ok(entries)
    } else {
        Err(malformed("a name stands twice".into()))
    }
}

/// Replaces the file as a whole: a reader sees the old one or the new one.
fn write_entries(path: &Path, entries: &BTreeMap<String, LockEntry>) -> Result<(), LockfileError> {
    let write = |source| LockfileError::Write {
        path: path.to_owned(),
        source,
    };
    let document = Document {
        version: VERSION,
        plugins: entries.values().cloned().collect(),
    };
    let text = toml::to_string(&document)
        .map_err(|error| write(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // A lockfile is to be committed and read like any other text, where the umask allows it.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    let mut file = builder.tempfile_in(folder).map_err(write)?;
    file.write_all(HEAD.as_bytes())
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(write)?;
    file.as_file().sync_all().map_err(write)?;
    file.persist(path).map_err(|error| write(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, content: &str) -> LockEntry {
        LockEntry {
            name: name.to_owned(),
            reference: "oci://ghcr.io/acme/echo:1".to_owned(),
            digest: Digest::sha256(content),
            manifest: Digest::sha256("manifest"),
            kind: ProviderKind::Wasm,
            file: "plugin.wasm".to_owned(),
            file_digest: Digest::sha256("file"),
            size: 4,
            signer: None,
            signed_at: Some(1_700_000_000),
            granted: AllowConfig {
                hosts: vec!["a.example".to_owned()],
                ..AllowConfig::default()
            },
        }
    }

    #[test]
    fn entries_come_back_sorted_and_stable() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lockfile::read(folder.path()).unwrap();
        lock.record(entry("b", "1"), LockMode::Update).unwrap();
        lock.record(entry("a", "1"), LockMode::Update).unwrap();
        let text = std::fs::read_to_string(&lock.path).unwrap();
        let again = Lockfile::read(folder.path()).unwrap();
        assert_eq!(
            again
                .entries()
                .map(|entry| entry.name.as_str())
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(
            again.entry("a", "oci://ghcr.io/acme/echo:1"),
            Some(&entry("a", "1"))
        );
        assert_eq!(again.entry("a", "oci://ghcr.io/acme/other:1"), None);
        lock.record(entry("a", "1"), LockMode::Locked).unwrap();
        assert_eq!(std::fs::read_to_string(&lock.path).unwrap(), text);
    }

    #[test]
    fn locked_means_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lockfile::read(folder.path()).unwrap();
        lock.record(entry("a", "1"), LockMode::Update).unwrap();
        let error = lock
            .record(entry("a", "2"), LockMode::Locked)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("digest") && error.contains("--locked"),
            "{error}"
        );
        assert!(lock.record(entry("new", "1"), LockMode::Frozen).is_err());
    }

    #[test]
    fn two_processes_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (
            Lockfile::read(folder.path()).unwrap(),
            Lockfile::read(folder.path()).unwrap(),
        );
        one.record(entry("one", "1"), LockMode::Update).unwrap();
        other.record(entry("other", "1"), LockMode::Update).unwrap();
        assert_eq!(Lockfile::read(folder.path()).unwrap().entries().count(), 2);
    }

    /// Two first loads at once must not pin two signers.
    #[test]
    fn a_pin_of_another_process_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (
            Lockfile::read(folder.path()).unwrap(),
            Lockfile::read(folder.path()).unwrap(),
        );
        let signed = |who: &str| LockEntry {
            signer: Some(SignerId::certificate("https://i", who)),
            ..entry("a", "1")
        };
        one.record(signed("first@example.com"), LockMode::Update)
            .unwrap();
        let error = other
            .record(signed("second@example.com"), LockMode::Update)
            .unwrap_err();
        assert!(matches!(error, LockfileError::Raced { .. }), "{error}");
        let kept = Lockfile::read(folder.path()).unwrap();
        assert_eq!(kept.entries().next(), Some(&signed("first@example.com")));
    }

    #[test]
    fn a_damaged_lockfile_is_never_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        for text in [
            "version = 2",
            "version = 1\nplugin = 3",
            "vers",
            "version = 1\nextra = 1",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Lockfile::read(folder.path()).unwrap_err();
            assert!(
                matches!(error, LockfileError::Malformed { .. }),
                "{text}: {error}"
            );
        }
    }
}
