//! Where names lead (AUTH-06). Names that change their address require another look-up, so these
//! tests are here.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use qmt_oci_ref::{
    Descriptor, Digest, MediaType, Reference, Registry as _, RegistryHost, manifest,
};
use qmt_testkit::{Auth, FakeRegistry, Fault, PlainServer, TokenOptions, TokenServer};

use super::HttpRegistry;
use crate::error::{ClientError, TokenServerError};
use crate::http::HostOptions;
use crate::http::transport::{LookupFn, Proxies};
use crate::limits::Limits;
use crate::writer::RegistryWriter as _;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}"#;

/// `internal.test` is on the local machine. `registry.test` is on the internet, but its second
/// look-up, after that of the connection, gives an address of the local machine. For the test, a
/// server on the local machine answers the first connection as well.
fn rebinding_names() -> LookupFn {
    let asked = Arc::new(Mutex::new(0));
    Arc::new(move |name| {
        let mut asked = asked.lock().unwrap();
        let mut found = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        if name == "registry.test" {
            *asked += 1;
            if *asked == 1 {
                found.insert(0, "[2600::1]:0".parse().unwrap());
            }
        }
        Box::pin(async move { Ok(found) })
    })
}

fn local_names() -> LookupFn {
    Arc::new(|_| Box::pin(async { Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]) }))
}

fn client(host: &RegistryHost, lookup: LookupFn) -> HttpRegistry {
    HttpRegistry::builder()
        .host(host.clone(), HostOptions::new().plain_http(true))
        .limits(Limits::default().retry_wait_min(Duration::from_millis(1)))
        .lookup(lookup)
        .build()
        .unwrap()
}

/// With names that change their address, resolving `reference` fails and is not retried.
async fn assert_forbidden(host: &RegistryHost, reference: &Reference) {
    let client = client(host, rebinding_names());
    let error = client.resolve(reference).await.unwrap_err();
    let error = error.downcast_ref::<ClientError>().unwrap();
    assert!(
        matches!(
            error.at_server(),
            ClientError::Transport {
                retryable: false,
                ..
            }
        ),
        "{error:?}"
    );
}

fn reference_at(host: &RegistryHost) -> Reference {
    format!("{host}/acme/echo:1").parse().unwrap()
}

fn host_at(server: &FakeRegistry) -> RegistryHost {
    let port = server.address().port();
    format!("registry.test:{port}").parse().unwrap()
}

/// AUTH-06: a token server's name that resolves to the local machine is refused when the connection
/// is made; a registry on the local machine may name such a server.
#[tokio::test]
async fn a_realm_leads_where_the_registry_is() {
    let open = || TokenOptions::new("alice", "x").anonymous_pull();
    // Another name, and another port under the registry's own.
    for name in ["internal.test", "registry.test"] {
        let tokens = TokenServer::start(open()).unwrap();
        let port = tokens
            .realm()
            .rsplit(':')
            .next()
            .map(str::to_owned)
            .unwrap();
        let realm = format!("http://{name}:{port}");
        let server = FakeRegistry::builder()
            .auth(Auth::Token(open().realm(realm)))
            .serve()
            .await;
        server.put_manifest("acme/echo", "1", manifest::OCI_MANIFEST, MANIFEST);
        let host = host_at(&server);
        let reference = reference_at(&host);

        assert_forbidden(&host, &reference).await;
        assert!(tokens.requests().is_empty(), "{name}");

        // This registry does not accept the other server's token; that it was requested is the
        // point.
        let _ = client(&host, local_names()).resolve(&reference).await;
        assert!(!tokens.requests().is_empty(), "{name}: the allowed request");
    }
}

