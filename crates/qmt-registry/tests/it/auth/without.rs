//! Requests without a credential: public images require none; for others, the error names the login.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::{DigestAlgorithm, PinnedReference, RawManifest, RegistryErrorKind};
use qmt_registry::RegistryWriter as _;

use super::*;

/// A client with docker's configuration in `home`.
pub(super) fn with_docker(
    server: &FakeRegistry,
    home: &Path,
    content: &str,
) -> (HttpRegistry, Recorder) {
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    std::fs::write(home.join(".docker/config.json"), content).unwrap();
    with_environment(server, [("HOME", home)].into_iter().collect())
}

/// AUTH-16: a public image is read, whatever docker's file has; a private one is refused with the
/// error of the file.
#[tokio::test]
async fn an_unusable_credential_is_reported_only_where_one_is_required() {
    let public = image_behind(Auth::Token(options().anonymous_pull())).await;
    let private = image_behind(Auth::Token(options())).await;
    let basic = image_behind(Auth::basic("alice", CANARY)).await;
    let home = tempfile::tempdir().unwrap();
    let entry = |server: &FakeRegistry| {
        let host = server.host();
        format!(r#"{{"auths":{{"{host}":{{"auth":"canary!"}}}}}}"#)
    };
    let broken = |_: &FakeRegistry| "{".to_owned();
    let helper = |_: &FakeRegistry| r#"{"credsStore":"absent"}"#.to_owned();
    let contents: [&dyn Fn(&FakeRegistry) -> String; 3] = [&entry, &broken, &helper];
    for content in contents {
        let (client, events) = with_docker(&public, home.path(), &content(&public));
        resolve(&client, &public).await.unwrap();
        resolve(&client, &public).await.unwrap();
        let skipped = |event: &RegistryEvent| matches!(event, RegistryEvent::CredentialSkipped { reason, .. } if reason.contains("config.json"));
        assert_eq!(events.count(skipped), 1);

        for server in [&private, &basic] {
            let (client, _) = with_docker(server, home.path(), &content(server));
            for _ in 0..2 {
                let error = resolve(&client, server).await.unwrap_err();
                assert_eq!(error.kind(), RegistryErrorKind::Configuration, "{error:?}");
                let text = full_text(&error);
                assert!(
                    text.contains("config.json") && !text.contains("canary"),
                    "{text}"
                );
            }
        }
        // The check of a registry tries the same.
        let (client, events) = with_docker(&public, home.path(), &content(&public));
        assert!(!client.check_host(&public.host()).await.unwrap());
        assert_eq!(events.count(skipped), 1);
        // Nothing is pushed without the credential that there is.
        let (client, _) = with_docker(&public, home.path(), &content(&public));
        let (to, algorithm) = (public.reference("acme/echo:2"), DigestAlgorithm::Sha256);
        let image = RawManifest::read(MANIFEST.into(), None, algorithm).unwrap();
        let push = client.push_manifest(&to, &image);
        let error = push.await.unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Configuration, "{error:?}");
    }
}

