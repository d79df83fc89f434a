//! AUTH-15, AUTH-16, AUTH-17: which credential is used for what, and what sources may do.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::*;

/// A home folder with docker's and podman's files and helpers in it.
struct Home {
    folder: TempDir,
    extra: Vec<(String, String)>,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            extra: Vec::new(),
        }
    }

    fn with_docker(content: &str) -> Self {
        let home = Self::new();
        home.write(".docker/config.json", content);
        home
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.extra.push((name.to_owned(), value.to_owned()));
        self
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn docker(&self) -> String {
        std::fs::read_to_string(self.path(".docker/config.json")).unwrap()
    }

    /// Installs a helper: a shell script that gets the verb as `$1`.
    #[cfg(unix)]
    fn helper(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(
            &format!("bin/docker-credential-{name}"),
            &format!("#!/bin/sh\n{script}\n"),
        );
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn environment(&self) -> Environment {
        let bin = self.path("bin").into_os_string().into_string().unwrap();
        let own = [
            (
                "HOME".to_owned(),
                self.folder.path().to_str().unwrap().to_owned(),
            ),
            ("PATH".to_owned(), format!("{bin}:/usr/bin:/bin")),
        ];
        own.into_iter().chain(self.extra.clone()).collect()
    }

    fn chain(&self) -> CredentialChain {
        CredentialChain::over(self.environment())
    }

    async fn find(&self, what: &str) -> Result<Option<String>, RegistryError> {
        find(&self.chain(), what).await
    }
}

/// Looks for the credential of `host` or `host/path`, and shows it.
async fn find(chain: &CredentialChain, what: &str) -> Result<Option<String>, RegistryError> {
    let found = match what.split_once('/') {
        None => chain.credential(&what.parse().unwrap(), None).await?,
        Some((host, path)) => {
            let host = host.parse().unwrap();
            let repository = Repository::new(RegistryHost::clone(&host), path).unwrap();
            chain.credential(&host, Some(&repository)).await?
        }
    };
    Ok(found.map(|credential| shown(&credential)))
}

fn shown(credential: &Credential) -> String {
    match credential {
        Credential::Basic { username, password } => {
            format!("{username}:{}", password.expose_secret())
        }
        Credential::IdentityToken(token) => format!("identity {}", token.expose_secret()),
        Credential::Bearer(token) => format!("bearer {}", token.expose_secret()),
    }
}

fn auth(pair: &str) -> String {
    format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(pair))
}

/// A file with these entries of `auths`, each with a user named like its key.
fn auths(keys: &[&str]) -> String {
    let entries: Vec<_> = keys
        .iter()
        .map(|key| {
            let name = key.replace(':', ";");
            format!("\"{key}\":{}", auth(&format!("{name}:pw")))
        })
        .collect();
    format!(r#"{{"auths":{{{}}}}}"#, entries.join(","))
}

fn text_of(error: &RegistryError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text} {error}");
        cause = error.source();
    }
    text
}

fn fault_of(result: Result<Option<String>, RegistryError>) -> &'static str {
    match result {
        Err(
            RegistryError::CredentialFile { fault, .. }
            | RegistryError::CredentialHelper { fault, .. }
            | RegistryError::CredentialOption { fault, .. },
        ) => fault,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn without_sources_there_is_no_credential() {
    assert_eq!(Home::new().find("ghcr.io/a/b").await.unwrap(), None);
    let nowhere = CredentialChain::over(Environment::default());
    assert_eq!(find(&nowhere, "ghcr.io").await.unwrap(), None);
}

#[tokio::test]
async fn sources_are_asked_in_order() {
    let home = Home::with_docker(&auths(&["ghcr.io"]));
    home.write(
        ".config/containers/auth.json",
        &auths(&["quay.io", "ghcr.io/acme"]),
    );
    assert_eq!(
        home.find("ghcr.io/acme/echo").await.unwrap().unwrap(),
        "ghcr.io:pw"
    );
    assert_eq!(home.find("quay.io").await.unwrap().unwrap(), "quay.io:pw");

    let home = home
        .set("QMT_REGISTRY_GHCR_IO_USERNAME", "env")
        .set("QMT_REGISTRY_GHCR_IO_PASSWORD", "pw");
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "env:pw");

    let host: RegistryHost = "ghcr.io".parse().unwrap();
    let chain = home
        .chain()
        .with_explicit(host.clone(), Credential::basic("option", "pw"));
    assert_eq!(find(&chain, "ghcr.io").await.unwrap().unwrap(), "option:pw");
    assert_eq!(
        find(&chain, "quay.io").await.unwrap().unwrap(),
        "quay.io:pw"
    );
    let chain = chain.with_explicit(host, Credential::basic("later", "pw"));
    assert_eq!(find(&chain, "ghcr.io").await.unwrap().unwrap(), "later:pw");
}

