//! Names that are taken, names that are refused, and what no name can do.

use proptest::prelude::*;

use super::*;

/// TAR-01: names that readers take differently have no normal form.
#[test]
fn tar_01_only_plain_names_have_a_normal_form() {
    for (name, path) in [
        ("plugin.wasm", "plugin.wasm"),
        ("./plugin.wasm", "plugin.wasm"),
        ("././lib/x.so", "lib/x.so"),
        ("lib/", "lib"),
        (".", ""),
        ("./", ""),
        ("..x/...", "..x/..."),
        ("ü", "ü"),
        ("/", ""),
        ("/plugin.wasm", "plugin.wasm"),
        ("//x", "x"),
        ("/./x", "x"),
        (".//x", "x"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("a//", "a"),
    ] {
        assert_eq!(
            normalized(name.as_bytes()).as_deref(),
            Some(path.as_bytes()),
            "{name}"
        );
    }
    for name in [
        "",
        "../x",
        "/../x",
        "x/..",
        "a/../../x",
        "a/.",
        "..",
        "/C:x",
        "C:\\x",
        "C:x",
        "c:/x",
        "\\\\?\\x",
        "a\\b",
        "x\0",
        "./../x",
    ] {
        assert_eq!(normalized(name.as_bytes()), None, "{name:?}");
    }
}

/// TAR-01: what the most lenient reader would make of them.
#[test]
fn tar_01_lenient_readers_find_the_plugin_behind_odd_names() {
    for name in [
        "/plugin.wasm",
        "//plugin.wasm",
        "../plugin.wasm",
        "../../plugin.wasm",
        "a/../plugin.wasm",
        "C:\\plugin.wasm",
        "C:plugin.wasm",
        "\\\\?\\C:\\plugin.wasm",
        ".\\plugin.wasm",
        ".//plugin.wasm",
        "plugin.wasm\0x",
        "plugin.wasm//",
        "a/..\\plugin.wasm",
    ] {
        assert_eq!(lenient(name.as_bytes()), b"plugin.wasm", "{name:?}");
    }
    assert_eq!(lenient(b"../../etc/passwd"), b"etc/passwd");
}

#[test]
fn config_names_are_plain() {
    for good in ["plugin.wasm", "a/b.so", "with space", "ü/x", "..x"] {
        assert!(is_plain(good.as_bytes()), "{good}");
    }
    for bad in [
        "", "/a", "a/", "./a", "a/../b", "a\\b", "C:a", "a\nb", "\u{7f}", "..",
    ] {
        assert!(!is_plain(bad.as_bytes()), "{bad:?}");
    }
    assert!(is_plain("x".repeat(4096).as_bytes()) && !is_plain("x".repeat(4097).as_bytes()));
    assert!(!is_plain(b"\xff"));
}

/// TAR-08: names that a file system may take for one.
#[test]
fn tar_08_names_that_collide() {
    for (left, right) in [
        ("plugin.wasm", "Plugin.WASM"),
        ("plugin.wasm", "plugin.wa\u{17f}m"), // long s
        ("k.so", "\u{212a}.so"),              // Kelvin sign
        ("\u{e9}.so", "e\u{301}.so"),         // NFC and NFD
        ("\u{c9}.so", "e\u{301}.so"),         // and another case
        ("\u{3c3}.so", "\u{3c2}.so"),         // sigma and final sigma
        ("stra\u{df}e.so", "STRASSE.so"),
    ] {
        assert!(collide(left.as_bytes(), right.as_bytes()), "{left} {right}");
    }
    for (left, right) in [
        ("plugin.wasm", "plugin.wasn"),
        ("\u{e9}.so", "e.so"),
        ("a", "\u{430}"),
    ] {
        assert!(
            !collide(left.as_bytes(), right.as_bytes()),
            "{left} {right}"
        );
    }
    assert!(!collide(b"\xff", b"\xfe"));
}

#[test]
fn folders_from_the_nearest_up() {
    let list: Vec<_> = folders(b"a/b/c").collect();
    assert_eq!(list, [&b"a/b"[..], b"a"]);
    assert_eq!(folders(b"a").count(), 0);
    assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z.]{1,6}",
        2 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(String::new()),
        1 => "[A-Z]:",
        1 => "\\PC{0,4}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    (proptest::collection::vec(part(), 0..8), "[/\\\\]{0,2}")
        .prop_map(|(parts, separator)| separator.clone() + &parts.join("/") + &separator)
}

/// As many cases as `PROPTEST_CASES` says, a thousand at least.
fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: config.cases.max(1_000),
        ..config
    }
}

proptest! {
    #![proptest_config(cases())]

    /// TAR-01: joined to any folder, a normal form stays in it.
    #[test]
    fn tar_01_a_normal_form_never_escapes(name in name()) {
        if let Some(path) = normalized(name.as_bytes()) {
            let path = String::from_utf8(path).unwrap();
            let mut depth = 0_i32;
            for part in std::path::Path::new(&path).components() {
                match part {
                    std::path::Component::Normal(_) => depth += 1,
                    _ => prop_assert!(false, "{:?} of {:?}", part, name),
                }
            }
            prop_assert!(depth > 0 || path.is_empty());
            prop_assert!(!path.contains('\\') && !path.contains('\0'));
            prop_assert_eq!(normalized(path.as_bytes()).unwrap_or_default(), path.as_bytes());
        }
    }

    /// TAR-01: the lenient reading never escapes either, and agrees with the strict one.
    #[test]
    fn tar_01_the_lenient_reading_is_plain_and_agrees(name in name()) {
        let loose = lenient(name.as_bytes());
        prop_assert!(loose.split(|byte| *byte == b'/').all(|part| part != b".."));
        prop_assert!(!loose.starts_with(b"/"));
        if let Some(path) = normalized(name.as_bytes()) {
            let asks = path.split(|byte| *byte == b'/').any(|part| part == b"?" || has_drive(part));
            prop_assert!(asks || path == loose, "{:?}: {:?} and {:?}", name, path, loose);
        }
    }

    /// What the config may name is its own normal form.
    #[test]
    fn plain_names_are_normal(name in name()) {
        if is_plain(name.as_bytes()) {
            let normal = normalized(name.as_bytes());
            prop_assert_eq!(normal.as_deref(), Some(name.as_bytes()));
        }
    }
}
