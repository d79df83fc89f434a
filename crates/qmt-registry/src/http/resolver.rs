//! Which addresses a request may reach that a server, and not the operator, asked for.
//!
//! Redirects and token servers are named by a registry. The operator's word for a registry covers
//! the kind of network that it lives in and no other: a registry on the internet can't send us to
//! a loopback port or a cloud's metadata service. The check sits in the resolver that the
//! connection itself uses, so a name can't change between check and connect.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AddressKind {
    /// Routed on the internet.
    Public,
    /// RFC 1918, RFC 6598 and RFC 4193.
    Private,
    /// This machine.
    Loopback,
    /// This link.
    LinkLocal,
    /// Unspecified, multicast, benchmarking, reserved.
    Special,
    /// Where clouds answer with credentials; never followed to, whoever asks.
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
    /// The kind of `address`; an IPv4 address in IPv6 clothes counts as what it is.
    pub(crate) fn of(address: IpAddr) -> Self {
        let address = match address {
            IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        if METADATA.contains(&address) {
            return Self::Metadata;
        }
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [10, ..] | [192, 168, ..] => Self::Private,
            [172, second, ..] if (16..32).contains(&second) => Self::Private,
            [100, second, ..] if (64..128).contains(&second) => Self::Private,
            [169, 254, ..] => Self::LinkLocal,
            [0 | 224..=255, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => Self::Special,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let [first, ..] = address.segments();
        if address.is_loopback() {
            Self::Loopback
        } else if first & 0xfe00 == 0xfc00 {
            Self::Private
        } else if first & 0xffc0 == 0xfe80 {
            Self::LinkLocal
        } else if first & 0xe000 == 0x2000 {
            Self::Public
        } else {
            Self::Special
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
            Self::Metadata => "metadata service",
        })
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(v4(high, low))
        }
        // `::` and `::1` are IPv6 addresses of their own.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// The kinds that a request may reach.
pub(crate) type Kinds = BTreeSet<AddressKind>;

/// The address in a URL, if its host is one. `url` has already read decimal, octal and hexadecimal
/// forms as what they are.
pub(crate) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    }
}

/// A pending look-up.
pub(crate) type Lookup =
    Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static>>;

/// Looks a name up; tests put their own in place of the system's.
pub(crate) type LookupFn = Arc<dyn Fn(String) -> Lookup + Send + Sync>;

/// Asks the system.
pub(crate) fn system_lookup() -> LookupFn {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
    })
}

/// The kinds of network that the host of `url` is in; its name is looked up.
pub(crate) async fn kinds_of(url: &Url, lookup: &LookupFn) -> Kinds {
    if let Some(address) = literal(url) {
        return Kinds::from([AddressKind::of(address)]);
    }
    let Some(name) = url.host_str() else {
        return Kinds::new();
    };
    match lookup(name.to_owned()).await {
        Ok(addresses) => addresses
            .iter()
            .map(|address| AddressKind::of(address.ip()))
            .collect(),
        // Behind a proxy, names need not resolve here: then nothing but the internet is allowed.
        Err(_) => Kinds::from([AddressKind::Public]),
    }
}

/// Resolves names, and refuses those that lead where the request may not go.
pub(crate) struct CheckedResolver {
    lookup: LookupFn,
    /// `None` lets everything through: for hosts that the operator named.
    allowed: Option<Kinds>,
    /// Names of proxies, which the operator named.
    exempt: Vec<String>,
}

impl CheckedResolver {
    pub(crate) fn new(lookup: LookupFn, allowed: Option<Kinds>, exempt: Vec<String>) -> Self {
        Self {
            lookup,
            allowed,
            exempt,
        }
    }
}

