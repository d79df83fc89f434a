//! Errors name the variables that a credential comes from, or that lead to none.

use std::path::Path;

use qmt_registry::credentials::CredentialOrigin;

use super::*;

/// The name of a variable with the credential of `server`.
fn variable(server: &FakeRegistry, suffix: &str) -> String {
    let host = server.host().to_string();
    format!("QMT_REGISTRY_{}_{suffix}", host.replace(['.', ':'], "_"))
}

/// A client whose environment has these variables.
fn with_variables(server: &FakeRegistry, set: &[(&str, &str)]) -> (HttpRegistry, Recorder) {
    with_environment(server, set.iter().copied().collect())
}

#[tokio::test]
async fn a_refused_password_of_a_variable_is_named() {
    for auth in [Auth::Token(options()), Auth::basic("alice", CANARY)] {
        let server = image_behind(auth).await;
        let (user, password) = (variable(&server, "USERNAME"), variable(&server, "PASSWORD"));
        let set = [
            (user.as_str(), "alice"),
            (password.as_str(), "canary-wrong"),
        ];
        let (client, _) = with_variables(&server, &set);
        for _ in 0..2 {
            let error = resolve(&client, &server).await.unwrap_err();
            let hint = hint_of(&error);
            assert!(hint.contains(&password) && hint.contains("unset"), "{hint}");
            assert!(!hint.contains("qmt-plugins login"), "{hint}");
        }
        // The good one, from a file that ends with a line break.
        let good = format!("{CANARY}\r\n");
        let set = [(user.as_str(), "alice"), (password.as_str(), good.as_str())];
        let (client, _) = with_variables(&server, &set);
        resolve(&client, &server).await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_token_of_a_variable_was_sent() {
    let server = image_behind(Auth::Token(options())).await;
    let token = variable(&server, "TOKEN");
    let (client, _) = with_variables(&server, &[(&token, "canary-token")]);
    for _ in 0..2 {
        let error = resolve(&client, &server).await.unwrap_err();
        let text = full_text(&error);
        assert!(!text.contains("without one"), "{text}");
        assert!(!text.contains("canary"), "{text}");
        assert!(hint_of(&error).contains(&token), "{}", hint_of(&error));
    }
    let public = image_behind(Auth::Token(options().anonymous_pull())).await;
    let token = variable(&public, "TOKEN");
    let (client, events) = with_variables(&public, &[(&token, "canary-token")]);
    resolve(&client, &public).await.unwrap();
    let origin = CredentialOrigin::Variables(vec![token]);
    let named = events.count(
        |event| matches!(event, RegistryEvent::CredentialRefused { origin: from, .. } if *from == origin),
    );
    assert_eq!(named, 1, "{:?}", events.all());
}

#[tokio::test]
async fn a_token_where_a_password_is_required_is_named() {
    let server = image_behind(Auth::basic("alice", CANARY)).await;
    let token = variable(&server, "TOKEN");
    let (client, _) = with_variables(&server, &[(&token, "canary-token")]);
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::CredentialWithheld { .. })),
        "{error:?}"
    );
    assert!(hint_of(&error).contains(&token), "{}", hint_of(&error));
}

#[tokio::test]
async fn a_credential_that_cannot_be_sent_is_named() {
    for auth in [Auth::Token(options()), Auth::basic("a:b", CANARY)] {
        let is_token = matches!(auth, Auth::Token(_));
        let server = image_behind(auth).await;
        let (user, password) = (variable(&server, "USERNAME"), variable(&server, "PASSWORD"));
        let token = variable(&server, "TOKEN");
        let pair = [(user.as_str(), "a:b"), (password.as_str(), "canary")];
        let alone = [(token.as_str(), "canary\nx")];
        let cases: [(&[(&str, &str)], &str); 2] = [(&pair, &user), (&alone, &token)];
        for (set, name) in &cases[..if is_token { 2 } else { 1 }] {
            let (client, _) = with_variables(&server, set);
            let error = resolve(&client, &server).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(*name) && !text.contains("canary"), "{text}");
        }
    }
}

/// A token with the word that precedes it in a header.
#[tokio::test]
async fn a_token_after_the_word_bearer_is_refused_with_the_reason() {
    let server = image_behind(Auth::Token(options())).await;
    let token = variable(&server, "TOKEN");
    for (value, words) in [
        ("Bearer canary", "without the word `Bearer`"),
        ("bearer  canary", "without the word `Bearer`"),
        ("canary canary", "the token has white space"),
        ("canary\u{e9}", "characters that a header does not allow"),
    ] {
        let (client, _) = with_variables(&server, &[(&token, value)]);
        let error = resolve(&client, &server).await.unwrap_err();
        let text = full_text(&error);
        assert!(text.contains(words), "{text}");
        assert!(text.contains(&token) && !text.contains("canary"), "{text}");
    }
}

