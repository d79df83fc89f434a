//! What an operator sets for one registry.

use std::path::PathBuf;

use qmt_oci_ref::RegistryHost;

use crate::mirror::MirrorOptions;

/// How one registry is reached. The default is HTTPS with the system's certificates and the
/// environment's proxy.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    pub(crate) plain_http: bool,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) mirrors: Vec<MirrorOptions>,
    pub(crate) proxy: Option<ProxyOption>,
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

    /// Trusts the certificates in a PEM file as well.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Presents a client certificate (PEM, chain included) with its key (PEM) to this registry,
    /// and to no host that it redirects to.
    #[must_use]
    pub fn client_certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_cert = Some(cert.into());
        self.client_key = Some(key.into());
        self
    }

    /// Adds a mirror. Mirrors are asked in the order in which they were added, the registry last.
    #[must_use]
    pub fn mirror(mut self, mirror: MirrorOptions) -> Self {
        self.mirrors.push(mirror);
        self
    }

    /// Uses this proxy (`http://`, `https://`, `socks5://`) instead of the environment's; the
    /// empty text means none. `NO_PROXY` holds for it too. The environment's is not used for names
    /// and addresses of this very machine; this one is.
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<String>) -> Self {
        self.proxy = Some(ProxyOption(proxy.into()));
        self
    }

    /// Lets this registry's credential go to a token server on another host: `host`, `host:port`
    /// or an origin such as `https://auth.example.com`.
    #[must_use]
    pub fn allow_realm(mut self, realm: impl Into<String>) -> Self {
        self.allow_realms.push(realm.into());
        self
    }
}

/// A proxy's URL, which may carry a password: not shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProxyOption(pub(crate) String);

impl std::fmt::Debug for ProxyOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Proxy({})",
            crate::redact::RedactedUrl::from_text(&self.0)
        )
    }
}

/// The key under which a registry's options are found: `host` and `host:443` are one registry
/// where HTTPS is spoken, `host` and `host:80` where it is not.
pub(crate) fn origin_key(host: &RegistryHost, plain_http: bool) -> (String, u16) {
    let default_port = if plain_http { 80 } else { 443 };
    (
        host.host().to_ascii_lowercase(),
        host.port().unwrap_or(default_port),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-01: a proxy's password is not shown.
    #[test]
    fn debug_hides_the_proxys_password() {
        let options = HostOptions::new().proxy("http://user:canary@proxy.example:3128");
        let shown = format!("{options:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("proxy.example"), "{shown}");
    }

    /// AUTH-15: one registry has one entry, whatever its spelling; a longer name is another one.
    #[test]
    fn spellings_of_one_origin_are_one_key() {
        let key = |host: &str| origin_key(&host.parse().unwrap(), false);
        assert_eq!(key("registry.example.com"), key("registry.example.com:443"));
        assert_eq!(key("registry.example.com"), key("REGISTRY.example.com"));
        assert_ne!(key("registry.example.com"), key("registry.example.com:444"));
        assert_ne!(
            key("registry.example.com"),
            key("evil-registry.example.com")
        );
        assert_ne!(
            key("registry.example.com"),
            key("registry.example.com.evil.com")
        );
    }
}
