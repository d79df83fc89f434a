//! The verdicts of the distribution project's own tables, and what we refuse beyond them.

mod distribution;

use proptest::prelude::*;

use super::*;

const SHA256: &str = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

fn parse(text: &str) -> Result<Reference, ReferenceError> {
    text.parse()
}

#[track_caller]
fn check(text: &str, canonical: &str) {
    let reference = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(reference.to_string(), canonical, "{text}");
    assert_eq!(
        parse(canonical).unwrap(),
        reference,
        "{canonical} does not parse to itself"
    );
}

#[track_caller]
fn refuse(text: &str) -> ReferenceError {
    match parse(text) {
        Ok(reference) => panic!("{text:?} was accepted as {reference}"),
        Err(error) => error,
    }
}

/// REF-01: 255 bytes of path pass, 256 do not; `library/` counts.
#[test]
fn the_path_at_and_past_its_limit() {
    let longest = "a".repeat(255);
    assert!(parse(&format!("ghcr.io/{longest}")).is_ok());
    refuse(&format!("ghcr.io/{longest}a"));
    assert!(parse(&"a".repeat(247)).is_ok());
    refuse(&"a".repeat(248));
}

/// REF-02: IPv6 hosts pass; digests other than lower-case sha256 and sha512 do not.
#[test]
fn stricter_than_oci_spec_where_it_matters() {
    check("oci://[::1]:5000/x", "[::1]:5000/x:latest");
    refuse(&format!("a/b@sha384:{}", "f".repeat(96)));
    refuse(&format!("a/b@sha256:{}", "F".repeat(64)));
}

/// REF-03: nothing that only looks like a reference passes.
#[test]
fn look_alikes_are_refused() {
    for text in [
        "ghcr.io/аcme/x", // Cyrillic a.
        "ghcr.io/acme／x",
        "ghcr.io/acme/x：1",
        "ghcr.io/acme/x＠sha256",
        "ghcr.io/ac\u{200b}me/x",
        "ghcr.io/\u{202e}acme/x",
        "ghcr.io/%61cme/x",
        "ghcr.io/../x",
        "ghcr.io/acme/./x",
        "ghcr.io//x",
        "ghcr.io\\acme\\x",
        "ghcr.io/acme/x\0",
        "ghcr.io/acme/x y",
        " ghcr.io/acme/x",
        "ghcr.io/acme/x\n",
        "ghcr.io/acme/x:",
        "ghcr.io/acme/x@",
        "ghcr.io/acme/x:a:b",
        "ghcr.io/acme/x@sha256:a@sha256:b",
        "ghcr.io/",
        "ghcr.io:99999/x",
        "user@ghcr.io/x",
        "OCI://ghcr.io/acme/x",
        "oci://oci://ghcr.io/acme/x",
        &format!("ghcr.io/{}", "a/".repeat(5 * 1024)),
    ] {
        let error = refuse(text);
        let message = error.to_string();
        assert!(
            message.chars().all(|c| !c.is_control()),
            "{message:?} holds a control character"
        );
        assert!(message.len() < 2500, "{} bytes of message", message.len());
        let _ = error.pointer();
    }
}

/// REF-04: a digest wins over a tag, and every name of Docker Hub is one name.
#[test]
fn one_name_for_docker_hub() {
    for text in [
        "x",
        "docker.io/x",
        "index.docker.io/x",
        "registry-1.docker.io/x",
        "oci://x",
    ] {
        assert_eq!(
            parse(text).unwrap(),
            parse("docker.io/library/x:latest").unwrap(),
            "{text}"
        );
    }
    let both = parse(&format!("ghcr.io/acme/x:1@{SHA256}")).unwrap();
    assert_eq!(both.digest().unwrap().to_string(), SHA256);
    assert_eq!(both.tag().unwrap().as_str(), "1");
}

#[test]
fn errors_point_into_the_text() {
    for (text, position) in [
        ("ghcr.io/Acme/plugin", 8),
        ("oci://ghcr.io/acme/pl$gin", 21),
        ("ghcr.io/acme/plugin:-1", 20),
        ("ghcr.io:0/acme/plugin", 8),
        ("oci://[::zz]/x", 7),
        ("ghcr.io/acme/plugin@sha256:00", 20),
        ("ghcr.io/a..b", 10),
        ("ghcr.io/acme-", 12),
        ("https://ghcr.io/x", 0),
    ] {
        assert_eq!(refuse(text).position(), position, "{text}");
    }
    assert_eq!(
        refuse("ghcr.io/Acme/x").pointer(),
        "ghcr.io/Acme/x\n        ^"
    );
}

#[test]
fn text_in_and_out_of_json() {
    let reference = parse("ghcr.io/acme/x:1").unwrap();
    let json = serde_json::to_string(&reference).unwrap();
    assert_eq!(json, "\"ghcr.io/acme/x:1\"");
    assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
    assert!(serde_json::from_str::<Reference>("\"ghcr.io/Acme\"").is_err());
}

