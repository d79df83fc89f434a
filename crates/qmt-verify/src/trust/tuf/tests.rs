//! Names and URLs of repositories, and the compiled-in root.

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
