//! A layout inside an uncompressed tar archive: listed once, read in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tar::EntryType;

use super::fault;
use super::source::Blob;
use crate::error::RegistryError;
use crate::limits::LAYOUT_ENTRIES_MAX;

/// An open archive and where its files lie in it.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    file: Arc<File>,
    /// Offset and size in bytes by normalised name.
    entries: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    /// Lists the archive.
    ///
    /// # Errors
    /// [`RegistryError::Layout`] for names that lead out of it, names that stand twice, too many
    /// entries, and what is no tar archive (or a compressed one).
    pub(super) fn open(path: &Path) -> Result<Self, RegistryError> {
        let unreadable = |cause: std::io::Error| {
            fault(
                path,
                "it is not a folder, and not an uncompressed tar archive",
                Some(cause.into()),
            )
        };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(BufReader::new(&file));
        for entry in archive.entries_with_seek().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            // Folders and metadata are not needed, links are never followed.
            if !matches!(
                entry.header().entry_type(),
                EntryType::Regular | EntryType::Continuous
            ) {
                continue;
            }
            let name = plain_name(&entry.path().map_err(unreadable)?)
                .ok_or_else(|| fault(path, "it has names that lead out of it", None))?;
            let (start, size) = (entry.raw_file_position(), entry.size());
            if start.checked_add(size).is_none_or(|end| end > length) {
                return Err(fault(path, "it is cut short", None));
            }
            if entries.len() >= LAYOUT_ENTRIES_MAX {
                return Err(fault(path, "it has more than 65,536 files", None));
            }
            if entries.insert(name, (start, size)).is_some() {
                return Err(fault(path, "a name stands twice in it", None));
            }
        }
        let path = path.to_owned();
        Ok(Self {
            path,
            file: Arc::new(file),
            entries,
        })
    }

    /// All its files, by normalised name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, Blob)> {
        let names = self.entries.keys();
        names.filter_map(|name| Some((name.as_str(), self.find(name)?)))
    }

    /// The file of that name.
    pub(super) fn find(&self, name: &str) -> Option<Blob> {
        let (start, size) = *self.entries.get(name)?;
        Some(Blob::new(
            self.path.clone(),
            Arc::clone(&self.file),
            start,
            size,
        ))
    }
}

/// A name without `./`; `None` if it is absolute or has `..` in it.
fn plain_name(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}
