//! What errors of registries advise.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::{
    Descriptor, Digest, DigestAlgorithm, MediaType, PinnedReference, RawManifest, Registry as _,
    RegistryErrorKind, text,
};
use qmt_registry::credentials::{Credential, CredentialChain, Environment};
use qmt_registry::{ClientError, RegistryWriter as _};
use qmt_testkit::{Auth, Fault, LoggedRequest};

use crate::support::{
    CANARY, Detail as _, MANIFEST, builder, client, full_text, image_behind, plain_client, pull,
    quick, resolve,
};

fn hint(error: Option<&ClientError>) -> String {
    error.unwrap().hint().unwrap()
}

#[tokio::test]
async fn a_rate_limit_is_reported_with_its_words() {
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#;
    for (wait, words) in [
        ("600", "a pause of 600 s"),
        ("99999999999999999999999", "a pause of more than a day"),
    ] {
        let server = image_behind(Auth::None).await;
        let busy = Fault::on("GET", "/v2/*").respond(429).body(body);
        server.fault(busy.header("retry-after", wait));
        let error = resolve(&client(&server), &server).await.unwrap_err();
        let text = error.to_string();
        for words in [words, "status 429", "TOOMANYREQUESTS: pull rate limit"] {
            assert!(text.contains(words), "{text}");
        }
        assert!(
            !full_text(&error).contains("18446744073709551615 s"),
            "{text}"
        );
        let hint = hint(error.detail());
        assert!(
            hint.contains("later") && hint.contains("qmt-plugins login"),
            "{hint}"
        );
    }
}

#[tokio::test]
async fn what_does_not_exist_is_named_for_what_it_is() {
    let server = image_behind(Auth::None).await;
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"create it first"}]}"#;
    server.fault(Fault::on("GET", "/v2/*").respond(404).body(body));
    server.fault(Fault::on("PUT", "/v2/*").respond(404).body(body));
    server.fault(Fault::on("POST", "/v2/*").respond(404).body(body));
    let client = client(&server);
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        error.to_string().ends_with("NAME_UNKNOWN: create it first"),
        "{error}"
    );
    assert!(hint(error.detail()).starts_with("check the name and the tag"));

    let image = RawManifest::read(MANIFEST.into(), None, DigestAlgorithm::Sha256).unwrap();
    let to = server.reference("acme/new:1");
    let pushed = client.push_manifest(&to, &image);
    let hint_of_upload = hint(pushed.await.detail());
    assert!(hint_of_upload.contains("created first"), "{hint_of_upload}");
    assert!(!hint_of_upload.contains("the tag"), "{hint_of_upload}");

    let blob = server.put_blob("acme/echo", "x");
    let pulled = pull(&client, &server.repository("acme/echo"), &blob).await;
    let hint_of_blob = hint(pulled.detail());
    assert!(hint_of_blob.contains("has lost a part"), "{hint_of_blob}");

    let pin = PinnedReference::new(server.repository("acme/echo"), image.digest().clone());
    let child = client.manifest(&pin, 1024).await;
    let hint_of_child = hint(child.detail());
    assert!(
        hint_of_child.contains("publish it again"),
        "{hint_of_child}"
    );
    assert!(!hint_of_child.contains("the tag"), "{hint_of_child}");
}

/// Where a credential was sent, the hint does not advise a login: the credential may lack a right.
#[tokio::test]
async fn a_credential_that_was_sent_is_named_in_place_of_a_login() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".docker/config.json");
    std::fs::create_dir(home.path().join(".docker")).unwrap();
    for auth in [Auth::basic("alice", CANARY), Auth::token("alice", CANARY)] {
        let server = image_behind(auth).await;
        let (host, pair) = (server.host(), STANDARD.encode(format!("alice:{CANARY}")));
        let content = format!(r#"{{"auths":{{"{host}":{{"auth":"{pair}"}}}}}}"#);
        std::fs::write(&file, content).unwrap();
        let environment: Environment = [("HOME", home.path())].into_iter().collect();
        let store = Arc::new(CredentialChain::over(environment));
        let client = builder(&server).credentials(store).build().unwrap();
        let with_credential = |request: &LoggedRequest| request.header("authorization").is_some();
        let answer = |status| {
            Fault::on("GET", "/v2/acme/*")
                .when(with_credential)
                .respond(status)
        };

        server.fault(answer(404));
        let hint_of_absence = hint(resolve(&client, &server).await.detail());
        let named = format!("entry `{host}` of `{}`", file.display());
        assert!(hint_of_absence.contains(&named), "{hint_of_absence}");
        assert!(
            hint_of_absence.starts_with("check the name"),
            "{hint_of_absence}"
        );
        assert!(!hint_of_absence.contains("login"), "{hint_of_absence}");

        server.clear_faults();
        server.fault(answer(429).header("retry-after", "600"));
        let busy = hint(resolve(&client, &server).await.detail());
        assert_eq!(busy, "try again later");
    }
}