#[tokio::test]
async fn files_are_where_docker_and_podman_have_them() {
    let home = Home::with_docker(&auths(&["a.example"]));
    let named = home.write("named.json", &auths(&["b.example"]));
    home.write("run/containers/auth.json", &auths(&["c.example"]));
    home.write(".config/containers/auth.json", &auths(&["d.example"]));
    home.write("xdg/containers/auth.json", &auths(&["e.example"]));
    home.write("docker/config.json", &auths(&["f.example"]));
    let path = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let (run, xdg, docker) = (path("run"), path("xdg"), path("docker"));
    assert!(home.find("d.example").await.unwrap().is_some());
    assert!(home.find("c.example").await.unwrap().is_none());

    let home = home
        .set("XDG_RUNTIME_DIR", &run)
        .set("XDG_CONFIG_HOME", &xdg);
    assert!(home.find("c.example").await.unwrap().is_some());
    assert!(home.find("e.example").await.unwrap().is_some());
    assert!(home.find("d.example").await.unwrap().is_none());

    let home = home.set("REGISTRY_AUTH_FILE", named.to_str().unwrap());
    assert!(home.find("b.example").await.unwrap().is_some());
    assert!(home.find("c.example").await.unwrap().is_none());

    // As root and in CI, podman has no folder of the session's.
    let written = home.write("podman/auth.json", &auths(&["g.example"]));
    for (runtime, expected) in [("", true), (run.as_str(), false)] {
        let variables = [
            ("HOME", docker.clone()),
            ("XDG_RUNTIME_DIR", runtime.to_owned()),
        ];
        let mut environment: Environment = variables.into_iter().collect();
        environment.runtime = Some(written.parent().unwrap().to_owned());
        let chain = CredentialChain::over(environment);
        let found = find(&chain, "g.example").await.unwrap();
        assert_eq!(found.is_some(), expected, "{runtime:?}");
    }

    assert!(home.find("a.example").await.unwrap().is_some());
    let home = home.set("DOCKER_CONFIG", &docker);
    assert!(home.find("f.example").await.unwrap().is_some());
    assert!(home.find("a.example").await.unwrap().is_none());
}

#[tokio::test]
async fn variables_name_the_registry() {
    let home = Home::new()
        .set("QMT_REGISTRY_LOCALHOST_5000_USERNAME", "me")
        .set("QMT_REGISTRY_LOCALHOST_5000_PASSWORD", "pw")
        .set("QMT_REGISTRY_MY_REG_EXAMPLE_COM_TOKEN", "tok");
    assert_eq!(home.find("localhost:5000").await.unwrap().unwrap(), "me:pw");
    assert_eq!(
        home.find("my-reg.example.com").await.unwrap().unwrap(),
        "bearer tok"
    );
    assert_eq!(home.find("localhost:5001").await.unwrap(), None);
}

#[tokio::test]
async fn variables_that_contradict_or_are_incomplete_are_refused() {
    let name = |suffix: &str| format!("QMT_REGISTRY_GHCR_IO_{suffix}");
    for set in [
        &["USERNAME"][..],
        &["PASSWORD"],
        &["TOKEN", "USERNAME"],
        &["TOKEN", "PASSWORD"],
    ] {
        let home = set.iter().fold(Home::new(), |home, suffix| {
            home.set(&name(suffix), "canary")
        });
        let error = home.find("ghcr.io").await.unwrap_err();
        assert!(
            matches!(error, RegistryError::CredentialOption { .. }),
            "{set:?}"
        );
        assert!(!text_of(&error).contains("canary"));
        assert_eq!(home.find("quay.io").await.unwrap(), None);
    }
    let empty = Home::new()
        .set(&name("USERNAME"), "")
        .set(&name("PASSWORD"), "");
    assert_eq!(empty.find("ghcr.io").await.unwrap(), None);
}

