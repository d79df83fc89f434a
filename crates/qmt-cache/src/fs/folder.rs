//! Folders that only this user can change: created with mode 0700 and checked before use.

use std::path::{Path, PathBuf};

use qmt_storage::files::{create_private_folder, sync_folder};

use super::paths::LAYOUT;
use crate::CacheError;
use crate::fs::sys::Sys;

/// How many symbolic links lead to the cache folder at most, as in Linux.
const LINKS_MAX: usize = 40;

/// Why a folder is not private to this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotPrivate {
    Link,
    NotFolder,
    /// Another user owns it.
    Foreign,
    /// Other users may write to it.
    Writable,
    /// Every user may rename it.
    Movable,
}

impl NotPrivate {
    /// Returns the rule that is broken.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Link => "is a symbolic link that is not followed",
            Self::NotFolder => "is not a folder",
            Self::Foreign => "belongs to another user",
            Self::Writable => "may be written by other users",
            Self::Movable => "is in a folder that all users may write to",
        }
    }

    pub(crate) fn refuse(self, path: &Path) -> CacheError {
        CacheError::UnsafeFolder {
            path: path.to_owned(),
            rule: self.rule(),
            hint: match self {
                Self::Link => "name the folder that it points to, or put a folder in its place",
                Self::NotFolder => "choose another `cache_dir`",
                Self::Foreign => "choose a `cache_dir` of your own",
                Self::Writable => {
                    "take the right away (`chmod go-w`) after making sure that no other user \
                     changed it, or choose another `cache_dir`"
                }
                Self::Movable => "set its sticky bit (`chmod +t`) or choose another `cache_dir`",
            },
        }
    }
}

/// Follows symbolic links at `root`, except those that another user can have made.
pub(crate) fn follow(root: &Path) -> PathBuf {
    // Without a slash at the end, behind which the system follows every link.
    let mut root: PathBuf = root.components().collect();
    for _ in 0..LINKS_MAX {
        match own_link(&root) {
            Some(target) => root = target.components().collect(),
            None => break,
        }
    }
    root
}

/// Returns what `path` points to, if it is a symbolic link of this user or of root which no other
/// user can replace.
fn own_link(path: &Path) -> Option<PathBuf> {
    let target = std::fs::read_link(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let owner = std::fs::symlink_metadata(path).ok()?.uid();
        if !super::sys::is_trusted(owner) || has_open_parent(path) {
            return None;
        }
    }
    Some(path.parent()?.join(target))
}

/// Creates the folder (and its parents) if it is absent, private to this user, and checks it.
pub(crate) fn make(path: &Path) -> Result<(), CacheError> {
    match create_private_folder(path) {
        // An existing cache on a read-only file system can still be read. Anything but a folder is
        // refused below.
        Err(_) if path.symlink_metadata().is_ok() => {}
        created => created.map_err(CacheError::unwritable(path))?,
    }
    match examine(path)? {
        None => Ok(()),
        Some(cause) => Err(cause.refuse(path)),
    }
}

/// Returns how other users can put content of their own under the names of the cache in `root`;
/// `None` if they can't.
///
/// # Errors
/// [`CacheError::UnsafeFolder`] if `root` is a symbolic link that was not followed, or not a folder.
pub(crate) fn shared_by(root: &Path) -> Result<Option<NotPrivate>, CacheError> {
    for path in [root, &root.join(LAYOUT)] {
        if std::fs::symlink_metadata(path).is_err() {
            continue; // It does not exist yet, or creating it says why not.
        }
        match examine(path)? {
            Some(cause @ (NotPrivate::Link | NotPrivate::NotFolder)) => {
                return Err(cause.refuse(path));
            }
            Some(cause) => return Ok(Some(cause)),
            None => {}
        }
    }
    Ok(has_open_parent(root).then_some(NotPrivate::Movable))
}

/// Finds out why the folder is not private to this user.
fn examine(path: &Path) -> Result<Option<NotPrivate>, CacheError> {
    let metadata = std::fs::symlink_metadata(path).map_err(CacheError::io("examine", path))?;
    if metadata.file_type().is_symlink() {
        return Ok(Some(NotPrivate::Link));
    }
    if !metadata.is_dir() {
        return Ok(Some(NotPrivate::NotFolder));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if !super::sys::is_trusted(metadata.uid()) {
            return Ok(Some(NotPrivate::Foreign));
        }
        if metadata.mode() & 0o022 != 0 {
            return Ok(Some(NotPrivate::Writable));
        }
    }
    Ok(None)
}

/// Reports whether a folder above `root` is one in which every user may rename what is in it.
fn has_open_parent(root: &Path) -> bool {
    #[cfg(unix)]
    for parent in root.ancestors().skip(1) {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = std::fs::metadata(parent) else {
            continue; // Relative paths end in "", and unreadable parents can't be checked.
        };
        let mode = metadata.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return true;
        }
    }
    #[cfg(not(unix))]
    let _ = root;
    false
}

/// Makes earlier renames and unlinks in the folder durable.
pub(crate) fn sync(sys: Sys, path: &Path) -> Result<(), CacheError> {
    sync_folder(path, sys.sync).map_err(CacheError::io("flush the folder", path))
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
