//! Cache roots that other users may write to: a Kubernetes `emptyDir`, `--tmpfs`, a volume of another
//! user, a folder below one of these.
//!
//! The cache is in a folder of this user there, with mode 0700, and is used through a descriptor of
//! that folder: other users can rename or remove names above it, but they change nothing in it, and
//! redirect nothing to another place.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, Stat, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;

use super::folder::NotPrivate;
use super::paths::LAYOUT;
use super::sys;
use crate::CacheError;

/// How many names are tried for the folder of this user: others may have taken some.
const NAMES: u32 = 8;

/// The folder in which the names of this process's descriptors are.
const DESCRIPTORS: &str = "/proc/self/fd";

/// How the names of folders begin that are never read.
const DISCARDED: &str = "discarded-";

/// Descriptors that are never closed, by device and inode, because paths name them.
static ANCHORS: Mutex<BTreeMap<(u64, u64), RawFd>> = Mutex::new(BTreeMap::new());

/// Opens the folder of this user in `root`, which is shared because of `cause`, and returns a path of
/// it that no other user can redirect.
///
/// # Errors
/// [`CacheError::Unwritable`] if there is none and it can't be created,
/// [`CacheError::UnsafeFolder`] if a name on the way to it is a link that another user can have made,
/// if others have taken its names, or if there is no `/proc`.
pub(super) fn open(root: &Path, cause: NotPrivate) -> Result<PathBuf, CacheError> {
    let failed = |error: Errno| match error {
        Errno::NOTDIR | Errno::LOOP => not_folder(root).refuse(root),
        error => CacheError::unwritable(root)(error.into()),
    };
    let shared = walk(root).map_err(failed)?;
    let found = fstat(&shared).map_err(failed)?;
    let own = if is_private(&found) && !has_foreign_cache(&shared) {
        reopen(&shared).map(|own| Some((own, false)))
    } else {
        own_folder(&shared)
    };
    let own = own.map_err(failed)?;
    let (own, was_open) = own.ok_or_else(|| cause.refuse(root))?;
    let anchor = anchor(own).map_err(failed)?;
    check_leads_there(&anchor, root, cause)?;
    if was_open || is_open_to_others(&anchor.join(LAYOUT)) {
        discard_unproven(&anchor.join(LAYOUT))?;
    }
    Ok(anchor)
}

/// Refuses `root` where no path leads to the descriptor of its folder, because there is no `/proc`.
fn check_leads_there(anchor: &Path, root: &Path, cause: NotPrivate) -> Result<(), CacheError> {
    if anchor.is_dir() {
        return Ok(());
    }
    Err(CacheError::UnsafeFolder {
        path: root.to_owned(),
        rule: cause.rule(),
        hint: "mount `/proc`, without which such a folder is not used, or choose a `cache_dir` of your own",
    })
}

/// Tells a file in the place of a folder, such as `/dev/null`, from a link.
fn not_folder(root: &Path) -> NotPrivate {
    let mut found = root
        .ancestors()
        .filter_map(|path| std::fs::symlink_metadata(path).ok());
    match found.find(|found| !found.is_dir()) {
        Some(found) if !found.is_symlink() => NotPrivate::NotFolder,
        _ => NotPrivate::Link,
    }
}

/// Reports whether the cache in a folder of this user is another user's.
fn has_foreign_cache(folder: &OwnedFd) -> bool {
    let cache = openat(folder, LAYOUT, flags() | OFlags::NOFOLLOW, Mode::empty());
    cache
        .and_then(fstat)
        .is_ok_and(|found| found.st_uid != sys::own_uid())
}

/// Reports whether other users may write to a folder, as Kubernetes leaves it, which gives the files
/// of a volume to a group at each mount.
fn is_open_to_others(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(folder).is_ok_and(|found| found.mode() & 0o022 != 0)
}

/// Returns the path that is shown to users for `path`.
pub(crate) fn shown(path: &Path) -> PathBuf {
    let Ok(rest) = path.strip_prefix(DESCRIPTORS) else {
        return path.to_owned();
    };
    let mut parts = rest.components();
    let target = parts
        .next()
        .and_then(|descriptor| std::fs::read_link(Path::new(DESCRIPTORS).join(descriptor)).ok());
    target.map_or_else(|| path.to_owned(), |target| target.join(parts.as_path()))
}

