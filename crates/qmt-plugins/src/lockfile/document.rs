//! The file itself: read whole and strictly, replaced whole.

use std::collections::BTreeMap;
use std::path::Path;

use qmt_storage::{ReplaceOptions, replace};
use serde::{Deserialize, Serialize};

use super::{LockEntry, LockfileError};

/// The version of the format that is read and written.
const VERSION: u32 = 1;
/// Largest lockfile, in bytes.
const LOCKFILE_MAX_BYTES: u64 = 4 << 20;
const HEAD: &str = "# Made by qmt-plugins: which digest and signer each provider stands for.\n\
                    # Commit it; `qmt-plugins update` moves it.\n";

/// Locks the folder, so that no other process writes while the file is read, changed and written. On
/// platforms that can't lock a folder, each write is still atomic, and the last one wins.
pub(super) fn guard(path: &Path) -> Option<std::fs::File> {
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

pub(super) fn read_entries(path: &Path) -> Result<BTreeMap<String, LockEntry>, LockfileError> {
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
            return Err(malformed("it exceeds 4 MiB".into()));
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let document: Document = toml::from_str(&text).map_err(|error| malformed(error.into()))?;
    if document.version != VERSION {
        return Err(malformed(
            format!(
                "its version is {}; only {VERSION} is supported",
                document.version
            )
            .into(),
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
        Err(malformed("two entries have the same name".into()))
    }
}

/// Replaces the file atomically.
pub(super) fn write_entries(
    path: &Path,
    entries: &BTreeMap<String, LockEntry>,
) -> Result<(), LockfileError> {
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
    // A lockfile is committed and read like any other text.
    let options = ReplaceOptions::SHARED;
    replace(path, format!("{HEAD}{text}").as_bytes(), options).map_err(write)
}
