//! Tests of redirects.

use http::HeaderValue;

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn redirect(from: &str, to: &'static str) -> Result<String, ClientError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, HeaderValue::from_static(to));
    location(&url(from), &headers).map(String::from)
}

#[test]
fn relative_and_absolute_targets_are_found() {
    let from = "https://a.example/v2/x/blobs/y";
    assert_eq!(redirect(from, "/z").unwrap(), "https://a.example/z");
    assert_eq!(
        redirect(from, "https://b.example/z?s=1").unwrap(),
        "https://b.example/z?s=1"
    );
    assert_eq!(
        redirect("http://a.example/x", "http://b.example/").unwrap(),
        "http://b.example/"
    );
}

/// A registry behind a TLS proxy that does not know its scheme: uploads stay with HTTPS.
#[test]
fn an_upload_to_the_same_host_keeps_https() {
    let upload = |from, to| {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static(to));
        upload_location(&url(from), &headers).map(String::from)
    };
    for (from, to, expected) in [
        (
            "https://a.example/v2/",
            "http://a.example/u?s=1",
            "https://a.example/u?s=1",
        ),
        (
            "https://a.example:8443/v2/",
            "http://a.example/u",
            "https://a.example:8443/u",
        ),
        (
            "https://a.example:8443/v2/",
            "http://a.example:8443/u",
            "https://a.example:8443/u",
        ),
        (
            "http://a.example/v2/",
            "http://a.example/u",
            "http://a.example/u",
        ),
    ] {
        assert_eq!(upload(from, to).unwrap(), expected);
    }
    for to in ["http://a.example:8080/u", "http://b.example/u"] {
        assert!(upload("https://a.example/v2/", to).is_err(), "{to}");
    }
}

#[test]
fn what_a_url_does_not_allow_is_encoded() {
    let from = "https://a.example/v2/x/blobs/y";
    for (to, expected) in [
        ("/a b?name=c d", "https://a.example/a%20b?name=c%20d"),
        ("/ä?ü=%2F", "https://a.example/%C3%A4?%C3%BC=%2F"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
    ] {
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            let value = HeaderValue::from_bytes(to.as_bytes()).unwrap();
            headers.append(header::LOCATION, value);
        }
        let to = location(&url(from), &headers).unwrap();
        assert_eq!(to.as_str(), expected);
    }
}

/// AUTH-03, AUTH-07: no downgrade, no other scheme, no userinfo, no nonsense.
#[test]
fn dangerous_targets_are_refused() {
    let from = "https://a.example/v2/x/blobs/y";
    for to in [
        "http://a.example/v2/x/blobs/y",
        "ftp://a.example/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "unix:/run/x.sock",
        "https://user@b.example/",
        "https://user:pass@b.example/",
        "https://",
        "https://b example/",
        "https://b.example/a\tb",
    ] {
        assert!(redirect(from, to).is_err(), "{to}");
    }
    assert!(
        location(&url(from), &HeaderMap::new()).is_err(),
        "no location"
    );
    let mut two = HeaderMap::new();
    two.append(header::LOCATION, HeaderValue::from_static("/a"));
    two.append(header::LOCATION, HeaderValue::from_static("/b"));
    assert!(location(&url(from), &two).is_err(), "two locations");
    let mut latin = HeaderMap::new();
    latin.insert(header::LOCATION, HeaderValue::from_bytes(b"/\xe9").unwrap());
    assert!(location(&url(from), &latin).is_err(), "not UTF-8");
}

/// AUTH-01: scheme, host and port make an origin; case and default ports don't.
#[test]
fn origins_are_compared_whole() {
    let base = url("https://a.example/x");
    for same in ["https://a.example:443/y", "https://A.example/"] {
        assert!(same_origin(&base, &url(same)), "{same}");
    }
    for other in [
        "http://a.example/",
        "https://a.example:444/",
        "https://a.example.evil/",
    ] {
        assert!(!same_origin(&base, &url(other)), "{other}");
    }
}

/// AUTH-05: a registry on the internet can't redirect to the local machine or its network.
#[test]
fn addresses_have_the_kind_of_the_registrys_network() {
    use AddressKind::{Loopback, Metadata, Public, Special};
    let from = url("https://a.example/");
    let allowed = |to: &str, registry| check_address(&from, &url(to), registry).is_ok();
    assert!(allowed("https://b.example/", Public));
    assert!(allowed("https://8.8.8.8/", Public));
    assert!(allowed("https://127.0.0.1/", Loopback));
    assert!(allowed("https://0.0.0.0/", Loopback));
    for to in [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://0x7f.1/",
        "https://0.0.0.0/",
        "https://[::]/",
    ] {
        assert!(!allowed(to, Public) && !allowed(to, Special), "{to}");
    }
    // Networks that use reserved addresses are their own kind.
    assert!(allowed("https://192.0.2.1/", Special) && !allowed("https://192.0.2.1/", Public));
    assert!(!allowed("http://169.254.169.254/", Metadata));
}
