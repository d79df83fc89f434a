//! Kinds of network addresses: which are public, private, of this machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of network that an address belongs to, from the outermost to the innermost.
///
/// Registries: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "each use decides about every kind")]
pub enum AddressKind {
    /// Routed on the internet.
    Public,
    /// Multicast, documentation, tunnels, reserved. Some private networks use these addresses.
    Special,
    /// RFC 2544. Some VPN clients give out these addresses for all names.
    Benchmarking,
    /// RFC 1918, RFC 6598 and RFC 4193.
    Private,
    /// This link.
    LinkLocal,
    /// This machine. A connection to the unspecified address leads there, too.
    Loopback,
    /// A cloud's metadata service, which gives out credentials.
    Metadata,
}

/// Cloud metadata services.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
];

impl AddressKind {
    /// Returns the kind of `address`. An IPv4 address inside an IPv6 address has its own kind; only
    /// mapped and NAT64 addresses can be public, not the deprecated compatible and 6to4 ones.
    pub fn of(address: IpAddr) -> Self {
        if METADATA.contains(&address) {
            return Self::Metadata;
        }
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => match embedded_v4(v6) {
                Some(v4) => Self::of(IpAddr::V4(v4)),
                None => Self::of_v6(v6),
            },
        }
    }

    /// Whether a server in this kind of network may send a client to an address of kind `target`:
    /// to the internet, and to the kind of network in which it is itself.
    pub fn may_lead_to(self, target: Self) -> bool {
        match target {
            Self::Public => true,
            Self::Metadata => false,
            target => target == self,
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [0 | 127, ..] => Self::Loopback,
            [10, ..] | [192, 168, ..] | [172, 16..32, ..] | [100, 64..128, ..] => Self::Private,
            [169, 254, ..] => Self::LinkLocal,
            [198, 18 | 19, ..] => Self::Benchmarking,
            [224..=255, ..] | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
                Self::Special
            }
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Self::Loopback,
            [0xfc00..0xfe00, ..] => Self::Private,
            [0xfe80..0xfec0, ..] => Self::LinkLocal,
            // Protocol assignments such as Teredo, and documentation.
            [0x2001, 0..0x200 | 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => Self::Special,
            // Deprecated forms of IPv4 addresses: compatible ones, and 6to4 tunnels.
            [0, 0, 0, 0, 0, 0, high @ 1..=0xffff, low] | [0x2002, high, low, ..] => {
                match Self::of(IpAddr::V4(v4(high, low))) {
                    Self::Public => Self::Special,
                    kind => kind,
                }
            }
            [0x2000..0x4000, ..] => Self::Public,
            _ => Self::Special,
        }
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Special => "reserved",
            Self::Benchmarking => "benchmarking",
            Self::Metadata => "metadata service",
        })
    }
}

/// Returns the IPv4 address inside a mapped or NAT64 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(v4(high, low))
        }
        _ => None,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests;
