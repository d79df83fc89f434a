//! Private repositories that are hidden from anonymous requests: refused without a challenge.

use qmt_oci_ref::PinnedReference;

use super::*;
use crate::referrers::one_referring;

/// A registry that hides its repositories with `status`, and refuses only `/v2/` with a challenge.
pub(super) async fn hiding(auth: Auth, status: u16) -> FakeRegistry {
    let server = image_behind(auth).await;
    let is_anonymous = |request: &LoggedRequest| request.header("authorization").is_none();
    let fault = Fault::on("*", "/v2/acme/*").when(is_anonymous);
    server.fault(fault.respond(status));
    server
}

#[tokio::test]
async fn a_hidden_repository_is_read_with_the_credential() {
    for status in [401, 403, 404] {
        for auth in [Auth::Token(options()), Auth::basic("alice", CANARY)] {
            let server = hiding(auth, status).await;
            let blob = server.put_blob("acme/echo", "content");
            let image = resolve(&client_with_password(&server), &server).await;
            let image = image.unwrap().descriptor();
            let referrer = one_referring(&image);
            let media_type = referrer.media_type().as_ref();
            server.put_blob("acme/echo", "{}");
            server.put_manifest("acme/echo", None, media_type, referrer.bytes().clone());

            let repository = server.repository("acme/echo");
            let content = pull(&client_with_password(&server), &repository, &blob).await;
            assert_eq!(content.unwrap(), "content");
            // The API and the tag are read at once.
            server.clear_requests();
            let subject = PinnedReference::new(repository, image.digest().clone());
            let listed = client_with_password(&server).referrers(&subject).await;
            assert_eq!(listed.unwrap().len(), 1, "{status}");
            assert_eq!(server.count("GET", "/v2/"), 1, "{status}");
        }
    }
}

/// Some registries send their challenge for `/v2/` only, and give a token to everyone.
#[tokio::test]
async fn a_public_repository_is_read_with_the_token_of_the_only_challenge() {
    for status in [401, 403, 404] {
        let server = hiding(Auth::Token(options().anonymous_pull()), status).await;
        let blob = server.put_blob("acme/echo", "content");
        let client = client(&server);
        server.clear_requests();
        resolve(&client, &server).await.unwrap();
        let content = pull(&client, &server.repository("acme/echo"), &blob).await;
        assert_eq!(content.unwrap(), "content");
        for tag in ["2", "3"] {
            let absent = server.reference(&format!("acme/echo:{tag}"));
            assert!(client.resolve(&absent).await.unwrap_err().is_not_found());
        }
        assert_eq!(server.count("GET", "/v2/"), 1, "{status}");
        assert!(!has_password(&server.requests()));
    }
}

/// The rules for realms hold for this challenge as well.
#[tokio::test]
async fn a_hostile_realm_of_the_only_challenge_gets_no_request() {
    for realm in [
        "http://10.0.0.1/token",
        "http://169.254.169.254/latest",
        "file:///x",
    ] {
        let server = hiding(Auth::Token(options().realm(realm)), 404).await;
        let error = resolve(&client(&server), &server).await.unwrap_err();
        assert!(error.is_not_found(), "{realm}: {error:?}");
        assert_eq!(server.count("GET", "/v2/"), 1, "{realm}");
        assert_eq!(server.count("GET", "/token"), 0, "{realm}");
    }
}

/// After content, missing tags and lists are no reason to ask.
#[tokio::test]
async fn an_open_repository_is_not_asked_for_a_challenge() {
    let server = image_behind(Auth::None).await;
    let client = client(&server);
    server.clear_requests();
    resolve(&client, &server).await.unwrap();
    let absent = server.reference("acme/echo:2");
    assert!(client.resolve(&absent).await.unwrap_err().is_not_found());
    assert_eq!(server.count("GET", "/v2/"), 0);
    // One answer is enough for all repositories.
    for name in ["acme/other:1", "acme/another:1"] {
        let absent = server.reference(name);
        assert!(client.resolve(&absent).await.unwrap_err().is_not_found());
    }
    assert_eq!(server.count("GET", "/v2/"), 1);
}

/// Where nothing is hidden, the registry is asked once.
#[tokio::test]
async fn what_does_not_exist_is_asked_for_once_more_at_most() {
    let server = image_behind(Auth::None).await;
    let absent = server.reference("acme/echo:2");
    for client in [client_with_password(&server), client(&server)] {
        server.clear_requests();
        for _ in 0..2 {
            let error = client.resolve(&absent).await.unwrap_err();
            assert!(error.is_not_found(), "{error:?}");
        }
        assert_eq!(server.count("GET", "/v2/"), 1);
        assert_eq!(server.requests().len(), 3);
        assert!(authorizations(&server.requests()).is_empty());
    }
}

/// Where the credential does not help, the first answer is reported, and later requests are sent
/// as if there were none.
#[tokio::test]
async fn a_credential_that_does_not_help_changes_no_answer() {
    for auth in [Auth::Token(options()), Auth::basic("alice", CANARY)] {
        let server = hiding(auth, 404).await;
        let wrong = Arc::new(Fixed(Credential::basic("alice", "wrong")));
        let with_wrong = builder(&server).credentials(wrong).build().unwrap();
        for client in [with_wrong, client(&server)] {
            for _ in 0..2 {
                let error = resolve(&client, &server).await.unwrap_err();
                assert!(error.is_not_found(), "{error:?}");
            }
        }
        let absent = server.reference("acme/echo:2");
        let client = client_with_password(&server);
        let error = client.resolve(&absent).await.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
    }
}

/// The credential does not follow a redirect, and no other host's answer asks for it.
#[tokio::test]
async fn a_store_that_hides_content_gets_no_credential() {
    let server = image_behind(Auth::None).await;
    let blob = server.put_blob("acme/echo", "content");
    let store = qmt_testkit::PlainServer::start().unwrap();
    let url = format!("{}/absent", store.url());
    server.fault(Fault::on("GET", "/v2/*/blobs/*").redirect(307, &url));
    let repository = server.repository("acme/echo");
    let error = pull(&client_with_password(&server), &repository, &blob).await;
    assert!(error.unwrap_err().is_not_found());
    assert_eq!(server.requests().len(), 1);
    assert!(authorizations(&store.requests()).is_empty());
}