/// Well-formed references, built from their grammar.
fn references() -> impl Strategy<Value = String> {
    let component = "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}";
    let host = "([a-z]{1,5}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?|localhost:5000|\\[::[1-9a-f]\\]:8080)";
    (
        proptest::option::of(host),
        proptest::collection::vec(component, 1..4),
        proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        proptest::option::of("sha256:[0-9a-f]{64}"),
    )
        .prop_map(|(host, path, tag, digest)| {
            // Without a host the first component must not look like one.
            let host = host.map_or_else(|| "acme/".to_owned(), |host| format!("{host}/"));
            let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            let digest = digest
                .map(|digest| format!("@{digest}"))
                .unwrap_or_default();
            format!("{host}{}{tag}{digest}", path.join("/"))
        })
}

/// REF-05: a million pairs of references that differ, and no two of them have one text.
#[test]
fn a_million_pairs_have_two_texts_each() {
    let hosts = [
        "ghcr.io",
        "ghcr.io:443",
        "ghcr.io:80",
        "a.b",
        "localhost",
        "[::1]:5000",
    ];
    let paths = [
        "a",
        "a/b",
        "a-b",
        "a_b",
        "a__b",
        "a.b",
        "a/b/c",
        "ab",
        "a0",
        "library/a",
        "b",
        "b/a",
        "a/a",
    ];
    let tags = ["", ":a", ":A", ":a.b", ":a-b", ":a_b", ":latest", ":1"];
    let digests = ["", "a", "b"].map(|digit| match digit {
        "" => String::new(),
        digit => format!("@sha256:{}", digit.repeat(64)),
    });
    let mut references = std::collections::HashSet::new();
    let mut texts = std::collections::HashSet::new();
    for (host, path) in hosts.iter().flat_map(|host| paths.map(|path| (host, path))) {
        for (tag, digest) in tags
            .iter()
            .flat_map(|tag| digests.iter().map(move |d| (tag, d)))
        {
            let reference = parse(&format!("{host}/{path}{tag}{digest}")).unwrap();
            texts.insert(reference.to_string());
            references.insert(reference);
        }
    }
    assert_eq!(references.len(), texts.len());
    let pairs = texts.len() * (texts.len() - 1) / 2;
    assert!(pairs > 1_000_000, "{pairs}");
}

proptest! {
    /// REF-05: what is displayed parses to the same.
    #[test]
    fn display_round_trips(text in references()) {
        let reference = parse(&text).unwrap();
        prop_assert_eq!(parse(&reference.to_string()).unwrap(), reference);
    }

    /// REF-05: two references that differ have different texts, even where case is ignored for hosts.
    #[test]
    fn display_is_injective(one in references(), other in references()) {
        let (one, other) = (parse(&one).unwrap(), parse(&other).unwrap());
        prop_assert_eq!(one == other, one.to_string() == other.to_string());
    }

    /// Any text at all gets an answer.
    #[test]
    fn nothing_panics(text in "\\PC{0,60}") {
        let _ = parse(&text).map_err(|error| (error.to_string(), error.pointer()));
    }

    #[test]
    fn nearly_references_do_not_panic(text in references(), at in 0usize..80, c in any::<char>()) {
        let mut text = text;
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        text.insert(at, c);
        let _ = parse(&text).map_err(|error| (error.to_string(), error.pointer()));
    }
}

/// A layout is named as configs write it, and no reference of a registry is taken for one.
#[test]
fn content_of_a_layout_is_named_by_its_path() {
    let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let path = std::path::Path::new("/srv/plugins/echo");
    let layout = Repository::of_layout(path);
    assert_eq!(layout.layout(), Some(path));
    assert_eq!(layout.to_string(), "oci-layout:///srv/plugins/echo");
    let tagged = Reference::new(layout.clone(), Some("1".parse().unwrap()), None);
    assert_eq!(tagged.to_string(), "oci-layout:///srv/plugins/echo:1");
    // `oci-layout://` takes a tag or a digest, and the digest is what selects.
    let pin = tagged.with_digest(digest.clone());
    assert_eq!(
        pin.to_string(),
        format!("oci-layout:///srv/plugins/echo@{digest}")
    );
    // What follows a colon would be read as a tag, if no slash was there.
    let colon = Repository::of_layout(std::path::Path::new("/srv/x:1.tar"));
    let colon = Reference::new(colon, None, Some(digest.clone()));
    assert_eq!(
        colon.to_string(),
        format!("oci-layout:///srv/x:1.tar/@{digest}")
    );
    let both = Reference::from(pin.clone());
    assert_eq!(both.to_string(), pin.to_string());
    let evil = Repository::of_layout(std::path::Path::new("/srv/\u{1b}[2J\n"));
    assert_eq!(evil.to_string(), "oci-layout:///srv/\\u{1b}[2J\\n");
    let named: Repository = "oci-layout.invalid/layout".parse().unwrap();
    assert_ne!(named, layout);
    assert_eq!(named.layout(), None);
    assert!(
        "oci-layout:///srv/plugins/echo:1"
            .parse::<Reference>()
            .is_err()
    );
}

#[test]
fn a_scheme_in_the_name_of_a_repository_is_called_that() {
    for text in ["https://ghcr.io/acme/echo", "oci://ghcr.io/acme/echo"] {
        let error = text.parse::<Repository>().unwrap_err();
        assert!(
            matches!(error.kind(), ReferenceErrorKind::Scheme { .. }),
            "{error}"
        );
        // A reference may begin with `oci://`, which is of no use here.
        let rule = "is not allowed here; write the name without it";
        assert!(error.to_string().contains(rule), "{error}");
    }
}
