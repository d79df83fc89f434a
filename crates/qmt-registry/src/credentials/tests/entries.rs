//! AUTH-15, AUTH-16: which entry of a file is used, and how it is decoded.

use super::*;

#[test]
fn auth_15_names_of_one_origin_are_one_entry() {
    let fits = |key: &str, host: &str| key::fit(key, &host.parse().unwrap(), None).is_some();
    for key in [
        "ghcr.io",
        "GHCR.io",
        "ghcr.io.",
        "ghcr.io/",
        "ghcr.io//",
        "https://ghcr.io",
        "https://ghcr.io/",
        "https://ghcr.io/v1/",
        "https://ghcr.io/v2/",
        "ghcr.io:443",
        "https://GHCR.IO.:443/",
    ] {
        assert!(fits(key, "ghcr.io"), "{key}");
        assert!(fits(key, "ghcr.io:443"), "{key}");
        assert!(!fits(key, "ghcr.io:8443"), "{key}");
        assert!(!fits(key, "ghcr.io:80"), "{key}");
    }
    for key in [
        "evil-ghcr.io",
        "ghcr.io.evil.example",
        "evil.example/ghcr.io",
        "ghcr.io@evil.example",
        "https://ghcr.io@evil.example",
        "user@ghcr.io",
        "ghcr.io:8443",
        "ghcr.io:80",
        "ghcr.i",
        "hcr.io",
        "ftp://ghcr.io",
        "://ghcr.io",
        "",
        "/",
        "ghcr.io:",
        "ghcr.io:443443",
        "*.io",
        "ghcr.іo",
        "ghcr.io\0",
        " ghcr.io",
        "ghcr.io?x",
        "ghcr.io#x",
    ] {
        assert!(!fits(key, "ghcr.io"), "{key:?}");
    }
    for key in [
        "https://index.docker.io/v1/",
        "docker.io",
        "index.docker.io",
        "registry-1.docker.io",
    ] {
        assert!(fits(key, "docker.io"), "{key}");
    }
    assert!(!fits("docker.io.evil.example", "docker.io"));
    assert!(fits("localhost:5000", "localhost:5000"));
    assert!(fits("http://localhost:5000", "localhost:5000"));
    assert!(!fits("localhost", "localhost:5000"));
    assert!(fits("[::1]:5000", "[::1]:5000"));
    assert!(!fits("[::1]", "[::1]:5000"));
    assert!(!fits("[::1:5000", "[::1]:5000"));
}

#[tokio::test]
async fn auth_16_a_file_that_cannot_be_used_is_an_error() {
    let none = Home::new();
    assert_eq!(none.find("ghcr.io").await.unwrap(), None);
    std::fs::create_dir_all(none.path(".docker/config.json")).unwrap();
    assert_eq!(
        reason_of(none.find("ghcr.io").await),
        "it is not a regular file"
    );
    for malformed in [
        "",
        "{",
        "[]",
        "[{},{},null]",
        "null",
        r#"{"auths":[]}"#,
        r#"{"auths":{"ghcr.io":7}}"#,
        r#"{"credHelpers":{"ghcr.io":null}}"#,
    ] {
        let home = Home::with_docker(malformed);
        assert_eq!(
            reason_of(home.find("ghcr.io").await),
            "it is not JSON in docker's format"
        );
    }
    let large = |length: usize| {
        let content = r#"{"auths":{}}"#;
        Home::with_docker(&(content.to_owned() + &" ".repeat(length - content.len())))
    };
    let limit = usize::try_from(crate::limits::CREDENTIAL_FILE_MAX).unwrap();
    assert_eq!(large(limit).find("ghcr.io").await.unwrap(), None);
    assert_eq!(
        reason_of(large(limit + 1).find("ghcr.io").await),
        "it is larger than 1 MiB"
    );
    assert_eq!(
        reason_of(large(50 << 20).find("ghcr.io").await),
        "it is larger than 1 MiB"
    );
}

#[tokio::test]
async fn auth_16_entries_are_decoded_as_docker_does() {
    let entry = |entry: &str| Home::with_docker(&format!(r#"{{"auths":{{"ghcr.io":{entry}}}}}"#));
    let token = STANDARD.encode("<token>:refresh");
    let good = [
        (auth("me:pw"), "me:pw"),
        (auth("me:pw:with:colons"), "me:pw:with:colons"),
        (auth("me:"), "me:"),
        (auth("me:pw\0\0"), "me:pw"),
        (r#"{"auth":"bWU6cHc"}"#.to_owned(), "me:pw"),
        (r#"{"username":"me","password":"pw"}"#.to_owned(), "me:pw"),
        (
            r#"{"auth":"","username":"me","password":"pw","email":"x"}"#.to_owned(),
            "me:pw",
        ),
        (
            r#"{"auth":"bWU6cHc=","identitytoken":"refresh"}"#.to_owned(),
            "identity refresh",
        ),
        (format!(r#"{{"auth":"{token}"}}"#), "identity refresh"),
        (r#"{"registrytoken":"tok"}"#.to_owned(), "bearer tok"),
    ];
    for (text, expected) in good {
        assert_eq!(
            entry(&text).find("ghcr.io").await.unwrap().unwrap(),
            expected,
            "{text}"
        );
    }
    assert_eq!(entry("{}").find("ghcr.io").await.unwrap(), None);
    let bad = [
        (
            r#"{"auth":"canary!!"}"#.to_owned(),
            "an `auth` in it is not base64",
        ),
        (
            format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(b"canary:\xff")),
            "an `auth` in it is not UTF-8 behind the base64",
        ),
        (
            auth("canary"),
            "an `auth` in it has no colon behind the base64",
        ),
        (auth(":canary"), "an `auth` in it has no user name"),
        (
            r#"{"username":"canary"}"#.to_owned(),
            "an entry has a user name without password, or the reverse",
        ),
    ];
    for (text, reason) in bad {
        let error = entry(&text).find("ghcr.io").await.unwrap_err();
        assert!(!text_of(&error).contains("canary"), "{}", text_of(&error));
        assert_eq!(reason_of(Err(error)), reason);
        assert_eq!(
            entry(&text).find("quay.io").await.unwrap(),
            None,
            "only its own entry matters"
        );
    }
    let secret_in_bad_json = Home::with_docker(r#"{"auths":{"ghcr.io":{"password":"canary"}},}"#);
    let error = secret_in_bad_json.find("ghcr.io").await.unwrap_err();
    assert!(!text_of(&error).contains("canary"));
}
