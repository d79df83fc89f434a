//! Names and URLs of repositories, and the compiled-in root.

use qmt_oci_ref::json::VALUES_MAX;

use super::*;

#[test]
fn urls_are_shown_without_secrets() {
    for (url, expected) in [
        ("https://tuf.example", "https://tuf.example"),
        (
            "https://tuf.example/a/b?token=x#y",
            "https://tuf.example/a/b",
        ),
        ("https://user:secret@tuf.example/a", "https://tuf.example/a"),
        ("https://user:se@cret@tuf.example", "https://tuf.example"),
        ("tuf", "tuf"),
    ] {
        assert_eq!(shown(url), expected);
    }
}

#[test]
fn another_root_is_another_repository() {
    let of = |url: &str, root: &[u8]| TufOptions::new(url, root, "/cache").folder();
    assert_eq!(of("https://a", b"r"), of("https://a", b"r"));
    assert_ne!(of("https://a", b"r"), of("https://b", b"r"));
    assert_ne!(of("https://a", b"r"), of("https://a", b"s"));
    assert!(
        TufOptions::public_good("/cache")
            .folder()
            .starts_with("/cache")
    );
}

/// The compiled-in root of the public instance passes our own check of its keys.
#[test]
fn the_public_root_names_each_key_once() {
    distinct_keys("root.json", PUBLIC_GOOD_ROOT).unwrap();
    Updater::new(StateStore::new(State::default()), PUBLIC_GOOD_ROOT).unwrap();
}

/// The keys are checked before the signatures, so it must not take much memory.
#[test]
fn metadata_of_many_values_is_refused() {
    let list = |count: usize| format!("[0{}]", ",0".repeat(count));
    distinct_keys("targets.json", list(VALUES_MAX - 1).as_bytes()).unwrap();
    let error = distinct_keys("targets.json", list(VALUES_MAX).as_bytes()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`targets.json` has more than 16384 values"),
        "{text}"
    );
}

/// The file of the operator is checked before its repository is requested.
#[test]
fn a_file_that_is_no_root_is_named() {
    TufOptions::check_root("root.json", PUBLIC_GOOD_ROOT).unwrap();
    let utf_16 = b"\xff\xfe{\0}\0".as_slice();
    for (bad, reason) in [
        (b"{}".as_slice(), "it is not the `root.json`"),
        (b"<html>", "it is not the `root.json`"),
        (utf_16, "UTF-16"),
    ] {
        let error = TufOptions::check_root("mine.json", bad).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("mine.json") && text.contains(reason),
            "{text}"
        );
    }
}
