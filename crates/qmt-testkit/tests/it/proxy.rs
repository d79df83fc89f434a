//! The forward proxy.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use qmt_testkit::{FakeRegistry, ProxyServer};

use crate::http::{self, request};

#[test]
fn plain_requests_are_passed_on_without_what_is_for_the_proxy() {
    let registry = FakeRegistry::builder().start().unwrap();
    let proxy = ProxyServer::start().unwrap();
    let url = format!("{}/v2/?x=1", registry.url());
    let reply = request(proxy.address(), "GET", &url)
        .header("proxy-authorization", "Basic c2VjcmV0")
        .header("x-canary", "1")
        .send();
    assert_eq!((reply.status, reply.text()), (200, "{}"));
    assert_eq!(proxy.requests()[0].target, url);
    assert_eq!(proxy.requests()[0].status, Some(200));
    let seen = &registry.requests()[0];
    assert_eq!(seen.target, "/v2/?x=1");
    assert_eq!(seen.header("x-canary"), Some("1"));
    assert_eq!(seen.header("proxy-authorization"), None);
    // Bodies go through.
    let url = format!("{}/v2/a/b/manifests/v1", registry.url());
    let reply = request(proxy.address(), "PUT", &url)
        .header("content-type", "application/vnd.oci.image.manifest.v1+json")
        .body(r#"{"schemaVersion":2}"#)
        .send();
    assert_eq!(reply.status, 201);
}

#[test]
fn connect_makes_a_tunnel() {
    let registry = FakeRegistry::builder().start().unwrap();
    let proxy = ProxyServer::start().unwrap();
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    write!(stream, "CONNECT {} HTTP/1.1\r\n\r\n", registry.address()).unwrap();
    let expected = b"HTTP/1.1 200 Connection established\r\n\r\n";
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, expected);
    stream
        .write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(http::read(&mut stream, false).status, 200);
    assert_eq!(proxy.requests()[0].target, registry.address().to_string());
    assert_eq!(registry.requests().len(), 1);
}

#[test]
fn a_password_is_asked_for() {
    let registry = FakeRegistry::builder().start().unwrap();
    let proxy = ProxyServer::start_with_password("u", "p").unwrap();
    let url = format!("{}/v2/", registry.url());
    let reply = request(proxy.address(), "GET", &url).send();
    assert_eq!(reply.status, 407);
    assert_eq!(
        reply.header("proxy-authenticate"),
        "Basic realm=\"testkit\""
    );
    assert_eq!(registry.requests().len(), 0);
    let send = |credentials: &str| {
        let header = format!("Basic {credentials}");
        request(proxy.address(), "GET", &url)
            .header("proxy-authorization", &header)
            .send()
            .status
    };
    assert_eq!([send("dTp4"), send("dTpw")], [407, 200]); // u:x, u:p
}

#[test]
fn what_cannot_be_passed_on_is_refused() {
    let proxy = ProxyServer::start().unwrap();
    let gone = FakeRegistry::builder().start().unwrap().url();
    assert_eq!(
        request(proxy.address(), "GET", &format!("{gone}/v2/"))
            .send()
            .status,
        502
    );
    assert_eq!(request(proxy.address(), "GET", "/v2/").send().status, 400);
}
