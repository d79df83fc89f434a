//! AUTH-15, AUTH-16, AUTH-17: which credential is used for what, and what sources may do.

mod entries;
mod helpers;
mod login;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use qmt_oci_ref::{RegistryError, RegistryHost, Repository};

use super::*;
use crate::error::{ClientError, CredentialError};
use crate::limits::{HELPER_OUTPUT_MAX, HELPER_TIME_MAX};

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

fn reason_of(result: Result<Option<String>, RegistryError>) -> &'static str {
    let error = result.unwrap_err();
    match error.downcast_ref() {
        Some(ClientError::Credential(
            CredentialError::File { reason, .. }
            | CredentialError::Helper { reason, .. }
            | CredentialError::Option { reason, .. },
        )) => reason,
        _ => panic!("expected a refusal, got {error:?}"),
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

/// Docker's variable comes before its file, and has no helpers.
#[tokio::test]
async fn entries_in_dockers_variable_are_used() {
    let home = Home::with_docker(&auths(&["ghcr.io", "quay.io"]));
    let entry = auth("variable:pw");
    let variable = format!(
        r#"{{"auths":{{"ghcr.io":{entry},"quay.io":{{}}}},"credsStore":"absent","credHelpers":{{"quay.io":"absent"}}}}"#
    );
    let home = home.set("DOCKER_AUTH_CONFIG", &variable);
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "variable:pw");
    assert_eq!(home.find("quay.io").await.unwrap().unwrap(), "quay.io:pw");
    let origin = |host: &str| home.chain().origin(&host.parse().unwrap(), None);
    let variable = CredentialOrigin::Variables(vec!["DOCKER_AUTH_CONFIG".to_owned()]);
    assert_eq!(origin("ghcr.io"), variable);
    assert_eq!(origin("quay.io"), CredentialOrigin::Unknown);
    // One that can't be read is an error where nothing else has a credential.
    let home = Home::with_docker(&auths(&["ghcr.io"])).set("DOCKER_AUTH_CONFIG", "canary");
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "ghcr.io:pw");
    let error = home.find("quay.io").await.unwrap_err();
    let text = text_of(&error);
    assert!(
        text.contains("variable `DOCKER_AUTH_CONFIG`") && !text.contains("canary"),
        "{text}"
    );
    let detail: &ClientError = error.downcast_ref().unwrap();
    let hint = detail.hint().unwrap();
    assert!(hint.contains("or unset it"), "{hint}");
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
    // The file itself, as many set it.
    let home = home.set("DOCKER_CONFIG", &format!("{docker}/config.json"));
    assert!(home.find("f.example").await.unwrap().is_some());
    // With a slash at its end, as some scripts add it.
    for place in [format!("{docker}/config.json/"), format!("{docker}//")] {
        let home = Home::new().set("DOCKER_CONFIG", &place);
        assert!(home.find("f.example").await.unwrap().is_some(), "{place}");
    }
    let home = Home::new().set("REGISTRY_AUTH_FILE", &format!("{}/", named.display()));
    assert!(home.find("b.example").await.unwrap().is_some());
}

/// As docs/operators.md names it.
#[tokio::test]
async fn an_address_of_ipv6_has_a_variable() {
    let home = Home::new().set("QMT_REGISTRY____1__5000_TOKEN", "pw");
    assert_eq!(home.find("[::1]:5000").await.unwrap().unwrap(), "bearer pw");
    assert_eq!(home.find("[::1]:5001").await.unwrap(), None);
}

#[tokio::test]
async fn variables_name_the_registry() {
    let home = Home::new()
        .set("QMT_REGISTRY_LOCALHOST_5000_USERNAME", "me")
        .set("QMT_REGISTRY_LOCALHOST_5000_PASSWORD", "pw")
        .set("QMT_REGISTRY_MY__REG_EXAMPLE_COM_TOKEN", "tok");
    assert_eq!(home.find("localhost:5000").await.unwrap().unwrap(), "me:pw");
    assert_eq!(
        home.find("my-reg.example.com").await.unwrap().unwrap(),
        "bearer tok"
    );
    assert_eq!(home.find("my.reg.example.com").await.unwrap(), None);
    assert_eq!(home.find("localhost:5001").await.unwrap(), None);
    let address = Home::new().set("QMT_REGISTRY____1__5000_TOKEN", "tok");
    assert!(address.find("[::1]:5000").await.unwrap().is_some());
    assert!(address.find("[::1]").await.unwrap().is_none());
}

/// A variable that can be meant for another registry is refused.
#[tokio::test]
async fn auth_15_a_variable_for_another_registry_is_refused() {
    for suffix in ["TOKEN", "USERNAME", "PASSWORD"] {
        let ambiguous = format!("QMT_REGISTRY_REGISTRY_GITLAB_COM_{suffix}");
        let home = Home::new().set(&ambiguous, "canary");
        let error = home.find("registry-gitlab.com").await.unwrap_err();
        let text = text_of(&error);
        assert!(
            matches!(
                error.downcast_ref(),
                Some(ClientError::Credential(
                    CredentialError::AmbiguousVariable { .. }
                ))
            ),
            "{text}"
        );
        assert!(!text.contains("canary"));
        assert!(text.contains(&ambiguous), "{text}");
        assert!(
            text.contains("QMT_REGISTRY_REGISTRY__GITLAB_COM_"),
            "{text}"
        );
        assert_eq!(home.find("registrygitlab.com").await.unwrap(), None);
        // The registry's own variable decides, even an empty one.
        let own = "QMT_REGISTRY_REGISTRY__GITLAB_COM_TOKEN";
        let home = home.set(own, "");
        assert_eq!(home.find("registry-gitlab.com").await.unwrap(), None);
        let home = home.set(own, "own");
        let found = home.find("registry-gitlab.com").await.unwrap();
        assert_eq!(found.unwrap(), "bearer own");
    }
    let home = Home::new().set("QMT_REGISTRY_REGISTRY_GITLAB_COM_TOKEN", "tok");
    assert!(home.find("registry.gitlab.com").await.unwrap().is_some());
    let home = Home::new().set("QMT_REGISTRY_REGISTRY_GITLAB_COM_TOKEN", "");
    assert_eq!(home.find("registry-gitlab.com").await.unwrap(), None);
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
            matches!(
                error.downcast_ref(),
                Some(ClientError::Credential(CredentialError::Option { .. }))
            ),
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
