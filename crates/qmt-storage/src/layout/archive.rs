//! A layout in an uncompressed tar archive: listed once, read in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use qmt_oci_ref::text;
use tar::EntryType;

use super::{LayoutError, LayoutFile, MARKER_NAME};
use crate::files::open_regular;

/// Most files of an archive.
pub(super) const ENTRIES_MAX: usize = 65_536;
/// Most headers of an archive, those of folders and those in front of entries included.
const HEADERS_MAX: usize = 4 * ENTRIES_MAX;
/// Largest header in front of an entry, such as a long name: 8 KiB.
const EXTENSION_MAX: u64 = 8 << 10;

/// Bytes of a block. Archives consist of whole ones.
const BLOCK: u64 = 512;
/// Where a header has the name of the format.
const MAGIC: Range<usize> = 257..262;
const CUT_SHORT: &str = "it is cut short";
const NEITHER: &str = "it is neither a folder nor an uncompressed tar archive";

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
        let unreadable = LayoutError::because(path, NEITHER);
        let invalid = |rule| Err(LayoutError::invalid(path, rule));
        let cannot_read = LayoutError::because(path, "it can't be read");
        let file = open_regular(path).map_err(&cannot_read)?;
        if let Some(rule) = packed_rule(&file) {
            return invalid(rule);
        }
        let length = file.metadata().map_err(&cannot_read)?.len();
        let is_tar = is_tar(&file).map_err(&cannot_read)?;
        let malformed = |error| match is_tar {
            false => LayoutError::invalid(path, NEITHER),
            true if length % BLOCK != 0 => LayoutError::invalid(path, CUT_SHORT),
            true => unreadable(escaped(error)),
        };
        check_extensions(&file).map_err(malformed)?;
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(BufReader::new(&file));
        for entry in archive.entries_with_seek().map_err(malformed)? {
            let entry = entry.map_err(malformed)?;
            let kind = entry.header().entry_type();
            // Folders and metadata are not needed, and symbolic links are not followed.
            if !matches!(
                kind,
                EntryType::Regular | EntryType::Continuous | EntryType::Link
            ) {
                continue;
            }
            let Some(name) = plain_name(&entry.path().map_err(malformed)?) else {
                return invalid("it has names that lead out of it");
            };
            let (start, size) = if kind == EntryType::Link {
                // `tar` packs a file with two names once. The other one is an entry before this.
                let target = entry.link_name().map_err(malformed)?;
                let target = target.and_then(|target| plain_name(&target));
                match target.and_then(|target| entries.get(&target)) {
                    Some(place) => *place,
                    None => continue,
                }
            } else {
                (entry.raw_file_position(), entry.size())
            };
            if start.checked_add(size).is_none_or(|end| end > length) {
                return invalid(CUT_SHORT);
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

    /// Reports whether the layout is in a folder of the archive, as in `tar -cf x.tar layout`.
    pub(super) fn is_in_folder(&self) -> bool {
        let mut names = self.entries.keys();
        names.any(|name| {
            name.rsplit_once('/')
                .is_some_and(|(_, base)| base == MARKER_NAME)
        })
    }

    /// Reports whether it has no files.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
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

/// Refuses an archive whose headers in front of entries are too large to be read into memory, or
/// too many.
fn check_extensions(mut file: &File) -> io::Result<()> {
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut count = 0;
    for entry in archive.entries_with_seek()?.raw(true) {
        let entry = entry?;
        let has_content_read = matches!(
            entry.header().entry_type(),
            EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XHeader
                | EntryType::XGlobalHeader
        );
        if has_content_read && entry.size() > EXTENSION_MAX {
            return Err(io::Error::other(
                "a header in front of an entry exceeds 8 KiB",
            ));
        }
        count += 1;
        if count > HEADERS_MAX {
            return Err(io::Error::other("it has more than 262,144 headers"));
        }
    }
    drop(archive);
    file.rewind()
}

/// The rule that a compressed archive breaks, by its first bytes.
fn packed_rule(file: &File) -> Option<&'static str> {
    let mut magic = [0; 6];
    let mut reader = file;
    let length = reader.read(&mut magic).unwrap_or_default();
    let rewound = reader.rewind();
    match magic.get(..length)? {
        _ if rewound.is_err() => None,
        [0x1f, 0x8b, ..] => {
            Some("it is compressed with gzip; decompress it with `gunzip < FILE > NEW.tar`")
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Some("it is compressed with zstd; decompress it with `unzstd < FILE > NEW.tar`")
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Some("it is compressed with xz; decompress it with `unxz < FILE > NEW.tar`")
        }
        [b'B', b'Z', b'h', ..] => {
            Some("it is compressed with bzip2; decompress it with `bunzip2 < FILE > NEW.tar`")
        }
        [b'P', b'K', 3, 4, ..] => Some("it is a zip archive; pack its files with `tar`"),
        _ => None,
    }
}

/// Reports whether a file begins as tar archives do.
fn is_tar(mut file: &File) -> io::Result<bool> {
    let mut header = [0; MAGIC.end];
    let read = file.read_exact(&mut header);
    file.rewind()?;
    Ok(read.is_ok() && header.get(MAGIC) == Some(b"ustar"))
}

/// Takes an error of the `tar` crate, whose text may quote the archive.
fn escaped(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() {
        return error;
    }
    io::Error::new(error.kind(), text::escape(&error.to_string()))
}

/// A name without `./` and `/` before it; `None` if it has `..` in it.
pub(super) fn plain_name(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir | Component::RootDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}
