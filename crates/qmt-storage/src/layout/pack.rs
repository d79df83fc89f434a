//! Changing a layout in a tar archive: its content is in a folder next to it meanwhile, and each
//! manifest that is pushed replaces the archive as a whole.
//!
//! So there is a good archive at every moment, and equal content makes equal archives.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::archive::Archive;
use super::write::{TEMP_PREFIX, prepare, temp_in};
use super::{INDEX_NAME, LayoutError, MARKER_NAME};
use crate::files::Fingerprint;
use crate::replace::{folder_of, persist};

/// The prefix of what is next to an archive while it is changed.
const PREFIX: &str = ".oci-layout-";

/// An archive that is changed, and the folder where its content is meanwhile.
#[derive(Debug)]
pub(super) struct PackedArchive {
    path: PathBuf,
    folder: TempDir,
    /// The state of the archive when it was last read or written; locked while it is packed.
    seen: Mutex<Option<Fingerprint>>,
}

/// The endings of compressed archives.
const COMPRESSED: [&str; 8] = [
    ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.xz", ".txz", ".tar.bz2", ".zip",
];

impl PackedArchive {
    /// Whether `path` is a file, or is absent and named as an archive.
    pub(super) fn is_meant_by(path: &Path) -> bool {
        std::fs::metadata(path).map_or_else(|_| is_archive_name(path), |found| found.is_file())
    }

    /// Unpacks the archive into a folder next to it, or makes an empty layout there.
    pub(super) fn unpack(path: &Path) -> Result<Self, LayoutError> {
        let failed = LayoutError::because(path, "it can't be created or written");
        let parent = folder_of(path);
        std::fs::create_dir_all(parent).map_err(&failed)?;
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .map_err(&failed)?;
        let seen = Fingerprint::of(path).map_err(&failed)?;
        if seen.is_some() {
            for (name, mut content) in Archive::open(path)?.files() {
                let target = folder.path().join(name);
                std::fs::create_dir_all(folder_of(&target)).map_err(&failed)?;
                let mut file = File::create_new(target).map_err(&failed)?;
                io::copy(&mut content, &mut file).map_err(&failed)?;
            }
        } else {
            prepare(folder.path())?;
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
            seen: Mutex::new(seen),
        })
    }

    /// The folder in which the content is.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the archive.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if it can't be written, or another process changed it.
    pub(super) fn pack(&self) -> Result<(), LayoutError> {
        let failed = LayoutError::because(&self.path, "it can't be written");
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let temp = temp_in(folder_of(&self.path), PREFIX).map_err(&failed)?;
        write_all(self.folder(), temp.as_file()).map_err(&failed)?;
        if Fingerprint::of(&self.path).map_err(&failed)? != *seen {
            let rule = "another process has changed it and it was left as it is; try again";
            return Err(LayoutError::invalid(&self.path, rule));
        }
        persist(temp, &self.path).map_err(&failed)?;
        *seen = Fingerprint::of(&self.path).map_err(&failed)?;
        Ok(())
    }
}

/// Refuses the name of a compressed archive, which a layout is never written as.
pub(super) fn check_name(path: &Path) -> Result<(), LayoutError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let mut endings = COMPRESSED.iter();
    if endings.any(|ending| name.ends_with(ending)) && !path.exists() {
        let rule = "archives are written without compression; choose a name that ends in `.tar`";
        return Err(LayoutError::invalid(path, rule));
    }
    Ok(())
}

/// Whether a file of that name is written as an archive.
pub(super) fn is_archive_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("tar"))
}

/// Appends a file without time and owner, so that equal content makes equal archives.
pub(super) fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, name, content.take(size))
}

/// Writes all files of the folder, `oci-layout` first: a reader of the stream knows what it reads.
fn write_all(folder: &Path, archive: &File) -> io::Result<()> {
    let mut names = Vec::new();
    list(folder, "", &mut names)?;
    names.sort_by_key(|name| (name != MARKER_NAME, name != INDEX_NAME, name.clone()));
    let mut tar = tar::Builder::new(BufWriter::new(archive));
    for name in names {
        let file = File::open(folder.join(&name))?;
        append(&mut tar, &name, file.metadata()?.len(), file)?;
    }
    tar.into_inner()?.flush()
}

/// Collects the names of all files below `folder`, with `/` between their parts.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue; // No file that was unpacked or pushed has such a name.
        };
        if name.starts_with(TEMP_PREFIX) {
            continue; // A push that has not finished.
        }
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
