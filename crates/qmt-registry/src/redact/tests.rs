//! Tests of redaction.

use super::*;

/// CFG-02: userinfo, query and fragment are gone, the place is still recognisable.
#[test]
fn a_url_loses_its_secrets() {
    let url = Url::parse("https://user:canary@cdn.example.com:8443/v2/a/blobs/x?sig=canary#canary")
        .unwrap();
    assert_eq!(
        RedactedUrl::from(&url).as_str(),
        "https://cdn.example.com:8443/v2/a/blobs/x"
    );
    assert_eq!(
        RedactedUrl::from_text("data:text/plain,canary").as_str(),
        "data:…"
    );
}

/// A template whose variables were not replaced is recognised by its text.
#[cfg(feature = "http")]
#[test]
fn a_text_that_is_not_a_url_is_shown_without_secrets() {
    let long = "x".repeat(300);
    let cut = format!("{}…", "x".repeat(200));
    for (text, shown) in [
        (
            "${EXT_ENDPOINT}/service/token",
            "${EXT_ENDPOINT}/service/token",
        ),
        ("auth.example/token?sig=canary", "auth.example/token"),
        ("auth.example:8080/token#canary", "auth.example:8080/token"),
        ("localhost:5000", "localhost:5000"),
        (
            "http://127.0.0.1:99999/token",
            "http://127.0.0.1:99999/token",
        ),
        ("https://me:canary@a.example:99999/t", "…@a.example:99999/t"),
        (
            "https://me:can/ary@a.example:99999/t",
            "…@a.example:99999/t",
        ),
        ("https://me:can?ary@a.example:99999/t", "…"),
        ("a.example/t?user=canary@b.example", "…"),
        ("/token?sig=canary", "/token"),
        ("one\u{1b}[2J", "one\\u{1b}[2J"),
        ("", ""),
        (&long, &cut),
    ] {
        assert_eq!(RedactedUrl::from_text(text).as_str(), shown, "{text}");
    }
}
