//! What an operator sets for one registry.

use std::path::PathBuf;

use qmt_oci_ref::RegistryHost;

use super::proxy::{self, ProxyUrl};

/// How one registry is reached. The default is HTTPS with the system's certificates and the
/// environment's proxy.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    pub(crate) plain_http: bool,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    /// As it was read; `None` in it is the empty text.
    pub(super) proxy: Option<Result<Option<ProxyUrl>, &'static str>>,
    pub(crate) allow_realms: Vec<String>,
}

impl HostOptions {
    /// Starts from the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses HTTP without TLS for this registry. Nothing else turns it on: no port, no name.
    #[must_use]
    pub fn plain_http(mut self, plain_http: bool) -> Self {
        self.plain_http = plain_http;
        self
    }

    /// Trusts the certificates in a PEM file as well: authorities, and the registry's own
    /// certificate, for the names in it. It counts for the servers that this registry leads to, too, and
    /// for this host where another registry leads to it.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Presents a client certificate (PEM, chain included) with its key (PEM) to this registry,
    /// and to no host that it redirects to.
    #[must_use]
    pub fn client_certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_certificate = Some((cert.into(), key.into()));
        self
    }

    /// Uses this proxy (`http://`, which may be left out, `https://`, `socks5://`) instead of the
    /// environment's; an empty text means none. `NO_PROXY` applies to it too. The environment's
    /// proxy is not used for names and addresses of the local machine; this one is.
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<String>) -> Self {
        self.proxy = Some(proxy::option(&proxy.into()));
        self
    }

    /// Allows this registry's credential to be sent to a token server on another host: `host`,
    /// `host:port` or an origin such as `https://auth.example.com`.
    #[must_use]
    pub fn allow_realm(mut self, realm: impl Into<String>) -> Self {
        self.allow_realms.push(realm.into());
        self
    }
}

/// The key under which a registry's options are stored: `host` and `host:443` are one registry
/// over HTTPS, `host` and `host:80` over plain HTTP.
pub(crate) fn origin_key(host: &RegistryHost, plain_http: bool) -> (String, u16) {
    let default_port = if plain_http { 80 } else { 443 };
    let port = host.port().unwrap_or(default_port);
    (host.host().to_ascii_lowercase(), port)
}

#[cfg(test)]
mod tests;
