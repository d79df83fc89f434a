//! The file itself: read whole and strictly, replaced whole.

use std::io::Read as _;
use std::path::Path;

use qmt_oci_ref::text;
use qmt_storage::{ReplaceOptions, replace};
use serde::{Deserialize, Serialize};

use super::{Entries, LockEntry, LockfileError};
use crate::config::writers::{Writers, writers};

/// The version of the format that is read and written.
const VERSION: u32 = 1;
/// Largest lockfile, in bytes.
const LOCKFILE_MAX_BYTES: u64 = 4 << 20;
const HEAD: &str = "# Made by qmt-plugins: which digest and signer each provider stands for.\n\
                    # Commit it; `qmt-plugins update` moves it.\n";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<LockEntry>,
}

/// What was read.
#[derive(Default)]
pub(super) struct Read {
    pub(super) entries: Entries,
    /// The warning that other users may change the file, if they may.
    pub(super) warning: Option<String>,
}

pub(super) fn read_entries(path: &Path) -> Result<Read, LockfileError> {
    let malformed = |source: Box<dyn std::error::Error + Send + Sync>| LockfileError::Malformed {
        path: path.to_owned(),
        source,
    };
    let read = |source| LockfileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match qmt_storage::files::open_regular(path) {
        // A link that leads nowhere is not a lockfile that does not exist yet.
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound
                && std::fs::symlink_metadata(path).is_err() =>
        {
            return Ok(Read::default());
        }
        file => file.map_err(read)?,
    };
    let writers = writers(path, &file.metadata().map_err(read)?);
    if writers == Writers::Everyone {
        return Err(LockfileError::WritableByAll {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    file.take(LOCKFILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(read)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LOCKFILE_MAX_BYTES) {
        return Err(malformed("it exceeds 4 MiB".into()));
    }
    let text = text::from_file(bytes).map_err(|problem| malformed(problem.into()))?;
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
    let entries: Entries = document
        .plugins
        .into_iter()
        .map(|entry| ((entry.name.clone(), entry.config.clone()), entry))
        .collect();
    if entries.len() != count {
        return Err(malformed("two entries have the same name".into()));
    }
    Ok(Read {
        entries,
        warning: writers.warning(path),
    })
}

/// Replaces the file atomically.
pub(super) fn write_entries(path: &Path, entries: &Entries) -> Result<(), LockfileError> {
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
    let options = ReplaceOptions::SHARED.follow_symlink();
    replace(path, format!("{HEAD}{text}").as_bytes(), options).map_err(write)
}
