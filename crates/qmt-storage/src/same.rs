//! Which names mean one file, and none.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Reports whether the error means that a name does not exist (any more).
pub fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Reports whether `path` still names the open file.
pub fn is_named(path: &Path, file: &File) -> bool {
    match (std::fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => is_same(&named, &open),
        _ => false,
    }
}

/// Reports whether two files are one.
#[cfg(unix)]
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Reports whether two files are one, as far as their sizes and times tell: there are no inode
/// numbers in the standard library.
#[cfg(not(unix))]
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len() && one.created().ok() == other.created().ok()
}
