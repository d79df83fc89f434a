//! TLS, plain HTTP and proxies: by the operator's word for one registry, and by nothing else.

mod files;
mod proxies;
mod refusals;

use qmt_oci_ref::{Registry, RegistryError};
use qmt_registry::error::TlsError;
use qmt_registry::{ClientError, HostOptions, HttpRegistry};
use qmt_testkit::{Auth, FakeRegistry, Fault, PlainServer, TlsOptions};

use crate::support::{
    CANARY, Detail as _, ca_of, client_with_password, full_text, image_behind, password, plain,
    plain_client, pull, put_image, quick, resolve,
};

async fn tls(options: TlsOptions) -> FakeRegistry {
    let server = FakeRegistry::builder().tls(options).serve().await;
    put_image(&server);
    server
}

fn with(server: &FakeRegistry, options: HostOptions) -> HttpRegistry {
    HttpRegistry::builder()
        .host(server.host(), options)
        .limits(quick())
        .build()
        .unwrap()
}

async fn resolves(client: &HttpRegistry, server: &FakeRegistry) -> Result<(), RegistryError> {
    resolve(client, server).await.map(|_| ())
}

/// AUTH-18: certificates that are not valid for this host, after a valid one.
#[tokio::test]
async fn bad_certificates_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let good = tls(TlsOptions::new()).await;
    let ca = ca_of(&good, &folder);
    resolves(&with(&good, HostOptions::new().ca_file(&ca)), &good)
        .await
        .unwrap();
    let alone = tls(TlsOptions::new().self_signed()).await;
    assert!(
        resolves(&with(&alone, HostOptions::new().ca_file(&ca)), &alone)
            .await
            .is_err()
    );
    // Not the system's.
    assert!(
        resolves(&with(&good, HostOptions::new()), &good)
            .await
            .is_err()
    );
    for bad in [
        TlsOptions::new().expired(),
        TlsOptions::new().names(["registry.example.com"]),
        TlsOptions::new().names(["127.0.0.9"]),
    ] {
        is_invalid(bad, &folder).await;
    }
}

/// A server whose certificate is invalid for it is refused, although `ca_file` has its issuer.
async fn is_invalid(bad: TlsOptions, folder: &tempfile::TempDir) {
    let server = tls(bad.clone()).await;
    let ca = ca_of(&server, folder);
    let client = with(&server, HostOptions::new().ca_file(&ca));
    let error = resolves(&client, &server).await.unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::Tls(TlsError::Certificate {
                unknown_issuer: false,
                ..
            }))
        ),
        "{bad:?}: {}",
        full_text(&error)
    );
    assert!(!error.is_retryable());
    assert!(server.requests().is_empty());
}

/// AUTH-18: a certificate of an unknown authority, and what to do about it.
#[tokio::test]
async fn an_unknown_authority_is_reported_with_the_option_for_it() {
    for options in [
        TlsOptions::new(),
        TlsOptions::new().self_signed(),
        TlsOptions::new().self_signed_as_authority(),
    ] {
        let server = tls(options).await;
        let error = resolves(&with(&server, HostOptions::new()), &server).await;
        let error = error.unwrap_err();
        let detail = error.detail().unwrap();
        assert!(
            matches!(
                detail,
                ClientError::Tls(TlsError::Certificate {
                    unknown_issuer: true,
                    ..
                })
            ),
            "{}",
            full_text(&error)
        );
        assert!(error.to_string().contains("certificate"));
        assert!(detail.hint().unwrap().contains("`ca_file`"));
        assert!(detail.hint().unwrap().contains(server.host().as_str()));
        assert!(!error.is_retryable());
        assert!(server.requests().is_empty());
    }
}

