//! Token servers that fail: public images are read without them, and errors say which server it is.

use std::sync::Arc;

use qmt_oci_ref::RegistryErrorKind;

use super::*;

/// Old identity tokens at servers that do not know them, or answer without a token.
#[tokio::test]
async fn an_identity_token_that_the_server_does_not_take_is_dropped() {
    for is_public in [true, false] {
        let options = options();
        let server = image_behind(Auth::Token(if is_public {
            options.anonymous_pull()
        } else {
            options
        }))
        .await;
        let faults = [404, 405, 501].map(|status| Fault::on("POST", "/token").respond(status));
        let empty = Fault::on("POST", "/token")
            .respond(200)
            .body(r#"{"token":""}"#);
        for fault in faults.into_iter().chain([empty]) {
            server.clear_faults();
            server.fault(fault);
            let token = Credential::IdentityToken("canary-identity".to_owned().into());
            let recorder = Recorder::default();
            let client = builder(&server)
                .credentials(Arc::new(Fixed(token)))
                .events(recorder.sink())
                .build()
                .unwrap();
            let outcome = resolve(&client, &server).await;
            assert_eq!(outcome.is_ok(), is_public, "{outcome:?}");
            let refused =
                recorder.count(|event| matches!(event, RegistryEvent::CredentialRefused { .. }));
            assert_eq!(refused, 1, "{:?}", recorder.all());
        }
    }
}

/// The registry is not to be blamed for its token server, nor the network for an internal name.
#[tokio::test]
async fn an_error_of_the_token_server_says_so() {
    let server = image_behind(Auth::Token(options())).await;
    for (status, kind) in [
        (500, RegistryErrorKind::Network { retryable: true }),
        (404, RegistryErrorKind::Protocol),
    ] {
        server.clear_faults();
        server.fault(Fault::on("GET", "/token").respond(status));
        let error = resolve(&client(&server), &server).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        let text = full_text(&error);
        assert!(
            text.contains("the token server `") && text.contains(&format!("status {status}")),
            "{text}"
        );
        assert!(
            text.contains(&format!("`{}` names", server.host())),
            "{text}"
        );
    }

    let realm = options().realm("http://127.0.0.1:9/token");
    let server = image_behind(Auth::Token(realm)).await;
    let error = resolve(&client(&server), &server).await.unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::TokenServer(TokenServerError::Failed { .. }))
        ),
        "{error:?}"
    );
    let hint = error.detail().unwrap().hint().unwrap();
    assert!(
        hint.contains("external URL") && !hint.contains("mirrors"),
        "{hint}"
    );
}

#[tokio::test]
async fn a_relative_realm_is_shown_without_its_query() {
    let realm = options().realm("/token?account=canary");
    let server = image_behind(Auth::Token(realm)).await;
    let error = resolve(&client(&server), &server).await.unwrap_err();
    let text = full_text(&error);
    assert!(
        text.contains("names `/token` as its token server"),
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
}

/// Without the credential, the token server may answer.
#[tokio::test]
async fn a_credential_that_the_token_server_fails_for_is_named() {
    let server = image_behind(Auth::Token(options())).await;
    for status in [500, 404, 429] {
        server.clear_faults();
        server.fault(Fault::on("GET", "/token").respond(status));
        let error = resolve(&client_with_password(&server), &server).await;
        let error = error.unwrap_err();
        let text = full_text(&error);
        assert!(text.contains("gives no token for the credential"), "{text}");
        assert!(text.contains(&format!("status {status}")), "{text}");
        let hint = error.detail().unwrap().hint().unwrap();
        assert!(hint.contains("if the image is public"), "{hint}");
        let error = resolve(&client(&server), &server).await.unwrap_err();
        let text = full_text(&error);
        assert!(!text.contains("credential"), "{text}");
    }
}
