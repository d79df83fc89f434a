//! What an operator sets for a mirror.

use std::str::FromStr;

use qmt_oci_ref::{ReferenceError, RegistryHost, Repository};

use crate::http::HostOptions;

/// A mirror of a registry: `host` or `host/prefix`, alone or behind `oci://`, `https://` or `http://`.
///
/// A URL can also be that of the API, as containerd has it: `https://host/v2/prefix`.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    pub(super) host: RegistryHost,
    pub(super) prefix: Option<String>,
    pub(super) authoritative: bool,
    pub(super) options: HostOptions,
}

impl MirrorOptions {
    /// A mirror that stores the registry's repositories under their own paths.
    pub fn new(host: RegistryHost) -> Self {
        Self {
            host,
            prefix: None,
            authoritative: false,
            options: HostOptions::new(),
        }
    }

    /// Returns the mirror's host.
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// Puts `prefix` before the repository's path: `proxy` makes `proxy/library/busybox`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into()).filter(|prefix: &String| !prefix.is_empty());
        self
    }

    /// Also resolves tags at this mirror, and requests referrers from it first. Callers still verify
    /// both.
    #[must_use]
    pub fn authoritative(mut self, authoritative: bool) -> Self {
        self.authoritative = authoritative;
        self
    }

    /// Sets how the mirror is reached.
    #[must_use]
    pub fn options(mut self, options: HostOptions) -> Self {
        self.options = options;
        self
    }

    /// Uses HTTP without TLS for this mirror.
    #[must_use]
    pub fn plain_http(mut self, plain_http: bool) -> Self {
        self.options = self.options.plain_http(plain_http);
        self
    }
}

impl FromStr for MirrorOptions {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let plain = text.strip_prefix("http://");
        let url = plain.or_else(|| text.strip_prefix("https://"));
        let rest = url.or_else(|| text.strip_prefix("oci://")).unwrap_or(text);
        let rest = rest.trim_end_matches('/');
        // The error quotes the text, without what may be a credential.
        let masked = rest.rsplit_once('@').map(|(_, host)| format!("***@{host}"));
        let rest = masked.as_deref().unwrap_or(rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = match path.strip_prefix("v2") {
            Some("") if url.is_some() => "",
            Some(below) if url.is_some() => below.strip_prefix('/').unwrap_or(path),
            _ => path,
        };
        if !prefix.is_empty() {
            // A prefix has the grammar of a repository's path.
            Repository::from_str(&format!("{host}/{prefix}"))?;
        }
        Ok(Self::new(host.parse()?)
            .prefix(prefix)
            .plain_http(plain.is_some()))
    }
}
