//! AUTH-10 to AUTH-12: answers of token servers, refusals, secrets.

use qmt_oci_ref::RegistryErrorKind;

use super::*;

/// AUTH-10: answers of a token server without a usable token.
#[tokio::test]
async fn hostile_token_answers_are_bounded_errors() {
    let server = image_behind(Auth::Token(options())).await;
    let reference = server.reference("acme/echo:1");
    let on = || Fault::on("GET", "/token").once();
    let deep = format!(r#"{{"token":{}"#, "[".repeat(60_000));
    for hostile in [
        on().endless(" ".repeat(4096)),
        on().body(deep),
        on().body("<!DOCTYPE html><p>log in"),
        on().body(r#"{"token":"a\r\nx: y"}"#),
        on().body("{}"),
    ] {
        server.fault(hostile);
        let error = client_with_password(&server)
            .resolve(&reference)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error.detail(),
                Some(
                    ClientError::TokenServer(TokenServerError::NoToken { .. })
                        | ClientError::TooLarge { .. }
                )
            ),
            "{error:?}"
        );
    }
    let slow = Fault::on("GET", "/token").slow(1, Duration::from_millis(50));
    server.fault(slow);
    let limits = quick().stall_window(Duration::from_millis(300)).tries(1);
    let client = builder(&server)
        .credentials(password())
        .limits(limits)
        .build()
        .unwrap();
    let error = client.resolve(&reference).await.unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::Timeout { .. })),
        "{error:?}"
    );
}

/// Some token servers answer with an empty token where a login is needed.
#[tokio::test]
async fn an_empty_token_without_a_credential_asks_for_a_login() {
    let server = image_behind(Auth::Token(options())).await;
    for answer in [r#"{"token":""}"#, "{}", r#"{"token":null}"#] {
        server.fault(Fault::on("GET", "/token").once().body(answer));
        let anonymous = builder(&server).build().unwrap();
        let error = anonymous.resolve(&server.reference("acme/echo:1")).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Unauthorized, "{error}");
        let hint = error.hint().unwrap_or_default();
        assert!(
            error.to_string().contains("requires a credential")
                && hint.contains("qmt-plugins login"),
            "{error}: {hint}"
        );
    }
}

