//! Requests against a server of a few lines, on loopback.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::public::{PublicOnly, is_public};
use super::redirect::{HEADER_COUNT_MAX, resolve};
use super::*;
use crate::limits::HTTP_BODY_MAX;

/// Answers one connection after the other, each with the next answer, and returns the requests.
fn serve(answers: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let thread = thread::spawn(move || {
        answers
            .into_iter()
            .map(|answer| {
                let (mut stream, _) = server.accept().unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    request.push(byte[0]);
                }
                // The client may hang up before it has everything.
                let _ = stream.write_all(answer.as_bytes());
                String::from_utf8(request).unwrap()
            })
            .collect()
    });
    (address, thread)
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
    )
}

fn state(hosts: &[String]) -> HttpState {
    state_with(hosts, HTTP_BODY_MAX)
}

fn state_with(hosts: &[String], body_max: u64) -> HttpState {
    let hosts = hosts.iter().map(|host| AllowedHost::parse(host).unwrap());
    HttpState::new(hosts.collect(), body_max)
}

fn send(state: &mut HttpState, url: &str) -> Result<Vec<u8>, Error> {
    let request = format!(r#"{{"url":"{url}","headers":{{"authorization":"canary"}}}}"#);
    state.send(request.as_bytes(), b"", Some(Duration::from_secs(10)))
}

fn words<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

/// WASM-06: a redirect to a host that is not granted is not followed, and to one that is, without
/// the credentials that were meant for the first.
#[test]
fn every_hop_is_held_against_the_list() {
    let (inner, inside) = serve(vec![ok("inner")]);
    let (outer, outside) = serve(vec![
        redirect(&format!("http://{inner}/secret")),
        redirect(&format!("http://{inner}/secret")),
        redirect("/again"),
        ok("again"),
    ]);
    let url = format!("http://{outer}/");
    let mut state_of_one = state(&[outer.to_string()]);
    assert!(words(send(&mut state_of_one, &url)).contains("not granted"));
    assert_eq!(state_of_one.status(), 0);
    let mut state_of_both = state(&[outer.to_string(), inner.to_string()]);
    assert_eq!(send(&mut state_of_both, &url).unwrap(), b"inner");
    assert_eq!(state_of_both.status(), 200);
    let seen = inside.join().unwrap();
    assert!(seen[0].starts_with("GET /secret "), "{seen:?}");
    assert!(!seen[0].contains("canary"), "{seen:?}");
    assert_eq!(send(&mut state_of_one, &url).unwrap(), b"again");
    let seen = outside.join().unwrap();
    assert!(seen[3].starts_with("GET /again "), "{seen:?}");
    assert!(seen[3].contains("canary"), "{seen:?}");
}

/// WASM-06: five redirects are followed, a sixth is not.
#[test]
fn redirects_are_counted() {
    let answers = |redirects: usize| {
        let mut answers = vec![redirect("/next"); redirects];
        answers.push(ok("end"));
        answers
    };
    let (address, server) = serve(answers(REDIRECTS_MAX));
    let mut five = state(&[address.to_string()]);
    assert_eq!(
        send(&mut five, &format!("http://{address}/")).unwrap(),
        b"end"
    );
    server.join().unwrap();
    let (address, _server) = serve(answers(REDIRECTS_MAX + 1));
    let mut six = state(&[address.to_string()]);
    let error = words(send(&mut six, &format!("http://{address}/")));
    assert!(error.contains("more than 5"), "{error}");
}

/// WASM-06: a name that leads into a private network is refused, an address that the operator
/// wrote down is not.
#[test]
fn names_do_not_lead_into_private_networks() {
    let uri: Uri = "http://localhost:1/".parse().unwrap();
    let config = Config::builder().build();
    let resolve = |private| {
        let resolver = PublicOnly {
            private,
            inner: DefaultResolver::default(),
        };
        resolver.resolve(&uri, &config, NextTimeout::default())
    };
    assert!(matches!(resolve(false), Err(ureq::Error::HostNotFound)));
    resolve(true).unwrap();
    for address in ["10.0.0.1", "[::1]", "localhost:80", "[::1]:80"] {
        assert!(
            AllowedHost::parse(address).unwrap().names_an_address(),
            "{address}"
        );
    }
    assert!(
        !AllowedHost::parse("internal.example")
            .unwrap()
            .names_an_address()
    );
}

/// WASM-06: ranges that are not the public network, however they are written.
#[test]
fn private_ranges_are_known() {
    for address in [
        "127.0.0.1",
        "127.255.255.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.8",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "fec0::1",
    ] {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "100.128.0.1",
        "172.32.0.1",
        "::ffff:1.1.1.1",
        "2606:4700::1111",
    ] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

/// WASM-06: an entry is an exact host and port.
#[test]
fn hosts_are_exact() {
    let is = |entry: &str, url: &str| {
        AllowedHost::parse(entry)
            .unwrap()
            .is(&Origin::of(&url.parse().unwrap()).unwrap())
    };
    assert!(is("example.com", "https://example.com/x"));
    assert!(is("example.com", "http://EXAMPLE.com./x"));
    assert!(is("Example.com:8080", "http://example.com:8080"));
    assert!(is("example.com:443", "https://example.com"));
    assert!(is("[::1]:80", "http://[::1]/"));
    assert!(!is("example.com", "https://example.com:8443/"));
    assert!(!is("example.com:443", "http://example.com/"));
    assert!(!is("example.com", "https://www.example.com/"));
    assert!(!is("example.com", "https://example.com.evil.org/"));
    for entry in [
        "",
        "*",
        "*.example.com",
        "https://example.com",
        "example.com/",
        "user@example.com",
        "example.com:",
        "example.com:x",
        "example.com:99999",
        "a b",
        "a,b",
        "example.com?x",
    ] {
        assert!(AllowedHost::parse(entry).is_err(), "{entry}");
    }
}

/// WASM-06: what may be asked, and how.
#[test]
fn requests_are_checked_before_they_are_sent() {
    let mut state = state(&["127.0.0.1:1".to_owned()]);
    let mut sent = |request: &str| words(state.send(request.as_bytes(), b"", None));
    for (request, expected) in [
        ("{}", "no URL"),
        (
            r#"{"url":"http://127.0.0.1:1/","method":"CONNECT"}"#,
            "method",
        ),
        (
            r#"{"url":"http://127.0.0.1:1/","method":"TRACE"}"#,
            "method",
        ),
        (r#"{"url":"file:///etc/passwd"}"#, "cannot be read"),
        (r#"{"url":"ftp://127.0.0.1:1/"}"#, "only http and https"),
        (r#"{"url":"/etc/passwd"}"#, "only http and https"),
        (r#"{"url":"http://127.0.0.1:1@example.com/"}"#, "user name"),
        (r#"{"url":"http://example.com@127.0.0.1:1/"}"#, "user name"),
        (
            r#"{"url":"http://127.0.0.1:1/","headers":{"Host":"x"}}"#,
            "cannot be set",
        ),
        (
            r#"{"url":"http://127.0.0.1:1/","headers":{"Transfer-Encoding":"x"}}"#,
            "cannot be set",
        ),
        (
            r#"{"url":"http://127.0.0.1:1/","headers":{"x":"a\r\nb"}}"#,
            "no valid value",
        ),
        (
            r#"{"url":"http://127.0.0.1:1/","headers":{"a b":"x"}}"#,
            "not valid",
        ),
        ("[", "EOF"),
    ] {
        let error = sent(request);
        assert!(error.contains(expected), "{request}: {error}");
    }
    let headers = |count: usize| {
        let headers: Vec<String> = (0..count).map(|name| format!(r#""x{name}":"y""#)).collect();
        format!(
            r#"{{"url":"http://127.0.0.1:1/","headers":{{{}}}}}"#,
            headers.join(",")
        )
    };
    assert!(sent(&headers(HEADER_COUNT_MAX + 1)).contains("more than 100 headers"));
    // At the limit it gets as far as the network, where nothing listens.
    assert!(sent(&headers(HEADER_COUNT_MAX)).contains("failed"));
}

/// WASM-06, LIM-12: a body of 50 MiB is read, one byte more is not; and so at a lower limit.
#[test]
fn responses_are_limited() {
    for most in [HTTP_BODY_MAX, 1_000] {
        let length = usize::try_from(most).unwrap();
        let (address, server) = serve(vec![ok(&"x".repeat(length)), ok(&"x".repeat(length + 1))]);
        let mut state = state_with(&[address.to_string()], most);
        let url = format!("http://{address}/");
        assert_eq!(send(&mut state, &url).unwrap().len(), length);
        let error = words(send(&mut state, &url));
        assert!(
            error.contains(&format!("larger than {most} bytes")),
            "{error}"
        );
        server.join().unwrap();
    }
}

/// WASM-02: a server that does not answer costs no more than the time of the call.
#[test]
fn the_time_of_the_call_holds() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let mut state = state(&[address.to_string()]);
    let request = format!(r#"{{"url":"http://{address}/"}}"#);
    let begin = Instant::now();
    let error = words(state.send(request.as_bytes(), b"", Some(Duration::from_millis(200))));
    assert_eq!(error, "timeout");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn redirects_are_resolved_against_the_url() {
    let base: Uri = "https://example.com:8443/a/b?c".parse().unwrap();
    for (location, expected) in [
        ("https://other.org/x#y", "https://other.org/x"),
        ("//other.org/x", "https://other.org/x"),
        ("/x?y", "https://example.com:8443/x?y"),
        ("x", "https://example.com:8443/a/x"),
    ] {
        assert_eq!(resolve(&base, location).unwrap().to_string(), expected);
    }
}
