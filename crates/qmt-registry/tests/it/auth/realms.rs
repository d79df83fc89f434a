//! AUTH-04 to AUTH-09: which token servers and challenges are accepted.

use qmt_oci_ref::{DigestAlgorithm, RawManifest};
use qmt_registry::RegistryWriter as _;

use super::*;

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
        matches!(
            error.detail(),
            Some(ClientError::TokenServer(
                TokenServerError::RealmRefused { .. }
            ))
        ),
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

/// AUTH-04: a public image requires no credential, so one that may not be sent does not matter.
#[tokio::test]
async fn a_foreign_realm_serves_clients_with_a_credential_as_anonymous_ones() {
    let server = image_behind(Auth::Token(options().anonymous_pull())).await;
    let port = server.address().port();
    let other = format!("Bearer realm=\"http://localhost:{port}/token\",service=\"s\"");
    let is_anonymous = |r: &LoggedRequest| r.header("authorization").is_none();
    let challenge = || {
        let fault = Fault::on("*", "/v2/**").when(is_anonymous).respond(401);
        server.fault(fault.add_header("www-authenticate", &other));
    };
    let home = tempfile::tempdir().unwrap();
    let host = server.host();
    let stored = format!(r#"{{"auths":{{"{host}":{{"auth":"YWxpY2U6Y2FuYXJ5"}}}}}}"#);
    let docker = || without::with_docker(&server, home.path(), &stored);
    challenge();
    let (client, events) = docker();
    for _ in 0..2 {
        resolve(&client, &server).await.unwrap();
    }
    let [RegistryEvent::CredentialSkipped { reason, .. }] = &events.all()[..] else {
        panic!("{:?}", events.all());
    };
    let words = [
        "which gets no credential: it is another host",
        &format!("set allow_realms = [\"localhost:{port}\"]"),
    ];
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
    assert!(!client.check_host(&host).await.unwrap());

    // Where anonymous access is not enough, the credential that was not sent is the reason.
    for status in [401, 403] {
        server.clear_faults();
        challenge();
        let refusal = Fault::on("GET", "/v2/acme/**").respond(status);
        server.fault(refusal.add_header("www-authenticate", "Basic realm=\"x\""));
        let (client, _) = docker();
        for _ in 0..2 {
            let error = resolve(&client, &server).await.unwrap_err();
            let is_refused = matches!(
                error.detail(),
                Some(ClientError::TokenServer(
                    TokenServerError::RealmRefused { .. }
                ))
            );
            assert!(is_refused, "{status}: {error:?}");
        }
    }
    // Nothing is pushed without it.
    let to = server.reference("acme/echo:2");
    let image = RawManifest::read(MANIFEST.into(), None, DigestAlgorithm::Sha256);
    let image = image.unwrap();
    let push = client.push_manifest(&to, &image).await;
    assert!(push.unwrap_err().to_string().contains("allow_realms"));
    assert!(!has_password(&server.requests()));
}

/// AUTH-05, AUTH-07: realms that get no request, each after an accepted one.
#[tokio::test]
async fn hostile_realms_get_no_request() {
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
        let Some(ClientError::TokenServer(refused)) = error.detail() else {
            panic!("{realm}: {error:?}")
        };
        let is_refused = match refused {
            TokenServerError::EmptyRealm { .. } => realm.is_empty(),
            TokenServerError::RealmRefused { .. } => !realm.is_empty(),
            _ => false,
        };
        assert!(is_refused, "{realm}: {error:?}");
        assert_eq!(server.requests().len(), 1, "{realm}");
    }
}

/// AUTH-08: several headers and several challenges in one; the strongest is answered.
#[tokio::test]
async fn the_strongest_challenge_is_answered() {
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
            matches!(
                error.detail(),
                Some(ClientError::TokenServer(TokenServerError::Challenge { .. }))
            ),
            "{error:?}"
        );
    }
}

/// AUTH-09: a registry that required a token gets no password over plain HTTP afterwards.
#[tokio::test]
async fn a_password_is_never_sent_after_a_token() {
    let server = image_behind(Auth::Token(options())).await;
    server.put_manifest("acme/other", "1", manifest::OCI_MANIFEST, MANIFEST);
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
        matches!(error.detail(), Some(ClientError::CredentialWithheld { .. })),
        "{error:?}"
    );
    let to_registry: Vec<_> = server
        .requests()
        .into_iter()
        .filter(|r| r.path() != "/token")
        .collect();
    assert!(!has_password(&to_registry));
}
