//! Which other users may change a file that decides about trust: config, lockfile, keys, trust
//! material.
//!
//! One rule for all of them. A file that every user may write is refused. A file that others may
//! change in another way is used with a warning: its owner is neither this user nor root, its group
//! may write it, or every user may replace it in its folder. The private group of its owner, whose
//! number is that of the owner, does not count, nor does what is on a read-only file system.

use std::fs::Metadata;
use std::path::Path;

/// The users that may change a file, apart from this user and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    /// No other user.
    None,
    /// Some users: what the file's owner, group or folder allows.
    Some(&'static str),
    /// Every user.
    Everyone,
}

impl Writers {
    /// Returns the warning about the file at `path`, if there is one.
    pub(crate) fn warning(self, path: &Path) -> Option<String> {
        match self {
            Self::Some(reason) => Some(format!(
                "{} decides about trust, and other users may change it: {reason}",
                path.display()
            )),
            Self::None | Self::Everyone => None,
        }
    }
}

/// Determines which users may change the file at `path`, whose metadata is given.
#[cfg(unix)]
pub(crate) fn writers(path: &Path, metadata: &Metadata) -> Writers {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    let found = by_file(metadata.mode(), metadata.uid(), metadata.gid(), own);
    let real = std::fs::canonicalize(path);
    let real = real.as_deref().unwrap_or(path);
    let found = match found {
        Writers::None if is_replaceable(path) || is_replaceable(real) => {
            Writers::Some("every user may write to its folder; run `chmod o-w` on the folder")
        }
        Writers::None if is_link_of_another(path, own) => {
            Writers::Some("it is a symbolic link of another user")
        }
        found => found,
    };
    if found != Writers::None && is_read_only(path) {
        return Writers::None;
    }
    found
}

#[cfg(not(unix))]
pub(crate) fn writers(_: &Path, _: &Metadata) -> Writers {
    Writers::None
}

#[cfg(unix)]
fn by_file(mode: u32, owner: u32, group: u32, own: u32) -> Writers {
    if mode & 0o002 != 0 {
        Writers::Everyone
    } else if owner != own && owner != 0 {
        Writers::Some("it belongs to another user")
    } else if mode & 0o020 != 0 && group != owner {
        Writers::Some("its group may write it; run `chmod g-w` on it")
    } else {
        Writers::None
    }
}

/// Reports whether every user may put another file in the place of this one.
#[cfg(unix)]
fn is_replaceable(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    std::fs::metadata(parent.unwrap_or(Path::new("."))).is_ok_and(|folder| {
        let is_sticky = folder.mode() & 0o1000 != 0;
        folder.mode() & 0o002 != 0 && !is_sticky
    })
}

/// Reports whether another user can let the link lead to another file.
#[cfg(unix)]
fn is_link_of_another(path: &Path, own: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let link = std::fs::symlink_metadata(path);
    link.is_ok_and(|link| link.is_symlink() && link.uid() != own && link.uid() != 0)
}

#[cfg(unix)]
fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|system| {
        system
            .f_flag
            .contains(rustix::fs::StatVfsMountFlags::RDONLY)
    })
}

/// The owner of a file that was discovered, not named by the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This user's.
    Own,
    /// Root's.
    Root,
    /// Another user's.
    Other,
}

/// Determines the owner of the file at `path`. A symbolic link counts as well as what it points to.
#[cfg(unix)]
pub(super) fn owner(path: &Path) -> std::io::Result<Owner> {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    let link = std::fs::symlink_metadata(path)?.uid();
    let file = std::fs::metadata(path)?.uid();
    Ok(owner_of([link, file], own))
}

#[cfg(not(unix))]
pub(super) fn owner(path: &Path) -> std::io::Result<Owner> {
    std::fs::metadata(path).map(|_| Owner::Own)
}

#[cfg(unix)]
fn owner_of(users: [u32; 2], own: u32) -> Owner {
    if users.iter().all(|user| *user == own) {
        Owner::Own
    } else if users.iter().all(|user| *user == own || *user == 0) {
        Owner::Root
    } else {
        Owner::Other
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// CFG-04: the rule, case by case. The user is 1000.
    #[test]
    fn who_may_change_a_file() {
        let own = 1000;
        for (mode, owner, group, expected) in [
            (0o600, 1000, 1000, "none"),
            (0o644, 1000, 1000, "none"),
            // The private group of Debian and Fedora, with umask 002.
            (0o664, 1000, 1000, "none"),
            (0o664, 1000, 50, "some"),
            // Root's files: a mounted ConfigMap, an image's layer.
            (0o644, 0, 0, "none"),
            (0o664, 0, 0, "none"),
            (0o664, 0, 2000, "some"),
            // Another user's, even if only that user may write it.
            (0o600, 1001, 1000, "some"),
            (0o444, 1001, 1001, "some"),
            (0o646, 1000, 1000, "everyone"),
            (0o777, 0, 0, "everyone"),
            (0o666, 1001, 1001, "everyone"),
        ] {
            let found = match by_file(mode, owner, group, own) {
                Writers::None => "none",
                Writers::Some(_) => "some",
                Writers::Everyone => "everyone",
            };
            assert_eq!(found, expected, "{mode:o} {owner}:{group}");
        }
    }

    #[test]
    fn a_link_of_another_user_does_not_make_a_file_ones_own() {
        assert_eq!(owner_of([1000, 1000], 1000), Owner::Own);
        assert_eq!(owner_of([0, 0], 1000), Owner::Root);
        assert_eq!(owner_of([1000, 0], 1000), Owner::Root);
        assert_eq!(owner_of([1001, 1000], 1000), Owner::Other);
        assert_eq!(owner_of([1000, 1001], 1000), Owner::Other);
        assert_eq!(owner_of([1001, 1001], 0), Owner::Other);
        assert_eq!(owner_of([0, 0], 0), Owner::Own);
    }

    #[test]
    fn a_folder_that_everyone_may_write_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pub");
        std::fs::write(&path, "k").unwrap();
        let at = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path(), mode).unwrap();
            writers(&path, &std::fs::metadata(&path).unwrap())
        };
        assert_eq!(at(0o755), Writers::None);
        assert_eq!(at(0o1777), Writers::None);
        assert!(matches!(at(0o777), Writers::Some(_)));
    }

    /// A user who can replace what a link leads to can change the file.
    #[test]
    fn a_link_counts_as_well_as_its_file() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (open, closed) = (folder.path().join("open"), folder.path().join("closed"));
        for (name, mode) in [(&open, 0o777), (&closed, 0o755)] {
            std::fs::create_dir(name).unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(name, mode).unwrap();
            std::fs::write(name.join("c.toml"), "").unwrap();
        }
        for (target, warns) in [(&open, true), (&closed, false)] {
            let link = folder.path().join("link");
            symlink(target.join("c.toml"), &link).unwrap();
            let found = writers(&link, &std::fs::metadata(&link).unwrap());
            assert_eq!(found.warning(&link).is_some(), warns, "{found:?}");
            std::fs::remove_file(link).unwrap();
        }
    }
}
