//! Small operations on files and folders, and which names mean one file.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::replace::folder_of;

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

/// Reports whether two files are one, by their sizes and times: the standard library has no
/// inode numbers here.
#[cfg(not(unix))]
pub fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len() && one.created().ok() == other.created().ok()
}

/// Metadata by which a change of a file is noticed: its content, its mode or owner, its links, or
/// its replacement by another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    length: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and the time of the last change of any kind.
    #[cfg(unix)]
    inode_state: (u64, u64, i64, i64),
}

impl Fingerprint {
    /// Returns that of the file at `path`; `None` if there is no file.
    ///
    /// # Errors
    /// If its metadata can't be read.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::from(&metadata))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<&Metadata> for Fingerprint {
    fn from(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode_state: (
                metadata.dev(),
                metadata.ino(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ),
        }
    }
}

/// Checks that a file can be created in `folder`, by creating one and removing it. The empty path is the
/// working folder.
///
/// # Errors
/// The error of its creation.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    let is_empty = folder.as_os_str().is_empty();
    let folder = if is_empty { Path::new(".") } else { folder };
    tempfile::tempfile_in(folder).map(drop)
}

/// Opens a regular file for reading. Nothing else is waited for: a pipe without a writer would block
/// for ever, and a device may have no end.
///
/// # Errors
/// If it can't be opened, or is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    let found = file.metadata()?;
    if found.is_file() {
        return Ok(file);
    }
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let rule = "it is not a regular file";
    Err(io::Error::new(io::ErrorKind::InvalidInput, rule))
}

/// Reads `file` to its end; `None` if it has more than `limit` bytes.
///
/// # Errors
/// If it can't be read.
pub fn read_at_most(file: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Creates a folder and its parents, each with Unix mode 0700. One that exists stays as it is.
///
/// # Errors
/// If it can't be created, or something other than a folder has that name.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Returns what has the name of a folder and is not one: `path`, or the nearest of its parents that
/// exists. `None` if that is a folder.
pub fn not_a_folder(path: &Path) -> Option<&Path> {
    let existing = path.ancestors().find(|path| path.exists())?;
    (!existing.is_dir()).then_some(existing)
}

/// Reports whether a shell would replace a part of the path, such as `$HOME` and `%APPDATA%`. An
/// absolute path to a folder that exists can have such a name.
pub fn has_shell_variable(path: &Path) -> bool {
    let mut named = path.ancestors().filter(|folder| {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.is_some_and(is_shell_variable)
    });
    named
        .next()
        .is_some_and(|folder| !folder.is_absolute() || !folder.exists())
}

/// Reports whether a shell would replace the part of a path.
fn is_shell_variable(part: &str) -> bool {
    let name = part.strip_prefix('$');
    let is_named =
        |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic() || "_{(".contains(c));
    let windows = part.strip_prefix('%').and_then(|rest| rest.split_once('%'));
    name.is_some_and(is_named)
        || part.contains("${")
        || windows.is_some_and(|(name, _)| !name.is_empty() && !name.contains(' '))
}

/// Returns what a symbolic link points to, existing or not; `path` itself if it is not a link.
pub fn link_target(path: &Path) -> PathBuf {
    std::fs::canonicalize(path)
        // A link to a file that does not exist yet.
        .or_else(|_| std::fs::read_link(path).map(|target| folder_of(path).join(target)))
        .unwrap_or_else(|_| path.to_owned())
}

/// Returns `path` as an absolute path, in which symbolic links are resolved as far as it exists.
pub fn real_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = absolute.ancestors().find_map(|folder| {
        let rest = absolute.strip_prefix(folder).ok()?;
        let real = std::fs::canonicalize(folder).ok()?;
        // An empty rest would add a slash.
        let is_whole = rest.as_os_str().is_empty();
        Some(if is_whole { real } else { real.join(rest) })
    });
    real.unwrap_or(absolute)
}

/// Makes earlier renames and removals in `folder` durable by means of `sync`, which is
/// `File::sync_all` outside tests. Does nothing where a folder can't be flushed: on other systems
/// than Unix, and on network and FUSE file systems without `fsync` for folders.
///
/// # Errors
/// If the folder can't be opened or flushed.
pub fn sync_folder(folder: &Path, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder).and_then(|folder| sync(&folder)) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests;