/// An entry that can't be used is replaced by a login where that writes the same entry.
#[tokio::test]
async fn an_unusable_entry_names_the_login_that_replaces_it() {
    let server = image_behind(Auth::basic("alice", CANARY)).await;
    let (host, home) = (server.host(), tempfile::tempdir().unwrap());
    let login = format!("`qmt-plugins login {host}` replaces the entry");
    let without_colon = STANDARD.encode("canary");
    for auth in ["Og==", "canary!", &without_colon] {
        let entry = |key: &str| format!(r#"{{"auths":{{"{key}":{{"auth":"{auth}"}}}}}}"#);
        let (client, _) = with_docker(&server, home.path(), &entry(host.as_str()));
        let error = resolve(&client, &server).await.unwrap_err();
        assert_eq!(hint_of(&error), login);

        let specific = format!("{host}/acme");
        let (client, _) = with_docker(&server, home.path(), &entry(&specific));
        let hint = hint_of(&resolve(&client, &server).await.unwrap_err());
        assert_eq!(hint, format!("correct or remove `{specific}` there"));

        // A login does not write this file.
        let other = home.path().join("auth.json");
        std::fs::write(&other, entry(host.as_str())).unwrap();
        let environment = [("REGISTRY_AUTH_FILE", other.as_path())];
        let (client, _) = with_environment(&server, environment.into_iter().collect());
        let hint = hint_of(&resolve(&client, &server).await.unwrap_err());
        assert_eq!(hint, format!("correct or remove `{host}` there"));
    }
}

/// Over plain HTTP, a password is sent, so a login with one helps where a token is stored.
#[tokio::test]
async fn a_stored_token_where_a_password_is_required_is_named() {
    let server = image_behind(Auth::basic("alice", CANARY)).await;
    let (host, home) = (server.host(), tempfile::tempdir().unwrap());
    let marked = STANDARD.encode("<token>:canary-token");
    for entry in [
        r#""identitytoken":"canary-token""#.to_owned(),
        r#""registrytoken":"canary-token""#.to_owned(),
        format!(r#""auth":"{marked}""#),
    ] {
        let content = format!(r#"{{"auths":{{"{host}":{{{entry}}}}}}}"#);
        let (client, _) = with_docker(&server, home.path(), &content);
        let error = resolve(&client, &server).await.unwrap_err();
        let hint = hint_of(&error);
        let file = home.path().join(".docker/config.json");
        let named = format!("entry `{host}` of `{}`", file.display());
        assert!(hint.contains(&named), "{hint}");
        assert!(
            hint.contains(&format!("`qmt-plugins login {host}`")),
            "{hint}"
        );
        assert!(!full_text(&error).contains("canary"), "{error}");
    }
    let pair = STANDARD.encode(format!("alice:{CANARY}"));
    let content = format!(r#"{{"auths":{{"{host}":{{"auth":"{pair}"}}}}}}"#);
    let (client, _) = with_docker(&server, home.path(), &content);
    resolve(&client, &server).await.unwrap();
}

/// A host runs for days: a login that replaces a credential is used without a restart, after a
/// minute at most.
#[tokio::test]
async fn a_new_login_is_used_after_a_minute() {
    let home = tempfile::tempdir().unwrap();
    let login = |server: &FakeRegistry, password: &str| {
        let pair = STANDARD.encode(format!("alice:{password}"));
        format!(r#"{{"auths":{{"{}":{{"auth":"{pair}"}}}}}}"#, server.host())
    };
    let private = image_behind(Auth::Token(options())).await;
    let hidden = hidden::hiding(Auth::basic("alice", CANARY), 404).await;
    for (server, before) in [
        (&private, login(&private, "wrong")),
        (&private, "{".to_owned()),
        (&hidden, login(&hidden, "wrong")),
        (&hidden, "{}".to_owned()),
    ] {
        let (client, _) = with_docker(server, home.path(), &before);
        resolve(&client, server).await.unwrap_err();
        let config = home.path().join(".docker/config.json");
        std::fs::write(config, login(server, CANARY)).unwrap();
        resolve(&client, server).await.unwrap_err();
        tokio::time::pause();
        tokio::time::advance(Duration::from_mins(1)).await;
        tokio::time::resume();
        resolve(&client, server).await.expect(&before);
    }
}

/// Where no credential was sent, the message says so, and the hint names the login.
#[tokio::test]
async fn a_missing_login_is_reported() {
    for auth in [Auth::Token(options()), Auth::basic("alice", CANARY)] {
        let server = image_behind(auth).await;
        let error = resolve(&client(&server), &server).await.unwrap_err();
        assert!(
            matches!(
                error.detail(),
                Some(
                    ClientError::Unauthorized {
                        anonymous: true,
                        ..
                    } | ClientError::TokenRefused {
                        anonymous: true,
                        ..
                    }
                )
            ),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains("requires a credential"), "{text}");
        assert_eq!(error.kind(), RegistryErrorKind::Unauthorized);
        assert!(!text.contains("refuses the credential"), "{text}");
        let login = format!("`qmt-plugins login {}`", server.host());
        assert!(hint_of(&error).contains(&login), "{}", hint_of(&error));
    }
    // A token for nothing, which is refused in either way.
    for status in [401, 403] {
        let server = image_behind(Auth::Token(options().anonymous_pull())).await;
        let with_token = |r: &LoggedRequest| r.header("authorization").is_some();
        server.fault(
            Fault::on("GET", "/v2/*/manifests/*")
                .when(with_token)
                .respond(status)
                .add_header("www-authenticate", "Basic realm=\"x\""),
        );
        let error = resolve(&client(&server), &server).await.unwrap_err();
        assert!(
            matches!(
                error.detail(),
                Some(ClientError::Unauthorized {
                    anonymous: true,
                    ..
                })
            ),
            "{status}: {error:?}"
        );
    }
}

/// A credential that was sent and refused is reported as refused, also after a try without it.
#[tokio::test]
async fn a_refused_credential_is_reported_as_refused() {
    let server = image_behind(Auth::Token(options())).await;
    let wrong = Arc::new(Fixed(Credential::basic("alice", "canary-wrong")));
    let client = builder(&server).credentials(wrong).build().unwrap();
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::TokenRefused {
                anonymous: false,
                ..
            })
        ),
        "{error:?}"
    );
    assert!(!full_text(&error).contains("canary-wrong"));
}

/// Without a login, many registries answer 404 for a private repository.
#[tokio::test]
async fn not_found_mentions_private_repositories() {
    let server = image_behind(Auth::None).await;
    let error = client(&server)
        .resolve(&server.reference("acme/other:1"))
        .await
        .unwrap_err();
    assert!(error.is_not_found());
    assert!(hint_of(&error).contains("`qmt-plugins login"));
}

/// A registry without a challenge gets no credential. A login would change nothing, so none is proposed.
#[tokio::test]
async fn a_credential_that_the_registry_does_not_ask_for_is_named_as_such() {
    let server = image_behind(Auth::None).await;
    let home = tempfile::tempdir().unwrap();
    let host = server.host();
    let stored = format!(r#"{{"auths":{{"{host}":{{"auth":"YWxpY2U6Y2FuYXJ5"}}}}}}"#);
    for (status, said) in [
        (
            403,
            "does not ask for a credential, so the stored one was not sent",
        ),
        (404, "does not exist"),
    ] {
        server.clear_faults();
        server.fault(Fault::on("GET", "/v2/*/manifests/*").respond(status));
        let (client, _) = with_docker(&server, home.path(), &stored);
        for _ in 0..2 {
            let error = resolve(&client, &server).await.unwrap_err();
            let (text, hint) = (error.to_string(), hint_of(&error));
            assert!(text.contains(said), "{text}");
            assert!(!hint.contains("login"), "{hint}");
            assert_eq!(hint.contains("config.json"), status == 403, "{hint}");
        }
        // Without one, a login is the next step.
        let (client, _) = with_docker(&server, home.path(), "{}");
        let error = resolve(&client, &server).await.unwrap_err();
        assert!(hint_of(&error).contains("login"), "{error:?}");
    }
    assert!(authorizations(&server.requests()).is_empty());
}

/// A token server that gives no token refuses nothing: the warning says what it answered.
#[tokio::test]
async fn an_answer_without_a_token_is_no_refusal() {
    let server = image_behind(Auth::Token(options().anonymous_pull())).await;
    let home = tempfile::tempdir().unwrap();
    let host = server.host();
    let auth = STANDARD.encode(format!("alice:{CANARY}"));
    let stored = format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#);
    for (answer, said) in [
        (
            "<!doctype html><title>Sign in</title>",
            "its answer is an HTML page",
        ),
        ("", "its answer is empty"),
        (r#"{"errors":[]}"#, "its answer has no token"),
        (r#"{"token":"a b"}"#, ""),
    ] {
        server.fault(
            Fault::on("GET", "/token")
                .when(|r| r.header("authorization").is_some())
                .body(answer),
        );
        let (client, events) = with_docker(&server, home.path(), &stored);
        let resolved = resolve(&client, &server).await;
        server.clear_faults();
        if said.is_empty() {
            let text = resolved.unwrap_err().to_string();
            assert!(
                text.contains("it has characters that a header does not allow"),
                "{text}"
            );
            continue;
        }
        resolved.unwrap();
        let all = events.all();
        let [
            RegistryEvent::CredentialRefused {
                answer: Some(reason),
                ..
            },
        ] = &all[..]
        else {
            panic!("{all:?}");
        };
        let words = [said, "for the credential in entry `", "config.json`: its"];
        assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
    }
}

/// CFG-01: servers that repeat what they were sent.
#[tokio::test]
async fn cfg_01_an_echoed_credential_is_not_shown() {
    let server = image_behind(Auth::basic("alice", CANARY)).await;
    let client = client_with_password(&server);
    resolve(&client, &server).await.unwrap();
    let sent = authorizations(&server.requests()).pop().unwrap();
    for echo in [
        sent.clone(),
        sent.replace("Basic ", ""),
        CANARY.to_owned(),
        format!("alice:{CANARY}"),
    ] {
        for status in [400, 403, 418] {
            let body = format!(r#"{{"errors":[{{"code":"X","message":"you sent {echo}"}}]}}"#);
            server.fault(
                Fault::on("GET", "/v2/*/manifests/*")
                    .once()
                    .respond(status)
                    .body(body),
            );
            let error = resolve(&client, &server).await.unwrap_err();
            let text = full_text(&error);
            assert!(!text.contains(&echo), "{text}");
            assert!(text.contains("is not shown"), "{text}");
        }
    }
    let server = image_behind(Auth::Token(options())).await;
    server.fault(
        Fault::on("GET", "/token")
            .respond(403)
            .body(format!("no {CANARY}")),
    );
    let error = resolve(&client_with_password(&server), &server)
        .await
        .unwrap_err();
    assert!(!full_text(&error).contains(CANARY), "{}", full_text(&error));
}

/// CFG-01: the same in headers and manifests, which errors quote as well.
#[tokio::test]
async fn cfg_01_an_echoed_credential_is_not_quoted_from_other_places() {
    for auth in [Auth::basic("alice", CANARY), Auth::token("alice", CANARY)] {
        let server = image_behind(auth).await;
        let client = client_with_password(&server);
        resolve(&client, &server).await.unwrap();
        let sent = authorizations(&server.requests()).pop().unwrap();
        let sent = sent.split_once(' ').unwrap().1.trim_end_matches('=');
        let manifest = || Fault::on("GET", "/v2/*/manifests/*").once();
        let typed = format!(r#"{{"mediaType":"x/{sent}","config":{{}},"layers":[]}}"#);
        let artifact = format!(r#"{{"artifactType":"x/{sent}","config":{{}},"layers":[]}}"#);
        let redirect = |to: String| manifest().respond(307).header("location", to);
        for (fault, is_refused) in [
            (manifest().header("content-type", format!("x/{sent}")), true),
            (manifest().respond(200).body(typed), true),
            (manifest().respond(200).body(artifact), true),
            (redirect(format!("https://{sent}.example/x")), true),
            (redirect(format!("ftp://r.example/{sent}")), true),
            // No error quotes these headers.
            (manifest().header("content-encoding", sent), false),
            (manifest().header("x-debug", sent), false),
        ] {
            server.fault(fault.clone());
            let resolved = resolve(&client, &server).await;
            assert_eq!(resolved.is_err(), is_refused, "{fault:?}");
            if let Err(error) = resolved {
                let text = full_text(&error).to_lowercase();
                assert!(!text.contains(&sent.to_lowercase()), "{text}");
            }
            server.clear_faults();
        }
    }
}

/// CFG-01: the same in lists of referrers.
#[tokio::test]
async fn cfg_01_an_echoed_credential_is_not_quoted_from_a_list() {
    for auth in [Auth::basic("alice", CANARY), Auth::token("alice", CANARY)] {
        let server = image_behind(auth).await;
        let client = client_with_password(&server);
        let image = resolve(&client, &server).await.unwrap();
        let sent = authorizations(&server.requests()).pop().unwrap();
        let sent = sent.split_once(' ').unwrap().1.trim_end_matches('=');
        let typed = format!(r#"{{"mediaType":"x/{sent}","manifests":[]}}"#);
        let list = Fault::on("GET", "/v2/*/referrers/*").respond(200);
        let index = "application/vnd.oci.image.index.v1+json";
        server.fault(list.header("content-type", index).body(typed));
        let subject = PinnedReference::new(server.repository("acme/echo"), image.digest().clone());
        let text = match client.referrers(&subject).await {
            Ok(listed) => listed.remarks().join("; "),
            Err(error) => full_text(&error),
        };
        let text = text.to_lowercase();
        assert!(!text.contains(&sent.to_lowercase()), "{text}");
    }
}

/// CFG-01: a password that is a word may be in media types, paths and manifests.
#[tokio::test]
async fn cfg_01_a_password_that_is_a_word_refuses_nothing() {
    for word in [
        "application",
        "manifests",
        "schemaVersion",
        "opencontainers",
    ] {
        let server = image_behind(Auth::basic("alice", word)).await;
        let client = builder(&server)
            .credentials(Arc::new(Fixed(Credential::basic("alice", word))))
            .build()
            .unwrap();
        resolve(&client, &server).await.unwrap();
    }
}
