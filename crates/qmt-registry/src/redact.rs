//! URLs and server texts in a form that may be shown.
//!
//! Blob redirects carry signed queries and proxies carry passwords in their userinfo, so an error
//! or event holds a [`RedactedUrl`] and never a URL. What a server says is cut and escaped before
//! it reaches a terminal.

use std::fmt;

use url::Url;

use crate::limits::SERVER_TEXT_MAX;

/// A URL without userinfo, query and fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Box<str>);

impl RedactedUrl {
    /// The text that may be shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host and port that it leads to, the scheme's own port included.
    #[cfg(feature = "http")]
    pub(crate) fn address(&self) -> String {
        let url = Url::parse(&self.0).ok();
        url.and_then(|url| {
            let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
            Some(format!("{host}:{port}"))
        })
        .unwrap_or_else(|| self.0.to_string())
    }

    /// Redacts a text that may or may not be a URL; what can't be parsed is not shown at all.
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "only the HTTP client has texts")
    )]
    pub(crate) fn from_text(text: &str) -> Self {
        match Url::parse(text) {
            Ok(url) if !url.cannot_be_a_base() => Self::from(&url),
            Ok(url) => Self(format!("{}:…", url.scheme()).into()),
            Err(_) => Self("(not a URL)".into()),
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
        Self(shown(url.as_str()).into())
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

/// Cuts `text` at 1 KiB and escapes whatever could move a cursor or forge a line.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(SERVER_TEXT_MAX));
    for character in text.chars() {
        if out.len() >= SERVER_TEXT_MAX {
            out.push('…');
            break;
        }
        let harmful = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if harmful {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-02: userinfo, query and fragment are gone, the place is still recognisable.
    #[test]
    fn a_url_loses_its_secrets() {
        let url =
            Url::parse("https://user:canary@cdn.example.com:8443/v2/a/blobs/x?sig=canary#canary")
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

    /// CFG-02: a server can't draw on the terminal or send a novel.
    #[test]
    fn server_text_is_escaped_and_cut() {
        assert_eq!(shown("a\x1b[31mb\r\nc"), "a\\u{1b}[31mb\\r\\nc");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(shown(&"x".repeat(SERVER_TEXT_MAX)).len(), SERVER_TEXT_MAX);
        assert_eq!(
            shown(&"x".repeat(10 << 10)).chars().count(),
            SERVER_TEXT_MAX + 1
        );
    }
}
