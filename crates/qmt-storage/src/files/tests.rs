//! Tests of small operations on files.

use std::io::Read as _;

use super::*;

#[test]
fn a_regular_file_is_opened_also_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "content").unwrap();
    let mut text = String::new();
    let mut file = open_regular(&path).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        open_regular(&link).unwrap();
    }
    assert!(is_absent(
        &open_regular(&folder.path().join("absent")).unwrap_err()
    ));
}

/// A pipe has no writer here, so to open it for reading alone would block.
#[cfg(unix)]
#[test]
fn pipes_devices_and_folders_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        let error = open_regular(path).unwrap_err();
        assert_eq!(error.to_string(), "it is not a regular file");
    }
    let error = open_regular(folder.path()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
}

#[test]
fn a_file_that_does_not_exist_has_no_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    assert_eq!(Fingerprint::of(&file).unwrap(), None);
    std::fs::write(&file, "content").unwrap();
    assert!(Fingerprint::of(&file).unwrap().is_some());
    // A file has nothing below it.
    assert_eq!(Fingerprint::of(&file.join("below")).unwrap(), None);
}

#[cfg(unix)]
#[test]
fn links_are_resolved_as_far_as_a_path_exists() {
    let folder = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(folder.path()).unwrap();
    std::fs::create_dir(root.join("real")).unwrap();
    std::os::unix::fs::symlink("real", root.join("link")).unwrap();
    for (path, real) in [
        ("real", "real"),
        ("link", "real"),
        ("link/gone", "real/gone"),
        ("link/gone/too", "real/gone/too"),
        ("real/../link/gone", "real/gone"),
        ("gone", "gone"),
    ] {
        assert_eq!(real_path(&root.join(path)), root.join(real), "{path}");
    }
}

#[test]
fn a_file_in_place_of_a_folder_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("a"), file.join("a/b")] {
        assert_eq!(not_a_folder(&path), Some(&*file), "{path:?}");
    }
    for path in [folder.path().to_owned(), folder.path().join("a/b")] {
        assert_eq!(not_a_folder(&path), None, "{path:?}");
    }
}

#[test]
fn variables_of_shells_are_recognised_in_paths() {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        "$HOME/.docker",
        "${HOME}/.docker",
        "a/$USER/b",
        "x${SUFFIX}",
        "$(pwd)/a",
        "%APPDATA%/a",
        r"%USERPROFILE%\.docker",
    ] {
        assert!(has_shell_variable(Path::new(path)), "{path}");
    }
    for path in ["a$b", "$", "100%/a", "~/a", "/a/b", ""] {
        assert!(!has_shell_variable(Path::new(path)), "{path}");
    }
    let named = folder.path().join("$HOME");
    assert!(has_shell_variable(&named.join("a")));
    std::fs::create_dir(&named).unwrap();
    assert!(!has_shell_variable(&named.join("a")));
}
