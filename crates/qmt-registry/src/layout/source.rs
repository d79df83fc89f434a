//! Where a layout's files come from: a folder or a tar archive, links never followed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qmt_oci_ref::Digest;

use super::archive::Archive;
use super::fault;
use crate::error::RegistryError;

/// A layout's files by name.
#[derive(Debug)]
pub(super) enum Source {
    Folder(PathBuf),
    Archive(Archive),
}

/// An open blob, not proven: a window of a file.
#[derive(Debug)]
pub(super) struct Blob {
    path: PathBuf,
    file: Arc<File>,
    start: u64,
    size: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, RegistryError> {
        let metadata = std::fs::metadata(path)
            .map_err(|cause| fault(path, "it can't be opened", Some(cause.into())))?;
        if metadata.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        if !metadata.is_file() {
            return Err(fault(path, "it is neither a folder nor a file", None));
        }
        Archive::open(path).map(Self::Archive)
    }

    /// Reads one of the layout's own files.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, RegistryError> {
        self.open_file(&[name])?
            .map(|file| file.read(limit))
            .transpose()
    }

    /// Reads a small blob. The caller hashes it.
    pub(super) fn read_blob(
        &self,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        self.open_blob(digest)?
            .map(|file| file.read(limit))
            .transpose()
    }

    /// Opens a blob. The caller hashes what it reads.
    pub(super) fn open_blob(&self, digest: &Digest) -> Result<Option<Blob>, RegistryError> {
        self.open_file(&["blobs", digest.algorithm().as_str(), digest.hex()])
    }

    fn open_file(&self, name: &[&str]) -> Result<Option<Blob>, RegistryError> {
        match self {
            Self::Folder(root) => open_in_folder(root, name),
            Self::Archive(archive) => Ok(archive.find(&name.join("/"))),
        }
    }
}

impl Blob {
    pub(super) fn new(path: PathBuf, file: Arc<File>, start: u64, size: u64) -> Self {
        Self {
            path,
            file,
            start,
            size,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `buffer` with the bytes at `offset`.
    pub(super) fn read_exact_at(
        &self,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<(), RegistryError> {
        let mut reader = At {
            file: &self.file,
            offset: self.start.saturating_add(offset),
        };
        reader
            .read_exact(buffer)
            .map_err(|cause| fault(&self.path, "it can't be read", Some(cause.into())))
    }

    /// Reads it from the beginning to the end.
    pub(super) fn reader(&self) -> impl Read + '_ {
        let at = At {
            file: &self.file,
            offset: self.start,
        };
        at.take(self.size)
    }

    /// Reads all of it.
    fn read(&self, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let length = match usize::try_from(self.size) {
            Ok(length) if self.size <= limit => length,
            _ => {
                return Err(fault(
                    &self.path,
                    "it is larger than what is accepted there",
                    None,
                ));
            }
        };
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Opens a regular file below `root`; no part of its name may be a link.
fn open_in_folder(root: &Path, name: &[&str]) -> Result<Option<Blob>, RegistryError> {
    let mut path = root.to_owned();
    let mut metadata = None;
    for part in name {
        path.push(part);
        let found = match std::fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(cause) if is_absent(&cause) => return Ok(None),
            Err(cause) => return Err(fault(&path, "it can't be examined", Some(cause.into()))),
        };
        if found.file_type().is_symlink() {
            return Err(fault(
                &path,
                "it is a symbolic link, which is not followed",
                None,
            ));
        }
        metadata = Some(found);
    }
    let Some(expected) = metadata.filter(std::fs::Metadata::is_file) else {
        return Err(fault(&path, "it is not a regular file", None));
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) if is_absent(&cause) => return Ok(None),
        Err(cause) => return Err(fault(&path, "it can't be opened", Some(cause.into()))),
    };
    let opened = file
        .metadata()
        .map_err(|cause| fault(&path, "it can't be examined", Some(cause.into())))?;
    if !is_same(&expected, &opened) {
        return Err(fault(&path, "it was replaced while it was opened", None));
    }
    Ok(Some(Blob::new(path, Arc::new(file), 0, opened.len())))
}

#[cfg(unix)]
fn is_same(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    one.is_file() && other.is_file() && one.len() == other.len()
}

fn is_absent(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Reads by position, so that one open file serves many readers.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.offset)?;
        #[cfg(windows)]
        let count = std::os::windows::fs::FileExt::seek_read(self.file, buffer, self.offset)?;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}