/// AUTH-18: the registry's own certificate in `ca_file` is trusted for the names in it, while it is
/// valid, and no other certificate is with it.
#[tokio::test]
async fn a_registrys_own_certificate_is_trusted_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let own = TlsOptions::new;
    for options in [own().self_signed(), own().self_signed_as_authority()] {
        let server = tls(options.clone()).await;
        let ca = ca_of(&server, &folder);
        let client = with(&server, HostOptions::new().ca_file(&ca));
        resolves(&client, &server).await.unwrap();
        // Another certificate of the same name, with another key.
        let other = tls(options.clone()).await;
        let client = with(&other, HostOptions::new().ca_file(&ca));
        assert!(resolves(&client, &other).await.is_err());
        assert!(other.requests().is_empty());

        for bad in [
            options.clone().expired(),
            options.clone().names(["registry.example.com"]),
            options.clone().names(["127.0.0.9"]),
        ] {
            is_invalid(bad, &folder).await;
        }
    }
}

/// AUTH-18: a certificate that an unknown authority issued is trusted if it is listed itself.
#[tokio::test]
async fn an_issued_certificate_can_be_listed_itself() {
    let folder = tempfile::tempdir().unwrap();
    let server = tls(TlsOptions::new()).await;
    let listed = folder.path().join("own.pem");
    std::fs::write(&listed, server.certificates().unwrap().server_pem()).unwrap();
    let client = with(&server, HostOptions::new().ca_file(&listed));
    resolves(&client, &server).await.unwrap();
    let sibling = TlsOptions::new().authority_of(server.certificates().unwrap());
    let sibling = tls(sibling).await;
    let client = with(&sibling, HostOptions::new().ca_file(&listed));
    assert!(resolves(&client, &sibling).await.is_err());
}

/// AUTH-18: `ca_file` of a server to which a registry leads is trusted for that server, and for no other.
#[tokio::test]
async fn the_ca_file_of_another_server_counts_there_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = tls(TlsOptions::new()).await;
    let blob = store.put_blob("acme/echo", "x");
    let server = tls(TlsOptions::new()).await;
    let third = tls(TlsOptions::new()).await;
    let write = |server: &FakeRegistry, name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, server.certificates().unwrap().ca_pem()).unwrap();
        HostOptions::new().ca_file(path)
    };
    let (of_server, of_store) = (write(&server, "server.pem"), write(&store, "store.pem"));
    let client = |options: &[(&FakeRegistry, &HostOptions)]| {
        let builder = HttpRegistry::builder().limits(quick());
        let builder = options.iter().fold(builder, |builder, (of, options)| {
            builder.host(of.host(), (*options).clone())
        });
        builder.build().unwrap()
    };
    let redirect_to = |to: &FakeRegistry| {
        server.clear_faults();
        let target = format!("{}/v2/acme/echo/blobs/{}", to.url(), blob.digest());
        server.fault(Fault::on("GET", "/v2/*/*/blobs/*").redirect(307, &target));
    };
    let repository = server.repository("acme/echo");
    redirect_to(&store);
    let alone = client(&[(&server, &of_server)]);
    assert!(pull(&alone, &repository, &blob).await.is_err());
    let both = client(&[(&server, &of_server), (&store, &of_store)]);
    pull(&both, &repository, &blob).await.unwrap();
    // With the file of the store, neither the registry nor another server is trusted.
    redirect_to(&third);
    assert!(pull(&both, &repository, &blob).await.is_err());
    let other = client(&[(&store, &of_store)]);
    assert!(resolves(&other, &server).await.is_err());
    // The error names the file that counts.
    let wrong = client(&[(&server, &of_server), (&store, &of_server)]);
    redirect_to(&store);
    let error = pull(&wrong, &repository, &blob).await.unwrap_err();
    let hint = error.detail().unwrap().hint().unwrap();
    assert!(
        hint.contains(&format!("-connect {}", store.host())),
        "{hint}"
    );
    let none = client(&[(&server, &of_server), (&store, &write(&third, "third.pem"))]);
    let error = pull(&none, &repository, &blob).await.unwrap_err();
    let hint = error.detail().unwrap().hint().unwrap();
    assert!(hint.contains("third.pem`, which `ca_file` names"), "{hint}");
}

/// AUTH-18: an address as the certificate's name.
#[tokio::test]
async fn an_address_can_be_the_certificates_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = tls(TlsOptions::new().names(["127.0.0.1"])).await;
    let ca = ca_of(&server, &folder);
    resolves(&with(&server, HostOptions::new().ca_file(&ca)), &server)
        .await
        .unwrap();
}