/// Where `token` and `access_token` differ, a registry accepts one of them.
#[tokio::test]
async fn the_other_token_is_tried_where_the_first_is_refused() {
    let server = image_behind(Auth::Token(options())).await;
    let reference = server.reference("acme/echo:1");
    let valid = client_with_password(&server);
    valid.resolve(&reference).await.unwrap();
    for (token, access_token, is_accepted) in [
        ("worthless", "testkit-token-1", true),
        ("testkit-token-1", "worthless", true),
        ("worthless", "worthless", false),
        ("worthless", "of no use", false),
    ] {
        let answer = format!(r#"{{"token":"{token}","access_token":"{access_token}"}}"#);
        server.fault(Fault::on("GET", "/token").body(answer));
        let client = client_with_password(&server);
        let resolved = client.resolve(&reference).await;
        assert_eq!(resolved.is_ok(), is_accepted, "{token} {access_token}");
        if let Err(error) = resolved {
            let error = error.detail();
            assert!(
                matches!(error, Some(ClientError::Unauthorized { anonymous, .. }) if !anonymous),
                "{error:?}"
            );
        }
        server.clear_faults();
    }
}

/// LIM-02: a token answer of 64 KiB is read, one byte more is not.
#[tokio::test]
async fn the_token_answer_is_bounded() {
    let server = image_behind(Auth::Token(options())).await;
    let reference = server.reference("acme/echo:1");
    let answer = |length: usize| {
        let mut text = String::from(r#"{"token":""#);
        text.push_str(r#"x","filler":""#);
        text.push_str(&"f".repeat(length - text.len() - 2));
        text.push_str("\"}");
        text
    };
    assert_eq!(answer(65_536).len(), 65_536);
    server.fault(Fault::on("GET", "/token").once().body(answer(65_536)));
    let error = client_with_password(&server)
        .resolve(&reference)
        .await
        .unwrap_err();
    assert!(
        !matches!(error.detail(), Some(ClientError::TooLarge { .. })),
        "the token is wrong, not too long"
    );
    server.fault(Fault::on("GET", "/token").once().body(answer(65_537)));
    let error = client_with_password(&server)
        .resolve(&reference)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::TooLarge { limit: 65_536, .. })
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("65536"), "{error}");
}

/// AUTH-11: each repository, and each registry, has its own token.
#[tokio::test]
async fn a_token_stays_with_its_repository_and_registry() {
    let server = FakeRegistry::builder()
        .auth(Auth::Token(options()))
        .serve()
        .await;
    let second = FakeRegistry::builder()
        .auth(Auth::Token(options()))
        .serve()
        .await;
    for repository in ["acme/a", "acme/b"] {
        server.put_manifest(repository, "1", manifest::OCI_MANIFEST, MANIFEST);
        second.put_manifest(repository, "1", manifest::OCI_MANIFEST, MANIFEST);
    }
    let client = builder(&server)
        .host(second.host(), plain())
        .credentials(password())
        .build()
        .unwrap();
    for server in [&server, &second] {
        for repository in ["acme/a", "acme/b", "acme/a"] {
            client
                .resolve(&server.reference(&format!("{repository}:1")))
                .await
                .unwrap();
        }
    }
    let tokens = |server: &FakeRegistry, path: &str| {
        let at: Vec<_> = server
            .requests()
            .into_iter()
            .filter(|r| r.path().contains(path))
            .collect();
        let mut tokens = authorizations(&at);
        tokens.dedup();
        tokens
    };
    let (a, b) = (tokens(&server, "acme/a"), tokens(&server, "acme/b"));
    assert_eq!((a.len(), b.len()), (1, 1));
    assert_ne!(a, b);
    assert_eq!(server.count("GET", "/token"), 2);
    assert_eq!(
        second.count("GET", "/token"),
        2,
        "nothing of the first registry's was used"
    );
}

/// AUTH-12: a registry that refuses every request.
#[tokio::test]
async fn refusals_are_counted() {
    let server = image_behind(Auth::Token(options().anonymous_pull())).await;
    server.fault(Fault::on("GET", "/v2/*").respond(401).header(
        "www-authenticate",
        format!(r#"Bearer realm="{}/token",service="x""#, server.url()),
    ));
    let error = resolve(&client_with_password(&server), &server)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::Unauthorized { status: 401, .. })
        ),
        "{error:?}"
    );
    assert!(
        server.count("GET", "/v2/*") <= 3,
        "{}",
        server.request_log()
    );
    assert!(
        server.count("GET", "/token") <= 2,
        "{}",
        server.request_log()
    );
}

/// CFG-01: no secret in an error, an event or a `Debug` form, after any failure.
#[tokio::test]
async fn secrets_are_never_shown() {
    let server = image_behind(Auth::Token(options())).await;
    let blob = server.put_blob("acme/echo", noise(10_000));
    let recorder = Recorder::default();
    let client = builder(&server)
        .credentials(password())
        .events(recorder.sink())
        .build()
        .unwrap();
    let mut shown = format!("{client:?}");
    let from = server.repository("acme/echo");
    for fault in [
        Fault::on("GET", "/token").once().respond(500),
        Fault::on("GET", "/token")
            .once()
            .respond(401)
            .body(format!("no {}", "x")),
        Fault::on("GET", "/v2/*").once().respond(500),
        Fault::on("GET", "/v2/*/blobs/*")
            .once()
            .redirect(307, "http://user:canary-url@127.0.0.1/?canary-query"),
        Fault::on("GET", "/v2/*/blobs/*")
            .once()
            .redirect(307, "http://127.0.0.1:1/?canary-query"),
    ] {
        server.fault(fault);
        match pull(&client, &from, &blob).await {
            Ok(_) => {}
            Err(error) => shown.push_str(&full_text(&error)),
        }
    }
    shown.extend(recorder.all().iter().map(|event| format!("{event:?}")));
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("127.0.0.1"), "something was shown at all");
}

/// The registry's message and the status are shown.
#[tokio::test]
async fn a_refusal_says_why() {
    let server = FakeRegistry::builder().serve().await;
    let body = r#"{"errors":[{"code":"DENIED","message":"pull limit"}]}"#;
    server.fault(Fault::on("GET", "/v2/*").respond(403).body(body));
    let error = resolve(&client(&server), &server).await.unwrap_err();
    assert!(error.to_string().contains("DENIED: pull limit"), "{error}");
}
