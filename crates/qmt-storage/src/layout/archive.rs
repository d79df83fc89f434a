//! A layout in an uncompressed tar archive: listed once, read in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tar::EntryType;

use super::{LayoutError, LayoutFile};

/// Most files of an archive.
pub(super) const ENTRIES_MAX: usize = 65_536;

/// An open archive and where its files are in it.
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
    /// [`LayoutError::Invalid`] for names that lead out of it or occur twice, too many entries, and
    /// a file that is not an uncompressed tar archive.
    pub(super) fn open(path: &Path) -> Result<Self, LayoutError> {
        let unreadable = LayoutError::because(
            path,
            "it is neither a folder nor an uncompressed tar archive",
        );
        let invalid = |rule| Err(LayoutError::invalid(path, rule));
        let file = File::open(path).map_err(&unreadable)?;
        let length = file.metadata().map_err(&unreadable)?.len();
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(BufReader::new(&file));
        for entry in archive.entries_with_seek().map_err(&unreadable)? {
            let entry = entry.map_err(&unreadable)?;
            // Folders and metadata are not needed, links are never followed.
            if !matches!(
                entry.header().entry_type(),
                EntryType::Regular | EntryType::Continuous
            ) {
                continue;
            }
            let Some(name) = plain_name(&entry.path().map_err(&unreadable)?) else {
                return invalid("it has names that lead out of it");
            };
            let (start, size) = (entry.raw_file_position(), entry.size());
            if start.checked_add(size).is_none_or(|end| end > length) {
                return invalid("it is cut short");
            }
            if entries.len() >= ENTRIES_MAX {
                return invalid("it has more than 65,536 files");
            }
            if entries.insert(name, (start, size)).is_some() {
                return invalid("it has two files of the same name");
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            entries,
        })
    }

    /// All its files, by normalised name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, LayoutFile)> {
        let names = self.entries.keys();
        names.filter_map(|name| Some((name.as_str(), self.find(name)?)))
    }

    /// The file of that name.
    pub(super) fn find(&self, name: &str) -> Option<LayoutFile> {
        let (start, size) = *self.entries.get(name)?;
        let file = Arc::clone(&self.file);
        Some(LayoutFile::new(self.path.clone(), file, start, size))
    }

    /// The names of the files in a folder, sorted.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let files = self.entries.keys();
        files
            .filter_map(|name| name.strip_prefix(folder)?.strip_prefix('/'))
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect()
    }
}

/// A name without `./`; `None` if it is absolute or has `..` in it.
pub(super) fn plain_name(path: &Path) -> Option<String> {
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
