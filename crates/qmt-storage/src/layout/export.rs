//! Writing a new layout in one pass. It appears as a whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read};
use std::path::{Path, PathBuf};

use qmt_oci_ref::{Digest, Digester};
use tempfile::{Builder, NamedTempFile, TempDir};

use super::pack::{append, check_name, is_archive_name};
use super::write::temp_in;
use super::{INDEX_NAME, LAYOUT_MARKER, LayoutError, LayoutIndex, MARKER_NAME, blob_name};
use crate::files::sync_folder;
use crate::replace::{folder_of, persist};

/// The prefix of what is not finished.
const PREFIX: &str = ".export-";
/// How much is buffered before it is written to an archive, in bytes.
const BUFFER: usize = 256 * 1024;

/// A new layout on its way to the disk. It vanishes if it is dropped.
pub struct LayoutExport {
    target: PathBuf,
    out: Out,
}

enum Out {
    Folder(TempDir),
    Archive(Box<tar::Builder<BufWriter<NamedTempFile>>>),
}

impl LayoutExport {
    /// Begins a layout at `target`: a tar archive, which replaces one that exists, if the name ends
    /// in `.tar`, else a new folder.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if the folder exists or can't be written.
    pub fn create(target: &Path) -> Result<Self, LayoutError> {
        let failed = LayoutError::because(target, "it can't be created or written");
        check_name(target)?;
        let target = std::path::absolute(target).map_err(&failed)?;
        let parent = folder_of(&target);
        let out = if is_archive_name(&target) {
            let file = temp_in(parent, PREFIX).map_err(&failed)?;
            let buffered = BufWriter::with_capacity(BUFFER, file);
            Out::Archive(Box::new(tar::Builder::new(buffered)))
        } else if target.exists() {
            return Err(LayoutError::invalid(
                &target,
                "it exists already; name a new folder",
            ));
        } else {
            Out::Folder(work_folder(parent).map_err(&failed)?)
        };
        let mut export = Self { target, out };
        export.add(MARKER_NAME, LAYOUT_MARKER)?;
        Ok(export)
    }

    /// Adds a file that is not a blob.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if it can't be written.
    pub fn add(&mut self, name: &str, content: &[u8]) -> Result<(), LayoutError> {
        self.write(name, content.len() as u64, content)
    }

    /// Adds a blob of `size` bytes, hashing it.
    ///
    /// # Errors
    /// [`LayoutError::Digest`] if the content is not what `digest` says, also if it is cut short;
    /// [`LayoutError::Invalid`] if it can't be read or written.
    pub fn add_blob(
        &mut self,
        digest: &Digest,
        size: u64,
        content: impl Read,
    ) -> Result<(), LayoutError> {
        let mut hashing = Hashing {
            content,
            digester: Digester::new(digest.algorithm()),
        };
        self.write(&blob_name(digest), size, &mut hashing)?;
        let actual = hashing.digester.finish();
        if actual == *digest {
            return Ok(());
        }
        let expected = digest.clone();
        Err(LayoutError::Digest { expected, actual })
    }

    /// Adds the index, and gives the layout its name once it is on the disk.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if it can't be written.
    pub fn finish(mut self, index: &LayoutIndex) -> Result<(), LayoutError> {
        self.add(INDEX_NAME, &index.to_json())?;
        let failed = LayoutError::because(&self.target, "it can't be written");
        match self.out {
            Out::Folder(work) => {
                std::fs::rename(work.path(), &self.target).map_err(&failed)?;
                let _ = work.keep();
                sync_folder(folder_of(&self.target), File::sync_all).map_err(failed)
            }
            Out::Archive(tar) => {
                let buffered = tar.into_inner().map_err(&failed)?;
                let file = buffered
                    .into_inner()
                    .map_err(|error| failed(error.into_error()))?;
                persist(file, &self.target).map_err(failed)
            }
        }
    }

    fn write(&mut self, name: &str, size: u64, content: impl Read) -> Result<(), LayoutError> {
        let written = match &mut self.out {
            Out::Archive(tar) => append(tar, name, size, content),
            Out::Folder(work) => write_file(&work.path().join(name), &mut content.take(size)),
        };
        written.map_err(LayoutError::because(&self.target, "it can't be written"))
    }
}

/// Creates the folder that becomes the layout, as readable as the files in it. The error is about
/// `parent`.
fn work_folder(parent: &Path) -> io::Result<TempDir> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o755));
    }
    let folder = builder.tempdir_in(parent);
    folder.map_err(|error| match error.kind() {
        // The error itself names the folder that could not be created.
        kind @ (ErrorKind::PermissionDenied
        | ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded) => kind.into(),
        _ => error,
    })
}

fn write_file(path: &Path, content: &mut impl Read) -> io::Result<()> {
    std::fs::create_dir_all(folder_of(path))?;
    let mut file = File::create_new(path)?;
    io::copy(content, &mut file)?;
    file.sync_all()
}

/// Content that is hashed while it is read.
struct Hashing<R> {
    content: R,
    digester: Digester,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.digester
            .update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