#[tokio::test]
async fn the_most_specific_entry_wins() {
    let home = Home::with_docker(&auths(&[
        "r.io",
        "r.io/team",
        "r.io/team/app",
        "r.io/other",
    ]));
    for (what, entry) in [
        ("r.io", "r.io"),
        ("r.io/x", "r.io"),
        ("r.io/team/x", "r.io/team"),
        ("r.io/team/app", "r.io/team/app"),
        ("r.io/team/app/deep", "r.io/team/app"),
        ("r.io/team/application", "r.io/team"),
        ("r.io/teamwork/x", "r.io"),
    ] {
        let found = home.find(what).await.unwrap().unwrap();
        assert_eq!(found, format!("{entry}:pw"), "{what}");
    }
    let only_path = Home::with_docker(&auths(&["r.io/team"]));
    assert_eq!(only_path.find("r.io").await.unwrap(), None);
    assert_eq!(only_path.find("r.io/x/team").await.unwrap(), None);
}

#[tokio::test]
async fn a_repository_elsewhere_picks_no_path() {
    let chain = Home::with_docker(&auths(&["r.io/team"])).chain();
    let elsewhere = Repository::new("s.io".parse().unwrap(), "team/app").unwrap();
    let found = chain
        .credential(&"r.io".parse().unwrap(), Some(&elsewhere))
        .await
        .unwrap();
    assert!(found.is_none());
}

