//! What the operating system does for the cache: checked opening, durable writing, locks.
//!
//! The calls that disks and network file systems fail in interesting ways stand behind [`Sys`],
//! so that tests can make them fail.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use tempfile::TempPath;

use crate::CacheError;

/// The calls that tests make fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sys {
    pub(crate) lock: fn(&File) -> Result<(), TryLockError>,
    pub(crate) lock_shared: fn(&File) -> Result<(), TryLockError>,
    pub(crate) sync: fn(&File) -> io::Result<()>,
    pub(crate) link: fn(&Path, &Path) -> io::Result<()>,
    pub(crate) write: fn(&File, &[u8]) -> io::Result<usize>,
}

impl Sys {
    pub(crate) const REAL: Self = Self {
        lock: File::try_lock,
        lock_shared: File::try_lock_shared,
        sync: File::sync_all,
        link: |from, to| std::fs::hard_link(from, to),
        write: |mut file, bytes| io::Write::write(&mut file, bytes),
    };
}

/// Whether locking is simply not to be had on this file system (NFS without `lockd`, some FUSE).
/// The cache stays correct without: names appear by atomic rename, and readers hash.
pub(crate) fn is_lock_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        [
            Errno::NOLCK,
            Errno::NOSYS,
            Errno::OPNOTSUPP,
            Errno::NOTSUP,
            Errno::INVAL,
            Errno::BADF,
        ]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::Unsupported
    }
}

/// Opens a regular file that belongs to us and that only we can write, never through a symlink,
/// and never waiting for the writer of a FIFO. `Err` of kind `InvalidData` if it is anything else.
///
/// `aliases` is how many names the file may have.
pub(crate) fn open_own(path: &Path, aliases: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path).map_err(|error| match raw(&error) {
        Some(code) if is_symlink_refusal(code) => invalid("is a symbolic link"),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(invalid("is not a regular file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if metadata.uid() != own_uid() {
            return Err(invalid("belongs to another user"));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(invalid("may be written by others"));
        }
        if metadata.nlink() > aliases {
            return Err(invalid("has more names than it should"));
        }
    }
    #[cfg(not(unix))]
    let _ = aliases;
    Ok(file)
}

/// Reads a small file of ours. One that is absent, too large or not ours counts as absent.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, CacheError> {
    let Some(file) = open_file(path, 2)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(CacheError::io("read", path))?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Opens a file of ours, or `None` if it is absent or has become something else.
pub(crate) fn open_file(path: &Path, names: u64) -> Result<Option<File>, CacheError> {
    match open_own(path, names) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(path = %path.display(), rule = %error, "ignoring a file in the cache");
            Ok(None)
        }
        Err(error) => Err(CacheError::io("open", path)(error)),
    }
}

/// Gives a finished temporary file its name, atomically in place of what had it.
pub(crate) fn place(temp: TempPath, path: &Path) -> Result<(), CacheError> {
    temp.persist(path)
        .map_err(|error| CacheError::io("rename to", path)(error.error))
}

/// Whether a name is simply not there (any more).
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether two open files are one.
pub(crate) fn is_same_file(one: &File, other: &File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => is_same(&one, &other),
        _ => false,
    }
}

/// Whether `path` still names the open file.
pub(crate) fn is_named(path: &Path, file: &File) -> bool {
    match (std::fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => is_same(&named, &open),
        _ => false,
    }
}

#[cfg(unix)]
fn is_same(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    // No inode numbers in std: the times of a file that was replaced differ.
    one.len() == other.len() && one.created().ok() == other.created().ok()
}

/// How many names the file has.
pub(crate) fn name_count(file: &File) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.metadata().map_or(1, |metadata| metadata.nlink())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        1
    }
}

/// Reads at `offset` without moving the position that clones of the handle share.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(file, buffer, offset);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, offset);
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Asks the kernel to begin writing the given range to the disk, so that the `fsync` at the end
/// has little left to wait for. A hint: failure means nothing.
///
/// Linux starts write-back of dirty pages in a range that is advised away, and keeps them cached
/// because they are not clean yet.
pub(crate) fn start_write_back(file: &File, offset: u64, length: u64) {
    #[cfg(target_os = "linux")]
    {
        let length = std::num::NonZeroU64::new(length);
        let _ = rustix::fs::fadvise(file, offset, length, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, length);
}

/// Makes a file read-only for everybody, ourselves included: nobody writes a finished file.
pub(crate) fn make_read_only(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o400))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(())
    }
}

/// The user on whose behalf this process works.
#[cfg(unix)]
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(unix)]
fn is_symlink_refusal(code: i32) -> bool {
    code == rustix::io::Errno::LOOP.raw_os_error()
}

#[cfg(not(unix))]
fn is_symlink_refusal(_code: i32) -> bool {
    false
}

fn raw(error: &io::Error) -> Option<i32> {
    error.raw_os_error()
}

fn invalid(rule: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, rule)
}
