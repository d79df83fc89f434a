//! `login` checks a credential before it stores it.

use super::*;

async fn check(server: &FakeRegistry, password: &str) -> Result<bool, RegistryError> {
    let credential = Credential::basic("alice", password);
    client(server)
        .check_credential(&server.host(), credential)
        .await
}

#[tokio::test]
async fn a_credential_is_checked_alone() {
    for auth in [
        Auth::basic("alice", CANARY),
        Auth::Token(options().anonymous_pull()),
    ] {
        let server = FakeRegistry::builder().auth(auth).serve().await;
        assert!(check(&server, CANARY).await.unwrap());
        let error = check(&server, "canary-wrong").await.unwrap_err();
        assert!(
            matches!(
                error.detail(),
                Some(ClientError::Login(LoginError::Refused { status: 401, .. }))
            ),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains("user name or password is wrong"), "{text}");
        let hint = error.detail().unwrap().hint().unwrap();
        assert!(!hint.contains("qmt-plugins login"), "{hint}");
        assert!(!full_text(&error).contains("canary"), "CFG-01");
    }
}

/// A registry that requires no credential says nothing about it.
#[tokio::test]
async fn an_open_registry_does_not_check_the_credential() {
    let server = image_behind(Auth::None).await;
    assert!(!check(&server, CANARY).await.unwrap());
    assert!(authorizations(&server.requests()).is_empty());
}

/// A web site answers every path with a page; many have no `/v2/`.
#[tokio::test]
async fn a_web_site_is_no_registry() {
    const PAGE: &str = "<!DOCTYPE html><title>Acme</title>";
    let server = image_behind(Auth::None).await;
    for (content_type, body) in [("text/html", PAGE), ("text/plain", PAGE), ("text/html", "")] {
        server.clear_faults();
        let page = Fault::on("GET", "/v2/").respond(200).body(body);
        server.fault(page.header("content-type", content_type));
        let error = check(&server, CANARY).await.unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::WebPage { .. })),
            "{error:?}"
        );
    }
    server.clear_faults();
    server.fault(Fault::on("GET", "/v2/").respond(404).body(PAGE));
    let error = check(&server, CANARY).await.unwrap_err();
    assert!(!error.is_not_found(), "{error:?}");
    assert!(
        error.to_string().contains("no registry answers at"),
        "{error}"
    );
}

#[tokio::test]
async fn a_locked_account_is_not_a_missing_login() {
    let server = image_behind(Auth::basic("alice", CANARY)).await;
    let body = r#"{"errors":[{"code":"DENIED","message":"account locked"}]}"#;
    let with_password = |request: &LoggedRequest| request.header("authorization").is_some();
    let locked = Fault::on("GET", "/v2/").when(with_password).respond(403);
    server.fault(locked.body(body));
    let error = check(&server, CANARY).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("refuses the login (status 403): DENIED: account locked"),
        "{text}"
    );
    let hint = error.detail().unwrap().hint().unwrap();
    assert!(!hint.contains("log in"), "{hint}");
}
