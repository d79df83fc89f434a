//! Heads and error bodies at their limits, and the words that are found in them.

use super::execute::bound_head;
use super::*;

/// LIM-03: 100 lines and 64 KiB of names and values, and one past each.
#[test]
fn lim_03_a_head_at_the_limit_and_past_it() {
    let url = Url::parse("https://r.example/v2/").unwrap();
    let head = |lines: usize, bytes: usize| {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(&vec![b'v'; bytes / lines - 3]).unwrap();
        for line in 0..lines {
            let name = HeaderName::from_bytes(format!("x{line:02}").as_bytes()).unwrap();
            headers.append(name, value.clone());
        }
        // What the division left over.
        let rest = vec![b'v'; bytes / lines - 3 + bytes % lines];
        headers.insert("x00", HeaderValue::from_bytes(&rest).unwrap());
        bound_head(&headers, &Limits::default(), &url).map_err(|error| error.to_string())
    };
    head(100, 5_000).unwrap();
    let error = head(101, 5_000).unwrap_err();
    assert!(
        error.contains("(lines)") && error.contains("100"),
        "{error}"
    );
    head(100, 65_536).unwrap();
    let error = head(100, 65_537).unwrap_err();
    assert!(
        error.contains("(bytes)") && error.contains("65536"),
        "{error}"
    );
}

/// LIM-02: of an error body 64 KiB are read: JSON of that size is understood, and of one byte
/// more only its beginning is shown.
#[tokio::test]
async fn lim_02_an_error_body_at_the_limit_and_past_it() {
    let server = qmt_testkit::FakeRegistry::builder().serve().await;
    let reference = server.reference("acme/echo:1");
    let client = super::super::HttpRegistry::builder()
        .host(
            server.host(),
            super::super::HostOptions::new().plain_http(true),
        )
        .build()
        .unwrap();
    for (length, understood) in [(65_536, true), (65_537, false)] {
        let start = r#"{"errors":[{"code":"DENIED","message":"not you"}],"filler":""#;
        let body = format!("{start}{}\"}}", "f".repeat(length - start.len() - 2));
        assert_eq!(body.len(), length);
        server.clear_faults();
        let refusal = qmt_testkit::Fault::on("GET", "/v2/*")
            .respond(403)
            .body(body);
        server.fault(refusal);
        let error = crate::Registry::resolve(&client, &reference)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert_eq!(text.ends_with(": DENIED: not you"), understood, "{text}");
        assert!(text.len() < 1_400);
    }
}

/// CFG-02: of an error body its words are shown, escaped and cut; of a page nothing.
#[test]
fn a_servers_words_are_found() {
    let text = |body: &str| said(body.as_bytes()).to_string();
    let spec = r#"{"errors":[{"code":"DENIED","message":"not you\u001b[31m","detail":{}}]}"#;
    assert_eq!(text(spec), ": DENIED: not you\\u{1b}[31m");
    assert_eq!(
        text(r#"{"details":"incorrect username or password"}"#),
        ": incorrect username or password"
    );
    assert_eq!(text("no such thing\n"), ": no such thing");
    assert_eq!(text("<html><body>502</body></html>"), "");
    assert_eq!(text(""), "");
    assert!(text(&"x".repeat(64 << 10)).len() < 1100);
    assert_eq!(said(b"\xff\xfe").to_string(), ": \u{fffd}\u{fffd}");
}
