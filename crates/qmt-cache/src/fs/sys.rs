//! What the operating system does for the cache: checked opening, durable writing, locks.
//!
//! The calls that disks and network file systems refuse are function pointers in [`Sys`], so that
//! tests can make them fail.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use qmt_oci_ref::{DigestAlgorithm, Digester};
use tempfile::TempPath;

use crate::CacheError;

pub(crate) use qmt_storage::files::{is_absent, is_named};

/// How much is read between two steps of a hash, in bytes: small enough to stay in the CPU's cache,
/// large enough for few system calls.
const CHUNK: usize = 64 * 1024;

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

/// Whether this file system has no locks (NFS without `lockd`, some FUSE). The cache is correct
/// without them: names appear by atomic rename, and readers hash.
pub(crate) fn is_lock_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno as E;
        let codes = [
            E::NOLCK,
            E::NOSYS,
            E::OPNOTSUPP,
            E::NOTSUP,
            E::INVAL,
            E::BADF,
        ];
        let mut codes = codes.iter().map(|code| code.raw_os_error());
        codes.any(|code| error.raw_os_error() == Some(code))
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::Unsupported
    }
}

/// Opens a regular file that belongs to this user or to root and that no other user can write,
/// never through a symlink, and without waiting for the writer of a FIFO. The error has the kind
/// `InvalidData` if it is anything else.
///
/// `aliases` is how many names the file may have.
pub(crate) fn open_own(path: &Path, aliases: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    follow_no_link(&mut options);
    let file = options.open(path).map_err(|error| {
        if is_symlink_refusal(&error) {
            return invalid("is a symbolic link");
        }
        error
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(invalid("is not a regular file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if !is_trusted(metadata.uid()) {
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

/// Reads a small file of the cache. One that is too large or has another owner counts as absent.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, CacheError> {
    let Some(file) = open_file(path, 2)? else {
        return Ok(None);
    };
    qmt_storage::files::read_at_most(file, limit).map_err(CacheError::io("read", path))
}

/// Opens a file of the cache; `None` if it is absent or not a regular file of this user.
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

/// Gives a finished temporary file its name, replacing a file atomically.
pub(crate) fn place(temp: TempPath, path: &Path) -> Result<(), CacheError> {
    temp.persist(path)
        .map_err(|error| CacheError::io("rename to", path)(error.error))
}

/// Whether two open files are the same file.
pub(crate) fn is_same_file(one: &File, other: &File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => qmt_storage::files::is_same(&one, &other),
        _ => false,
    }
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

/// Records that a file is in use, unless that was recorded within `grain`. A hint for eviction, so
/// failures are ignored.
pub(crate) fn touch(file: &File, grain: Duration) {
    let now = SystemTime::now();
    let noted = file.metadata().and_then(|metadata| metadata.modified());
    let since = noted.ok().and_then(|noted| now.duration_since(noted).ok());
    if since.is_none_or(|since| since >= grain) {
        let _ = file.set_modified(now);
    }
}

/// The length of an open file, in bytes.
pub(crate) fn length(file: &File, path: &Path) -> Result<u64, CacheError> {
    let metadata = file.metadata().map_err(CacheError::io("examine", path))?;
    Ok(metadata.len())
}

/// The length of the file at `path`, in bytes; 0 if it can't be examined.
pub(crate) fn length_of(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |metadata| metadata.len())
}

/// The length of the file at `path`, or of all files below it, in bytes. No link is followed.
pub(crate) fn length_of_all(path: &Path) -> u64 {
    if !std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return length_of(path);
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let lengths = entries.map(|entry| length_of_all(&entry.path()));
    lengths.fold(0, u64::saturating_add)
}

/// The names in a folder; none if it is absent.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, CacheError> {
    let files = match std::fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        files => files.map_err(CacheError::io("list", folder))?,
    };
    let mut names = Vec::new();
    for file in files {
        let file = file.map_err(CacheError::io("list", folder))?;
        names.extend(file.file_name().into_string());
    }
    Ok(names)
}

/// Removes a file, folder or link; an absent one is fine.
pub(crate) fn remove(path: &Path) -> Result<(), CacheError> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        _ => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if is_absent(&error) => Ok(()),
        removed => removed.map_err(CacheError::io("remove", path)),
    }
}

/// Hashes the whole file, whose name is `path`.
pub(crate) fn hash(
    file: &File,
    algorithm: DigestAlgorithm,
    path: &Path,
) -> Result<Digester, CacheError> {
    let mut digester = Digester::new(algorithm);
    read_chunks(file, path, u64::MAX, |chunk| digester.update(chunk))?;
    Ok(digester)
}

/// Passes the first `most` bytes of the file, whose name is `path`, to `take` in chunks.
pub(crate) fn read_chunks(
    file: &File,
    path: &Path,
    most: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<(), CacheError> {
    let length = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK);
    let mut buffer = vec![0; length(most)];
    let mut offset = 0;
    while offset < most {
        let window = buffer.get_mut(..length(most - offset)).unwrap_or_default();
        let count = read_at(file, window, offset).map_err(CacheError::io("read", path))?;
        if count == 0 {
            break;
        }
        take(window.get(..count).unwrap_or_default());
        offset = offset.saturating_add(count as u64);
    }
    Ok(())
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

/// Makes a file read-only for all users, the owner included: finished files are never written.
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

/// The effective user of this process.
#[cfg(unix)]
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Reports whether an owner of files may be trusted with their content: this user, or root, who can
/// change everything anyway. A cache in a container image is usually root's.
#[cfg(unix)]
pub(crate) fn is_trusted(owner: u32) -> bool {
    owner == own_uid() || owner == 0
}

#[cfg(unix)]
fn is_symlink_refusal(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(not(unix))]
fn is_symlink_refusal(_: &io::Error) -> bool {
    false
}

/// Makes opening refuse a symbolic link, and not wait for the writer of a FIFO.
pub(crate) fn follow_no_link(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = options;
}

/// The error for a file that is not as the cache made it.
pub(crate) fn invalid(rule: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, rule)
}
