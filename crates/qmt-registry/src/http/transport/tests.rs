//! Heads at their limits, the messages in error bodies, parts of uploads.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::request::{check_head, part};
use super::{Secrets, is_web_page};
use crate::limits::Limits;
use crate::writer::BlobContent as _;

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
        // The remainder of the division.
        let rest = vec![b'v'; bytes / lines - 3 + bytes % lines];
        headers.insert("x00", HeaderValue::from_bytes(&rest).unwrap());
        check_head(&headers, &Limits::default(), &url).map_err(|error| error.to_string())
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

/// CFG-02: the message of an error body is shown, escaped and cut; an HTML page is named as one.
#[test]
fn the_message_of_a_server_is_found() {
    let text = |body: &str| Secrets::default().message(body.as_bytes());
    let spec = r#"{"errors":[{"code":"DENIED","message":"not you\u001b[31m","detail":{}}]}"#;
    assert_eq!(text(spec), "DENIED: not you\\u{1b}[31m");
    assert_eq!(
        text(r#"{"details":"incorrect username or password"}"#),
        "incorrect username or password"
    );
    assert_eq!(text("no such thing\n"), "no such thing");
    assert_eq!(text("\u{feff}{\"message\":\"no\"}"), "no");
    assert_eq!(text(r#""no\/such""#), "no/such");
    for page in [
        "<html><body>502",
        "\r\n<!DOCTYPE HTML PUBLIC>",
        "\u{feff}<HTML lang=en>",
    ] {
        assert_eq!(text(page), "an HTML page");
        assert!(is_web_page(page.as_bytes()));
    }
    let expired = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>Request has \
                   expired</Message><X>y</X></Error>";
    assert_eq!(text(expired), "AccessDenied: Request has expired");
    let azure = r#"{"error":{"code":"AuthenticationFailed","message":"Signed expiry"}}"#;
    assert_eq!(text(azure), "AuthenticationFailed: Signed expiry");
    let google = r#"{"error":{"code":403,"message":"no"}}"#;
    assert_eq!(text(google), "no");
    let oauth = r#"{"error":"invalid_grant","error_description":"expired"}"#;
    assert_eq!(text(oauth), "invalid_grant; expired");
    assert_eq!(text(r#"{"detail":"Not found."}"#), "Not found.");
    assert_eq!(
        text(r#"{"errors":[{"code":"DENIED","message":null}]}"#),
        "DENIED"
    );
    assert_eq!(text(r#"{"errors":["no"]}"#), "no");
    assert_eq!(text(r#"{"reason":"quota"}"#), r#"{"reason":"quota"}"#);
    assert_eq!(text("{}"), "");
    assert_eq!(text("<a><b/>"), "");
    assert_eq!(text(""), "");
    assert!(text(&"x".repeat(64 << 10)).len() < 1100);
    let message = Secrets::default().message(b"\xff\xfe");
    assert_eq!(message, "\u{fffd}\u{fffd}");
}

/// CFG-01: a server that repeats what it was sent, in any encoding, is not quoted.
#[test]
fn cfg_01_a_message_that_repeats_the_credential_is_not_shown() {
    let basic = HeaderValue::from_static("Basic YWxpY2U6Y2FuYXJ5L3Bhc3M/IHdvcmQ=");
    let bearer = HeaderValue::from_static("Bearer canary.to-ken_");
    let mut posted = Secrets::default();
    posted.add("refresh canary");
    for (secrets, echoes) in [
        (
            Secrets::of_header(Some(&basic)),
            &[
                "you sent Basic YWxpY2U6Y2FuYXJ5L3Bhc3M/IHdvcmQ=",
                "YWxpY2U6Y2FuYXJ5L3Bhc3M/IHdvcmQ",
                r#"["sent",{"as":"YWxpY2U6Y2FuYXJ5L3Bhc3M\/IHdvcmQ="}]"#,
                r#"{"errors":[{"code":"DENIED","message":"alice:canary/pass? word"}]}"#,
                "wrong password canary/pass? word",
                "WRONG PASSWORD CANARY/PASS? WORD",
                "password=canary%2Fpass%3F+word",
                "password=canary%2fpass%3f%20word",
                "Y2FuYXJ5L3Bhc3M/IHdvcmQ=",
                "Y2FuYXJ5L3Bhc3M_IHdvcmQ",
                "<Error><Code>X</Code><Message>canary/pass? word</Message></Error>",
            ][..],
        ),
        (
            Secrets::of_header(Some(&bearer)),
            &[
                "no canary.to-ken_",
                r#"{"details":"canary.to-ken_"}"#,
                "Y2FuYXJ5LnRvLWtlbl8=",
            ],
        ),
        (
            posted,
            &["refresh canary", "refresh+canary", "cmVmcmVzaCBjYW5hcnk"],
        ),
    ] {
        for echo in echoes {
            let message = secrets.message(echo.as_bytes());
            assert!(message.contains("is not shown"), "{echo}: {message}");
        }
        assert_eq!(secrets.message(b"denied to alice"), "denied to alice");
    }
    let short = HeaderValue::from_static("Basic YTph");
    assert_eq!(Secrets::of_header(Some(&short)).message(b"a: no"), "a: no");
    assert_eq!(Secrets::of_header(None).message(b"no"), "no");
}

#[tokio::test]
async fn a_part_has_exactly_its_length() {
    let content = Bytes::from_static(b"0123456789");
    let take = |offset, length| {
        let content = content.clone();
        async move {
            let parts: Vec<Bytes> = part(content.open(offset).await.unwrap(), length)
                .try_collect()
                .await?;
            Ok::<_, super::failure::UnreadableContent>(parts.concat())
        }
    };
    assert_eq!(take(0, 10).await.unwrap(), b"0123456789");
    assert_eq!(take(3, 4).await.unwrap(), b"3456");
    assert_eq!(take(10, 0).await.unwrap(), b"");
    assert!(take(8, 3).await.is_err());
}
