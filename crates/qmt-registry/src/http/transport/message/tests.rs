//! The messages in error bodies.

use super::*;

fn shown(body: &str, is_html: bool) -> String {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    Secrets::default().message(&ErrorBody { bytes, is_html })
}

/// CFG-02: the message of an error body is shown, escaped and cut; an HTML page is named as one.
#[test]
fn the_message_of_a_server_is_found() {
    let text = |body: &str| shown(body, false);
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
    let bytes = Bytes::from_static(b"\xff\xfe");
    let body = ErrorBody {
        bytes,
        is_html: false,
    };
    assert_eq!(Secrets::default().message(&body), "\u{fffd}\u{fffd}");
}

/// CFG-01: a title is cut where no part of a secret is left.
#[test]
fn a_value_of_a_signed_url_is_cut_out_of_a_whole_title() {
    let signature = "0123456789abcdef".repeat(4);
    let url = format!("https://store.example/x?X-Amz-Signature={signature}");
    let mut secrets = Secrets::default();
    secrets.add_query(&url.parse().unwrap());
    for length in [60, 90, 119] {
        let page = format!("<html><title>{} {signature}</title>", "x".repeat(length));
        let bytes = Bytes::from(page.into_bytes());
        let is_html = true;
        let shown = secrets.message(&ErrorBody { bytes, is_html });
        assert!(shown.contains("xx") && !shown.contains("0123"), "{shown}");
    }
}

/// The details of an error count where it has no message.
#[test]
fn the_detail_of_an_error_is_shown() {
    let text = |body: &str| shown(body, false);
    assert_eq!(
        text(r#"{"errors":[{"code":"DENIED","detail":"quota"}]}"#),
        "DENIED: quota"
    );
    assert_eq!(
        text(r#"{"errors":[{"code":"DENIED","message":"","detail":{"used":2}}]}"#),
        r#"DENIED: {"used":2}"#
    );
    assert_eq!(
        text(r#"{"errors":[{"code":"DENIED","message":"no","detail":"quota"}]}"#),
        "DENIED: no"
    );
}

/// An HTML page is recognised by its beginning or its media type, and described by its title.
#[test]
fn the_title_of_a_page_is_shown() {
    let nginx = "<html>\r\n<head><TITLE lang=en>400 The plain HTTP request\r\n was sent to HTTPS \
                 port\u{1b}</title></head>";
    assert_eq!(
        shown(nginx, false),
        "an HTML page, `400 The plain HTTP request was sent to HTTPS port\\u{1b}`"
    );
    let long = format!("<html><title>{}</title>", "x".repeat(9000));
    assert!(shown(&long, false).len() < 200);
    for cut in ["<html><title></title>", "<html><title>x", "<html><title"] {
        assert_eq!(shown(cut, false), "an HTML page");
    }
    let xhtml = "<?xml version=\"1.0\"?>\n<!-- x -->\n<html xmlns=\"x\"><title>Login</title>";
    assert_eq!(shown(xhtml, false), "an HTML page, `Login`");
    assert!(is_web_page(xhtml.as_bytes()));
    assert!(!is_web_page(b"<?xml version=\"1.0\"?><Error>"));
    assert!(!is_web_page(b"<!-- <html>"));
    let page = "<head><title>Login</title>";
    assert_eq!(shown(page, true), "an HTML page, `Login`");
    assert_eq!(shown("no such thing", true), "no such thing");
    assert_eq!(shown(r#"{"message":"no"}"#, true), "no");
}