/// Also where the registry requires a password.
#[tokio::test]
async fn the_word_bearer_in_a_variable_is_an_error_before_the_token_is_used() {
    let server = image_behind(Auth::basic("alice", CANARY)).await;
    let token = variable(&server, "TOKEN");
    let (client, _) = with_variables(&server, &[(&token, "Bearer canary")]);
    let text = full_text(&resolve(&client, &server).await.unwrap_err());
    assert!(text.contains("without the word `Bearer`"), "{text}");
    assert!(text.contains(&token) && !text.contains("canary"), "{text}");
}

/// A variable that leads to no file is the likely reason for a missing credential.
#[tokio::test]
async fn a_variable_without_a_file_is_named() {
    let server = image_behind(Auth::Token(options())).await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join(".dockerconfigjson"), "{}").unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let absent = folder.path().join("absent");
    for (variable, path, words) in [
        ("DOCKER_CONFIG", absent.as_path(), "does not exist"),
        ("DOCKER_CONFIG", &empty, "no `config.json`"),
        ("DOCKER_CONFIG", &secret, ".dockerconfigjson"),
        ("DOCKER_CONFIG", Path::new("~/.docker"), "only shells"),
        ("DOCKER_CONFIG", Path::new("$HOME/.docker"), "only shells"),
        (
            "REGISTRY_AUTH_FILE",
            Path::new("$HOME/a.json"),
            "only shells",
        ),
        ("REGISTRY_AUTH_FILE", &absent, "does not exist"),
    ] {
        let set = [(variable, path.to_str().unwrap())];
        let (client, _) = with_variables(&server, &set);
        let hint = hint_of(&resolve(&client, &server).await.unwrap_err());
        assert!(hint.contains(variable) && hint.contains(words), "{hint}");
        assert!(hint.contains("qmt-plugins login"), "{hint}");
    }
    let text = folder.path().join("text");
    std::fs::write(&text, "canary").unwrap();
    let config = empty.join("config.json");
    std::fs::write(&config, "canary").unwrap();
    for (variable, path) in [
        ("REGISTRY_AUTH_FILE", &empty),
        ("REGISTRY_AUTH_FILE", &text),
        ("DOCKER_CONFIG", &config),
        ("DOCKER_CONFIG", &empty),
    ] {
        let set = [(variable, path.to_str().unwrap())];
        let (client, _) = with_variables(&server, &set);
        let error = resolve(&client, &server).await.unwrap_err();
        let (text, hint) = (full_text(&error), error.hint().unwrap());
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        assert!(hint.contains(&format!("`{variable}`")), "{hint}");
        assert!(!text.contains("canary"), "{text}");
    }
    std::fs::remove_file(config).unwrap();
    for (content, words) in [
        (
            r#"{"auths":{"x":"canary"}}"#,
            "holds JSON, not a path; `DOCKER_AUTH_CONFIG`",
        ),
        (
            "canary\ncanary",
            "holds text with line breaks or control characters, not a path",
        ),
    ] {
        for variable in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE"] {
            let (client, _) = with_variables(&server, &[(variable, content)]);
            let error = resolve(&client, &server).await.unwrap_err();
            let hint = hint_of(&error);
            assert!(hint.contains(variable) && hint.contains(words), "{hint}");
            assert!(
                !format!("{hint} {}", full_text(&error)).contains("canary"),
                "{hint}"
            );
        }
    }
    // What belongs inside of `auths`, and names without the port.
    let inner = format!(
        r#"{{"{}":{{"auth":"Y2FuYXJ5OmNhbmFyeQ=="}}}}"#,
        server.host()
    );
    let token = "QMT_REGISTRY_127_0_0_1_TOKEN";
    let own = variable(&server, "");
    let port = format!("with its port, the names begin with `{own}`");
    for (variable, content, words) in [
        ("DOCKER_AUTH_CONFIG", &*inner, "has no `auths`"),
        (
            "DOCKER_AUTH_CONFIG",
            r#"{"credsStore":"x"}"#,
            "has no `auths`",
        ),
        (token, "canary", &port),
    ] {
        let (client, _) = with_variables(&server, &[(variable, content)]);
        let error = resolve(&client, &server).await.unwrap_err();
        let hint = hint_of(&error);
        assert!(hint.contains(variable) && hint.contains(words), "{hint}");
        assert!(
            !hint.contains("canary") && hint.contains("qmt-plugins login"),
            "{hint}"
        );
    }
    for content in ["{}", r#"{"auths":{}}"#, ""] {
        let (client, _) = with_variables(&server, &[("DOCKER_AUTH_CONFIG", content)]);
        let hint = hint_of(&resolve(&client, &server).await.unwrap_err());
        assert!(!hint.contains("DOCKER_AUTH_CONFIG"), "{hint}");
    }
    // A file without an entry for this registry is not wrong.
    std::fs::write(empty.join("config.json"), "{}").unwrap();
    let set = [("DOCKER_CONFIG", empty.to_str().unwrap())];
    let (client, _) = with_variables(&server, &set);
    let hint = hint_of(&resolve(&client, &server).await.unwrap_err());
    assert!(!hint.contains("DOCKER_CONFIG"), "{hint}");
}
