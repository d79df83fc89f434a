//! Which token servers are asked, and with what.
//!
//! A registry that could name any server could collect passwords (CVE-2026-48978, CVE-2026-33540)
//! or make the client send requests into its own network. So a credential goes to the registry's
//! own host, to the known pairs, and to what the operator lists in `allow_realms`. Any other host
//! gets an anonymous request, also where there is a credential, and a host that is an address gets no
//! request at all.

use qmt_oci_ref::RegistryHost;
use qmt_oci_ref::address::AddressKind;
use url::{ParseError, Url};

use crate::error::{ClientError, TokenServerError};
use crate::http::transport::{literal, same_origin, unsafe_part, with_tls_of};
use crate::redact::{RedactedUrl, begins_with_port};

/// What is said of an address without a scheme.
const NO_SCHEME: &str = "it is not an absolute URL, which begins with `https://`";

/// What is said of a host with characters of neither, such as a placeholder that was not replaced.
const NO_HOST_NAME: &str = "its host is neither a name nor an address";

/// Registries whose token server is known to be another host.
const KNOWN_PAIRS: [(&str, &str); 2] = [
    ("docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];

/// A token server to which requests are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Realm {
    pub(crate) url: Url,
    pub(crate) trust: RealmTrust,
}

impl Realm {
    /// Whether it is asked for an anonymous token where there is a credential, which it may not get.
    pub(crate) fn is_for_anonymous(&self) -> bool {
        self.trust == RealmTrust::Untrusted && self.url.domain().is_some()
    }
}

/// Why a token server gets requests, and whether it gets the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RealmTrust {
    /// The operator lists it in `allow_realms`: any address, and the credential.
    Operator,
    /// It is the registry's host, or a known pair: the credential.
    Known,
    /// The registry alone names it: an anonymous request, to an address of the registry's kind.
    Untrusted,
}

/// Checks the `realm` that `host`, reached at `base`, names.
pub(crate) fn check(
    host: &RegistryHost,
    base: &Url,
    allow_realms: &[String],
    realm: &str,
) -> Result<Realm, ClientError> {
    let refuse = |reason, allow: Option<&Url>| {
        ClientError::from(TokenServerError::RealmRefused {
            host: host.clone(),
            realm: RedactedUrl::from_text(realm),
            reason,
            allow: allow.map(authority),
            for_anonymous: false,
        })
    };
    if realm.is_empty() {
        let host = host.clone();
        return Err(TokenServerError::EmptyRealm { host }.into());
    }
    if realm.chars().any(|c| c.is_control() || c == ' ') {
        return Err(refuse("it has spaces or control characters", None));
    }
    let url = Url::parse(realm).map_err(|error| refuse(malformed(error), None))?;
    let mut url = with_tls_of(base, url);
    if url.cannot_be_a_base() && begins_with_port(url.path()) {
        return Err(refuse(NO_SCHEME, None));
    }
    if !matches!(url.scheme(), "https" | "http") {
        return Err(refuse("it is neither HTTPS nor HTTP", None));
    }
    if let Some(reason) = unsafe_part(base, &url) {
        return Err(refuse(reason, None));
    }
    if url.domain().is_some_and(|name| !is_host_name(name)) {
        return Err(refuse(NO_HOST_NAME, None));
    }
    url.set_fragment(None);
    let known = |registry, realm| {
        host.as_str() == registry && url.host_str() == Some(realm) && url.port().is_none()
    };
    let trust = if allow_realms.iter().any(|entry| allows(entry, &url)) {
        RealmTrust::Operator
    } else if url.host() == base.host() || KNOWN_PAIRS.iter().any(|(a, b)| known(*a, *b)) {
        RealmTrust::Known
    } else {
        let kind = literal(&url).map(AddressKind::of);
        let registry = literal(base).map(AddressKind::of);
        if kind.is_some_and(|kind| Some(kind) != registry || !kind.may_lead_to(kind)) {
            return Err(refuse("it is an address, not a name", Some(&url)));
        }
        RealmTrust::Untrusted
    };
    Ok(Realm { url, trust })
}

/// The error for a credential that would be sent to an untrusted realm.
pub(crate) fn untrusted(host: &RegistryHost, realm: &Url) -> ClientError {
    let for_anonymous = realm.domain().is_some();
    let reason = if for_anonymous {
        "it is another host"
    } else {
        "it is another host, so the credential is not sent to it"
    };
    ClientError::from(TokenServerError::RealmRefused {
        host: host.clone(),
        realm: RedactedUrl::from(realm),
        reason,
        allow: Some(authority(realm)),
        for_anonymous,
    })
}

/// What is wrong with a realm that is not a URL.
fn malformed(error: ParseError) -> &'static str {
    match error {
        ParseError::RelativeUrlWithoutBase => NO_SCHEME,
        ParseError::InvalidPort => "its port is not a number up to 65535",
        ParseError::EmptyHost => "it names no host",
        ParseError::IdnaError
        | ParseError::InvalidDomainCharacter
        | ParseError::InvalidIpv4Address
        | ParseError::InvalidIpv6Address => NO_HOST_NAME,
        _ => "it is not a URL",
    }
}

/// Whether a host has the characters of names alone. URLs allow others, such as those of `${HOST}`.
fn is_host_name(host: &str) -> bool {
    let mut characters = host.bytes();
    characters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// Whether an entry of `allow_realms` (`host`, `host:port` or a URL's origin) covers `url`. Without
/// a port it means the scheme's own. One with a path, which would not restrict it, covers nothing.
fn allows(entry: &str, url: &Url) -> bool {
    let absolute = if entry.contains("://") {
        entry.to_owned()
    } else {
        format!("{}://{entry}", url.scheme())
    };
    Url::parse(&absolute).is_ok_and(|entry| {
        let is_origin = entry.path() == "/" && entry.query().is_none();
        is_origin && same_origin(&entry, url)
    })
}

/// `host` or `host:port`, as `allow_realms` takes it.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests;
