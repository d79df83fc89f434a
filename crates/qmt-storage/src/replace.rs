//! Atomic replacement of one file: a reader sees the old content or the new content, whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::{Builder, NamedTempFile, TempPath};

use crate::files::{link_target, sync_folder};

/// How [`replace`] treats permissions and symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaceOptions {
    mode: u32,
    follow_symlink: bool,
}

impl ReplaceOptions {
    /// Readable and writable for the owner only (Unix mode 0600): credentials, state.
    pub const PRIVATE: Self = Self {
        mode: 0o600,
        follow_symlink: false,
    };

    /// Readable for all users that the umask allows (Unix mode 0644): files to be committed.
    pub const SHARED: Self = Self {
        mode: 0o644,
        follow_symlink: false,
    };

    /// Gives the new file the Unix mode `mode`, less the umask: that of the old file, for example.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Replaces the target of a symbolic link and keeps the link; by default the link is replaced.
    #[must_use]
    pub const fn follow_symlink(mut self) -> Self {
        self.follow_symlink = true;
        self
    }
}

/// Replaces the file at `path` with `bytes`, atomically and durably.
///
/// The content is written to a temporary file in the same folder, flushed to the disk and renamed;
/// then the folder is flushed. The mode of a file that is already there is not kept: it is the one
/// in `options`, less the umask.
///
/// # Errors
/// If the folder does not exist or can't be written, or the disk is full. The old file is then
/// unchanged and no temporary file is left. If only the flush of the folder fails, the new content
/// is in place, but may be lost in a power failure.
pub fn replace(path: &Path, bytes: &[u8], options: ReplaceOptions) -> io::Result<()> {
    let target = if options.follow_symlink {
        link_target(path)
    } else {
        path.to_owned()
    };
    let mut temp = temp_file(folder_of(&target), ".tmp-", options.mode)?;
    // Errors of the temporary file itself name it, and the caller knows the path that matters.
    temp.as_file_mut().write_all(bytes)?;
    persist(temp, &target)
}

/// Creates a temporary file with the Unix mode `mode`, less the umask. Errors do not name it.
pub(crate) fn temp_file(folder: &Path, prefix: &str, mode: u32) -> io::Result<NamedTempFile> {
    Builder::new().prefix(prefix).make_in(folder, |path| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(not(unix))]
        let _ = mode;
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        options.open(path)
    })
}

/// Gives a temporary file its name, once its content is on the disk.
pub(crate) fn persist(temp: NamedTempFile, path: &Path) -> io::Result<()> {
    temp.as_file().sync_all()?;
    rename(temp.into_temp_path(), path)?;
    sync_folder(folder_of(path), File::sync_all)
}

/// The same, but a file that has the name already stays.
#[cfg(feature = "layout")]
pub(crate) fn persist_new(temp: NamedTempFile, path: &Path) -> io::Result<()> {
    temp.as_file().sync_all()?;
    match temp.persist_noclobber(path) {
        Ok(_) => sync_folder(folder_of(path), File::sync_all),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // The file system supports neither a rename without replacement nor hard links.
        Err(refused) => persist(refused.file, path),
    }
}

/// Renames a temporary file. Windows refuses for a moment while another process has the target open.
fn rename(mut temp: TempPath, target: &Path) -> io::Result<()> {
    let mut attempts = if cfg!(windows) { 5_u32 } else { 1 };
    loop {
        attempts = attempts.saturating_sub(1);
        match temp.persist(target) {
            Err(refused) if attempts > 0 => temp = refused.path,
            renamed => return renamed.map_err(|refused| refused.error),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The folder that a file is in: the working folder for a bare file name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
