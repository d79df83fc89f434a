//! Hosts that are granted, and the origin of a URL that is held against them.

use std::net::IpAddr;

use extism::Error;
use ureq::http::Uri;
use ureq::http::uri::Authority;

/// One entry of the list of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wasm) struct AllowedHost {
    /// Lower case; an IPv6 address without its brackets.
    host: String,
    /// `None` is the scheme's own port.
    port: Option<u16>,
}

impl AllowedHost {
    /// Reads `host` or `host:port`.
    pub(in crate::wasm) fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str =
            "a host is granted as `name` or `name:port`, without scheme, path or wildcard";
        let uri: Uri = format!("http://{text}/").parse().map_err(|_| RULE)?;
        let authority = uri.authority().ok_or(RULE)?;
        let is_plain = authority.as_str() == text
            && uri.path() == "/"
            && uri.query().is_none()
            && !text.contains(['@', '*', '?', '%', ' ', ',']);
        let port = port_of(authority).map_err(|_| RULE)?;
        if !is_plain || authority.host().is_empty() {
            return Err(RULE);
        }
        Ok(Self {
            host: bare(authority.host()),
            port,
        })
    }

    pub(super) fn is(&self, origin: &Origin) -> bool {
        let port = self.port.unwrap_or(default_port(origin.https));
        self.host == origin.host && port == origin.port
    }

    /// The operator named an address, or this machine, and not a name that leads there.
    pub(super) fn names_an_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok() || self.host == "localhost"
    }
}

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    pub(super) fn of(uri: &Uri) -> Result<Self, Error> {
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Error::msg("only http and https URLs can be requested")),
        };
        let Some(authority) = uri.authority() else {
            return Err(Error::msg("the URL names no host"));
        };
        if authority.as_str().contains('@') {
            return Err(Error::msg("a URL may not carry a user name or password"));
        }
        let port = port_of(authority).map_err(Error::msg)?;
        let port = port.unwrap_or(default_port(https));
        Ok(Self {
            https,
            host: bare(authority.host()),
            port,
        })
    }
}

/// Returns the port, if there is one; fails if what stands in its place is no port.
fn port_of(authority: &Authority) -> Result<Option<u16>, &'static str> {
    const RULE: &str = "the port is no number";
    let rest = authority.as_str().strip_prefix(authority.host());
    match rest.ok_or(RULE)? {
        "" => Ok(None),
        rest => {
            let port = rest.strip_prefix(':').ok_or(RULE)?;
            port.parse().map(Some).map_err(|_| RULE)
        }
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn bare(host: &str) -> String {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .trim_end_matches('.')
        .to_ascii_lowercase()
}
