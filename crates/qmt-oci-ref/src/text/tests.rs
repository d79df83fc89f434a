//! Tests of escaping.

use super::*;

#[test]
fn arguments_are_quoted_where_a_shell_would_change_them() {
    for (text, word) in [
        ("a/b.toml", "a/b.toml"),
        ("docker-archive:l.tar", "docker-archive:l.tar"),
        ("ghcr.io/a/b:1@sha256:0", "ghcr.io/a/b:1@sha256:0"),
        ("", "''"),
        ("~/a", "'~/a'"),
        ("it's `x`", r"'it'\''s `x`'"),
        ("dir:a b;$c", "'dir:a b;$c'"),
    ] {
        assert_eq!(shell_word(text), word);
    }
}

#[test]
fn text_from_outside_cannot_steer_a_terminal() {
    assert_eq!(escape("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
    assert_eq!(escape("x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
    assert_eq!(escape("\u{9b}2J"), "\\u{9b}2J");
    assert_eq!(escape("grün"), "grün");
    assert_eq!(escape_ascii("grün"), "gr\\u{fc}n");
    assert_eq!(quoted('\n'), "`\\n`");
}

#[test]
fn long_text_is_cut_at_its_limit() {
    assert_eq!(escape(&"x".repeat(1024)), "x".repeat(1024));
    let long = escape(&"x".repeat(1025));
    assert_eq!((long.chars().count(), long.ends_with('…')), (1025, true));
    assert_eq!(escape_ascii(&"x".repeat(9000)).chars().count(), 201);
    assert_eq!(escape_to("abc", 2), "ab…");
    // What an escape is written with counts.
    assert_eq!(escape_to("a\n\nb", 4), "a\\n…");
    assert!(escape(&"\u{202e}".repeat(1024)).chars().count() <= 1025);
}

#[test]
fn media_types_lose_parameters_and_odd_characters() {
    let index = "application/vnd.oci.image.index.v1+json";
    assert_eq!(
        media_type(&format!(" {index} ; q=1")),
        MediaType::ImageIndex
    );
    assert_eq!(media_type("a/\u{1b}[31m").to_string(), "a/\\u{1b}[31m");
    assert_eq!(media_type(&"x".repeat(300)).as_ref().chars().count(), 256);
}

#[test]
fn byte_order_marks_are_dropped_and_utf_16_is_called_by_name() {
    assert_eq!(
        from_file(b"\xef\xbb\xbfa = 1".to_vec()),
        Ok("a = 1".to_owned())
    );
    assert_eq!(from_file(b"a = 1".to_vec()), Ok("a = 1".to_owned()));
    assert_eq!(from_file(b"\xef\xbb\xbf".to_vec()), Ok(String::new()));
    assert_eq!(without_byte_order_mark(b"\xef\xbb\xbf{}"), b"{}");
    for text in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"[\0o\0", b"\0{\0\n\0"] {
        assert!(from_file(text.to_vec()).unwrap_err().contains("UTF-16"));
        assert!(utf_16(text).unwrap().contains("UTF-16"));
    }
    assert!(
        from_file(b"\xc3\x28".to_vec())
            .unwrap_err()
            .contains("not text")
    );
    for other in [
        &b"\xef\xbb\xbfa = 1"[..],
        b"\0asm\x01\0\0\0",
        b"\0\0\0\0",
        b"a\0",
    ] {
        assert_eq!(utf_16(other), None);
    }
}

#[test]
fn errors_are_shown_with_causes_and_hint() {
    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("it failed")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    let error = Outer(std::io::Error::other("the disk is full"));
    let line = "it failed: the disk is full (hint: remove something)";
    assert_eq!(error_line(&error, Some("remove something")), line);
    let report = "it failed\n  caused by: the disk is full\n  hint: remove something";
    assert_eq!(error_report(&error, Some("remove something")), report);
    assert_eq!(error_report(&error.0, None), "the disk is full");
}

#[test]
fn credentials_in_names_are_hidden() {
    for (text, shown) in [
        ("u:secret@ghcr.io/a/b:1", "***@ghcr.io/a/b:1"),
        ("oci://u:se@cret@ghcr.io/a/b", "oci://***@ghcr.io/a/b"),
        ("u:secret@localhost:5000", "***@localhost:5000"),
        ("ghcr.io/a/b:1?token=secret", "ghcr.io/a/b:1?***"),
        ("https://u:secret@h/a?b=c", "https://***@h/a?***"),
        ("docker://u:s3/cret@h.io/a:1", "docker://***@h.io/a:1"),
        ("u:secret@h.io/a@sha256:12", "***@h.io/a@sha256:12"),
        ("https://u:s3/cret@h.io", "https://***@h.io"),
        ("oci://u:secret?@h.io/a", "oci://***@h.io/a"),
        ("u:sec?ret@h.io/a?b", "***@h.io/a?***"),
        ("https://h.io/a?b=u:secret@c", "https://h.io/a?***"),
        (
            "oci://u:secret@h.io/a:1@sha256:12?x=y",
            "oci://***@h.io/a:1@sha256:12?***",
        ),
    ] {
        assert_eq!(without_credentials(text), shown);
    }
    for text in [
        "ubuntu:22@sha256:abc",
        "ubuntu:22@sha256:123",
        "ubuntu:22@md5:abc",
        "ghcr.io/a/b:1@sha256:abc",
        "h:5000/a@b",
        "oci://h:5000/a@b",
        "oci-layout://a:b/c@d/l",
        "name@example",
    ] {
        assert_eq!(without_credentials(text), text);
    }
}

/// CFG-01: whatever quotes a URL, its password is not in the message.
#[test]
fn messages_hide_the_user_info_of_urls() {
    let shown = |text: &str| messages(&std::io::Error::other(text)).concat();
    for (text, expected) in [
        (
            "`http://u:secret@p:3128` is no URL",
            "`http://***@p:3128` is no URL",
        ),
        (
            "of HTTPS://secret@h/a and http://u:s@x",
            "of HTTPS://***@h/a and http://***@x",
        ),
    ] {
        assert_eq!(shown(text), expected);
    }
    for text in [
        "`https://h/a@b`, `https://h`, me@h and 1://u@h",
        "oci-layout://a@dir:1 and oci://h/a@sha256:0",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn messages_with_long_texts_are_shortened() {
    let long = "k".repeat(400_000);
    let error = std::io::Error::other(format!("`{long}` is no key;\n  use `{long}`\nor another"));
    let shown = messages(&error).concat();
    assert_eq!(shown.chars().filter(|c| *c == '…').count(), 2);
    assert!(shown.len() < 2100, "{}", shown.len());
    assert!(shown.contains(" is no key;\n  use") || shown.contains("… is no key;\n  use"));
    assert!(shown.ends_with("\nor another"), "{shown}");
    let words = "word ".repeat(100_000);
    assert_eq!(shorten(&words).chars().count(), MESSAGE_CHARS_MAX);
    // A password does not become visible by the end of its URL being cut off.
    let secret = "s3cret".repeat(1000);
    let url = format!("`http://u:{secret}@h.example/` is no proxy");
    assert_eq!(shorten(&url), "`http://***@h.example/` is no proxy");
    let short = format!("{} ok", "ä".repeat(500));
    assert_eq!(shorten(&short), short);
}

#[test]
fn keys_are_recognised_and_their_paths_are_not() {
    let der = format!("MIGHAgEAMBMGByqGSM49{}", "A".repeat(60));
    let broken = format!("{}\n{}\n", &der[..40], &der[40..]);
    for key in [
        "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n",
        "\n-----BEGIN CERTIFICATE-----",
        "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JR0g=",
        &der,
        &broken,
        "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
    ] {
        assert!(is_key_material(key), "{key}");
    }
    let long = format!("MI/{}/key.pem", "a/".repeat(60));
    for path in ["", "cosign.key", "/run/secrets/MIGHAgEA", "MI", &long] {
        assert!(!is_key_material(path), "{path}");
    }
}

#[test]
fn one_thing_has_no_plural() {
    assert_eq!(counted(0_usize, "layer"), "0 layers");
    assert_eq!(counted(1_u64, "layer"), "1 layer");
    assert_eq!(counted(2_u32, "layer"), "2 layers");
}
