//! Redirects: followed where they may lead, and never with a credential across an origin.

mod stores;

use std::net::SocketAddr;

use qmt_oci_ref::{Descriptor, Registry, manifest};
use qmt_registry::error::TokenServerError;
use qmt_registry::{ClientError, HttpRegistry};
use qmt_testkit::{
    Auth, FakeRegistry, Fault, LoggedRequest, PlainServer, TokenOptions, TokenServer,
};

use crate::support::{
    CANARY, Detail as _, MANIFEST, client, client_with_password, full_text, image_behind, noise,
    password, pull, put_image, quick, resolve,
};

const CODES: [u16; 5] = [301, 302, 303, 307, 308];

async fn server_with_tokens() -> FakeRegistry {
    FakeRegistry::builder()
        .auth(Auth::token("alice", CANARY))
        .serve()
        .await
}

/// Nothing in these requests could be a credential.
fn is_clean(requests: &[LoggedRequest]) -> bool {
    requests.iter().all(|request| {
        ["authorization", "cookie", "proxy-authorization"]
            .iter()
            .all(|name| request.header(name).is_none())
            && !request.target.contains(CANARY)
    })
}

fn elsewhere(address: [u8; 4]) -> PlainServer {
    PlainServer::start_at(SocketAddr::from((address, 0)), None).unwrap()
}

fn image_subject(server: &FakeRegistry, image: &Descriptor) -> qmt_oci_ref::PinnedReference {
    qmt_oci_ref::PinnedReference::new(server.repository("acme/echo"), image.digest().clone())
}

/// AUTH-01, F9: {same origin, other port, other address} × {manifest, blob, referrers} × five
/// statuses: the content comes, the credential stays.
#[tokio::test]
async fn no_credential_crosses_an_origin() {
    let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let mut requests = 0;
    for address in [None, Some([127, 0, 0, 1]), Some([127, 0, 0, 2])] {
        let server = server_with_tokens().await;
        let image = put_image(&server);
        let content = noise(1000);
        let blob = server.put_blob("acme/echo", content.clone());
        server.put_blob("acme/copy", content.clone());
        server.put_manifest("acme/copy", "1", manifest::OCI_MANIFEST, MANIFEST);
        let other = address.map(elsewhere);
        let place = |path: &str, content: &[u8]| match &other {
            Some(other) => other.put(path, content.to_vec()),
            None => path.to_owned(),
        };
        let client = client_with_password(&server);
        resolve(&client, &server).await.unwrap();
        client
            .resolve(&server.reference("acme/copy:1"))
            .await
            .unwrap();
        for code in CODES {
            let once = |pattern: &str, to: String| {
                server.fault(Fault::on("GET", pattern).once().redirect(code, &to));
            };
            let manifest_path = "/v2/acme/echo/manifests/1-copy";
            server.put_manifest("acme/echo", "1-copy", manifest::OCI_MANIFEST, MANIFEST);
            once(
                "/v2/acme/echo/manifests/1",
                place(manifest_path, MANIFEST.as_bytes()),
            );
            resolve(&client, &server).await.unwrap();

            let path = format!("/v2/acme/echo/blobs/{}", blob.digest());
            once(&path, place(&format!("{path}?copy"), &content));
            if let Some(other) = &other {
                other.put(&path, content.clone());
            }
            assert!(
                pull(&client, &server.repository("acme/echo"), &blob)
                    .await
                    .unwrap()
                    == content
            );

            if other.is_some() {
                once("/v2/*/referrers/*", place("/referrers", index.as_bytes()));
                client
                    .referrers(&image_subject(&server, &image))
                    .await
                    .unwrap();
            }
            requests += 3;
        }
        if let Some(other) = other {
            assert!(!other.requests().is_empty());
            assert!(is_clean(&other.requests()), "{:?}", other.requests());
        }
    }
    assert_eq!(requests, 45);
}

/// AUTH-02: a header that was dropped on the way does not come back at the origin.
#[tokio::test]
async fn the_way_back_does_not_regain_the_credential() {
    let server = server_with_tokens().await;
    put_image(&server);
    let blob = server.put_blob("acme/echo", "content");
    let client = client_with_password(&server);
    resolve(&client, &server).await.unwrap();
    let other = elsewhere([127, 0, 0, 1]);
    let back = format!("{}/v2/acme/echo/blobs/{}?back", server.url(), blob.digest());
    server.fault(
        Fault::on("GET", "/v2/*/blobs/*")
            .once()
            .redirect(307, &format!("{}/x", other.url())),
    );
    other.fault(Fault::on("GET", "/x").redirect(307, &back));
    server.clear_requests();
    let refused = pull(&client, &server.repository("acme/echo"), &blob).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::Unauthorized { .. })),
        "{refused:?}"
    );
    let last = server.requests().pop().unwrap();
    assert!(last.target.ends_with("?back") && is_clean(&[last]));
    assert!(is_clean(&other.requests()));
    assert_eq!(
        server.count("GET", "/token"),
        0,
        "nor is its challenge answered"
    );
}

