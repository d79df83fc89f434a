//! Basic authentication and the token flow.

use std::net::SocketAddr;
use std::time::Duration;

use qmt_testkit::{Auth, FakeRegistry, ImageBuilder, TestClock, TokenOptions, TokenServer};

use crate::http::{Reply, get, request};

/// `alice:secret`
const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";
/// `alice:wrong`
const WRONG: &str = "Basic YWxpY2U6d3Jvbmc=";

fn with(address: SocketAddr, method: &str, target: &str, authorization: &str) -> Reply {
    request(address, method, target)
        .header("authorization", authorization)
        .send()
}

fn token(address: SocketAddr, query: &str, authorization: &str) -> String {
    let reply = with(address, "GET", &format!("/token?{query}"), authorization);
    assert_eq!(reply.status, 200);
    let json = reply.json();
    assert_eq!(json["token"], json["access_token"]);
    json["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn basic_takes_the_one_password() {
    let registry = FakeRegistry::builder()
        .auth(Auth::basic("alice", "secret"))
        .serve()
        .await;
    let reply = get(registry.address(), "/v2/");
    assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHORIZED"));
    assert_eq!(reply.header("www-authenticate"), "Basic realm=\"testkit\"");
    assert_eq!(with(registry.address(), "GET", "/v2/", WRONG).status, 401);
    assert_eq!(
        with(registry.address(), "GET", "/v2/", "Basic ???").status,
        401
    );
    assert_eq!(with(registry.address(), "GET", "/v2/", ALICE).status, 200);
    // The log shows what was sent.
    assert_eq!(registry.requests()[3].header("authorization"), Some(ALICE));
}

#[tokio::test]
async fn tokens_allow_what_was_asked_for_and_nothing_else() {
    let registry = FakeRegistry::builder()
        .auth(Auth::token("alice", "secret"))
        .serve()
        .await;
    let address = registry.address();
    ImageBuilder::new().build().push(&registry, "a/b", "v1");
    let path = "/v2/a/b/manifests/v1";
    let reply = get(address, path);
    assert_eq!(reply.status, 401);
    assert_eq!(
        reply.header("www-authenticate"),
        format!(
            "Bearer realm=\"{}/token\",service=\"testkit\",scope=\"repository:a/b:pull\"",
            registry.url()
        )
    );
    let pull = token(address, "service=testkit&scope=repository:a/b:pull", ALICE);
    assert_eq!(
        with(address, "GET", path, &format!("Bearer {pull}")).status,
        200
    );
    assert_eq!(
        with(address, "GET", "/v2/", &format!("Bearer {pull}")).status,
        200
    );
    let reply = with(address, "DELETE", path, &format!("Bearer {pull}"));
    assert!(
        reply
            .header("www-authenticate")
            .ends_with("error=\"insufficient_scope\"")
    );
    let other = with(
        address,
        "GET",
        "/v2/c/d/manifests/v1",
        &format!("Bearer {pull}"),
    );
    assert_eq!(other.status, 401);
    let reply = with(
        address,
        "POST",
        "/v2/a/b/blobs/uploads/",
        &format!("Bearer {pull}"),
    );
    assert!(
        reply
            .header("www-authenticate")
            .contains("repository:a/b:pull,push")
    );
    let push = token(address, "scope=repository:a/b:pull,push", ALICE);
    let reply = with(
        address,
        "POST",
        "/v2/a/b/blobs/uploads/",
        &format!("Bearer {push}"),
    );
    assert_eq!(reply.status, 202);
    assert_eq!(
        registry.token_scopes(),
        ["repository:a/b:pull", "repository:a/b:pull,push"]
    );
    registry.revoke_tokens();
    let reply = with(address, "GET", path, &format!("Bearer {push}"));
    assert!(
        reply
            .header("www-authenticate")
            .ends_with("error=\"invalid_token\"")
    );
}

#[tokio::test]
async fn a_wrong_password_gets_no_token() {
    let registry = FakeRegistry::builder()
        .auth(Auth::token("alice", "secret"))
        .serve()
        .await;
    for authorization in [WRONG, "Bearer x"] {
        let reply = with(registry.address(), "GET", "/token", authorization);
        assert_eq!(reply.status, 401, "{authorization}");
    }
    assert_eq!(get(registry.address(), "/token").status, 401);
}

#[tokio::test]
async fn anonymous_tokens_pull_only() {
    let options = TokenOptions::new("alice", "secret").anonymous_pull();
    let registry = FakeRegistry::builder()
        .auth(Auth::Token(options))
        .serve()
        .await;
    let address = registry.address();
    ImageBuilder::new().build().push(&registry, "a/b", "v1");
    let reply = get(address, "/token?scope=repository:a/b:pull,push");
    let token = format!("Bearer {}", reply.json()["token"].as_str().unwrap());
    assert_eq!(
        with(address, "GET", "/v2/a/b/manifests/v1", &token).status,
        200
    );
    assert_eq!(
        with(address, "POST", "/v2/a/b/blobs/uploads/", &token).status,
        401
    );
    // Wrong credentials are worse than none.
    assert_eq!(
        with(address, "GET", "/token?scope=repository:a/b:pull", WRONG).status,
        401
    );
}

#[tokio::test]
async fn tokens_expire_by_the_clock_of_the_test() {
    let clock = TestClock::new();
    let options = TokenOptions::new("alice", "secret")
        .expires_in(Duration::from_mins(5))
        .clock(&clock);
    let registry = FakeRegistry::builder()
        .auth(Auth::Token(options))
        .serve()
        .await;
    let reply = with(registry.address(), "GET", "/token", ALICE);
    assert_eq!(reply.json()["expires_in"], 300);
    let token = format!("Bearer {}", reply.json()["token"].as_str().unwrap());
    clock.advance(Duration::from_secs(299));
    assert_eq!(with(registry.address(), "GET", "/v2/", &token).status, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(with(registry.address(), "GET", "/v2/", &token).status, 401);
}

#[tokio::test]
async fn the_oauth2_form_takes_passwords_and_refresh_tokens() {
    let options = TokenOptions::new("alice", "secret")
        .identity_token("idtoken")
        .read_only();
    let registry = FakeRegistry::builder()
        .auth(Auth::Token(options))
        .serve()
        .await;
    let post = |form: &str| {
        request(registry.address(), "POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!(
                "service=testkit&scope=repository:a/b:pull,push&{form}"
            ))
            .send()
    };
    assert_eq!(
        post("grant_type=password&username=alice&password=wrong").status,
        401
    );
    assert_eq!(
        post("grant_type=refresh_token&refresh_token=other").status,
        401
    );
    assert_eq!(post("grant_type=magic").status, 405);
    assert_eq!(
        post("grant_type=refresh_token&refresh_token=idtoken").status,
        200
    );
    let reply = post("grant_type=password&username=alice&password=secret&access_type=offline");
    let json = reply.json();
    let refresh = json["refresh_token"].as_str().unwrap();
    assert_eq!(
        post(&format!("grant_type=refresh_token&refresh_token={refresh}")).status,
        200
    );
    // Read only: the push that was asked for is not granted.
    let token = format!("Bearer {}", json["token"].as_str().unwrap());
    assert_eq!(
        with(registry.address(), "POST", "/v2/a/b/blobs/uploads/", &token).status,
        401
    );
}

#[tokio::test]
async fn a_token_server_of_its_own_is_trusted_by_several_registries() {
    let tokens =
        TokenServer::start(TokenOptions::new("alice", "secret").service("shared")).unwrap();
    let one = FakeRegistry::builder().auth(tokens.auth()).serve().await;
    let two = FakeRegistry::builder().auth(tokens.auth()).serve().await;
    let reply = get(one.address(), "/v2/");
    assert_eq!(
        reply.header("www-authenticate"),
        format!("Bearer realm=\"{}\",service=\"shared\"", tokens.realm())
    );
    let address: SocketAddr = tokens
        .realm()
        .trim_start_matches("http://")
        .trim_end_matches("/token")
        .parse()
        .unwrap();
    let token = format!(
        "Bearer {}",
        token(address, "scope=repository:a/b:pull", ALICE)
    );
    for registry in [&one, &two] {
        assert_eq!(with(registry.address(), "GET", "/v2/", &token).status, 200);
        assert_eq!(get(registry.address(), "/token").status, 404);
    }
    assert_eq!(tokens.count("GET", "/token"), 1);
    assert_eq!(
        tokens.requests()[0].target,
        "/token?scope=repository:a/b:pull"
    );
    assert_eq!(tokens.scopes(), ["repository:a/b:pull"]);
    tokens.revoke();
    assert_eq!(with(one.address(), "GET", "/v2/", &token).status, 401);
}

#[tokio::test]
async fn realm_and_challenges_can_lie() {
    let options = TokenOptions::new("a", "b").realm("http://169.254.169.254/token");
    let registry = FakeRegistry::builder()
        .auth(Auth::Token(options))
        .serve()
        .await;
    let reply = get(registry.address(), "/v2/");
    assert!(
        reply
            .header("www-authenticate")
            .contains("realm=\"http://169.254.169.254/token\"")
    );

    let options = TokenOptions::new("a", "b").challenges([
        "Unknown x=\"a, b\", Basic realm=\"one\"",
        "Bearer realm=\"{realm}\",service=\"{service}\",scope=\"{scope}\"",
    ]);
    let registry = FakeRegistry::builder()
        .auth(Auth::Token(options))
        .serve()
        .await;
    let reply = get(registry.address(), "/v2/a/b/tags/list");
    let url = registry.url();
    assert_eq!(
        reply.all("www-authenticate"),
        [
            "Unknown x=\"a, b\", Basic realm=\"one\"",
            &format!(
                "Bearer realm=\"{url}/token\",service=\"testkit\",scope=\"repository:a/b:pull\""
            ),
        ]
    );
}
