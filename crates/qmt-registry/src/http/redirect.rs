//! Where a redirect may lead. The hop loop is in `request`, the judgement is here and pure.

use http::{HeaderMap, StatusCode, header};
use url::Url;

use super::resolver::{AddressKind, Kinds, literal};
use crate::error::RegistryError;
use crate::redact::RedactedUrl;

/// Whether `status` is a redirect with a new place.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Whether two URLs have scheme, host and port in common.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// The target of a redirect, or of an upload's `Location`, read from its headers.
///
/// # Errors
///
/// [`RegistryError::RedirectRefused`] where it is missing, not HTTP, carries a user name, or leads
/// from HTTPS to HTTP; [`RegistryError::Protocol`] where there is none.
pub(crate) fn target(from: &Url, headers: &HeaderMap) -> Result<Url, RegistryError> {
    let protocol = |fault| RegistryError::Protocol {
        url: RedactedUrl::from(from),
        fault,
    };
    let mut places = headers.get_all(header::LOCATION).iter();
    let (Some(place), None) = (places.next(), places.next()) else {
        return Err(protocol("a redirect needs exactly one `Location`"));
    };
    let place = place
        .to_str()
        .map_err(|_| protocol("the `Location` is not ASCII"))?;
    if place.chars().any(|c| c.is_control() || c == ' ') {
        return Err(protocol("the `Location` has spaces or control characters"));
    }
    let to = from
        .join(place)
        .map_err(|_| protocol("the `Location` is not a URL"))?;
    let refuse = |fault| {
        let (from, to) = (RedactedUrl::from(from), RedactedUrl::from(&to));
        Err(RegistryError::RedirectRefused { from, to, fault })
    };
    match to.scheme() {
        "https" => {}
        "http" if from.scheme() == "http" => {}
        "http" => return refuse("it would leave HTTPS"),
        _ => return refuse("only HTTP and HTTPS are followed"),
    }
    if !to.username().is_empty() || to.password().is_some() {
        return refuse("it carries a user name or password");
    }
    if to.host_str().is_none_or(str::is_empty) {
        return refuse("it names no host");
    }
    Ok(to)
}

/// Refuses a target whose address is spelled out and of a kind that `allowed` lacks. Names are
/// judged by the resolver when they are connected to.
///
/// # Errors
///
/// [`RegistryError::RedirectRefused`].
pub(crate) fn check_address(from: &Url, to: &Url, allowed: &Kinds) -> Result<(), RegistryError> {
    let Some(address) = literal(to) else {
        return Ok(());
    };
    let kind = AddressKind::of(address);
    // The internet is where redirects go; every other network only from within.
    let fits = kind == AddressKind::Public || allowed.contains(&kind);
    if fits && kind != AddressKind::Metadata {
        return Ok(());
    }
    Err(RegistryError::RedirectRefused {
        from: RedactedUrl::from(from),
        to: RedactedUrl::from(to),
        fault: "it leads to another kind of network than the registry's own",
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn redirect(from: &str, to: &'static str) -> Result<String, RegistryError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static(to));
        target(&url(from), &headers).map(String::from)
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

    /// AUTH-03, AUTH-07: no downgrade, no other scheme, no userinfo, no nonsense.
    #[test]
    fn harmful_targets_are_refused() {
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
            "https://b.example/a b",
        ] {
            assert!(redirect(from, to).is_err(), "{to}");
        }
        assert!(
            target(&url(from), &HeaderMap::new()).is_err(),
            "no location"
        );
        let mut two = HeaderMap::new();
        two.append(header::LOCATION, HeaderValue::from_static("/a"));
        two.append(header::LOCATION, HeaderValue::from_static("/b"));
        assert!(target(&url(from), &two).is_err(), "two locations");
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

    /// AUTH-05: a registry on the internet can't send us into this machine or its network.
    #[test]
    fn addresses_need_the_registrys_kind() {
        let from = url("https://a.example/");
        let public = Kinds::from([AddressKind::Public]);
        let local = Kinds::from([AddressKind::Loopback]);
        let allowed = |to: &str, kinds: &Kinds| check_address(&from, &url(to), kinds).is_ok();
        assert!(allowed("https://b.example/", &public));
        assert!(allowed("https://203.0.113.7/", &public));
        assert!(allowed("https://127.0.0.1/", &local));
        for to in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://10.0.0.1/",
            "https://0x7f.1/",
        ] {
            assert!(!allowed(to, &public), "{to}");
        }
        let metadata = Kinds::from([AddressKind::Metadata]);
        assert!(!allowed("http://169.254.169.254/", &metadata));
    }
}