/// AUTH-18: no name, no port and no other registry's option turns TLS off.
#[tokio::test]
async fn plain_http_is_never_implied() {
    let server = image_behind(Auth::None).await;
    let other: qmt_oci_ref::RegistryHost = "localhost.example.com:5000".parse().unwrap();
    let client = HttpRegistry::builder()
        .host(other, plain())
        .limits(quick().tries(1))
        .build()
        .unwrap();
    assert!(resolves(&client, &server).await.is_err());
    let port = server.host().port().unwrap();
    let local: qmt_oci_ref::Reference = format!("localhost:{port}/acme/echo:1").parse().unwrap();
    assert!(client.resolve(&local).await.is_err());
    assert!(server.requests().is_empty(), "{}", server.request_log());
    resolves(&with(&server, plain()), &server).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let folder = tempfile::tempdir().unwrap();
    let server = tls(TlsOptions::new().require_client_certificate()).await;
    let ca = ca_of(&server, &folder);
    let certificates = server.certificates().unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, certificates.client_certificate_pem()).unwrap();
    std::fs::write(&key, certificates.client_key_pem()).unwrap();
    let without = HostOptions::new().ca_file(&ca);
    assert!(
        resolves(&with(&server, without.clone()), &server)
            .await
            .is_err()
    );
    let client = with(&server, without.client_certificate(&cert, &key));
    resolves(&client, &server).await.unwrap();
}

/// AUTH-18: a server that answers in TLS 1.1 is left with an alert, and not asked again.
#[tokio::test]
async fn an_old_tls_is_refused_at_once() {
    use std::io::{Read as _, Write as _};
    // A `ServerHello` of version 3.2 with a cipher of that time, in a separate record.
    let mut hello = vec![2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x13, 0]);
    let mut record = vec![22, 3, 2, 0, u8::try_from(hello.len()).unwrap()];
    record.extend(hello);

    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut client_hello = [0; 8192];
        let length = stream.read(&mut client_hello).unwrap();
        assert_eq!(client_hello[0], 22, "a handshake");
        assert!(length > 5);
        stream.write_all(&record).unwrap();
        let mut rest = Vec::new();
        // However the client ends it.
        let _ = stream.read_to_end(&mut rest);
        listener.set_nonblocking(true).unwrap();
        (rest, listener)
    });
    let client = HttpRegistry::builder().limits(quick()).build().unwrap();
    let reference = format!("{host}/acme/echo:1").parse().unwrap();
    let error = client.resolve(&reference).await.unwrap_err();
    let (rest, listener) = server.join().unwrap();
    assert!(!error.is_retryable(), "{}", full_text(&error));
    assert_eq!(rest.first(), Some(&21), "an alert: {rest:?}");
    assert!(rest.len() < 16, "{rest:?}");
    assert!(listener.accept().is_err(), "it was asked again");
}

/// A pipe without a writer is refused at once.
#[cfg(unix)]
#[test]
fn a_pipe_as_a_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("ca.pem");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let options = HostOptions::new().ca_file(&pipe);
    let host = "registry.invalid".parse().unwrap();
    let refused = HttpRegistry::builder().host(host, options).build();
    assert!(
        matches!(refused.detail(), Some(ClientError::Options { .. })),
        "{refused:?}"
    );
}

/// A registry that speaks plain HTTP is a separate error, and gets no second request.
#[tokio::test]
async fn a_registry_without_tls_is_recognised_at_once() {
    let server = image_behind(Auth::None).await;
    let error = resolves(&with(&server, HostOptions::new()), &server)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::Tls(TlsError::WithoutTls { .. }))
        ),
        "{}",
        full_text(&error)
    );
    assert!(!error.is_retryable(), "{}", full_text(&error));
    resolves(&with(&server, HostOptions::new().plain_http(true)), &server)
        .await
        .unwrap();

    let secure = tls(TlsOptions::new()).await;
    let error = resolves(&with(&secure, HostOptions::new()), &secure)
        .await
        .unwrap_err();
    assert!(
        !matches!(
            error.detail(),
            Some(ClientError::Tls(TlsError::WithoutTls { .. }))
        ),
        "{}",
        full_text(&error)
    );
}
