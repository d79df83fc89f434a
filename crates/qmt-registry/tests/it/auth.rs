//! Credentials: where they go, and where they never go.

use std::net::SocketAddr;
use std::time::Duration;

use qmt_oci_ref::MediaType;
use qmt_registry::{Credential, HttpRegistry, Registry, RegistryError, RegistryEvent};
use qmt_testkit::{Auth, FakeRegistry, Fault, LoggedRequest, TokenOptions, TokenServer};

use crate::support::{
    CANARY, Fixed, MANIFEST, Recorder, builder, client, client_with_password, image_behind, noise,
    password, plain, pull, quick, resolve, told,
};

fn options() -> TokenOptions {
    TokenOptions::new("alice", CANARY)
}

fn authorizations(requests: &[LoggedRequest]) -> Vec<String> {
    requests
        .iter()
        .filter_map(|r| r.header("authorization").map(str::to_owned))
        .collect()
}

fn has_password(requests: &[LoggedRequest]) -> bool {
    authorizations(requests)
        .iter()
        .any(|value| value.starts_with("Basic"))
}

/// A token server on another address of this machine, which is another host to the client.
fn foreign_token_server(options: TokenOptions) -> TokenServer {
    TokenServer::start_at(SocketAddr::from(([127, 0, 0, 2], 0)), options, None).unwrap()
}

#[tokio::test]
async fn a_password_is_sent_after_a_challenge_only() {
    let server = image_behind(Auth::basic("alice", CANARY)).await;
    let blob = server.put_blob("acme/echo", "x");
    let client = client_with_password(&server);
    resolve(&client, &server).await.unwrap();
    pull(&client, &server.repository("acme/echo"), &blob)
        .await
        .unwrap();
    let with: Vec<_> = server
        .requests()
        .iter()
        .map(|r| r.header("authorization").is_some())
        .collect();
    assert_eq!(with, [false, true, true], "known from then on");

    let error = resolve(&crate::support::client(&server), &server)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Unauthorized {
                anonymous: true,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_repeated() {
    let server = image_behind(Auth::basic("alice", "another")).await;
    let client = client_with_password(&server);
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Unauthorized {
                anonymous: false,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(server.requests().len(), 2);
    assert!(!told(&error).contains(CANARY), "CFG-01");
}

#[tokio::test]
async fn a_token_is_obtained_and_kept() {
    let server = image_behind(Auth::Token(options())).await;
    let blob = server.put_blob("acme/echo", "x");
    let client = client_with_password(&server);
    resolve(&client, &server).await.unwrap();
    pull(&client, &server.repository("acme/echo"), &blob)
        .await
        .unwrap();
    assert_eq!(server.count("GET", "/token"), 1);
    assert_eq!(server.token_scopes(), ["repository:acme/echo:pull"]);
    let to_registry: Vec<_> = server
        .requests()
        .into_iter()
        .filter(|r| r.path() != "/token")
        .collect();
    assert!(
        !has_password(&to_registry),
        "the registry itself gets the token only"
    );
}

/// One refresh at a time: requests that are refused together ask for one token.
#[tokio::test]
async fn many_requests_ask_for_one_token() {
    let server = image_behind(Auth::Token(options())).await;
    let client = client_with_password(&server);
    let reference = server.reference("acme/echo:1");
    let asking = (0..64).map(|_| client.resolve(&reference));
    for outcome in futures_util::future::join_all(asking).await {
        outcome.unwrap();
    }
    assert_eq!(server.count("GET", "/token"), 1);
}

#[tokio::test]
async fn a_revoked_token_is_replaced() {
    let server = image_behind(Auth::Token(options())).await;
    let client = client_with_password(&server);
    let reference = server.reference("acme/echo:1");
    client.resolve(&reference).await.unwrap();
    server.revoke_tokens();
    client.resolve(&reference).await.unwrap();
    assert_eq!(server.count("GET", "/token"), 2);
}

/// The refresh flow, with an identity token.
#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let auth = Auth::Token(options().identity_token("canary-identity"));
    let server = image_behind(auth).await;
    let token = Credential::IdentityToken("canary-identity".to_owned().into());
    let store = std::sync::Arc::new(Fixed(token));
    let client = builder(&server).credentials(store).build().unwrap();
    resolve(&client, &server).await.unwrap();
    assert_eq!(server.count("POST", "/token"), 1);
    assert!(
        server
            .requests()
            .iter()
            .all(|r| !r.target.contains("canary")),
        "not in a URL"
    );

    let wrong = Credential::IdentityToken("canary-wrong".to_owned().into());
    let client = builder(&server)
        .credentials(std::sync::Arc::new(Fixed(wrong)))
        .build()
        .unwrap();
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(!told(&error).contains("canary"), "CFG-01: {}", told(&error));
}

/// Credentials that are refused for a public repository are tried once without, and it is said.
#[tokio::test]
async fn refused_credentials_do_not_hide_a_public_repository() {
    let auth = Auth::Token(TokenOptions::new("alice", "another").anonymous_pull());
    let server = image_behind(auth).await;
    let recorder = Recorder::default();
    let client = builder(&server)
        .credentials(password())
        .events(recorder.sink())
        .build()
        .unwrap();
    resolve(&client, &server).await.unwrap();
    let said = recorder.count(|event| {
        matches!(event, RegistryEvent::CredentialRefused { repository, .. } if repository == "acme/echo")
    });
    assert_eq!(said, 1, "{:?}", recorder.all());

    let private = image_behind(Auth::token("alice", "another")).await;
    let error = resolve(&client_with_password(&private), &private)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::TokenRefused { .. } | RegistryError::Unauthorized { .. }
        ),
        "{error:?}"
    );
}

