//! Login and logout.

#[cfg(unix)]
use super::helpers::ANSWER;
use super::*;

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
async fn logout_removes_every_name_of_the_registry() {
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
        assert!(matches!(
            error.downcast_ref(),
            Some(ClientError::Credential(CredentialError::Option { .. }))
        ));
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

/// An empty list is an empty table; a setting that is neither is not replaced.
#[tokio::test]
async fn a_login_replaces_an_empty_list_only() {
    let host = "ghcr.io".parse().unwrap();
    let credential = Credential::basic("me", "pw");
    let home = Home::with_docker(r#"{"auths":[],"credHelpers":[]}"#);
    home.chain().store(&host, &credential).await.unwrap();
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "me:pw");
    for content in [r#"{"auths":[7]}"#, r#"{"credsStore":false}"#] {
        let home = Home::with_docker(content);
        home.chain().store(&host, &credential).await.unwrap_err();
        assert_eq!(home.docker(), content);
    }
}

/// Docker reads the key in any case, so a login goes to the entries that are there.
#[tokio::test]
async fn a_login_keeps_entries_under_a_key_in_another_case() {
    let home = Home::with_docker(r#"{"Auths":{"other.example":{"auth":"bWU6cHc="}}}"#);
    let host = "ghcr.io".parse().unwrap();
    let credential = Credential::basic("me", "pw");
    home.chain().store(&host, &credential).await.unwrap();
    for host in ["ghcr.io", "other.example"] {
        assert!(home.find(host).await.unwrap().is_some(), "{host}");
    }
}

/// A file without the credential is not written, so it may be one that can't be.
#[tokio::test]
async fn a_logout_without_an_entry_leaves_the_file_as_it_is() {
    let content = r#"{"auths":{"quay.io":{"auth":"bWU6cHc="}}}"#;
    let home = Home::with_docker(content);
    let host = "ghcr.io".parse().unwrap();
    assert!(!home.chain().erase(&host).await.unwrap());
    assert_eq!(home.docker(), content);
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

    // It has other words for what it does not have.
    home.helper(
        "x",
        r"case $1 in
erase) echo 'The specified item could not be found in the keychain.';;
get) echo 'credentials not found in native keychain';;
esac; exit 1",
    );
    assert!(!home.chain().erase(&host).await.unwrap());
    home.helper(
        "x",
        &format!("case $1 in erase) exit 1;; esac; {ANSWER} me canary"),
    );
    assert!(home.chain().erase(&host).await.is_err());

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

/// A folder named `~` or `$HOME` would be made in the current folder.
#[tokio::test]
async fn a_login_writes_no_folder_named_like_what_a_shell_replaces() {
    for (place, part) in [
        ("~/qmt-login-test", "`~` by the home folder"),
        ("~", "`~` by the home folder"),
        ("$HOME/qmt-login-test", "the variable in it"),
        ("${HOME}/qmt-login-test", "the variable in it"),
        ("/no-such-folder/$USER/qmt-login-test", "the variable in it"),
        (r"%USERPROFILE%\qmt-login-test", "the variable in it"),
    ] {
        let home = Home::new().set("DOCKER_CONFIG", place);
        let host = "ghcr.io".parse().unwrap();
        let (chain, credential) = (home.chain(), Credential::basic("me", "pw"));
        let error = chain.store(&host, &credential).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the credentials file is unknown: `DOCKER_CONFIG` names `{place}`, and only \
                 shells replace {part}"
            )
        );
        assert_eq!(
            error.hint().unwrap(),
            "write out the path in `DOCKER_CONFIG`, or unset it"
        );
        assert!(!Path::new(place).exists());
    }
}

/// Docker's folder may have been a file before there was more to configure.
#[tokio::test]
async fn a_login_names_what_is_not_a_folder() {
    let host: RegistryHost = "ghcr.io".parse().unwrap();
    let credential = Credential::basic("me", "pw");
    let home = Home::new();
    home.write(".docker", "{}");
    let file = home.path(".docker/config.json");
    let error = home.chain().store(&host, &credential).await.unwrap_err();
    let (file, folder) = (file.display(), home.path(".docker"));
    assert_eq!(
        error.to_string(),
        format!(
            "credentials file `{file}`: it can't be written, because `{}` is not a folder",
            folder.display()
        )
    );
    let hint = error.hint().unwrap();
    assert!(hint.starts_with("rename or remove `"), "{hint}");
    assert!(!home.chain().erase(&host).await.unwrap());

    let below = folder.join("a/b");
    for place in [below.to_str().unwrap(), "/dev/null"] {
        let home = Home::new().set("DOCKER_CONFIG", place);
        let error = home.chain().store(&host, &credential).await.unwrap_err();
        assert!(error.to_string().ends_with("` is not a folder"), "{error}");
        assert_eq!(
            error.hint().unwrap(),
            "its path comes from the variable `DOCKER_CONFIG`: correct or unset it"
        );
    }
}

