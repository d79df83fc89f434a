//! The option `ca_file` of each registry, for servers that another registry leads to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use qmt_oci_ref::RegistryHost;
use url::Url;

use super::options::{HostOptions, origin_key};

/// The files with the certificates that are trusted for single servers, by host and port.
#[derive(Default)]
pub(crate) struct Authorities(HashMap<(String, u16), (RegistryHost, PathBuf)>);

impl Authorities {
    /// Takes `ca_file` of all options that have it.
    pub(crate) fn of(hosts: &[(RegistryHost, HostOptions)]) -> Self {
        let files = hosts.iter().filter_map(|(host, options)| {
            let file = options.ca_file.clone().filter(|_| !options.plain_http)?;
            Some((origin_key(host, false), (host.clone(), file)))
        });
        Self(files.collect())
    }

    /// The file for the server of `url`, and the registry in whose options it is.
    pub(super) fn file(&self, url: &Url) -> Option<(&RegistryHost, &Path)> {
        let host = url.host_str()?.to_ascii_lowercase();
        let (registry, file) = self.0.get(&(host, url.port_or_known_default()?))?;
        (url.scheme() == "https").then_some((registry, file))
    }
}