/// Opens `root` name by name, creating what is absent with mode 0700. Below a folder in which other
/// users can make names, no link is followed.
fn walk(root: &Path) -> Result<OwnedFd, Errno> {
    let mut folder = openat(rustix::fs::CWD, "/", flags(), Mode::empty())?;
    let mut has_others = false;
    for component in root.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => OsStr::new(".."),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => continue,
        };
        let no_link = if has_others {
            OFlags::NOFOLLOW
        } else {
            OFlags::empty()
        };
        folder = match openat(&folder, name, flags() | no_link, Mode::empty()) {
            Err(Errno::NOENT) => make(&folder, name)?,
            opened => opened?,
        };
        has_others |= may_be_changed_by_others(&fstat(&folder)?);
    }
    Ok(folder)
}

/// Opens or makes the folder of this user, and returns whether other users could write to it; `None`
/// if they have taken its names.
fn own_folder(shared: &OwnedFd) -> Result<Option<(OwnedFd, bool)>, Errno> {
    let user = sys::own_uid();
    let names = (0..NAMES).map(|nth| match nth {
        0 => format!("user-{user}"),
        nth => format!("user-{user}-{nth}"),
    });
    for name in names {
        let opened = match make(shared, OsStr::new(&name)) {
            Err(Errno::NOTDIR | Errno::LOOP) => continue,
            opened => opened?,
        };
        let found = fstat(&opened)?;
        if found.st_uid != user {
            continue;
        }
        let own = reopen(&opened)?;
        let was_open = !is_private(&found);
        if was_open {
            fchmod(&own, Mode::RWXU)?;
        }
        return Ok(Some((own, was_open)));
    }
    Ok(None)
}

/// Removes what other users can have changed and what is not proven by its name or a signature
/// whenever it is read.
fn discard_unproven(cache: &Path) -> Result<(), CacheError> {
    tracing::warn!(path = %shown(cache).display(), "the cache was open to other users");
    // Where this fails, the check of each folder refuses it.
    let _ = tighten_one(cache);
    for name in sys::names(cache)? {
        let path = cache.join(&name);
        let is_kept = matches!(name.as_str(), "blobs" | "signatures");
        if (!is_kept || tighten(&path).is_err()) && sys::remove(&path).is_err() {
            // A folder in it that belongs to another user can't be emptied. It gets another name,
            // under which nothing is read.
            let aside = tempfile::Builder::new().prefix(DISCARDED).tempdir_in(cache);
            let renamed = aside.and_then(|aside| std::fs::rename(&path, aside.path()));
            renamed.map_err(CacheError::io("set aside", &path))?;
        }
    }
    Ok(())
}

/// Takes all rights of other users away from a tree.
fn tighten(path: &Path) -> Result<(), CacheError> {
    tighten_one(path)?;
    if !std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    let mut names = sys::names(path)?.into_iter();
    names.try_for_each(|name| tighten(&path.join(name)))
}

fn tighten_one(path: &Path) -> Result<(), CacheError> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = CacheError::io("examine", path);
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    let mode = match metadata.file_type() {
        kind if kind.is_dir() => 0o700,
        kind if kind.is_file() => 0o400,
        _ => return sys::remove(path),
    };
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, mode).map_err(CacheError::io("protect", path))
}

/// Makes a folder unless there is something, and opens it without following a link.
fn make(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let made = mkdirat(parent, name, Mode::RWXU);
    let opened = openat(parent, name, flags() | OFlags::NOFOLLOW, Mode::empty());
    match made {
        Ok(()) | Err(Errno::EXIST) => opened,
        // It may exist where nothing can be made.
        Err(error) => opened.map_err(|_| error),
    }
}

/// Opens a folder again, so that its mode can be changed and it can be flushed.
fn reopen(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(folder, ".", flags, Mode::empty())
}

/// Keeps a descriptor open for the rest of the process, and returns its path.
fn anchor(folder: OwnedFd) -> Result<PathBuf, Errno> {
    let found = fstat(&folder)?;
    let mut anchors = ANCHORS.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = anchors.entry((found.st_dev, found.st_ino));
    let descriptor = *kept.or_insert_with(|| {
        let descriptor = folder.as_raw_fd();
        std::mem::forget(folder);
        descriptor
    });
    Ok(Path::new(DESCRIPTORS).join(descriptor.to_string()))
}

/// A descriptor that only names a folder, which needs no right to list it.
fn flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn is_private(folder: &Stat) -> bool {
    FileType::from_raw_mode(folder.st_mode) == FileType::Directory
        && folder.st_uid == sys::own_uid()
        && folder.st_mode & 0o022 == 0
}

/// Reports whether another user, apart from root, can make names in the folder.
fn may_be_changed_by_others(folder: &Stat) -> bool {
    folder.st_mode & 0o022 != 0 || !sys::is_trusted(folder.st_uid)
}

#[cfg(test)]
mod tests;