/// F9: loops and long chains end; ten hops are followed, eleven are not (LIM-09).
#[tokio::test]
async fn redirects_are_counted() {
    let server = image_behind(Auth::None).await;
    let reference = server.reference("acme/echo:1");
    for (hops, fits) in [(1, true), (10, true), (11, false), (21, false)] {
        server.clear_faults();
        server.clear_requests();
        server.fault(
            Fault::on("GET", "/v2/*")
                .times(hops)
                .redirect(302, "/v2/acme/echo/manifests/1"),
        );
        let outcome = client(&server).resolve(&reference).await;
        assert_eq!(outcome.is_ok(), fits, "{hops} hops: {outcome:?}");
        assert!(server.requests().len() <= 11, "{hops}");
        if let Err(error) = outcome {
            let text = error.to_string();
            assert!(text.ends_with("is redirected more than 10 times"), "{text}");
        }
    }
    server.clear_faults();
    server.fault(
        Fault::on("GET", "/v2/*")
            .times(1)
            .redirect(302, "/v2/acme/echo/manifests/1"),
    );
    let none = crate::support::builder(&server)
        .limits(quick().redirects(0))
        .build()
        .unwrap();
    assert!(none.resolve(&reference).await.is_err());
}

/// AUTH-07: targets that are no place to go.
#[tokio::test]
async fn odd_targets_are_refused() {
    let server = image_behind(Auth::None).await;
    let reference = server.reference("acme/echo:1");
    for target in [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "http://user:pass@127.0.0.1/",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
    ] {
        server.fault(Fault::on("GET", "/v2/*").once().redirect(307, target));
        let error = client(&server).resolve(&reference).await.unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::RedirectRefused { .. })),
            "{target}: {error:?}"
        );
    }
    server.fault(Fault::on("GET", "/v2/*").once().respond(307));
    let error = client(&server).resolve(&reference).await.unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::Protocol { .. })),
        "{error:?}"
    );
}

/// F9: a token server that redirects: on its own origin the password goes on, to another host it
/// does not, whatever the status.
#[tokio::test]
async fn a_token_server_can_not_pass_the_password_on() {
    for code in CODES {
        let options = TokenOptions::new("alice", CANARY);
        let tokens = TokenServer::start(options).unwrap();
        let server = image_behind(tokens.auth()).await;
        let reference = server.reference("acme/echo:1");
        let thief = elsewhere([127, 0, 0, 2]);
        tokens.fault(
            Fault::on("GET", "/token")
                .once()
                .redirect(code, &format!("{}/t", thief.url())),
        );
        let error = client_with_password(&server)
            .resolve(&reference)
            .await
            .unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::RedirectRefused { .. })),
            "{code}: {error:?}"
        );
        assert!(thief.requests().is_empty(), "{code}");

        let query = "?service=testkit&scope=repository%3Aacme%2Fecho%3Apull";
        tokens.fault(
            Fault::on("GET", "/token")
                .once()
                .redirect(code, &format!("/token{query}")),
        );
        client_with_password(&server)
            .resolve(&reference)
            .await
            .unwrap();
    }
}

/// AUTH-03: from HTTPS to HTTP nothing is followed: manifest, blob, referrers, token.
#[tokio::test]
async fn there_is_no_way_down_to_plain_http() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeRegistry::builder()
        .auth(Auth::token("alice", CANARY))
        .tls(qmt_testkit::TlsOptions::new())
        .serve()
        .await;
    let image = put_image(&server);
    let blob = server.put_blob("acme/echo", "content");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, server.certificates().unwrap().ca_pem()).unwrap();
    let client = HttpRegistry::builder()
        .host(server.host(), qmt_registry::HostOptions::new().ca_file(&ca))
        .credentials(password())
        .limits(quick())
        .build()
        .unwrap();
    let reference = server.reference("acme/echo:1");
    client.resolve(&reference).await.unwrap();
    let other = elsewhere([127, 0, 0, 1]);
    let url = format!("{}/x", other.url());
    for pattern in ["/v2/*/manifests/*", "/v2/*/blobs/*", "/v2/*/referrers/*"] {
        server.fault(Fault::on("GET", pattern).redirect(307, &url));
    }
    let from = server.repository("acme/echo");
    let refused = [
        client.resolve(&reference).await.map(|_| ()),
        pull(&client, &from, &blob).await.map(|_| ()),
        client
            .referrers(&image_subject(&server, &image))
            .await
            .map(|_| ()),
    ];
    for refused in refused {
        assert!(
            matches!(refused.detail(), Some(ClientError::RedirectRefused { .. })),
            "{refused:?}"
        );
    }
    assert!(other.requests().is_empty());

    let realm = format!("{}/token", other.url());
    let auth = Auth::Token(TokenOptions::new("alice", CANARY).realm(realm));
    let server = FakeRegistry::builder()
        .auth(auth)
        .tls(qmt_testkit::TlsOptions::new())
        .serve()
        .await;
    put_image(&server);
    std::fs::write(&ca, server.certificates().unwrap().ca_pem()).unwrap();
    let client = HttpRegistry::builder()
        .host(
            server.host(),
            qmt_registry::HostOptions::new()
                .ca_file(&ca)
                .allow_realm(other.url()),
        )
        .credentials(password())
        .limits(quick())
        .build()
        .unwrap();
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::TokenServer(
                TokenServerError::RealmRefused { .. }
            ))
        ),
        "{error:?}"
    );
    assert!(other.requests().is_empty());
}