/// The token server takes the credential, and the registry forbids it what everybody may: read
/// without. Where nobody may, it is the refusal of the credential that is told, and it stays in use.
#[tokio::test]
async fn a_credential_that_is_forbidden_what_everybody_may_is_left_away() {
    let with_token = |request: &LoggedRequest| request.header("authorization").is_some();
    for is_public in [true, false] {
        let options = TokenOptions::new("alice", CANARY);
        let server = image_behind(Auth::Token(if is_public {
            options.anonymous_pull()
        } else {
            options
        }))
        .await;
        server.fault(
            Fault::on("GET", "/v2/acme/echo/manifests/*")
                .when(with_token)
                .once()
                .respond(403),
        );
        let recorder = Recorder::default();
        let client = builder(&server)
            .credentials(password())
            .events(recorder.sink())
            .build()
            .unwrap();
        let refused =
            |event: &RegistryEvent| matches!(event, RegistryEvent::CredentialRefused { .. });
        let outcome = resolve(&client, &server).await;
        if is_public {
            outcome.unwrap();
            assert_eq!(recorder.count(refused), 1, "{:?}", recorder.all());
        } else {
            let error = outcome.unwrap_err();
            assert!(
                matches!(
                    error,
                    RegistryError::Unauthorized {
                        status: 403,
                        anonymous: false,
                        ..
                    }
                ),
                "{error:?}"
            );
            assert_eq!(recorder.count(refused), 0, "{:?}", recorder.all());
        }
        // The next one asks as the last one ended, and says nothing more.
        resolve(&client, &server).await.unwrap();
        assert_eq!(recorder.count(refused), usize::from(is_public));
    }
}

/// AUTH-04: a realm on another host gets no password until the operator lists it.
#[tokio::test]
async fn a_foreign_realm_gets_no_password() {
    let tokens = foreign_token_server(options());
    let server = image_behind(tokens.auth()).await;
    let reference = server.reference("acme/echo:1");
    let error = client_with_password(&server)
        .resolve(&reference)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::RealmRefused { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("allow_realms"), "{error}");
    assert!(tokens.requests().is_empty(), "not even asked");

    let realm = tokens.realm();
    let allowed = realm
        .trim_start_matches("http://")
        .trim_end_matches("/token");
    let client = HttpRegistry::builder()
        .host(server.host(), plain().allow_realm(allowed))
        .credentials(password())
        .limits(quick())
        .build()
        .unwrap();
    client.resolve(&reference).await.unwrap();
    assert!(has_password(&tokens.requests()));
}

/// AUTH-04: without a credential, another host may hand out anonymous tokens.
#[tokio::test]
async fn a_foreign_realm_serves_anonymous_clients() {
    let tokens = foreign_token_server(options().anonymous_pull());
    let server = image_behind(tokens.auth()).await;
    resolve(&client(&server), &server).await.unwrap();
    assert!(authorizations(&tokens.requests()).is_empty());
}

/// AUTH-05, AUTH-07: realms that are never asked, each with the good twin before.
#[tokio::test]
async fn hostile_realms_are_not_asked() {
    let server = image_behind(Auth::Token(options())).await;
    resolve(&client_with_password(&server), &server)
        .await
        .unwrap();
    for realm in [
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/token",
        "http://0.0.0.0/token",
        "http://user@127.0.0.1/token",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "data:text/plain,x",
        "unix:/run/x",
        "/token",
        "",
    ] {
        let auth = Auth::Token(options().realm(realm));
        let server = image_behind(auth).await;
        let error = resolve(&client_with_password(&server), &server)
            .await
            .unwrap_err();
        assert!(
            matches!(error, RegistryError::RealmRefused { .. }),
            "{realm}: {error:?}"
        );
        assert_eq!(server.requests().len(), 1, "{realm}");
    }
}

