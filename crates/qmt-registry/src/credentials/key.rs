//! Which entry of a credentials file belongs to which registry.
//!
//! Entries are compared as parsed hosts, never as parts of text: `evil-ghcr.io` is not `ghcr.io`,
//! and `ghcr.io:443` is the same origin while `ghcr.io:8443` is not.

use qmt_oci_ref::RegistryHost;

/// The key under which docker keeps the credential for Docker Hub.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";

/// How well an entry named `key` fits the registry `host` and the repository `path`: the number of
/// path components that it names, or `None` if it belongs to another registry.
pub(super) fn fit(key: &str, host: &RegistryHost, path: Option<&str>) -> Option<usize> {
    let scope = scope(key, host)?;
    if scope.is_empty() {
        return Some(0);
    }
    let rest = path?.strip_prefix(scope)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| scope.split('/').count())
}

/// The path in the registry `host` that an entry named `key` is for, empty if it is for all of it;
/// `None` if it belongs to another registry.
pub(super) fn scope<'a>(key: &'a str, host: &RegistryHost) -> Option<&'a str> {
    let (is_http, rest) = without_scheme(key)?;
    let (authority, scope) = match rest.split_once('/') {
        Some((authority, scope)) => (authority, scope.trim_end_matches('/')),
        None => (rest, ""),
    };
    if !is_same_origin(authority, is_http, host) {
        return None;
    }
    // Old docker clients wrote the URL of the registry's API.
    let is_api = scope == "v1" || scope == "v2";
    Some(if is_api { "" } else { scope })
}

/// The key under which a credential for `host` is stored.
pub(super) fn for_storing(host: &RegistryHost) -> String {
    if host.is_docker_hub() {
        HUB_KEY.to_owned()
    } else {
        host.as_str().to_owned()
    }
}

/// Whether the scheme is plain HTTP, and what follows it. Other schemes are not supported.
fn without_scheme(key: &str) -> Option<(bool, &str)> {
    match key.split_once("://") {
        None => Some((false, key)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Some((false, rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Some((true, rest)),
        Some(_) => None,
    }
}

/// Whether `authority` is the origin of `host`. A port that is not named is 443 (80 after
/// `http://`); a trailing dot and the case of letters are ignored.
fn is_same_origin(authority: &str, is_http: bool, host: &RegistryHost) -> bool {
    if authority.contains('@') {
        return false;
    }
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (authority, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let authority = match port {
        Some(port) => format!("{name}:{port}"),
        None => name,
    };
    // The grammar of hosts decides, and knows the names of Docker Hub.
    let Ok(named) = authority.parse::<RegistryHost>() else {
        return false;
    };
    let implied = if is_http { 80 } else { 443 };
    named.host().eq_ignore_ascii_case(host.host())
        && (named.port() == host.port()
            || named.port().unwrap_or(implied) == host.port().unwrap_or(443))
}
