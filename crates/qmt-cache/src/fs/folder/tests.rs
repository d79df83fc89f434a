//! CACHE-03: which folders other users could change.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn cache_03_a_new_folder_is_private() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b");
    make(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(examine(&path).unwrap(), None);
}

#[test]
fn cache_03_a_symlink_of_this_user_is_followed() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, link) = (temp.path().join("folder"), temp.path().join("link"));
    symlink("folder", &link).unwrap();
    let second = temp.path().join("second");
    symlink(&link, &second).unwrap();
    // Also where the folder does not exist yet.
    for root in [&folder, &link, &second] {
        assert_eq!(follow(root), folder);
    }
    make(&folder).unwrap();
    assert_eq!(follow(&second), folder);
    let circle = temp.path().join("circle");
    symlink("circle", &circle).unwrap();
    assert_eq!(follow(&circle), circle);
    assert!(make(&circle).is_err() && shared_by(&circle).is_err());
}

#[test]
fn cache_03_a_symlink_that_others_can_have_made_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, link) = (temp.path().join("folder"), temp.path().join("link"));
    make(&folder).unwrap();
    symlink(&folder, &link).unwrap();
    chmod(temp.path(), 0o777);
    for slashes in ["", "/", "//", "/."] {
        let mut root = link.clone().into_os_string();
        root.push(slashes);
        assert_eq!(follow(Path::new(&root)).as_os_str(), link);
    }
    assert_eq!(examine(&link).unwrap(), Some(NotPrivate::Link));
    assert!(make(&link).is_err() && shared_by(&link).is_err());
    chmod(temp.path(), 0o1777);
    assert_eq!(follow(&link), folder);
    if std::os::unix::fs::lchown(&link, Some(54_321), None).is_ok() {
        assert_eq!(follow(&link), link);
    }
}

#[test]
fn cache_03_a_file_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(examine(&file).unwrap(), Some(NotPrivate::NotFolder));
    assert!(make(&file).is_err() && shared_by(&file).is_err());
}

#[test]
fn cache_03_a_folder_that_others_write_is_shared_and_left_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    for mode in [0o770, 0o707, 0o777, 0o720] {
        chmod(temp.path(), mode);
        assert_eq!(shared_by(temp.path()).unwrap(), Some(NotPrivate::Writable));
        assert!(make(temp.path()).is_err());
        let after = std::fs::metadata(temp.path()).unwrap().permissions().mode();
        assert_eq!(after & 0o777, mode);
    }
    for mode in [0o700, 0o750, 0o755] {
        chmod(temp.path(), mode);
        assert_eq!(shared_by(temp.path()).unwrap(), None);
        make(temp.path()).unwrap();
    }
}

#[test]
fn cache_03_another_users_folder_is_shared() {
    let temp = tempfile::tempdir().unwrap();
    if std::os::unix::fs::chown(temp.path(), Some(54_321), None).is_ok() {
        assert_eq!(shared_by(temp.path()).unwrap(), Some(NotPrivate::Foreign));
        assert!(make(temp.path()).is_err());
    }
}

#[test]
fn cache_03_below_a_world_writable_folder_the_sticky_bit_is_needed() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("cache");
    chmod(temp.path(), 0o777);
    assert_eq!(shared_by(&root).unwrap(), Some(NotPrivate::Movable));
    chmod(temp.path(), 0o1777);
    assert_eq!(shared_by(&root).unwrap(), None);
}