/// Variables of CI systems often have the content of a file. It is not shown and names no folder.
#[tokio::test]
async fn a_login_makes_no_folder_of_the_content_of_a_variable() {
    let content = auths(&["ghcr.io"]);
    let host: RegistryHost = "ghcr.io".parse().unwrap();
    for (value, words) in [
        (
            content.clone(),
            "holds JSON, not a path; `DOCKER_AUTH_CONFIG`",
        ),
        (
            format!("{content}\n"),
            "holds JSON, not a path; `DOCKER_AUTH_CONFIG`",
        ),
        (
            STANDARD.encode(&content),
            "holds JSON in base64, not a path; `DOCKER_AUTH_CONFIG`",
        ),
        (
            "one\ntwo".to_owned(),
            "holds text with line breaks or control characters, not a path",
        ),
    ] {
        let home = Home::new().set("DOCKER_CONFIG", &value);
        let chain = home.chain();
        let stored = chain.store(&host, &Credential::basic("me", "pw")).await;
        for error in [stored.unwrap_err(), chain.erase(&host).await.unwrap_err()] {
            let text = text_of(&error);
            assert!(error.to_string().contains(words), "{text}");
            assert!(!text.contains(value.trim()), "{text}");
        }
        assert!(!Path::new(&value).exists() && !home.path(".docker").exists());
        assert_eq!(home.find("ghcr.io").await.unwrap(), None);
    }
}

#[tokio::test]
#[cfg(unix)]
async fn a_variable_may_be_the_url_of_a_file() {
    let home = Home::with_docker(&auths(&["ghcr.io"]));
    home.write("auth.json", &auths(&["quay.io"]));
    let url = |name: &str| format!("file://{}", home.path(name).display());
    let (docker, auth_file) = (url(".docker"), url("auth.json"));
    let home = home
        .set("DOCKER_CONFIG", &docker)
        .set("REGISTRY_AUTH_FILE", &auth_file);
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "ghcr.io:pw");
    assert_eq!(home.find("quay.io").await.unwrap().unwrap(), "quay.io:pw");
    let host = "ghcr.io".parse().unwrap();
    assert!(home.chain().erase(&host).await.unwrap());
    assert_eq!(home.find("ghcr.io").await.unwrap(), None);
}

/// A variable of another name is an error, if the credential is not complete without it.
#[tokio::test]
async fn a_misspelled_variable_is_named_without_its_value() {
    let name = |suffix: &str| format!("QMT_REGISTRY_GHCR_IO_{suffix}");
    for (user, password) in [
        ("USER", "PASS"),
        ("USERNAME", "PASSWD"),
        ("username", "password"),
    ] {
        let home = Home::with_docker(&auths(&["ghcr.io"]))
            .set(&name(user), "canary")
            .set(&name(password), "canary");
        let error = home.find("ghcr.io").await.unwrap_err();
        let wanted = format!("did you mean `{}`?", name("PASSWORD"));
        let text = text_of(&error);
        assert!(text.contains(&wanted), "{text}");
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(home.find("quay.io").await.unwrap(), None);
    }
    let home = Home::new()
        .set(&name("USER"), "canary")
        .set(&name("TOKEN"), "pw");
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "bearer pw");
    let home = Home::new().set(&name("USER"), "");
    assert_eq!(home.find("ghcr.io").await.unwrap(), None);
}

/// Logins at the same time, as in parallel jobs, lose none of each other's entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_logins_are_all_stored() {
    let home = Home::new();
    let hosts: Vec<RegistryHost> = (0..8)
        .map(|nth| format!("r{nth}.example").parse().unwrap())
        .collect();
    let logins = hosts.iter().map(|host| {
        let (chain, host) = (home.chain(), host.clone());
        tokio::spawn(async move { chain.store(&host, &Credential::basic("me", "pw")).await })
    });
    for login in logins.collect::<Vec<_>>() {
        login.await.unwrap().unwrap();
    }
    for host in &hosts {
        let found = home.find(host.as_str()).await.unwrap();
        assert!(found.is_some(), "{host}");
    }
    let mut files = std::fs::read_dir(home.path(".docker")).unwrap();
    assert!(files.all(|file| file.unwrap().file_name() == "config.json"));
}

