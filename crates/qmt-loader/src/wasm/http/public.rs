//! Addresses that a plugin may reach: those of the public network.

use std::net::IpAddr;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Leaves out addresses of this machine and of private networks. The connection goes to an address
/// that this returned, so that a name which changes its mind between two questions gains nothing.
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
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in found
            .iter()
            .filter(|address| self.private || is_public(address.ip()))
        {
            kept.push(*address);
        }
        if kept.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(kept)
    }
}

/// Returns whether an address belongs to the public network.
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, and its IPv6 sibling.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // Ways to write or to tunnel IPv4 addresses are judged by what they hold, or refused.
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || first == 0
                || first == 0x2002
                || (first == 0x64 && second == 0xff9b)
                || (first == 0x2001 && second < 0x200)
                || (first == 0x2001 && second == 0xdb8)
                || (first & 0xffc0) == 0xfec0)
        }
    }
}
