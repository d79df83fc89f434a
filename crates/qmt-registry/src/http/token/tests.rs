//! What is asked of token servers, and where names lead (AUTH-06). The latter needs names that
//! change their address, so it is tested here, where the look-up can be replaced.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::{MediaType, Reference, RegistryHost};
use qmt_testkit::{Auth, FakeRegistry, Fault, TokenOptions, TokenServer};
use secrecy::SecretString;

use super::super::resolver::LookupFn;
use super::super::{HostOptions, HttpRegistry};
use super::*;
use crate::limits::Limits;
use crate::registry::Registry as _;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}"#;

fn endpoint(host: &str) -> Endpoint {
    let lookup = super::super::resolver::system_lookup();
    let options = HostOptions::new();
    Endpoint::registry(host.parse().unwrap(), options, lookup, &Limits::default()).unwrap()
}

fn asked(access: Access, demanded: Option<&str>, mount_from: Option<&str>) -> Vec<String> {
    let endpoint = endpoint("r.example");
    let repository: Repository = "r.example/acme/echo".parse().unwrap();
    let from: Option<Repository> = mount_from.map(|from| from.parse().unwrap());
    let ask = Ask {
        endpoint: &endpoint,
        repository: Some(&repository),
        access,
        mount_from: from.as_ref(),
    };
    scopes(&ask, demanded)
}

/// AUTH-11: never more is asked for than is needed, whatever the registry demands.
#[test]
fn scopes_are_no_wider_than_the_request() {
    let own = ["repository:acme/echo:pull"];
    assert_eq!(asked(Access::Pull, None, None), own);
    assert_eq!(asked(Access::Pull, Some(own[0]), None), own);
    for wider in [
        "repository:acme/echo:pull,push",
        "repository:acme/echo:*",
        "registry:catalog:*",
        "repository:acme/echo:pull repository:acme/other:pull",
        "nonsense",
        "",
    ] {
        assert_eq!(asked(Access::Pull, Some(wider), None), own, "{wider}");
    }
    // Registries that file a repository under another name say so here.
    let mapped = "repository:virtual/acme/echo:pull";
    assert_eq!(asked(Access::Pull, Some(mapped), None), [mapped]);
    assert_eq!(
        asked(Access::Push, Some(own[0]), Some("r.example/acme/base")),
        [
            "repository:acme/echo:pull,push",
            "repository:acme/base:pull"
        ]
    );
    assert!(asked(Access::Check, Some(own[0]), None).is_empty());
}

/// CFG-01, AUTH-15: what basic authentication can't carry, and that nothing is shown.
#[test]
fn passwords_become_headers() {
    let secret = SecretString::from("canary".to_owned());
    let header = basic("alice", &secret).unwrap();
    assert!(header.is_sensitive());
    assert_eq!(format!("{header:?}"), "Sensitive");
    assert_eq!(
        header.as_bytes(),
        format!("Basic {}", STANDARD.encode("alice:canary")).as_bytes()
    );
    assert!(basic("ali:ce", &secret).is_err());
    assert!(bearer(&SecretString::from("a.b-c_d~e+f/g=".to_owned())).is_some());
    for odd in ["", "a b", "a\r\nb", "ä"] {
        assert!(
            bearer(&SecretString::from(odd.to_owned())).is_none(),
            "{odd:?}"
        );
    }
}

/// Names of a test: `internal.test` is on this machine, `registry.test` is too, but says at its
/// second look-up that it is on the internet: the first one is the connection's.
fn rebinding_names() -> LookupFn {
    let asked = Arc::new(Mutex::new(0));
    Arc::new(move |name| {
        let mut asked = asked.lock().unwrap();
        let address = if name == "registry.test" {
            *asked += 1;
            if *asked == 1 {
                [127, 0, 0, 1]
            } else {
                [203, 0, 113, 7]
            }
        } else {
            [127, 0, 0, 1]
        };
        let found = vec![SocketAddr::from((address, 0))];
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

/// With names that change their address, `reference` can't be resolved, and never will be.
async fn assert_forbidden(host: &RegistryHost, reference: &Reference) {
    let client = client(host, rebinding_names());
    let error = client.resolve(reference).await.unwrap_err();
    assert!(
        matches!(
            error,
            RegistryError::Transport {
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

/// AUTH-06: a token server's name that leads into this machine is refused where it is connected
/// to; a registry that is on this machine itself may name such a one.
#[tokio::test]
async fn a_realm_leads_where_the_registry_is() {
    let open = || TokenOptions::new("alice", "x").anonymous_pull();
    let tokens = TokenServer::start(open()).unwrap();
    let port = tokens
        .realm()
        .rsplit(':')
        .next()
        .map(str::to_owned)
        .unwrap();
    let realm = format!("http://internal.test:{port}");
    let server = FakeRegistry::builder()
        .auth(Auth::Token(open().realm(realm)))
        .serve()
        .await;
    server.put_manifest("acme/echo", "1", MediaType::OCI_MANIFEST, MANIFEST);
    let host = host_at(&server);
    let reference = reference_at(&host);

    assert_forbidden(&host, &reference).await;
    assert!(tokens.requests().is_empty());

    // The token of the other issuer is not this registry's; that it was asked is what counts.
    let _ = client(&host, local_names()).resolve(&reference).await;
    assert!(!tokens.requests().is_empty(), "the good twin");
}

/// AUTH-06: the same for redirects, of content and of the token server.
#[tokio::test]
async fn a_redirect_leads_where_the_registry_is() {
    let inside = qmt_testkit::PlainServer::start().unwrap();
    inside.put("/x", MANIFEST);
    let target = format!("http://internal.test:{}/x", inside.address().port());
    let server = FakeRegistry::builder().serve().await;
    server.put_manifest("acme/echo", "1", MediaType::OCI_MANIFEST, MANIFEST);
    server.fault(Fault::on("GET", "/v2/*").redirect(307, &target));
    let host = host_at(&server);
    let reference = reference_at(&host);
    assert_forbidden(&host, &reference).await;
    assert!(inside.requests().is_empty());
    client(&host, local_names())
        .resolve(&reference)
        .await
        .unwrap();
    assert_eq!(inside.requests().len(), 1, "the good twin");

    let open = TokenOptions::new("alice", "x").anonymous_pull();
    let server = FakeRegistry::builder()
        .auth(Auth::Token(open))
        .serve()
        .await;
    server.fault(Fault::on("GET", "/token").redirect(307, &target));
    let host = host_at(&server);
    let reference = reference_at(&host);
    // Its own realm is by address, which a registry by name may not have.
    let error = client(&host, rebinding_names())
        .resolve(&reference)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::RealmRefused { .. }),
        "{error:?}"
    );
    assert_eq!(inside.requests().len(), 1);
}

/// A name that does not exist is not asked for again; a name server that is down is.
#[tokio::test]
async fn a_name_that_does_not_exist_is_no_outage() {
    for (text, fault, tries) in [
        (
            "failed to lookup address information: Name or service not known",
            "there is no such name",
            1,
        ),
        (
            "failed to lookup address information: Temporary failure in name resolution",
            "its name can't be looked up",
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
            format!("`registry.test:5000` can't be reached: {fault}")
        );
        assert_eq!(*asked.lock().unwrap(), tries);
    }
}
