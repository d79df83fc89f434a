//! CACHE-03: folders that other users could change are refused.

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
