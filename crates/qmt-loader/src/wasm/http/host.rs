//! Hosts that are granted, and the origin of a URL that is compared with them.
//!
//! Both sides are read by the parser that the HTTP client uses, so they are compared as what the
//! client connects to: `127.1` and `0x7f.1` are the address 127.0.0.1, and names are ASCII.

use qmt_oci_ref::text::escape;
use url::{Host, Url};

use super::error::HttpError;

/// One entry of the list of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wasm) struct AllowedHost {
    host: Host,
    /// `None` is the scheme's own port.
    port: Option<u16>,
}

impl AllowedHost {
    /// Reads `host` or `host:port`.
    pub(in crate::wasm) fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str =
            "a host is granted as `name` or `name:port`, without scheme, path or wildcard";
        let is_foreign = |character: char| {
            character.is_control()
                || character.is_whitespace()
                || "@*?#%/\\,${}".contains(character)
        };
        if text.contains(is_foreign) {
            return Err(RULE);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !text.ends_with(']') => {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|_| is_number).ok_or(RULE)?;
                (host, Some(port))
            }
            _ => (text, None),
        };
        let host = Host::parse(host).ok().and_then(normal).ok_or(RULE)?;
        Ok(Self { host, port })
    }

    pub(super) fn is(&self, origin: &Origin) -> bool {
        let port = self.port.unwrap_or(default_port(origin.https));
        self.host == origin.host && port == origin.port
    }

    /// Reports whether the operator granted an address, or this machine, and not a name that
    /// resolves to one.
    pub(super) fn names_an_address(&self) -> bool {
        match &self.host {
            Host::Ipv4(_) | Host::Ipv6(_) => true,
            Host::Domain(name) => name == "localhost",
        }
    }
}

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    https: bool,
    host: Host,
    port: u16,
}

impl Origin {
    pub(super) fn of(url: &Url) -> Result<Self, HttpError> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(HttpError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HttpError::Credentials);
        }
        let host = url.host().map(|host| host.to_owned()).and_then(normal);
        Ok(Self {
            https,
            host: host.ok_or(HttpError::Host)?,
            port: url.port().unwrap_or(default_port(https)),
        })
    }

    pub(super) fn is_https(&self) -> bool {
        self.https
    }

    pub(super) fn not_granted(&self) -> HttpError {
        HttpError::NotGranted {
            host: escape(&self.host.to_string()),
            port: self.port,
        }
    }
}

/// Removes the dot that ends an absolute name. `None` for a name with an empty label.
fn normal(host: Host) -> Option<Host> {
    let Host::Domain(name) = host else {
        return Some(host);
    };
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_complete = name.split('.').all(|label| !label.is_empty());
    is_complete.then(|| Host::Domain(name.to_owned()))
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}
