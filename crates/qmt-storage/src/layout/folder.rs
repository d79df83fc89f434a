//! The files of a layout that is a folder. No part of a name may be a symbolic link.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::ENTRIES_MAX;
use super::{LayoutError, LayoutFile};
use crate::files::{is_absent, is_same};

/// Opens a regular file below `root`; `None` if it is absent.
pub(super) fn open(root: &Path, name: &str) -> Result<Option<LayoutFile>, LayoutError> {
    let Some((path, expected)) = find(root, name)? else {
        return Ok(None);
    };
    if !expected.is_file() {
        return Err(LayoutError::invalid(&path, "it is not a regular file"));
    }
    let file = match File::open(&path) {
        Err(cause) if is_absent(&cause) => return Ok(None),
        opened => opened.map_err(LayoutError::because(&path, "it can't be opened"))?,
    };
    let failed = LayoutError::because(&path, "it can't be examined");
    let opened = file.metadata().map_err(failed)?;
    if !is_same(&expected, &opened) {
        return Err(LayoutError::invalid(
            &path,
            "it was replaced while it was opened",
        ));
    }
    Ok(Some(LayoutFile::new(path, Arc::new(file), 0, opened.len())))
}

/// The names of the files in a folder below `root`, sorted; none if it is absent.
pub(super) fn names(root: &Path, name: &str) -> Result<Vec<String>, LayoutError> {
    let Some((path, found)) = find(root, name)? else {
        return Ok(Vec::new());
    };
    if !found.is_dir() {
        return Err(LayoutError::invalid(&path, "it is not a folder"));
    }
    let failed = LayoutError::because(&path, "it can't be listed");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let kind = entry.file_type().map_err(&failed)?;
        if !kind.is_file() {
            let rule = if kind.is_symlink() {
                IS_LINK
            } else {
                "it is not a regular file"
            };
            return Err(LayoutError::invalid(&entry.path(), rule));
        }
        names.extend(entry.file_name().into_string());
        if names.len() > ENTRIES_MAX {
            return Err(LayoutError::invalid(&path, "it has more than 65,536 files"));
        }
    }
    names.sort();
    Ok(names)
}

pub(super) const IS_LINK: &str =
    "it is a symbolic link, which is not followed; copy the layout with `cp -rL`";

/// Walks to `name`; `None` if a part of it is absent.
fn find(root: &Path, name: &str) -> Result<Option<(PathBuf, Metadata)>, LayoutError> {
    let mut path = root.to_owned();
    let mut last = None;
    for part in name.split('/') {
        path.push(part);
        let found = match std::fs::symlink_metadata(&path) {
            Err(cause) if is_absent(&cause) => return Ok(None),
            found => found.map_err(LayoutError::because(&path, "it can't be examined"))?,
        };
        if found.is_symlink() {
            return Err(LayoutError::invalid(&path, IS_LINK));
        }
        last = Some(found);
    }
    Ok(last.map(|metadata| (path, metadata)))
}
