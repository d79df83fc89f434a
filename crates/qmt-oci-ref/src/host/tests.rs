//! Tests of registry hosts.

use super::*;

#[test]
fn hosts_have_one_spelling() {
    for (given, kept, port) in [
        ("GHCR.io", "ghcr.io", None),
        ("index.docker.io", "docker.io", None),
        ("registry-1.docker.io", "docker.io", None),
        ("LocalHost:05000", "localhost:5000", Some(5000)),
        ("[2001:DB8:0::1]:443", "[2001:db8::1]:443", Some(443)),
        ("[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", None),
        ("[::1]", "[::1]", None),
    ] {
        let host: RegistryHost = given.parse().unwrap();
        assert_eq!((host.as_str(), host.port()), (kept, port), "{given}");
        assert_eq!(
            kept.parse::<RegistryHost>().unwrap(),
            host,
            "{kept} parses to itself"
        );
    }
}

/// AUTH-15, REF-03: no look-alike or half-finished spelling is a host.
#[test]
fn malformed_hosts_are_refused() {
    for text in [
        "",
        ".",
        "ghcr.io.",
        "a..b",
        "-a.b",
        "a-.b",
        "a_b.c",
        "a:0",
        "a:65536",
        "a:",
        "a:+1",
        "a:5000x",
        "[::1",
        "[::1]x",
        "[fe80::1%eth0]",
        "[::192.0.2.33]",
        "[]",
        "ghcr。io",
        "user@host",
        "ghcr.io/",
        "a b",
        // URLs have 87.0.0.1 for the first one, and 127.0.0.1 for the second.
        "0127.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "a.0x7f:5000",
        "256.0.0.1",
        "127.0.0.01:5000",
    ] {
        assert!(
            text.parse::<RegistryHost>().is_err(),
            "{text:?} was accepted"
        );
    }
}

#[test]
fn names_with_digits_are_no_addresses() {
    for text in [
        "127.0.0.1",
        "0.0.0.0:80",
        "1.example",
        "0x7f.example",
        "a.b1",
        "10.0.0.1x",
    ] {
        assert!(text.parse::<RegistryHost>().is_ok(), "{text}");
    }
    let error = "0127.0.0.1/a/b".parse::<crate::Repository>().unwrap_err();
    assert!(
        error.to_string().contains("without leading zeros"),
        "{error}"
    );
}