/// AUTH-06: the same for redirects, of content and of the token server.
#[tokio::test]
async fn a_redirect_leads_where_the_registry_is() {
    let inside = PlainServer::start().unwrap();
    inside.put("/x", MANIFEST);
    let target = format!("http://internal.test:{}/x", inside.address().port());
    let server = FakeRegistry::builder().serve().await;
    server.put_manifest("acme/echo", "1", manifest::OCI_MANIFEST, MANIFEST);
    server.fault(Fault::on("GET", "/v2/*").redirect(307, &target));
    let host = host_at(&server);
    let reference = reference_at(&host);
    assert_forbidden(&host, &reference).await;
    assert!(inside.requests().is_empty());
    client(&host, local_names())
        .resolve(&reference)
        .await
        .unwrap();
    assert_eq!(inside.requests().len(), 1, "the allowed request");

    let open = TokenOptions::new("alice", "x").anonymous_pull();
    let server = FakeRegistry::builder()
        .auth(Auth::Token(open))
        .serve()
        .await;
    server.fault(Fault::on("GET", "/token").redirect(307, &target));
    let host = host_at(&server);
    let reference = reference_at(&host);
    // Its own realm is an address, which a registry with a name may not use.
    let error = client(&host, rebinding_names())
        .resolve(&reference)
        .await
        .unwrap_err();
    let error = error.downcast_ref::<ClientError>().unwrap();
    assert!(
        matches!(
            error,
            ClientError::TokenServer(TokenServerError::RealmRefused { .. })
        ),
        "{error:?}"
    );
    assert_eq!(inside.requests().len(), 1);
}

/// AUTH-06: a registry with a public address and one of the local machine is not inside.
#[tokio::test]
async fn a_name_that_is_public_as_well_does_not_lead_inside() {
    let inside = PlainServer::start().unwrap();
    inside.put("/x", MANIFEST);
    let port = inside.address().port();
    let lookup: LookupFn = Arc::new(|name| {
        let addresses: &[[u8; 4]] = match name.as_str() {
            "registry.test" => &[[127, 0, 0, 1], [8, 8, 8, 8]],
            _ => &[[127, 0, 0, 1]],
        };
        let found = addresses
            .iter()
            .map(|address| SocketAddr::from((*address, 0)));
        let found: Vec<SocketAddr> = found.collect();
        Box::pin(async move { Ok(found) })
    });
    for target in ["internal.test", "127.0.0.1", "localhost"] {
        let server = FakeRegistry::builder().serve().await;
        server.put_manifest("acme/echo", "1", manifest::OCI_MANIFEST, MANIFEST);
        let host = host_at(&server);
        let reference = reference_at(&host);
        client(&host, Arc::clone(&lookup))
            .resolve(&reference)
            .await
            .unwrap();
        let target = format!("http://{target}:{port}/x");
        server.fault(Fault::on("GET", "/v2/*").redirect(307, &target));
        let refused = client(&host, Arc::clone(&lookup)).resolve(&reference).await;
        assert!(refused.is_err(), "{target}");
        assert!(inside.requests().is_empty(), "{target}");
    }
}

/// A name that does not exist is looked up once; after a failed look-up there are more attempts.
#[tokio::test]
async fn a_name_that_does_not_exist_is_no_outage() {
    for (text, reason, tries) in [
        (
            "failed to lookup address information: Name or service not known",
            "the name does not exist",
            1,
        ),
        (
            "failed to lookup address information: Temporary failure in name resolution",
            "the name can't be looked up",
            crate::limits::ABSENT_TRIES_MAX,
        ),
    ] {
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let lookup: LookupFn = Arc::new(move |_| {
            *count.lock().unwrap() += 1;
            Box::pin(async move { Err(std::io::Error::other(text)) })
        });
        let host: RegistryHost = "registry.test:5000".parse().unwrap();
        let reference = reference_at(&host);
        let error = client(&host, lookup).resolve(&reference).await.unwrap_err();
        assert!(error.is_network());
        assert_eq!(error.is_retryable(), tries > 1, "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("`registry.test:5000` can't be reached: {reason}")
        );
        assert_eq!(*asked.lock().unwrap(), tries);
    }
}

/// LIM-02: 64 KiB of an error body are read: JSON of that size is parsed, and of a larger body
/// only the beginning is shown.
#[tokio::test]
async fn lim_02_an_error_body_at_the_limit_and_past_it() {
    let server = FakeRegistry::builder().serve().await;
    let reference = server.reference("acme/echo:1");
    let client = HttpRegistry::builder()
        .host(server.host(), HostOptions::new().plain_http(true))
        .build()
        .unwrap();
    for (length, parsed) in [(65_536, true), (65_537, false)] {
        let start = r#"{"errors":[{"code":"DENIED","message":"not you"}],"filler":""#;
        let body = format!("{start}{}\"}}", "f".repeat(length - start.len() - 2));
        assert_eq!(body.len(), length);
        server.clear_faults();
        let refusal = Fault::on("GET", "/v2/*").respond(403).body(body);
        server.fault(refusal);
        let error = client.resolve(&reference).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(text.ends_with(": DENIED: not you"), parsed, "{text}");
        assert!(text.len() < 1_400);
    }
}