/// The hint for a login that is answered with 429 does not advise a login.
#[tokio::test]
async fn a_login_that_is_limited_can_be_tried_later() {
    for path in ["/v2/", "/token"] {
        let server = image_behind(Auth::token("alice", CANARY)).await;
        let busy = Fault::on("GET", path).respond(429);
        server.fault(busy.header("retry-after", "600"));
        let credential = Credential::basic("alice", CANARY);
        let client = client(&server);
        let checked = client.check_credential(&server.host(), credential).await;
        assert_eq!(hint(checked.detail()), "try again later");
    }
}

/// Of what the HTTP client reports, the cause is shown, and not its layers.
#[tokio::test]
async fn only_the_cause_of_a_failed_request_is_shown() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    for host in [closed.to_string(), "no-such-name.invalid:80".to_owned()] {
        let (client, reference) = plain_client(&host);
        let error = client.resolve(&reference).await.unwrap_err();
        let messages = text::messages(&error);
        assert!(messages.len() <= 2, "{messages:?}");
        for layer in ["error sending request", "client error", "dns error"] {
            let shown = messages.join(": ");
            assert!(!shown.contains(layer), "{shown}");
        }
    }
}

/// A time-out names the request, and has a next step.
#[tokio::test]
async fn a_time_out_names_the_request() {
    let server = image_behind(Auth::None).await;
    server.fault(Fault::on("GET", "/v2/*/referrers/*").stall());
    let limits = quick().referrers_timeout(std::time::Duration::from_millis(300));
    let client = builder(&server).limits(limits).build().unwrap();
    let digest = Digest::sha256(MANIFEST);
    let pin = PinnedReference::new(server.repository("acme/echo"), digest.clone());
    let error = client.referrers(&pin).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("/v2/acme/echo/referrers/{digest}`")),
        "{text}"
    );
    let hint = hint(error.detail());
    assert!(hint.starts_with("try again later"), "{hint}");
}

/// A page of a proxy or firewall says nothing about a login, at whatever path.
#[tokio::test]
async fn a_page_that_refuses_access_is_no_missing_login() {
    let server = image_behind(Auth::None).await;
    let page = "<html><head><title>Access denied</title></head></html>";
    let page = Fault::on("GET", "/v2/*").respond(403).body(page);
    let page = page.without_header("docker-distribution-api-version");
    server.fault(page.header("content-type", "text/html"));
    let client = client(&server);
    let resolved = resolve(&client, &server).await.map(drop);
    let checked = client.check_host(&server.host()).await.map(drop);
    for result in [resolved, checked] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Protocol, "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("status 403: an HTML page, `Access denied`"),
            "{text}"
        );
        let hint = hint(error.detail());
        assert!(
            hint.contains("firewall") && !hint.contains("log in"),
            "{hint}"
        );
    }
}

/// Only blobs are kept elsewhere: a network redirects everything to its login page.
#[tokio::test]
async fn a_redirect_to_a_login_page_is_no_store() {
    let server = image_behind(Auth::None).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let portal = format!("http://{}/login", socket.local_addr().unwrap());
    server.fault(Fault::on("GET", "/v2/*").redirect(302, &portal));
    let client = client(&server);
    let blob = Descriptor::of(MediaType::from("text/plain"), b"blob");
    let fetched = pull(&client, &server.repository("acme/echo"), &blob).await;
    let resolved = resolve(&client, &server).await.map(drop);
    let checked = client.check_host(&server.host()).await.map(drop);
    for (result, is_content) in [
        (fetched.map(drop), true),
        (resolved, false),
        (checked, false),
    ] {
        let hint = hint(result.unwrap_err().detail());
        assert_eq!(
            hint.contains("keeps its content there"),
            is_content,
            "{hint}"
        );
        assert_eq!(hint.contains("login page"), !is_content, "{hint}");
    }
}
