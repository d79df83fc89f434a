//! What a policy may say, and which scope and identity it means.

#[cfg(unix)]
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

#[cfg(unix)]
use qmt_oci_ref::Digest;
use qmt_oci_ref::Repository;

use super::*;
use crate::signer::SignerId;

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn dev() -> Authority {
    Authority::certificate(
        "https://issuer.example",
        IdentityRule::exact("dev@example.com").unwrap(),
    )
    .unwrap()
}

fn one() -> Policy {
    Policy::any_of(vec![dev()], 1).unwrap()
}

/// REF-06: a scope covers whole segments of a path, and no host but its own.
#[test]
fn scopes_cover_whole_segments() {
    for (pattern, name, covered) in [
        ("**", "ghcr.io/acme/echo", true),
        ("ghcr.io/**", "ghcr.io/acme/echo", true),
        ("ghcr.io/acme/**", "ghcr.io/acme/echo", true),
        ("ghcr.io/acme/**", "ghcr.io/acme/a/b/c", true),
        ("ghcr.io/acme/**", "ghcr.io/acme", false),
        ("ghcr.io/acme/**", "ghcr.io/acme-evil/echo", false),
        ("ghcr.io/acme/**", "evil.example/ghcr.io/acme/echo", false),
        ("ghcr.io/acme/**", "ghcr.io.evil.com/acme/echo", false),
        ("ghcr.io/acme/*", "ghcr.io/acme/echo", true),
        ("ghcr.io/acme/*", "ghcr.io/acme/a/b", false),
        ("ghcr.io/*/echo", "ghcr.io/acme/echo", true),
        ("*/acme/echo", "ghcr.io/acme/echo", true),
        ("ghcr.io/acme/echo", "ghcr.io/acme/echo", true),
        ("ghcr.io/acme/echo", "ghcr.io/acme/echo2", false),
        ("GHCR.IO/acme/echo", "ghcr.io/acme/echo", true),
        ("localhost:5000/**", "localhost:5000/echo", true),
        ("localhost:5000/**", "localhost:5001/echo", false),
        ("docker.io/library/*", "busybox", true),
        // One registry and one image under several names.
        ("docker.io/busybox", "busybox", true),
        ("index.docker.io/acme/**", "docker.io/acme/echo", true),
        ("registry-1.docker.io/acme/**", "acme/echo", true),
        ("ghcr.io:443/acme/**", "ghcr.io/acme/echo", true),
        ("ghcr.io/acme/**", "ghcr.io:443/acme/echo", true),
        ("ghcr.io/acme/**", "ghcr.io:8443/acme/echo", false),
        ("[::1]:5000/**", "[::1]:5000/echo", true),
    ] {
        let repository: Repository = name.parse().unwrap();
        assert_eq!(
            scope(pattern).covers(&repository),
            covered,
            "{pattern} and {name}"
        );
    }
    for bad in [
        "",
        "/",
        "ghcr.io//x",
        "ghcr.io/acme*",
        "**/x",
        "a/**/b",
        "ghcr.io/x@sha256:0",
        "a b",
    ] {
        assert!(bad.parse::<Scope>().is_err(), "{bad}");
    }
    // A scope that no name can match would leave its images to a wider scope, so it is an error.
    for (bad, expected) in [
        ("ghcr.io/acme/echo:v1", "without tag and digest"),
        ("ghcr.io/acme/*:v1", "whole segment"),
        ("ghcr.io/ACME/*", "upper case"),
        ("acme/**", "`docker.io/acme/**`"),
        ("docker.io/*", "`docker.io/library/*`"),
        ("ghcr.io", "`ghcr.io/**`"),
        ("…", "not a registry"),
        ("redis", "`docker.io/library/redis`"),
        ("", "`**` covers all images"),
        ("*", "`**` covers all images"),
        ("https://ghcr.io/**", "without tag and digest"),
        ("oci://ghcr.io/acme/**", "without tag and digest"),
        ("/srv/plugins/**", "`oci-layout:///srv/plugins/**`"),
        ("oci-layout:job@2/**", "`oci-layout://` and a path"),
        ("./plugins/**", "`oci-layout://./plugins/**`"),
        ("~/plugins/**", "`oci-layout://~/plugins/**`"),
    ] {
        let error = bad.parse::<Scope>().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(scope("ghcr.io/*/x/**").to_string(), "ghcr.io/*/x/**");
}

/// A scope of layouts covers whole segments of their paths, and no registry.
#[cfg(unix)]
#[test]
fn scopes_cover_layouts_by_their_paths() {
    for (pattern, path, covered) in [
        ("**", "/srv/plugins/echo", true),
        ("oci-layout://**", "/srv/plugins/echo", true),
        ("oci-layout:///srv/plugins/echo", "/srv/plugins/echo", true),
        ("oci-layout:///srv/plugins/echo/", "/srv/plugins/echo", true),
        (
            "oci-layout:///srv/plugins/echo",
            "/srv/plugins/echo2",
            false,
        ),
        ("oci-layout:///srv/plugins/**", "/srv/plugins/a/b.tar", true),
        ("oci-layout:///srv/plugins/**", "/srv/plugins", false),
        ("oci-layout:///srv/plugins/**", "/srv/plugins-evil/a", false),
        ("oci-layout:///srv/plugins/**", "/tmp/srv/plugins/a", false),
        ("oci-layout:///srv/*", "/srv/plugins", true),
        ("oci-layout:///srv/*", "/srv/plugins/echo", false),
        ("oci-layout:///srv/**", "/srv/gone/../../etc/x", false),
        ("oci-layout://**", "/srv/gone/../x", false),
        // What looks like a tag is part of the name.
        ("oci-layout:///srv/x:1", "/srv/x:1", true),
        ("oci-layout:///srv/x:1", "/srv/x", false),
        ("oci-layout:///srv/x", "/srv/x:1", false),
        ("oci-layout:///srv/x:1.tar", "/srv/x:1.tar", true),
        ("oci-layout:///srv/my@2", "/srv/my@2", true),
        ("oci-layout:///srv/my@2", "/srv/my", false),
        ("oci-layout:///srv/x@sha256:00", "/srv/x@sha256:00", true),
        ("*/**", "/srv/plugins", false),
        ("oci-layout.invalid/**", "/srv/plugins", false),
    ] {
        let layout = Repository::of_layout(Path::new(path));
        assert_eq!(
            scope(pattern).covers(&layout),
            covered,
            "{pattern} and {path}"
        );
        let shown = scope(pattern).to_string();
        assert_eq!(scope(&shown), scope(pattern), "{shown}");
    }
    let image: Repository = "ghcr.io/acme/echo".parse().unwrap();
    assert!(!scope("oci-layout://**").covers(&image));
    let not_unicode = std::ffi::OsStr::from_bytes(b"/srv/\xff");
    let layout = Repository::of_layout(Path::new(not_unicode));
    assert!(!scope("oci-layout:///srv/*").covers(&layout));
    let pinned = format!("oci-layout:///srv/x@{}", Digest::sha256("x"));
    for (bad, expected) in [
        ("oci-layout://", "absolute"),
        ("oci-layout://plugins/**", "absolute"),
        ("oci-layout:///srv/../etc", "`..`"),
        ("oci-layout:///srv/x*", "whole segment"),
        ("oci-layout:///srv/**/x", "at the end"),
        (&pinned, "without tag and digest"),
    ] {
        let error = bad.parse::<Scope>().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let order = [
        "**",
        "oci-layout://**",
        "oci-layout:///a/**",
        "oci-layout:///a/b",
    ];
    for pair in order.windows(2) {
        let [less, more] = pair else { continue };
        assert!(
            scope(more).specificity() > scope(less).specificity(),
            "{more} and {less}"
        );
    }
}

#[test]
fn scopes_are_ordered_by_what_they_leave_open() {
    let order = ["**", "*/**", "*/b", "a.io/**", "a.io/*", "a.io/b"];
    for (index, less) in order.iter().enumerate() {
        for more in &order[index + 1..] {
            let (less, more) = (scope(less), scope(more));
            assert!(more.specificity() > less.specificity(), "{more} and {less}");
        }
    }
}

#[test]
fn the_most_specific_scope_wins_in_any_order() {
    let order = [
        "a.io/b/c",
        "a.io/b/*",
        "a.io/b/**",
        "a.io/*/c",
        "a.io/*/*",
        "a.io/**",
        "*/b/c",
        "**",
    ];
    let repository: Repository = "a.io/b/c".parse().unwrap();
    for skip in 0..order.len() {
        let mut entries: Vec<_> = order
            .iter()
            .skip(skip)
            .map(|text| (scope(text), one()))
            .collect();
        let set = PolicySet::new(entries.clone()).unwrap();
        assert_eq!(set.for_subject(&repository).unwrap().0, &scope(order[skip]));
        entries.reverse();
        let set = PolicySet::new(entries).unwrap();
        assert_eq!(set.for_subject(&repository).unwrap().0, &scope(order[skip]));
    }
    let set = PolicySet::new(vec![(scope("b.io/**"), one())]).unwrap();
    assert!(set.for_subject(&repository).is_none());
}

/// SIG-02: a policy that says nothing, or half of it, is an error and not "anyone".
#[test]
fn an_empty_policy_is_an_error() {
    assert!(PolicySet::new(Vec::new()).is_err());
    assert!(PolicySet::new(vec![(scope("**"), one()), (scope("**"), one())]).is_err());
    assert!(Policy::any_of(Vec::new(), 1).is_err());
    assert!(Policy::any_of(vec![dev()], 0).is_err());
    assert!(Policy::any_of(vec![dev()], 2).is_err());
    assert!(Policy::any_of(vec![dev(); 64], 64).is_ok());
    assert!(Policy::any_of(vec![dev(); 65], 1).is_err());
    for empty in ["", " ", "\n"] {
        assert!(IdentityRule::exact(empty).is_err());
        let identity = IdentityRule::exact("x").unwrap();
        assert!(Authority::certificate(empty, identity).is_err());
    }
    assert!(IdentityRule::regex("").is_err());
}

/// SIG-02: `identity = "required"` accepts no policy that does not name the signers.
#[test]
fn required_identities_are_required() {
    let set = |policy| PolicySet::new(vec![(scope("**"), policy)]).unwrap();
    set(one()).identity_required().unwrap();
    assert!(set(Policy::pin_on_first_use()).identity_required().is_err());
    let anywhere = Authority::identity_of_any_issuer(IdentityRule::exact("x").unwrap());
    let mixed = Policy::any_of(vec![dev(), anywhere], 1).unwrap();
    assert!(set(mixed).identity_required().is_err());
}

/// SIG-03: anchored by us, whatever the pattern does.
#[test]
fn expressions_match_from_the_first_to_the_last_character() {
    for (pattern, identity, accepted) in [
        ("acme", "acme", true),
        ("acme", "acme2", false),
        ("acme", "xacme", false),
        ("^acme$", "acme", true),
        ("acme|evil", "acme", true),
        ("acme|evil", "acme|evil", false),
        ("acme|evil", "acmevil", false),
        ("acme$|^evil", "evil and more", false),
        ("(?m)^acme$", "x\nacme", false),
        ("(?m)^acme$", "acme\n", false),
        ("acme.*", "acme\nevil", false),
        (
            "https://github\\.com/acme/.+",
            "https://github.com/acme/x",
            true,
        ),
        (
            "https://github\\.com/acme/.+",
            "https://githubxcom/acme/x",
            false,
        ),
    ] {
        let rule = IdentityRule::regex(pattern).unwrap();
        assert_eq!(
            rule.accepts(identity),
            accepted,
            "{pattern} and {identity:?}"
        );
    }
    let rule = IdentityRule::regex("^https://github.com/acme/").unwrap();
    let part = rule.expected(Some("https://github.com/acme/x"));
    assert!(part.contains("must match the whole identity"), "{part}");
    for other in [Some("https://github.com/evil/x"), None] {
        assert_eq!(rule.expected(other), rule.to_string());
    }
    for bad in ["(", "a)|(b", "(?x)a #", "a{100000}{100000}"] {
        assert!(IdentityRule::regex(bad).is_err(), "{bad}");
    }
    assert!(IdentityRule::exact("a.c").unwrap().accepts("a.c"));
    assert!(!IdentityRule::exact("a.c").unwrap().accepts("abc"));
}

/// SIG-15: which keys are keys.
#[test]
fn keys_are_one_public_key_of_a_usable_kind() {
    const P256: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzVR0aPHZzpkG6J3p6Bfd3eLkgMuo\nkEhi9ZM+y6ZNjMUsmcLZnEfRe+alPZjQzPMyOJVWcQJRAPTlHFI1++rbvw==\n-----END PUBLIC KEY-----\n";
    // 1024 bits.
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC7vJ0UZ1v3JQmJ0m3vWc4C8n1T\nm0l1w3mJb6V7mZk3mXx5Yp1m8x2jQv1rT5q8m7F1z2m3n4b5v6c7x8z9a0s1d2f3\ng4h5j6k7l8q9w0e1r2t3y4u5i6o7p8a9s0d1f2g3h4j5k6l7z8x9c0v1b2n3m4q5\nw6e7r8t9y0u1i2o3pQIDAQAB\n-----END PUBLIC KEY-----\n";
    const P521: &str = "-----BEGIN PUBLIC KEY-----\nMIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQADcdGwX9QANf1YTouUbR8ps0QCovk\nDjdpaagt45xJnL7bdooiDy+0B8tB1r2wep54Q5TnLtqJoNiGQSw1kcocr4cB3m+0\nd7umH/JJf44r/iKyehXpT1FkmY5pusJqFJfIWOJ5D0brjmlF5XYcgUAMf0cGX/KF\n//XgKcm3uEGc+Ysqs1I=\n-----END PUBLIC KEY-----\n";
    let key = |text: &str| Authority::key("x.pub", text.as_bytes());
    let good = key(P256).unwrap();
    assert!(matches!(good.signer(), Some(SignerId::Key { .. })));
    assert!(dev().signer().is_none());
    for (text, problem) in [
        ("", "no key"),
        (&*P256.repeat(2), "2 keys"),
        (RSA_1024, "cannot be used"),
        (P521, "cannot be used"),
        (&*P256.replace("PUBLIC KEY", "EC PRIVATE KEY"), "private"),
        (&*P256.replace("PUBLIC KEY", "CERTIFICATE"), "CERTIFICATE"),
        (
            &*P256.replace("PUBLIC KEY", "RSA PUBLIC KEY"),
            "`openssl rsa -RSAPublicKey_in -in FILE -pubout -out NEW_FILE`",
        ),
        (&*P256.replace("MFkw", "MFgw"), "cannot be used"),
        (&*P256.replace("MFkw", "!!!!"), "base64"),
    ] {
        let error = key(text).unwrap_err().to_string();
        assert!(
            error.contains(problem) && error.contains("x.pub"),
            "{problem}: {error}"
        );
    }
}
