//! The life of servers: addresses, logs, TLS, and the end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use qmt_testkit::{
    Certificates, FakeRegistry, Fault, PlainServer, TestkitError, TlsOptions, TokenOptions,
    TokenServer,
};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs,
};

use crate::http::{self, get};

#[test]
fn it_runs_without_a_runtime_of_the_test() {
    let registry = FakeRegistry::builder().start().unwrap();
    assert_eq!(get(registry.address(), "/v2/").status, 200);
    assert_eq!(registry.url(), format!("http://{}", registry.address()));
    assert_eq!(registry.host().to_string(), registry.address().to_string());
    let reference = registry.reference("acme/echo:1");
    assert_eq!(
        reference.to_string(),
        format!("{}/acme/echo:1", registry.address())
    );
    assert_eq!(reference.repository(), &registry.repository("acme/echo"));
}

#[test]
fn it_stops_when_it_is_dropped_and_ends_open_connections() {
    let registry = FakeRegistry::builder().start().unwrap();
    registry.fault(Fault::on("GET", "/v2/").stall());
    let address = registry.address();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    while registry.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(registry);
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn several_servers_share_nothing() {
    let servers: Vec<_> = (0..4)
        .map(|_| FakeRegistry::builder().start().unwrap())
        .collect();
    for (number, server) in servers.iter().enumerate() {
        server.put_blob("a/b", vec![number.to_le_bytes()[0]]);
        assert_eq!(get(server.address(), &format!("/v2/?{number}")).status, 200);
    }
    for (number, server) in servers.iter().enumerate() {
        assert_eq!(server.request_log(), format!("GET /v2/?{number} 200\n"));
        server.clear_requests();
        assert_eq!(server.request_log(), "");
        assert_eq!(server.repositories(), ["a/b"]);
    }
}

#[test]
fn a_taken_address_is_an_error() {
    let registry = FakeRegistry::builder().start().unwrap();
    let error = FakeRegistry::builder()
        .bind(registry.address())
        .start()
        .unwrap_err();
    assert!(matches!(error, TestkitError::Bind { address, .. } if address == registry.address()));
}

#[test]
fn the_log_counts_connections_and_keeps_headers() {
    let registry = FakeRegistry::builder().start().unwrap();
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    for _ in 0..2 {
        stream
            .write_all(b"HEAD /v2/ HTTP/1.1\r\nhost: x\r\nx-canary: 1\r\n\r\n")
            .unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
            reply.push(byte[0]);
        }
    }
    get(registry.address(), "/v2/a/b/tags/list");
    let requests = registry.requests();
    let connections: Vec<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
    assert_eq!(requests[1].header("x-canary"), Some("1"));
    assert_eq!(requests[2].path(), "/v2/a/b/tags/list");
    assert_eq!(registry.count("HEAD", "/v2/"), 2);
    assert_eq!(registry.count("*", "/v2/*/tags/*"), 1);
}

/// Asks for `/v2/` over TLS, trusting the given authority.
fn over_tls(
    address: std::net::SocketAddr,
    name: &str,
    trusted: &str,
    client: Option<&Certificates>,
) -> std::io::Result<u16> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        Some(client) => config
            .with_client_auth_cert(
                vec![
                    CertificateDer::from_pem_slice(client.client_certificate_pem().as_bytes())
                        .unwrap(),
                ],
                PrivateKeyDer::from_pem_slice(client.client_key_pem().as_bytes()).unwrap(),
            )
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let reply = http::read(&mut stream, false);
    match reply.error {
        Some(kind) if reply.status == 0 => Err(kind.into()),
        _ => Ok(reply.status),
    }
}

fn tls(options: TlsOptions) -> FakeRegistry {
    FakeRegistry::builder().tls(options).start().unwrap()
}

#[test]
fn tls_is_trusted_by_its_own_authority_only() {
    let registry = tls(TlsOptions::new());
    let certificates = registry.certificates().unwrap();
    assert!(registry.url().starts_with("https://"));
    for name in ["127.0.0.1", "localhost"] {
        let status = over_tls(registry.address(), name, certificates.ca_pem(), None).unwrap();
        assert_eq!(status, 200, "{name}");
    }
    assert!(
        over_tls(
            registry.address(),
            "other.test",
            certificates.ca_pem(),
            None
        )
        .is_err()
    );
    let other = tls(TlsOptions::new());
    let other = other.certificates().unwrap();
    assert!(over_tls(registry.address(), "127.0.0.1", other.ca_pem(), None).is_err());
    // Plain HTTP gets no answer.
    assert_eq!(get(registry.address(), "/v2/").status, 0);
}

#[test]
fn bad_certificates_are_refused() {
    for options in [
        TlsOptions::new().expired(),
        TlsOptions::new().names(["registry.test"]),
    ] {
        let registry = tls(options.clone());
        let ca = registry.certificates().unwrap().ca_pem().to_owned();
        assert!(
            over_tls(registry.address(), "127.0.0.1", &ca, None).is_err(),
            "{options:?}"
        );
    }
    let registry = tls(TlsOptions::new().self_signed());
    let other = tls(TlsOptions::new());
    let ca = other.certificates().unwrap().ca_pem();
    assert!(over_tls(registry.address(), "127.0.0.1", ca, None).is_err());
}

#[test]
fn client_certificates_are_demanded() {
    let registry = tls(TlsOptions::new().require_client_certificate());
    let certificates = registry.certificates().unwrap();
    let ca = certificates.ca_pem();
    assert!(over_tls(registry.address(), "127.0.0.1", ca, None).is_err());
    let status = over_tls(registry.address(), "127.0.0.1", ca, Some(certificates)).unwrap();
    assert_eq!(status, 200);
    let other = tls(TlsOptions::new());
    let foreign = other.certificates().unwrap();
    assert!(over_tls(registry.address(), "127.0.0.1", ca, Some(foreign)).is_err());
}

#[test]
fn a_plain_server_speaks_tls_too() {
    let server = PlainServer::start_tls(&TlsOptions::new()).unwrap();
    let url = server.put("/v2/", b"x".as_slice());
    assert!(url.starts_with("https://127.0.0.1:"));
    let ca = server.certificates().unwrap().ca_pem();
    assert_eq!(
        over_tls(server.address(), "127.0.0.1", ca, None).unwrap(),
        200
    );
}

#[test]
fn servers_may_share_an_authority() {
    let registry = tls(TlsOptions::new());
    let certificates = registry.certificates().unwrap();
    let options = TlsOptions::new().authority_of(certificates);
    let tokens = TokenServer::start_tls(TokenOptions::new("u", "p"), &options).unwrap();
    assert_eq!(
        tokens.certificates().unwrap().ca_pem(),
        certificates.ca_pem()
    );
    assert_eq!(
        tokens.realm(),
        format!("https://{}/token", tokens.address())
    );
    let ca = certificates.ca_pem();
    // Nothing but `/token` is there, but it was reached.
    assert_eq!(
        over_tls(tokens.address(), "127.0.0.1", ca, None).unwrap(),
        404
    );
}