/// AUTH-08: several headers and several challenges in one; the strongest is met.
#[tokio::test]
async fn the_strongest_challenge_is_met() {
    let bearer = r#"Bearer realm="{realm}",service="{service}",scope="{scope}""#;
    let both = format!(r#"Negotiate, Basic realm="a, b", {bearer}"#);
    for challenges in [
        vec![r#"Basic realm="x""#, bearer],
        vec![bearer, r#"Basic realm="x""#],
        vec![both.as_str()],
    ] {
        let auth = Auth::Token(options().challenges(&challenges));
        let server = image_behind(auth).await;
        resolve(&client_with_password(&server), &server)
            .await
            .unwrap();
        assert_eq!(server.count("GET", "/token"), 1, "{challenges:?}");
    }
    let long = format!(r#"Bearer realm="{}""#, "x".repeat(60 << 10));
    for hostile in [
        long.as_bytes(),
        b"\xff\xfe",
        b"Digest realm=\"x\"",
        b"Bearer realm=",
    ] {
        let auth = Auth::Token(options().challenges([hostile]));
        let server = image_behind(auth).await;
        let error = resolve(&client_with_password(&server), &server)
            .await
            .unwrap_err();
        assert!(
            matches!(error, RegistryError::Challenge { .. }),
            "{error:?}"
        );
    }
}

/// AUTH-09: whoever asked for a token gets no password over plain HTTP afterwards.
#[tokio::test]
async fn there_is_no_way_down_from_token_to_password() {
    let server = image_behind(Auth::Token(options())).await;
    server.put_manifest("acme/other", "1", MediaType::OCI_MANIFEST, MANIFEST);
    let client = client_with_password(&server);
    resolve(&client, &server).await.unwrap();
    let basic = r#"Basic realm="x""#;
    server.fault(
        Fault::on("GET", "/v2/acme/other/*")
            .respond(401)
            .header("www-authenticate", basic),
    );
    let error = client
        .resolve(&server.reference("acme/other:1"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::CredentialWithheld { .. }),
        "{error:?}"
    );
    let to_registry: Vec<_> = server
        .requests()
        .into_iter()
        .filter(|r| r.path() != "/token")
        .collect();
    assert!(!has_password(&to_registry));
}

/// AUTH-10: answers of a token server that are no tokens.
#[tokio::test]
async fn hostile_token_answers_are_bounded_errors() {
    let server = image_behind(Auth::Token(options())).await;
    let reference = server.reference("acme/echo:1");
    let on = || Fault::on("GET", "/token").once();
    let deep = format!(r#"{{"token":{}"#, "[".repeat(60_000));
    for hostile in [
        on().endless(" ".repeat(4096)),
        on().body(deep),
        on().body(r#"{"token":"a","access_token":"b"}"#),
        on().body(r#"{"token":"a","expires_in":"x"}"#),
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
                error,
                RegistryError::Token { .. } | RegistryError::TooLarge { .. }
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
    assert!(matches!(error, RegistryError::Timeout { .. }), "{error:?}");
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
        !matches!(error, RegistryError::TooLarge { .. }),
        "the token is wrong, not too long"
    );
    server.fault(Fault::on("GET", "/token").once().body(answer(65_537)));
    let error = client_with_password(&server)
        .resolve(&reference)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::TooLarge { limit: 65_536, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("65536"), "{error}");
}

/// AUTH-11: each repository, and each registry, has a token of its own.
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
        server.put_manifest(repository, "1", MediaType::OCI_MANIFEST, MANIFEST);
        second.put_manifest(repository, "1", MediaType::OCI_MANIFEST, MANIFEST);
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

/// AUTH-12: a registry that refuses for ever.
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
        matches!(error, RegistryError::Unauthorized { status: 401, .. }),
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

/// `login` asks before it stores.
#[tokio::test]
async fn a_credential_is_checked_alone() {
    for auth in [
        Auth::basic("alice", CANARY),
        Auth::Token(options().anonymous_pull()),
    ] {
        let server = FakeRegistry::builder().auth(auth).serve().await;
        let client = client(&server);
        let good = Credential::basic("alice", CANARY);
        client.check_credential(&server.host(), good).await.unwrap();
        let wrong = Credential::basic("alice", "canary-wrong");
        let error = client
            .check_credential(&server.host(), wrong)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                RegistryError::Unauthorized { .. } | RegistryError::TokenRefused { .. }
            ),
            "{error:?}"
        );
        assert!(!told(&error).contains("canary"), "CFG-01");
    }
}

/// CFG-01: no secret in an error, an event or a `Debug` form, whatever goes wrong.
#[tokio::test]
async fn secrets_are_shown_nowhere() {
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
            Err(error) => shown.push_str(&told(&error)),
        }
    }
    shown.extend(recorder.all().iter().map(|event| format!("{event:?}")));
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("127.0.0.1"), "something was shown at all");
}

/// The registry's own words come through, and the status.
#[tokio::test]
async fn a_refusal_says_why() {
    let server = FakeRegistry::builder().serve().await;
    let body = r#"{"errors":[{"code":"DENIED","message":"pull limit"}]}"#;
    server.fault(Fault::on("GET", "/v2/*").respond(403).body(body));
    let error = resolve(&client(&server), &server).await.unwrap_err();
    assert!(error.to_string().contains("DENIED: pull limit"), "{error}");
}