/// A name that leads where it may not.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` leads to a {kind} address, which its registry may not send us to")]
pub(crate) struct ForbiddenAddress {
    name: String,
    kind: AddressKind,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let allowed = self
            .allowed
            .clone()
            .filter(|_| !self.exempt.contains(&name));
        let pending = (self.lookup)(name.clone());
        Box::pin(async move {
            let addresses = pending.await?;
            if let Some(allowed) = allowed {
                for address in &addresses {
                    let kind = AddressKind::of(address.ip());
                    // One forbidden address among good ones is an attempt, not an accident.
                    if kind == AddressKind::Metadata || !allowed.contains(&kind) {
                        return Err(ForbiddenAddress { name, kind }.into());
                    }
                }
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> AddressKind {
        AddressKind::of(text.parse().unwrap())
    }

    /// AUTH-05: every network has its kind, in every spelling.
    #[test]
    fn addresses_have_their_kind() {
        use AddressKind::{LinkLocal, Loopback, Metadata, Private, Public, Special};
        for (text, expected) in [
            ("8.8.8.8", Public),
            ("2600::1", Public),
            ("172.15.0.1", Public),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("172.32.0.1", Public),
            ("10.1.2.3", Private),
            ("192.168.0.1", Private),
            ("100.64.0.1", Private),
            ("100.128.0.1", Public),
            ("fd12::1", Private),
            ("127.0.0.1", Loopback),
            ("127.255.0.9", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::7f00:1", Loopback),
            ("2002:7f00:1::", Loopback),
            ("169.254.1.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("0.0.0.0", Special),
            ("::", Special),
            ("224.0.0.1", Special),
            ("255.255.255.255", Special),
            ("ff02::1", Special),
            ("169.254.169.254", Metadata),
            ("::ffff:169.254.169.254", Metadata),
            ("fd00:ec2::254", Metadata),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    /// AUTH-05: decimal, octal, hexadecimal and short forms are the addresses that they mean.
    #[test]
    fn odd_spellings_are_read_as_addresses() {
        for host in [
            "2130706433",
            "0177.0.0.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "127.1",
        ] {
            let url = Url::parse(&format!("http://{host}/token")).unwrap();
            assert_eq!(literal(&url), Some("127.0.0.1".parse().unwrap()), "{host}");
        }
    }

    fn fixed(addresses: &[&str]) -> LookupFn {
        let addresses: Vec<SocketAddr> = addresses
            .iter()
            .map(|a| SocketAddr::new(a.parse().unwrap(), 0))
            .collect();
        Arc::new(move |_| {
            let addresses = addresses.clone();
            Box::pin(async move { Ok(addresses) })
        })
    }

    async fn resolves(addresses: &[&str], allowed: Option<Kinds>, exempt: &[&str]) -> bool {
        let exempt = exempt.iter().map(|&name| name.to_owned()).collect();
        let resolver = CheckedResolver::new(fixed(addresses), allowed, exempt);
        resolver
            .resolve("auth.example.com".parse().unwrap())
            .await
            .is_ok()
    }

    /// AUTH-06: a name that leads to another kind of network is refused where it is connected to.
    #[tokio::test]
    async fn a_name_leads_only_where_it_may() {
        let public = || Some(Kinds::from([AddressKind::Public]));
        assert!(resolves(&["203.0.113.1"], public(), &[]).await);
        assert!(!resolves(&["127.0.0.1"], public(), &[]).await);
        assert!(
            !resolves(&["203.0.113.1", "169.254.0.1"], public(), &[]).await,
            "one of two"
        );
        assert!(
            resolves(
                &["127.0.0.1"],
                Some(Kinds::from([AddressKind::Loopback])),
                &[]
            )
            .await
        );
        assert!(
            resolves(&["127.0.0.1"], None, &[]).await,
            "named by the operator"
        );
        assert!(
            resolves(&["127.0.0.1"], public(), &["auth.example.com"]).await,
            "a proxy"
        );
        let all = Kinds::from([AddressKind::Metadata, AddressKind::LinkLocal]);
        assert!(
            !resolves(&["169.254.169.254"], Some(all), &[]).await,
            "metadata never"
        );
    }
}
