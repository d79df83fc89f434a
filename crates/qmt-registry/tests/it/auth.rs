//! Credentials: where they go, and where they never go.

mod hidden;
mod login;
mod origins;
mod realms;
mod servers;
mod tokens;
mod without;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qmt_oci_ref::{Registry, RegistryError, manifest};
use qmt_registry::credentials::{Credential, CredentialChain, Environment};
use qmt_registry::error::{LoginError, TokenServerError};
use qmt_registry::{ClientError, HttpRegistry, RegistryEvent};
use qmt_testkit::{Auth, FakeRegistry, Fault, LoggedRequest, TokenOptions, TokenServer};

use crate::support::{
    CANARY, Detail as _, Fixed, MANIFEST, Recorder, builder, client, client_with_password,
    full_text, image_behind, noise, password, plain, pull, quick, resolve,
};

fn options() -> TokenOptions {
    TokenOptions::new("alice", CANARY)
}

/// A client with the credentials that `environment` names.
fn with_environment(server: &FakeRegistry, environment: Environment) -> (HttpRegistry, Recorder) {
    let events = Recorder::default();
    let client = builder(server)
        .credentials(Arc::new(CredentialChain::over(environment)))
        .events(events.sink())
        .build();
    (client.unwrap(), events)
}

fn hint_of(error: &RegistryError) -> String {
    error.detail().unwrap().hint().unwrap()
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
            error.detail(),
            Some(ClientError::Unauthorized {
                anonymous: true,
                ..
            })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_reported_and_not_repeated() {
    let server = image_behind(Auth::basic("alice", "another")).await;
    let client = client_with_password(&server);
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::Unauthorized {
                anonymous: false,
                ..
            })
        ),
        "{error:?}"
    );
    assert_eq!(server.requests().len(), 2);
    assert!(!full_text(&error).contains(CANARY), "CFG-01");
}

#[tokio::test]
async fn a_token_is_acquired_and_reused() {
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
    let store = Arc::new(Fixed(token));
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
        .credentials(Arc::new(Fixed(wrong)))
        .build()
        .unwrap();
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        !full_text(&error).contains("canary"),
        "CFG-01: {}",
        full_text(&error)
    );
}

/// Where credentials are refused for a public repository, one request without them follows, and an event.
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
            error.detail(),
            Some(ClientError::TokenRefused { .. } | ClientError::Unauthorized { .. })
        ),
        "{error:?}"
    );
}

/// The token server accepts the credential, and the registry forbids it public content: the content
/// is read without it. Where that fails too, the refusal of the credential is reported.
#[tokio::test]
async fn a_credential_without_access_to_public_content_is_dropped() {
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
                    error.detail(),
                    Some(ClientError::Unauthorized {
                        status: 403,
                        anonymous: false,
                        ..
                    })
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