/// A file that is mounted, or in a folder that can't be changed. The file system of processes is one,
/// also for a test that runs as root.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_cannot_be_written_is_named_with_the_next_step() {
    let host: RegistryHost = "r.my-org.example:5000".parse().unwrap();
    let credential = Credential::basic("me", "canary");
    let home = Home::new().set("DOCKER_CONFIG", "/proc/qmt-plugins");
    let error = home.chain().store(&host, &credential).await.unwrap_err();
    let text = "credentials file `/proc/qmt-plugins/config.json`: it can't be written";
    assert_eq!(error.to_string(), text);
    let hint = error.hint().unwrap();
    for word in [
        "`DOCKER_CONFIG`",
        "`QMT_REGISTRY_R_MY__ORG_EXAMPLE_5000_USERNAME`",
        "`QMT_REGISTRY_R_MY__ORG_EXAMPLE_5000_PASSWORD`",
    ] {
        assert!(hint.contains(word), "{hint}");
    }
    let source = CredentialError::Unwritable {
        path: "/proc/config.json".into(),
        instead: None,
        source: std::io::ErrorKind::ReadOnlyFilesystem.into(),
    };
    let hint = ClientError::from(source).hint().unwrap();
    assert!(hint.contains("stays in the file"), "{hint}");
}

/// A logout removes what is for the whole registry, and what is for a path in it is still used.
#[tokio::test]
async fn what_is_for_a_path_in_the_registry_remains_after_a_logout() {
    let host: RegistryHost = "r.example:5000".parse().unwrap();
    for (content, key) in [
        (
            r#"{"auths":{"r.example:5000/a":{"auth":"bWU6cHc="}}}"#,
            "r.example:5000/a",
        ),
        (
            r#"{"auths":{"r.example:5000":{"auth":"bWU6cHc="},"https://r.example:5000/v2/a/b":{"auth":"bWU6cHc="}}}"#,
            "https://r.example:5000/v2/a/b",
        ),
    ] {
        let home = Home::with_docker(content);
        home.chain().erase(&host).await.unwrap();
        match home.chain().remaining(&host).await {
            Some(CredentialOrigin::Entry { key: found, .. }) => assert_eq!(found, key),
            other => panic!("{content}: {other:?}"),
        }
    }
    for content in [
        "{}",
        r#"{"auths":{"r.example:5000/a":{},"other.example/a":{"auth":"bWU6cHc="}}}"#,
        r#"{"auths":{"https://r.example:5000/v2/":{}},"credHelpers":{"r.example:5000/a":""}}"#,
    ] {
        let home = Home::with_docker(content);
        assert_eq!(home.chain().remaining(&host).await, None, "{content}");
    }
    let variable = r#"{"auths":{"r.example:5000/a":{"auth":"bWU6cHc="}}}"#;
    let home = Home::new().set("DOCKER_AUTH_CONFIG", variable);
    let remaining = home.chain().remaining(&host).await;
    let expected = CredentialOrigin::Variables(vec!["DOCKER_AUTH_CONFIG".to_owned()]);
    assert_eq!(remaining, Some(expected));
}

#[cfg(unix)]
#[tokio::test]
async fn a_helper_for_a_path_in_the_registry_remains_after_a_logout() {
    let host: RegistryHost = "r.example".parse().unwrap();
    let home = Home::with_docker(r#"{"credHelpers":{"r.example/a":"h"}}"#);
    home.helper("h", &format!("{ANSWER} me pw"));
    match home.chain().remaining(&host).await {
        Some(CredentialOrigin::Helper { key, .. }) => {
            assert_eq!(key, "credHelpers[\"r.example/a\"]");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_login_without_a_home_folder_names_the_variable() {
    let chain = CredentialChain::over(Environment::default());
    let host = "r.example".parse().unwrap();
    let stored = chain.store(&host, &Credential::basic("me", "canary")).await;
    let error = stored.unwrap_err();
    assert!(matches!(
        error.downcast_ref(),
        Some(ClientError::Credential(CredentialError::NoFolder))
    ));
    assert!(!text_of(&error).contains("canary"));
    assert!(error.hint().unwrap().contains("`DOCKER_CONFIG`"));
}
