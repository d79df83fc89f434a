//! Folders that only we can change: made with mode 0700, checked before each use, never repaired.

use std::fs::{DirBuilder, File};
use std::io;
use std::path::Path;

use crate::CacheError;
use crate::fs::sys::Sys;

/// Makes the folder (and its parents) if it is absent, private to us.
pub(crate) fn make(path: &Path) -> Result<(), CacheError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => Ok(()),
        // A read-only cache that is there already can still be read.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(CacheError::io("create the folder", path)(error)),
    }
}

/// Refuses a folder that is no real folder, that another user owns, or that others may write.
pub(crate) fn check(path: &Path) -> Result<(), CacheError> {
    let metadata = std::fs::symlink_metadata(path).map_err(CacheError::io("examine", path))?;
    if metadata.file_type().is_symlink() {
        return Err(refuse(
            path,
            "is a symbolic link",
            "name the folder that it points to",
        ));
    }
    if !metadata.is_dir() {
        return Err(refuse(
            path,
            "is not a folder",
            "choose another `cache_dir`",
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        check_owner(path, metadata.uid(), super::sys::own_uid())?;
        if metadata.mode() & 0o022 != 0 {
            return Err(refuse(
                path,
                "may be written by other users",
                "take the right away (`chmod go-w`) after making sure that nobody used it, or \
                 choose another `cache_dir`",
            ));
        }
    }
    Ok(())
}

/// Refuses a root below a folder in which anybody may rename our folder away.
pub(crate) fn check_parents(root: &Path) -> Result<(), CacheError> {
    #[cfg(unix)]
    for parent in root.ancestors().skip(1) {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = std::fs::metadata(parent) else {
            continue; // Relative paths end in "", and unreadable parents can't be judged.
        };
        let mode = metadata.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(refuse(
                parent,
                "may be written by everybody and has no sticky bit",
                "set it (`chmod +t`) or choose another `cache_dir`",
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = root;
    Ok(())
}

/// Makes earlier renames and unlinks in the folder durable.
pub(crate) fn sync(sys: Sys, path: &Path) -> Result<(), CacheError> {
    if cfg!(not(unix)) {
        return Ok(()); // Folders can't be opened for this elsewhere.
    }
    let synced = File::open(path).and_then(|folder| (sys.sync)(&folder));
    match synced {
        // Some network and FUSE file systems have no `fsync` for folders.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced.map_err(CacheError::io("flush the folder", path)),
    }
}

#[cfg(unix)]
fn check_owner(path: &Path, owner: u32, own: u32) -> Result<(), CacheError> {
    if owner == own {
        return Ok(());
    }
    Err(refuse(
        path,
        "belongs to another user",
        "choose a `cache_dir` of your own",
    ))
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
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn rule_of(result: Result<(), CacheError>) -> &'static str {
        match result {
            Err(CacheError::UnsafeFolder { rule, .. }) => rule,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn cache_03_a_new_folder_is_private() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        make(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        check(&path).unwrap();
    }

    #[test]
    fn cache_03_a_symlink_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path(), &link).unwrap();
        assert_eq!(rule_of(check(&link)), "is a symbolic link");
    }

    #[test]
    fn cache_03_a_file_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(rule_of(check(&file)), "is not a folder");
        assert!(make(&file).is_err());
    }

    #[test]
    fn cache_03_a_folder_that_others_write_is_refused_and_left_as_it_is() {
        let temp = tempfile::tempdir().unwrap();
        for mode in [0o770, 0o707, 0o777, 0o720] {
            chmod(temp.path(), mode);
            assert_eq!(rule_of(check(temp.path())), "may be written by other users");
            let after = std::fs::metadata(temp.path()).unwrap().permissions().mode();
            assert_eq!(after & 0o777, mode);
        }
        for mode in [0o700, 0o750, 0o755] {
            chmod(temp.path(), mode);
            check(temp.path()).unwrap();
        }
    }

    #[test]
    fn cache_03_another_users_folder_is_refused() {
        let path = Path::new("/x");
        assert_eq!(
            rule_of(check_owner(path, 1000, 1001)),
            "belongs to another user"
        );
        assert_eq!(
            rule_of(check_owner(path, 0, 1001)),
            "belongs to another user"
        );
        check_owner(path, 1001, 1001).unwrap();
    }

    #[test]
    fn cache_03_a_world_writable_parent_needs_the_sticky_bit() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("cache");
        chmod(temp.path(), 0o777);
        assert!(rule_of(check_parents(&root)).contains("sticky"));
        chmod(temp.path(), 0o1777);
        check_parents(&root).unwrap();
    }
}