/// AUTH-05, AUTH-06: a server on the internet, to which a registry on the local machine redirects, leads
/// to no address and no name there. Only the registry itself is reached again. For the test, the
/// server is reached through a proxy.
#[tokio::test]
async fn a_redirect_by_a_public_server_leads_to_no_internal_address() {
    let secret = PlainServer::start().unwrap();
    let port = secret.address().port();
    secret.put("/secret", MANIFEST);
    let server = FakeRegistry::builder().serve().await;
    server.put_manifest("acme/echo", "1", manifest::OCI_MANIFEST, MANIFEST);
    server.put_manifest("acme/echo", "2", manifest::OCI_MANIFEST, MANIFEST);
    let own = format!("http://{}/v2/acme/echo/manifests/2", server.host());
    for (target, is_allowed) in [
        (format!("http://127.0.0.1:{port}/secret"), false),
        (format!("http://[::1]:{port}/secret"), false),
        ("http://10.0.0.1/secret".to_owned(), false),
        (format!("http://internal.test:{port}/secret"), false),
        (own, true),
    ] {
        let proxy = redirecting_proxy(&target);
        let proxies = Proxies::read(|name| match name {
            "http_proxy" => Some(proxy.clone()),
            "no_proxy" => Some("internal.test".to_owned()),
            _ => None,
        });
        let host: RegistryHost = server.host();
        let client = HttpRegistry::builder()
            .host(host, HostOptions::new().plain_http(true))
            .limits(Limits::default().tries(1))
            .lookup(local_names())
            .proxies(proxies)
            .build()
            .unwrap();
        server.clear_faults();
        let to_store = Fault::on("GET", "/v2/acme/echo/manifests/1");
        server.fault(to_store.redirect(307, "http://store.test/first"));
        let result = client.resolve(&server.reference("acme/echo:1")).await;
        assert_eq!(result.is_ok(), is_allowed, "{target}: {result:?}");
    }
    assert_eq!(secret.requests().len(), 0);

    // The registry itself may lead there.
    server.clear_faults();
    let to_store = Fault::on("GET", "/v2/acme/echo/manifests/1");
    server.fault(to_store.redirect(307, &format!("http://127.0.0.1:{port}/secret")));
    let client = client(&server.host(), local_names());
    client
        .resolve(&server.reference("acme/echo:1"))
        .await
        .unwrap();
}

/// AUTH-05, AUTH-06, AUTH-14: nor does a server on the internet where the registry has an upload sent.
#[tokio::test]
async fn an_upload_by_a_public_server_goes_to_no_internal_address() {
    let secret = PlainServer::start().unwrap();
    let port = secret.address().port();
    let server = FakeRegistry::builder().serve().await;
    let content = Bytes::from_static(b"twenty bytes of data");
    let digest = Digest::sha256(&content);
    let blob = Descriptor::new(MediaType::ImageLayer, digest, 20);
    for name in ["127.0.0.1", "[::1]", "internal.test"] {
        let target = format!("http://{name}:{port}/secret");
        let proxy = proxy_that_answers("202 Accepted", &format!("{target}\r\nRange: 0-9"));
        let proxies = Proxies::read(|name| match name {
            "http_proxy" => Some(proxy.clone()),
            "no_proxy" => Some("internal.test".to_owned()),
            _ => None,
        });
        let client = HttpRegistry::builder()
            .host(server.host(), HostOptions::new().plain_http(true))
            .limits(Limits::default().tries(1).upload_chunk(10))
            .lookup(local_names())
            .proxies(proxies)
            .build()
            .unwrap();
        server.clear_faults();
        let session = Fault::on("POST", "*").respond(202);
        server.fault(session.header("location", "http://store.test/upload"));
        let to = server.repository("acme/echo");
        drop(client.push_blob(&to, &blob, &content, None).await);
    }
    assert_eq!(secret.requests().len(), 0);
}

/// A proxy that answers every request with a redirect to `target`; its URL.
fn redirecting_proxy(target: &str) -> String {
    proxy_that_answers("307 Temporary Redirect", target)
}

fn proxy_that_answers(status: &str, location: &str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}
