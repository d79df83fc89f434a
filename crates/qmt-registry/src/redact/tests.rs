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
    assert_eq!(
        RedactedUrl::from_text("canary canary").as_str(),
        "(not a URL)"
    );
}
