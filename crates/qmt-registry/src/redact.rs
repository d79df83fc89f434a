//! URLs that are safe to show.
//!
//! Blob redirects have signed queries, and URLs of proxies have passwords, so errors and events
//! hold a [`RedactedUrl`] and never a URL.

use std::fmt;

use qmt_oci_ref::text;
use url::Url;

/// Most characters that are shown of a text that is not a URL.
#[cfg(feature = "http")]
const SHOWN_MAX: usize = 200;

/// A URL without userinfo, query and fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Box<str>);

impl RedactedUrl {
    /// The text that may be shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is plain HTTP at the host that `from` reaches by HTTPS.
    pub(crate) fn is_downgrade_of(&self, from: &Self) -> bool {
        let parse = |url: &Self| Url::parse(url.as_str()).ok();
        parse(from).zip(parse(self)).is_some_and(|(from, to)| {
            from.scheme() == "https" && to.scheme() == "http" && from.host() == to.host()
        })
    }

    /// Whether it is a URL of HTTPS.
    pub(crate) fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// The host and port that it leads to, the scheme's own port included.
    pub(crate) fn address(&self) -> String {
        let url = Url::parse(&self.0).ok();
        url.and_then(|url| {
            let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
            Some(format!("{host}:{port}"))
        })
        .unwrap_or_else(|| self.0.to_string())
    }

    /// The scheme, host and port of a proxy.
    #[cfg(feature = "http")]
    pub(crate) fn of_proxy(url: &Url) -> Self {
        let origin = Self::from(url);
        Self(origin.0.trim_end_matches('/').into())
    }

    /// Redacts a text that may or may not be a URL, such as a template whose variables are not replaced.
    #[cfg(feature = "http")]
    pub(crate) fn from_text(from: &str) -> Self {
        match Url::parse(from) {
            Ok(url) if !url.cannot_be_a_base() => Self::from(&url),
            Ok(url) if !begins_with_port(url.path()) => Self(format!("{}:…", url.scheme()).into()),
            Ok(_) | Err(_) => Self(without_secrets(from).into()),
        }
    }
}

impl From<&Url> for RedactedUrl {
    fn from(url: &Url) -> Self {
        let mut url = url.clone();
        // These setters fail only for URLs without a host, which then have no userinfo either.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        Self(text::escape(url.as_str()).into())
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Reports whether a text is what follows `host:` in an address without a scheme.
#[cfg(feature = "http")]
pub(crate) fn begins_with_port(text: &str) -> bool {
    let port = text.split('/').next().unwrap_or_default();
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// What can be shown of a text that is not a URL: neither what may be userinfo nor a query.
#[cfg(feature = "http")]
fn without_secrets(text: &str) -> String {
    let (shown, cut) = match text.find(['?', '#']) {
        Some(end) => text.split_at(end),
        None => (text, ""),
    };
    // A password may have the characters that end a path.
    if cut.contains('@') {
        return "…".to_owned();
    }
    let shown = match shown.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => shown.to_owned(),
    };
    text::escape_to(&shown, SHOWN_MAX)
}

#[cfg(test)]
mod tests;
