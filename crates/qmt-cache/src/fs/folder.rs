//! Folders that only this user can change: created with mode 0700, checked before use, never
//! repaired.

use std::path::Path;

use qmt_storage::{create_private_folder, sync_folder};

use crate::CacheError;
use crate::fs::sys::Sys;

/// Creates the folder (and its parents) if it is absent, private to this user, and checks it.
pub(crate) fn make(path: &Path) -> Result<(), CacheError> {
    match create_private_folder(path) {
        // An existing cache on a read-only file system can still be read.
        Err(_) if path.is_dir() => {}
        created => created.map_err(CacheError::io("create the folder", path))?,
    }
    check(path)
}

/// Refuses what is not a folder, or has another owner, or can be written by other users.
fn check(path: &Path) -> Result<(), CacheError> {
    let metadata = std::fs::symlink_metadata(path).map_err(CacheError::io("examine", path))?;
    if metadata.file_type().is_symlink() {
        let hint = "name the folder that it points to";
        return Err(refuse(path, "is a symbolic link", hint));
    }
    if !metadata.is_dir() {
        let hint = "choose another `cache_dir`";
        return Err(refuse(path, "is not a folder", hint));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        check_owner(path, metadata.uid(), super::sys::own_uid())?;
        if metadata.mode() & 0o022 != 0 {
            let hint = "take the right away (`chmod go-w`) after making sure that no other user \
                        changed it, or choose another `cache_dir`";
            return Err(refuse(path, "may be written by other users", hint));
        }
    }
    Ok(())
}

/// Refuses a root below a folder in which every user may rename it.
pub(crate) fn check_parents(root: &Path) -> Result<(), CacheError> {
    #[cfg(unix)]
    for parent in root.ancestors().skip(1) {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = std::fs::metadata(parent) else {
            continue; // Relative paths end in "", and unreadable parents can't be checked.
        };
        let mode = metadata.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            let rule = "may be written by all users and has no sticky bit";
            let hint = "set it (`chmod +t`) or choose another `cache_dir`";
            return Err(refuse(parent, rule, hint));
        }
    }
    #[cfg(not(unix))]
    let _ = root;
    Ok(())
}

/// Makes earlier renames and unlinks in the folder durable.
pub(crate) fn sync(sys: Sys, path: &Path) -> Result<(), CacheError> {
    sync_folder(path, sys.sync).map_err(CacheError::io("flush the folder", path))
}

#[cfg(unix)]
fn check_owner(path: &Path, owner: u32, own: u32) -> Result<(), CacheError> {
    if owner == own {
        return Ok(());
    }
    let hint = "choose a `cache_dir` of your own";
    Err(refuse(path, "belongs to another user", hint))
}

fn refuse(path: &Path, rule: &'static str, hint: &'static str) -> CacheError {
    CacheError::UnsafeFolder {
        path: path.to_owned(),
        rule,
        hint,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
