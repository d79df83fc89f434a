//! Requests against a server of a few lines, on loopback.

mod addresses;
mod server;
mod time;

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use self::server::{ok, redirect, redirect_with, serve};
use super::redirect::HEADER_COUNT_MAX;
use super::*;
use crate::limits::HTTP_BODY_MAX;

const LONG: Duration = Duration::from_secs(10);

fn state(hosts: &[String]) -> HttpState {
    state_with(hosts, HTTP_BODY_MAX)
}

fn state_with(hosts: &[String], body_max: u64) -> HttpState {
    let hosts = hosts.iter().map(|host| AllowedHost::parse(host).unwrap());
    HttpState::new(hosts.collect(), body_max)
}

/// Sends from a thread without any executor.
fn send_json(
    state: &mut HttpState,
    request: &str,
    body: &str,
    time: Duration,
) -> Result<Vec<u8>, HttpError> {
    let deadline = Instant::now() + time;
    let exchange = state.request(request.as_bytes(), body.into(), deadline)?;
    let response = pollster::block_on(exchange)?;
    state.finish(&response);
    Ok(response.body)
}

fn send(state: &mut HttpState, url: &str) -> Result<Vec<u8>, HttpError> {
    let request = format!(r#"{{"url":"{url}","headers":{{"authorization":"canary"}}}}"#);
    send_json(state, &request, "", LONG)
}

/// The text of an error and of its sources.
fn words<T: std::fmt::Debug>(result: Result<T, HttpError>) -> String {
    let error = result.unwrap_err();
    let first: &dyn Error = &error;
    let texts = std::iter::successors(Some(first), |error| (*error).source());
    texts
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
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

/// WASM-06: to another origin, a redirect takes the headers along that cannot carry credentials.
#[test]
fn headers_of_one_origin_stay_with_it() {
    let (inner, inside) = serve(vec![ok("inner")]);
    let (outer, _outside) = serve(vec![redirect(&format!("http://{inner}/"))]);
    let names = ["cookie", "x-goog-api-key", "private-token", "api-key"];
    let secret = names.map(|name| format!(r#""{name}":"canary","#)).concat();
    let headers = format!(r#"{{{secret}"accept":"text/plain","if-none-match":"x"}}"#);
    let request = format!(r#"{{"url":"http://{outer}/","headers":{headers}}}"#);
    let mut state = state(&[outer.to_string(), inner.to_string()]);
    assert_eq!(send_json(&mut state, &request, "", LONG).unwrap(), b"inner");
    let seen = &inside.join().unwrap()[0];
    assert!(!seen.contains("canary"), "{seen}");
    assert!(seen.contains("accept: text/plain"), "{seen}");
    assert!(seen.contains("if-none-match: x"), "{seen}");
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

/// A redirect that changes the method drops the body and the headers about it; 307 keeps them.
#[test]
fn redirects_keep_or_drop_the_body() {
    for (status, expected) in [(302, "GET /next "), (307, "POST /next ")] {
        let (address, server) = serve(vec![redirect_with(status, "/next"), ok("")]);
        let mut state = state(&[address.to_string()]);
        let request = format!(
            r#"{{"url":"http://{address}/","method":"post","header":{{"content-type":"text/x"}}}}"#
        );
        send_json(&mut state, &request, "body", LONG).unwrap();
        let seen = server.join().unwrap();
        assert!(seen[1].starts_with(expected), "{seen:?}");
        let keeps_body = status == 307;
        assert_eq!(seen[1].contains("text/x"), keeps_body, "{seen:?}");
        assert_eq!(
            seen[1].contains("content-length: 4"),
            keeps_body,
            "{seen:?}"
        );
    }
}

/// What is sent besides what the plugin asks for: no referrer, cookies or encodings.
#[test]
fn requests_carry_no_more_than_needed() {
    let (address, server) = serve(vec![
        "HTTP/1.1 302 Found\r\nset-cookie: a=b\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".into(),
        ok(""),
    ]);
    let mut state = state(&[address.to_string()]);
    let request = format!(r#"{{"url":"http://{address}/?query#part","method":"PUT"}}"#);
    send_json(&mut state, &request, "", LONG).unwrap();
    let mut seen = server.join().unwrap();
    for request in &mut seen {
        *request = request.replace(&address.to_string(), "ADDRESS");
        let (first, headers) = request.split_once("\r\n").unwrap();
        let mut headers: Vec<_> = headers.trim_end().split("\r\n").collect();
        headers.sort_unstable();
        *request = format!("{first}|{}", headers.join("|"));
    }
    assert_eq!(
        seen,
        [
            "PUT /?query HTTP/1.1|accept: */*|content-length: 0|host: ADDRESS|user-agent: qmt-plugins",
            "GET /x HTTP/1.1|accept: */*|host: ADDRESS|user-agent: qmt-plugins",
        ]
    );
}

/// WASM-06: what may be asked, and how.
#[test]
fn requests_are_checked_before_they_are_sent() {
    let mut state = state(&["127.0.0.1:1".to_owned()]);
    let mut sent = |request: &str| {
        let error = state.request(request.as_bytes(), Vec::new(), Instant::now() + LONG);
        words(error.map(|_| "sent"))
    };
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
        (r#"{"url":"file:///etc/passwd"}"#, "only http and https"),
        (r#"{"url":"ftp://127.0.0.1:1/"}"#, "only http and https"),
        (r#"{"url":"data:,x"}"#, "only http and https"),
        (r#"{"url":"/etc/passwd"}"#, "cannot be read"),
        (r#"{"url":"http://"}"#, "cannot be read"),
        (r#"{"url":"http://127.0.0.1:99999/"}"#, "cannot be read"),
        (r#"{"url":"http://127.0.0.1:1@example.com/"}"#, "user name"),
        (r#"{"url":"http://example.com@127.0.0.1:1/"}"#, "user name"),
        (r#"{"url":"http://:word@127.0.0.1:1/"}"#, "user name"),
        (
            r#"{"url":"http://127.0.0.1:1/","headers":{"Host":"x"}}"#,
            "cannot be set",
        ),
        (
            r#"{"url":"http://127.0.0.1:1/","header":{"TE":"x"}}"#,
            "cannot be set",
        ),
        (
            r#"{"url":"http://127.0.0.1:1/","headers":{"Transfer-Encoding":"x"}}"#,
            "cannot be set",
        ),
        (
            r#"{"url":"http://127.0.0.1:1/","headers":{"x":"a\r\nb"}}"#,
            "the value of header `x` is not valid",
        ),
        (
            r#"{"url":"http://127.0.0.1:1/","headers":{"a b":"x"}}"#,
            "not valid",
        ),
        (r#"{"url":"http://127.0.0.1:2/"}"#, "not granted"),
        (r#"{"url":"https://127.0.0.1/"}"#, "not granted"),
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
    let error = send_json(&mut state, &headers(HEADER_COUNT_MAX), "", LONG);
    assert!(matches!(error, Err(HttpError::Connection(_))), "{error:?}");
    let head = r#"{"url":"http://127.0.0.1:1/","method":"HEAD"}"#;
    let error = send_json(&mut state, head, "body", LONG);
    assert!(matches!(error, Err(HttpError::BodyNotAllowed)), "{error:?}");
}

/// The query of a URL and the values of headers may be secret.
#[test]
fn errors_hold_no_secrets() {
    let mut state = state(&["127.0.0.1:1".to_owned()]);
    let error = send(&mut state, "http://127.0.0.1:1/canary?canary").unwrap_err();
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    assert!(!words::<()>(Err(error)).contains("canary"));
}

/// A server without TLS, one that hangs up, and one that does not speak HTTP cause different errors.
#[test]
fn failures_are_told_apart() {
    let failed = |scheme: &str, answer: &'static str| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let mut state = state(&[address.to_string()]);
        let error = send(&mut state, &format!("{scheme}://{address}/")).unwrap_err();
        thread.join().unwrap();
        error
    };
    let error = failed("https", "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(matches!(error, HttpError::Tls(_)), "{error:?}");
    for part in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"] {
        let error = failed("http", part);
        assert!(matches!(error, HttpError::Connection(_)), "{error:?}");
    }
    let error = failed("http", "SSH-2.0-x\r\n\r\n");
    assert!(matches!(error, HttpError::Protocol(_)), "{error:?}");
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

/// WASM-06: headers of 64 KiB and 128 headers are read, more are not, and a response without end
/// of its headers is not buffered without end.
#[test]
fn headers_of_responses_are_limited() {
    let response = |headers: &[String]| {
        format!(
            "HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n",
            headers.concat()
        )
    };
    let rest = "content-length: 0\r\n".len();
    let of_size = |size: usize| {
        let value = "v".repeat(size - rest - "x: \r\n".len());
        response(&[format!("x: {value}\r\n")])
    };
    let of_count = |count: usize| {
        let headers: Vec<_> = (1..count).map(|name| format!("x{name}: y\r\n")).collect();
        response(&headers)
    };
    let (address, server) = serve(vec![
        of_size(HEADERS_MAX),
        of_size(HEADERS_MAX + 1),
        of_size(1024 * 1024),
        of_count(128),
        of_count(129),
    ]);
    let mut state = state(&[address.to_string()]);
    for is_accepted in [true, false, false, true, false] {
        let sent = send(&mut state, &format!("http://{address}/"));
        match sent {
            Ok(_) => assert!(is_accepted),
            Err(HttpError::HeadersTooLarge) => assert!(!is_accepted),
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(state.headers().len() > 1_000, is_accepted);
    }
    server.join().unwrap();
}

#[test]
fn headers_are_given_as_json() {
    let (address, _server) = serve(vec![
        "HTTP/1.1 404 No\r\nx-b: 1\r\nX-A: \"q\"\r\nx-b: 2\r\nbad: \u{fc}\r\ncontent-length: 2\r\n\r\nno"
            .to_owned(),
    ]);
    let mut state = state(&[address.to_string()]);
    assert_eq!((state.status(), &*state.headers()), (0, "{}"));
    let body = send(&mut state, &format!("http://{address}/")).unwrap();
    assert_eq!((&*body, state.status()), (&b"no"[..], 404));
    assert_eq!(
        state.headers(),
        r#"{"content-length":"2","x-a":"\"q\"","x-b":"2"}"#
    );
    assert!(send(&mut state, "http://example.com/").is_err());
    assert_eq!((state.status(), &*state.headers()), (0, "{}"));
}

#[test]
fn redirects_are_resolved_against_the_url() {
    let request = |url: &str| {
        let request = format!(r#"{{"url":"{url}"}}"#);
        PluginRequest::parse(request.as_bytes(), Vec::new()).unwrap()
    };
    let redirected = |from: &str, location: &str| {
        let headers =
            HeaderMap::from_iter([(reqwest::header::LOCATION, location.parse().unwrap())]);
        let next = request(from).redirected(reqwest::StatusCode::FOUND, &headers)?;
        Ok::<_, HttpError>(next.unwrap().url().to_string())
    };
    let base = "https://example.com:8443/a/b?c";
    for (location, expected) in [
        ("https://other.org/x", "https://other.org/x"),
        ("//other.org/x", "https://other.org/x"),
        ("/x?y", "https://example.com:8443/x?y"),
        ("x", "https://example.com:8443/a/x"),
        ("../x", "https://example.com:8443/x"),
        ("\\\\other.org\\x", "https://other.org/x"),
    ] {
        assert_eq!(redirected(base, location).unwrap(), expected);
    }
    for (location, expected) in [
        ("http://example.com/", "https to http"),
        ("ftp://example.com/", "only http and https"),
        ("https://a:b@example.com/", "user name"),
        ("//a@example.com/", "user name"),
        ("https://[/", "cannot be read"),
    ] {
        let error = words(redirected(base, location));
        assert!(error.contains(expected), "{location}: {error}");
    }
    assert!(redirected("http://example.com/", "http://example.com/x").is_ok());
}
