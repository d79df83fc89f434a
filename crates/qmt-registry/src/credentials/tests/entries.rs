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
    assert_eq!(reason_of(none.find("ghcr.io").await), "it can't be read");
    #[cfg(unix)]
    {
        // A pipe without a writer.
        let path = none.path(".docker/config.json");
        std::fs::remove_dir(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(reason_of(none.find("ghcr.io").await), "it can't be read");
        std::fs::remove_file(path).unwrap();
    }
    let format = "it is not JSON in docker's format";
    for (malformed, reason) in [
        ("{", format),
        ("[]", format),
        ("[{},{},null]", format),
        ("7", format),
        ("\u{feff}[", format),
        (r#"{"auths":[7]}"#, "it is not a JSON object"),
        (r#"{"auths":7}"#, "it is not a JSON object"),
        (r#"{"credHelpers":7}"#, "it is not a JSON object"),
        (r#"{"auths":{"ghcr.io":7}}"#, "it is not a JSON object"),
        (
            r#"{"credHelpers":{"ghcr.io":7}}"#,
            "it is not the name of a helper",
        ),
        (r#"{"credsStore":[]}"#, "it is not the name of a helper"),
        (r#"{"credsStore":false}"#, "it is not the name of a helper"),
        (
            r#"{"auths":{"ghcr.io":{"auth":7}}}"#,
            "its `auth` is not a string",
        ),
    ] {
        let home = Home::with_docker(malformed);
        assert_eq!(reason_of(home.find("ghcr.io").await), reason, "{malformed}");
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

/// `null` is absence, an empty file has no credential, and what belongs to other registries is not
/// looked at.
#[tokio::test]
async fn auth_16_what_is_absent_or_of_others_is_no_error() {
    let good = auth("me:pw");
    for content in [
        String::new(),
        " \r\n".to_owned(),
        "\u{feff}".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        r#"{"auths":null,"credHelpers":null,"credsStore":null,"HttpHeaders":null}"#.to_owned(),
        r#"{"auths":{"ghcr.io":null},"credHelpers":{"ghcr.io":null},"credsStore":" "}"#.to_owned(),
        r#"{"auths":{"ghcr.io":{"auth":null,"username":null}}}"#.to_owned(),
        r#"{"auths":[],"credHelpers":[]}"#.to_owned(),
        r#"{"auths":{"other.io":7,"b.io":[],"c.io":{"auth":{}}}}"#.to_owned(),
        r#"{"credHelpers":{"other.io":"absent","b.io":7,"c.io":"../x"}}"#.to_owned(),
        format!(r#"{{"auths":{{"other.io":{good}}},"detachKeys":7,"plugins":[]}}"#),
    ] {
        let home = Home::with_docker(&content);
        assert_eq!(home.find("ghcr.io/a/b").await.unwrap(), None, "{content}");
    }
    for content in [
        format!("\u{feff}{{\"auths\":{{\"ghcr.io\":{good}}}}}"),
        format!(r#"{{"auths":{{"ghcr.io":{good},"other.io":null,"":{{}}}},"credHelpers":null}}"#),
        format!(r#"{{"Auths":{{"ghcr.io":{good}}},"credsstore":""}}"#),
        format!(r#"{{"auths":{{"x":1}},"auths":{{"ghcr.io":{good}}}}}"#),
    ] {
        let home = Home::with_docker(&content);
        assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "me:pw");
    }
    let text = format!("\u{feff}{{\"auths\":{{\"ghcr.io\":{good}}}}}");
    for bytes in [
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ] {
        let home = Home::new();
        std::fs::write(home.write(".docker/config.json", ""), bytes).unwrap();
        assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "me:pw");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn auth_16_a_link_to_a_device_or_to_nothing_has_no_credential() {
    for target in ["/dev/null", "/dev/zero", "/no/such"] {
        let home = Home::new();
        std::fs::create_dir(home.path(".docker")).unwrap();
        std::os::unix::fs::symlink(target, home.path(".docker/config.json")).unwrap();
        home.write(".config/containers/auth.json", &auths(&["quay.io"]));
        assert_eq!(home.find("ghcr.io").await.unwrap(), None, "{target}");
        assert!(home.find("quay.io").await.unwrap().is_some(), "{target}");
    }
}

/// What can't be used is an error where nothing else has a credential for the registry.
#[tokio::test]
async fn auth_16_another_file_may_have_the_credential() {
    let broken = r#"{"auths":{"ghcr.io":{"auth":"canary!!"}},"credsStore":"absent"}"#;
    for (docker, podman, expected) in [
        ("{", auths(&["ghcr.io"]), true),
        (broken, auths(&["ghcr.io"]), true),
        (broken, auths(&["quay.io"]), false),
        (broken, "{".to_owned(), false),
    ] {
        let home = Home::with_docker(docker);
        home.write(".config/containers/auth.json", &podman);
        let found = home.find("ghcr.io").await;
        assert_eq!(
            found.is_ok_and(|found| found.is_some()),
            expected,
            "{docker}"
        );
    }
    // In one file too, as podman does it.
    let both = r#"{"credsStore":"absent","auths":{"ghcr.io":{"auth":"bWU6cHc="}}}"#;
    let home = Home::with_docker(both);
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "me:pw");
}

/// A setting for helpers that can't be used hides no entry of the file, and no other helper or file.
#[tokio::test]
async fn auth_16_an_unusable_setting_hides_no_credential() {
    let good = auth("me:pw");
    let settings = [
        (r#""credHelpers":7"#, "`credHelpers`"),
        (r#""credHelpers":[7]"#, "`credHelpers`"),
        (
            r#""credHelpers":{"ghcr.io":[]}"#,
            "`credHelpers[\"ghcr.io\"]`",
        ),
        (r#""credsStore":false"#, "`credsStore`"),
        (r#""credsStore":{}"#, "`credsStore`"),
    ];
    for (setting, key) in settings {
        let auths = format!(r#""auths":{{"ghcr.io":{good}}}"#);
        let home = Home::with_docker(&format!("{{{setting},{auths}}}"));
        let found = home.find("ghcr.io/acme/echo").await.unwrap();
        assert_eq!(found.as_deref(), Some("me:pw"), "{setting}");
        // Without an entry, it is reported, unless another file has one.
        let home = Home::with_docker(&format!("{{{setting}}}"));
        let error = home.find("ghcr.io").await.unwrap_err();
        assert!(error.to_string().contains(key), "{setting}: {error}");
        home.write(".config/containers/auth.json", &format!("{{{auths}}}"));
        let found = home.find("ghcr.io").await.unwrap();
        assert_eq!(found.as_deref(), Some("me:pw"), "{setting}");
        // It comes before the reason why the entry can't be used either.
        let bad = r#""auths":{"ghcr.io":{"auth":"canary!!"}}"#;
        let home = Home::with_docker(&format!("{{{setting},{bad}}}"));
        let error = home.find("ghcr.io").await.unwrap_err();
        assert!(error.to_string().contains(key), "{setting}: {error}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn auth_16_an_unusable_setting_hides_no_helper() {
    for setting in [
        r#""credHelpers":7"#,
        r#""credHelpers":{"ghcr.io":[]}"#,
        r#""auths":7"#,
    ] {
        let home = Home::with_docker(&format!(r#"{{{setting},"credsStore":"x"}}"#));
        home.helper("x", r#"echo '{"Username":"me","Secret":"pw"}'"#);
        let found = home.find("ghcr.io").await.unwrap();
        assert_eq!(found.as_deref(), Some("me:pw"), "{setting}");
        home.helper("x", "exit 0");
        assert!(home.find("ghcr.io").await.is_err(), "{setting}");
    }
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
        (
            r#"{"auth":"bWU6cHc=","identitytoken":null,"registrytoken":"","username":7}"#
                .to_owned(),
            "me:pw",
        ),
        (r#"{"auth":" bWU6\r\n\tcHc=\n"}"#.to_owned(), "me:pw"),
        (
            r#"{"identitytoken":"refresh\n"}"#.to_owned(),
            "identity refresh",
        ),
        (
            r#"{"auth":" ","username":"me","password":" pw "}"#.to_owned(),
            "me: pw ",
        ),
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
            "its `auth` is not base64",
        ),
        (
            format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(b"canary:\xff")),
            "its `auth` is not UTF-8 in base64",
        ),
        (
            auth("canary"),
            "its `auth` has no colon after the user name",
        ),
        (auth(":canary"), "its `auth` has no user name"),
        (
            r#"{"username":"canary"}"#.to_owned(),
            "it has a user name without password, or the reverse",
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

/// A refusal names the entry that is used, because a login replaces only that of the registry itself.
#[tokio::test]
async fn the_origin_of_a_credential_is_its_entry() {
    let home = Home::with_docker(&auths(&["r.io", "r.io/team"]));
    home.write("auth.json", &auths(&["s.io/team"]));
    let file = home.path("auth.json");
    let home = home.set("REGISTRY_AUTH_FILE", file.to_str().unwrap());
    let docker = home.path(".docker/config.json");
    let chain = home.chain();
    for (what, entry) in [
        ("r.io/team/app", Some((&docker, "r.io/team", false))),
        ("r.io/other", Some((&docker, "r.io", true))),
        ("s.io/team/app", Some((&file, "s.io/team", true))),
        ("t.io/x", None),
    ] {
        find(&chain, what).await.unwrap();
        let (host, path) = what.split_once('/').unwrap();
        let host: RegistryHost = host.parse().unwrap();
        let repository = Repository::new(host.clone(), path).unwrap();
        let expected = entry.map(
            |(path, key, is_replaced_by_login)| CredentialOrigin::Entry {
                path: path.clone(),
                key: key.to_owned(),
                is_replaced_by_login,
            },
        );
        let origin = chain.origin(&host, Some(&repository));
        assert_eq!(origin, expected.unwrap_or_default(), "{what}");
    }
    let variable = home
        .set("DOCKER_AUTH_CONFIG", &auths(&["r.io/team"]))
        .chain();
    find(&variable, "r.io/team/app").await.unwrap();
    let host: RegistryHost = "r.io".parse().unwrap();
    let repository = Repository::new(host.clone(), "team/app").unwrap();
    let origin = variable.origin(&host, Some(&repository));
    assert_eq!(origin.to_string(), "`DOCKER_AUTH_CONFIG`");
}
