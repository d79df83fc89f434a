//! Addresses that a plugin may reach: those of the public network.

use std::net::IpAddr;

use qmt_oci_ref::address::AddressKind;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Leaves out addresses of this machine and of private networks. The connection goes to an address
/// that this returned, so a name that resolves to another address a second time does not help.
#[derive(Debug)]
pub(super) struct PublicOnly {
    pub(super) private: bool,
    pub(super) inner: DefaultResolver,
}

impl Resolver for PublicOnly {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let resolved = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in resolved
            .iter()
            .filter(|address| self.private || is_public(address.ip()))
        {
            allowed.push(*address);
        }
        if allowed.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(allowed)
    }
}

/// Reports whether an address belongs to the public network.
pub(super) fn is_public(address: IpAddr) -> bool {
    AddressKind::of(address) == AddressKind::Public
}
