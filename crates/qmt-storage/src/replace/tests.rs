//! Replacement of files, links and modes.

use super::*;
use crate::files::create_private_folder;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_file_is_created_and_replaced_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for content in [&b"one"[..], b"", b"three"] {
        replace(&path, content, ReplaceOptions::PRIVATE).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_failed_replacement_leaves_no_temporary_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("inside"), "x").unwrap();
    replace(&path, b"new", ReplaceOptions::PRIVATE).unwrap_err();
    assert_eq!(names(folder.path()), ["file"]);
    let absent = folder.path().join("absent/file");
    let error = replace(&absent, b"new", ReplaceOptions::PRIVATE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(!error.to_string().contains(".tmp-"), "{error}");
}

#[test]
fn a_folder_without_fsync_is_accepted_and_a_broken_disk_is_not() {
    let folder = tempfile::tempdir().unwrap();
    sync_folder(folder.path(), |_| Err(io::ErrorKind::InvalidInput.into())).unwrap();
    if cfg!(unix) {
        let broken = sync_folder(folder.path(), |_| Err(io::Error::other("disk")));
        assert_eq!(broken.unwrap_err().to_string(), "disk");
    }
}

#[cfg(unix)]
#[test]
fn the_mode_is_that_of_the_options() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "old").unwrap();
    let mode = |options| {
        replace(&path, b"new", options).unwrap();
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(ReplaceOptions::PRIVATE), 0o600);
    assert_eq!(mode(ReplaceOptions::SHARED) & !0o044, 0o600);
    let private = folder.path().join("a/b");
    create_private_folder(&private).unwrap();
    create_private_folder(&private).unwrap();
    let made = std::fs::metadata(private).unwrap().permissions().mode();
    assert_eq!(made & 0o777, 0o700);
}

#[cfg(unix)]
#[test]
fn a_link_is_kept_or_replaced() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    symlink("target", &link).unwrap(); // The target does not exist yet.
    for content in ["one", "two"] {
        let following = ReplaceOptions::PRIVATE.follow_symlink();
        replace(&link, content.as_bytes(), following).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), content);
    }
    replace(&link, b"three", ReplaceOptions::PRIVATE).unwrap();
    assert!(!link.is_symlink());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "two");
}