#[test]
fn auth_15_spellings_of_one_origin_are_one_entry() {
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
        fault_of(none.find("ghcr.io").await),
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
            fault_of(home.find("ghcr.io").await),
            "it is not the JSON that docker writes"
        );
    }
    let large = |length: usize| {
        let content = r#"{"auths":{}}"#;
        Home::with_docker(&(content.to_owned() + &" ".repeat(length - content.len())))
    };
    let limit = usize::try_from(crate::limits::CREDENTIAL_FILE_MAX).unwrap();
    assert_eq!(large(limit).find("ghcr.io").await.unwrap(), None);
    assert_eq!(
        fault_of(large(limit + 1).find("ghcr.io").await),
        "it is larger than 1 MiB"
    );
    assert_eq!(
        fault_of(large(50 << 20).find("ghcr.io").await),
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
    for (text, fault) in bad {
        let error = entry(&text).find("ghcr.io").await.unwrap_err();
        assert!(!text_of(&error).contains("canary"), "{}", text_of(&error));
        assert_eq!(fault_of(Err(error)), fault);
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

#[cfg(unix)]
const ANSWER: &str =
    r#"read key; printf '{"ServerURL":"%s","Username":"%s","Secret":"%s"}' "$key" "#;

#[cfg(unix)]
#[tokio::test]
async fn auth_16_helpers_come_before_the_file() {
    let auths = format!(
        r#""auths":{{"a.io":{0},"b.io":{0},"c.io":{0}}}"#,
        auth("file:pw")
    );
    let home = Home::with_docker(&format!(
        r#"{{{auths},"credsStore":"all","credHelpers":{{"a.io":"one","d.io":""}}}}"#
    ));
    home.helper("one", &format!("{ANSWER} one \"$key\""));
    home.helper(
        "all",
        &format!(
            "read key; case $key in c.io) echo 'credentials not found in native keychain'; exit 1;; esac\n\
             echo \"$key\" | ( {ANSWER} all \"$key\" )"
        ),
    );
    assert_eq!(home.find("a.io").await.unwrap().unwrap(), "one:a.io");
    assert_eq!(home.find("b.io").await.unwrap().unwrap(), "all:b.io");
    assert_eq!(home.find("d.io").await.unwrap().unwrap(), "all:d.io");
    assert_eq!(home.find("c.io/x").await.unwrap().unwrap(), "file:pw");
    let hub = home
        .find("docker.io/library/alpine")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hub, "all:https://index.docker.io/v1/");
}

/// A path in the file is more specific than a helper for the whole host; one for less is not.
#[cfg(unix)]
#[tokio::test]
async fn a_path_comes_before_a_helper_for_the_host() {
    let auths = format!(
        r#""auths":{{"r.io":{0},"r.io/team":{0},"r.io/empty":{{}},"s.io/team":{0}}}"#,
        auth("file:pw")
    );
    let home = Home::with_docker(&format!(
        r#"{{{auths},"credsStore":"all","credHelpers":{{"s.io/team/app":"all"}}}}"#
    ));
    home.helper("all", &format!("{ANSWER} helper \"$key\""));
    for (what, expected) in [
        ("r.io", "helper:r.io"),
        ("r.io/other/app", "helper:r.io"),
        ("r.io/team/app", "file:pw"),
        ("r.io/empty/app", "helper:r.io"),
        ("s.io/team/x", "file:pw"),
        ("s.io/team/app", "helper:s.io"),
    ] {
        assert_eq!(home.find(what).await.unwrap().unwrap(), expected, "{what}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_helper_may_give_an_identity_token() {
    let home = Home::with_docker(r#"{"credsStore":"x"}"#);
    home.helper("x", &format!("{ANSWER} '<token>' refresh"));
    assert_eq!(
        home.find("ghcr.io").await.unwrap().unwrap(),
        "identity refresh"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn auth_17_helpers_that_fail_say_nothing_secret() {
    for (script, fault) in [
        (
            "echo canary; echo canary >&2; exit 1",
            "it failed (its output may hold a secret and is not shown)",
        ),
        (
            "echo canary",
            "its answer is not what the protocol asks for",
        ),
        (
            r#"echo '{"Username":"","Secret":"canary"}'"#,
            "its answer has no user name",
        ),
        (
            r#"echo '{"Username":"canary"}'"#,
            "its answer is not what the protocol asks for",
        ),
        (
            "kill -9 $$",
            "it failed (its output may hold a secret and is not shown)",
        ),
    ] {
        let home = Home::with_docker(r#"{"credsStore":"x"}"#);
        home.helper("x", script);
        let error = home.find("ghcr.io").await.unwrap_err();
        assert!(!text_of(&error).contains("canary"), "{}", text_of(&error));
        assert_eq!(fault_of(Err(error)), fault, "{script}");
    }
}

/// LIM-10: 64 KiB of output, or what it was lowered to, and one byte more.
#[cfg(unix)]
#[tokio::test]
async fn auth_17_output_is_capped() {
    let limit = usize::try_from(HELPER_OUTPUT_MAX).unwrap();
    let answer = r#"{"Username":"me","Secret":"pw"}"#;
    let padded = |length: usize| {
        let home = Home::with_docker(r#"{"credsStore":"x"}"#);
        home.write(
            "answer",
            &format!("{answer}{}", " ".repeat(length - answer.len())),
        );
        home.helper("x", "cat \"$HOME/answer\"");
        home
    };
    assert_eq!(
        padded(limit).find("ghcr.io").await.unwrap().unwrap(),
        "me:pw"
    );
    let over = "it printed more than it may (64 KiB unless lowered) and was ended";
    assert_eq!(fault_of(padded(limit + 1).find("ghcr.io").await), over);
    let lowered = |output: u64| {
        let home = padded(100);
        let chain = CredentialChain::over(home.environment());
        (home, chain.helper_limits(HELPER_TIME_MAX, output))
    };
    let ghcr = "ghcr.io".parse().unwrap();
    let (_home, chain) = lowered(100);
    assert!(chain.credential(&ghcr, None).await.unwrap().is_some());
    let (_home, chain) = lowered(99);
    let refused = chain.credential(&ghcr, None).await.map(|_| None);
    assert_eq!(fault_of(refused), over);
    let flood = Home::with_docker(r#"{"credsStore":"x"}"#);
    flood.helper("x", "exec cat /dev/zero");
    let started = Instant::now();
    assert_eq!(fault_of(flood.find("ghcr.io").await), over);
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// LIM-10: the time of a helper, which can be lowered and not raised.
#[cfg(unix)]
#[tokio::test]
async fn auth_17_a_helper_that_hangs_is_ended_with_its_children() {
    let home = Home::new();
    home.helper("x", "sleep 300 & echo $! > \"$HOME/child\"; wait");
    let chain = CredentialChain::over(home.environment())
        .helper_limits(Duration::from_millis(700), HELPER_OUTPUT_MAX);
    let started = Instant::now();
    let run = helper::run(&chain.environment, "x", "get", b"ghcr.io").await;
    let run = run.map(|_| None);
    assert_eq!(
        fault_of(run),
        "it took longer than it may (30 seconds unless lowered) and was ended"
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    // As it is and raised, it is the table's; lowered, what was said.
    let limits = |chain: &CredentialChain| {
        let limits = chain.environment.helper_limits;
        (limits.time, limits.output)
    };
    let table = (Duration::from_secs(30), 65_536);
    let chain = CredentialChain::over(Environment::default());
    assert_eq!(limits(&chain), table);
    let chain = chain.helper_limits(Duration::MAX, u64::MAX);
    assert_eq!(limits(&chain), table);
    let chain = chain.helper_limits(Duration::from_secs(1), 7);
    assert_eq!(limits(&chain), (Duration::from_secs(1), 7));
    let child = std::fs::read_to_string(home.path("child")).unwrap();
    let is_gone = || {
        // A process that nobody has waited for yet is a zombie (`Z`), but it is dead.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    while !is_gone() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the child lives on"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn auth_17_helpers_are_named_plainly() {
    let bad = "its name has other characters than letters, digits, `-`, `_`, `.`";
    for name in [
        "../x",
        "a/b",
        "/bin/sh",
        "..",
        "a..b",
        "a b",
        "a\\b",
        "a;b",
        "é",
        &"x".repeat(65),
    ] {
        let content = serde_json::json!({"credsStore": name}).to_string();
        assert_eq!(
            fault_of(Home::with_docker(&content).find("ghcr.io").await),
            bad,
            "{name}"
        );
    }
    let absent = Home::with_docker(r#"{"credsStore":"osxkeychain-1_x.y"}"#);
    let fault = fault_of(absent.find("ghcr.io").await);
    assert!(fault.contains("in `PATH`"), "{fault}");
    let relative = Home::with_docker(r#"{"credsStore":"x"}"#).set("PATH", ".:bin");
    assert!(fault_of(relative.find("ghcr.io").await).contains("in `PATH`"));
}

#[tokio::test]
async fn login_writes_what_docker_would_and_keeps_the_rest() {
    let home = Home::with_docker(
        r#"{"HttpHeaders":{"X":"y"},"auths":{"quay.io":{"auth":"bWU6cHc="}},"psFormat":"z"}"#,
    );
    let host = "ghcr.io".parse().unwrap();
    let stored = home
        .chain()
        .store(&host, &Credential::basic("me", "p:w"))
        .await
        .unwrap();
    assert_eq!(stored, StoredIn::File(home.path(".docker/config.json")));
    let value: serde_json::Value = serde_json::from_str(&home.docker()).unwrap();
    assert_eq!(value["HttpHeaders"]["X"], "y");
    assert_eq!(value["psFormat"], "z");
    assert_eq!(value["auths"]["ghcr.io"]["auth"], STANDARD.encode("me:p:w"));
    assert_eq!(home.find("ghcr.io/x").await.unwrap().unwrap(), "me:p:w");
    assert_eq!(home.find("quay.io").await.unwrap().unwrap(), "me:pw");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(home.path(".docker/config.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(home.chain().erase(&host).await.unwrap());
    assert_eq!(home.find("ghcr.io").await.unwrap(), None);
    assert!(!home.chain().erase(&host).await.unwrap());
    assert_eq!(home.find("quay.io").await.unwrap().unwrap(), "me:pw");
}

#[tokio::test]
async fn login_makes_the_file_where_there_is_none() {
    let home = Home::new();
    let hub = "docker.io".parse().unwrap();
    assert!(!home.chain().erase(&hub).await.unwrap());
    assert!(!home.path(".docker").exists());
    let token = Credential::IdentityToken(SecretString::from("refresh"));
    home.chain().store(&hub, &token).await.unwrap();
    let value: serde_json::Value = serde_json::from_str(&home.docker()).unwrap();
    assert_eq!(
        value["auths"]["https://index.docker.io/v1/"]["identitytoken"],
        "refresh"
    );
    assert_eq!(
        home.find("docker.io/library/x").await.unwrap().unwrap(),
        "identity refresh"
    );
}

#[tokio::test]
async fn logout_removes_every_spelling_and_no_more() {
    let home = Home::with_docker(&auths(&[
        "ghcr.io",
        "https://ghcr.io/v1/",
        "ghcr.io/team",
        "a.ghcr.io",
    ]));
    assert!(
        home.chain()
            .erase(&"ghcr.io".parse().unwrap())
            .await
            .unwrap()
    );
    assert_eq!(home.find("ghcr.io").await.unwrap(), None);
    assert!(home.find("ghcr.io/team/x").await.unwrap().is_some());
    assert!(home.find("a.ghcr.io").await.unwrap().is_some());
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_nothing_is_written() {
    let home = Home::new();
    let host = "ghcr.io".parse().unwrap();
    for credential in [
        Credential::basic("", "canary"),
        Credential::basic("a:b", "canary"),
        Credential::Bearer(SecretString::from("canary")),
    ] {
        let error = home.chain().store(&host, &credential).await.unwrap_err();
        assert!(matches!(error, RegistryError::CredentialOption { .. }));
        assert!(!text_of(&error).contains("canary"));
    }
    assert!(!home.path(".docker").exists());
    let broken = Home::with_docker("{ not JSON");
    broken
        .chain()
        .store(&host, &Credential::basic("me", "pw"))
        .await
        .unwrap_err();
    assert_eq!(broken.docker(), "{ not JSON");
}

#[cfg(unix)]
#[tokio::test]
async fn a_linked_file_stays_a_link() {
    let home = Home::new();
    home.write("dotfiles/docker.json", "{}");
    std::fs::create_dir_all(home.path(".docker")).unwrap();
    std::os::unix::fs::symlink(
        home.path("dotfiles/docker.json"),
        home.path(".docker/config.json"),
    )
    .unwrap();
    let host = "ghcr.io".parse().unwrap();
    home.chain()
        .store(&host, &Credential::basic("me", "pw"))
        .await
        .unwrap();
    let link = || std::fs::symlink_metadata(home.path(".docker/config.json")).unwrap();
    assert!(link().file_type().is_symlink());
    assert!(home.docker().contains("ghcr.io"));

    // So does one whose target is not there yet.
    std::fs::remove_dir_all(home.path("dotfiles")).unwrap();
    let credential = Credential::basic("me", "pw");
    home.chain().store(&host, &credential).await.unwrap();
    assert!(link().file_type().is_symlink());
    assert!(home.docker().contains("ghcr.io"));
}

#[cfg(unix)]
#[tokio::test]
async fn login_goes_to_the_helper_where_one_is_named() {
    let home = Home::with_docker(r#"{"credHelpers":{"ghcr.io":"x"}}"#);
    home.helper(
        "x",
        r#"case $1 in
store) cat > "$HOME/store";;
get) test -e "$HOME/store" && cat "$HOME/store" && exit; echo 'credentials not found in native keychain'; exit 1;;
erase) test -e "$HOME/store" || { echo 'credentials not found in native keychain'; exit 1; }; rm "$HOME/store";;
esac"#,
    );
    let host = "ghcr.io".parse().unwrap();
    let stored = home
        .chain()
        .store(&host, &Credential::basic("me", "canary"))
        .await
        .unwrap();
    assert_eq!(stored, StoredIn::Helper("x".to_owned()));
    assert!(!home.docker().contains("canary"));
    assert!(
        home.docker().contains(r#""ghcr.io": {}"#),
        "{}",
        home.docker()
    );
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "me:canary");
    assert!(home.chain().erase(&host).await.unwrap());
    assert_eq!(home.find("ghcr.io").await.unwrap(), None);
    assert!(!home.chain().erase(&host).await.unwrap());

    home.helper("x", "exit 1");
    let error = home
        .chain()
        .store(&host, &Credential::basic("me", "canary"))
        .await
        .unwrap_err();
    assert!(!text_of(&error).contains("canary"));
    assert!(home.chain().erase(&host).await.is_err());
}

#[test]
fn debug_shows_no_values() {
    let home = Home::new().set("QMT_REGISTRY_X_PASSWORD", "canary");
    let chain = home
        .chain()
        .with_explicit("x.io".parse().unwrap(), Credential::basic("u", "canary"));
    let shown = format!("{chain:?} {:?}", home.environment());
    assert!(
        shown.contains("QMT_REGISTRY_X_PASSWORD") && shown.contains("x.io"),
        "{shown}"
    );
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn the_process_environment_is_read_once() {
    let environment = Environment::of_process();
    assert_eq!(environment.get("PATH"), std::env::var_os("PATH").as_deref());
    assert!(Path::new("/").is_absolute());
}
