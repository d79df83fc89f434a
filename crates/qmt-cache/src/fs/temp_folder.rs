//! A folder for work in progress. Its owner holds a lock in it, so that what a dead process left is
//! recognized.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::store::Store;
use super::sys::{self, Sys};
use crate::CacheError;

/// How the folder of an import begins.
pub(super) const IMPORT: &str = "import-";
/// The lock, in the folder.
const LOCK: &str = "lock";

/// The folder; dropping it removes it.
pub(super) struct TempFolder {
    folder: TempDir,
    /// `None` where it can't be locked: the age of the folder decides then.
    _lock: Option<File>,
}

impl TempFolder {
    pub(super) fn new(store: &Store, prefix: &str) -> Result<Self, CacheError> {
        let tmp = store.paths.tmp();
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(&tmp);
        let folder = folder.map_err(CacheError::io("create a folder in", &tmp))?;
        let lock = lock(store.sys, folder.path()).ok();
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Locks a new folder. The lock gets its name when it is held: one that is free is that of a dead
/// process.
fn lock(sys: Sys, folder: &Path) -> io::Result<File> {
    let path = folder.join("lock-new");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    (sys.lock)(&file)?;
    std::fs::rename(&path, folder.join(LOCK))?;
    Ok(file)
}

/// Reports whether the owner of a folder is dead; `None` if there is no lock that shows it.
pub(super) fn is_abandoned(sys: Sys, folder: &Path) -> Option<bool> {
    let mut options = OpenOptions::new();
    sys::follow_no_link(options.read(true).write(true));
    let file = options.open(folder.join(LOCK)).ok()?;
    match (sys.lock)(&file) {
        Ok(()) => Some(true),
        Err(TryLockError::WouldBlock) => Some(false),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Removes the folders with this prefix that dead processes left.
pub(super) fn drop_abandoned(store: &Store, prefix: &str) -> Result<(), CacheError> {
    for name in sys::names(&store.paths.tmp())? {
        let path = store.paths.tmp().join(&name);
        if name.starts_with(prefix) && is_abandoned(store.sys, &path) == Some(true) {
            sys::remove(&path)?;
        }
    }
    Ok(())
}
