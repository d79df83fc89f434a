//! Which addresses a request may reach when a server, not the operator, names the host.
//!
//! Redirects and token servers are named by a registry. The operator allows the kind of network
//! that the registry itself is in, and no other: a registry on the internet can't redirect to a
//! loopback port or a cloud's metadata service. The check is part of the resolver that the
//! connection uses, so a name can't change between check and connect.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use qmt_oci_ref::address::AddressKind;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The kinds that a request may reach.
pub(crate) type Kinds = BTreeSet<AddressKind>;

/// The address in a URL, if its host is one. `url` reads decimal, octal and hexadecimal forms as
/// the addresses that they stand for.
pub(crate) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    }
}

/// Looks a name up; tests replace the system's.
pub(crate) type LookupFn =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The system's name resolution.
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
        Ok(addresses) => {
            let kinds = addresses.iter();
            let mut kinds: Kinds = kinds.map(|address| AddressKind::of(address.ip())).collect();
            // A public name with an internal address as well must not lead inside.
            if kinds.contains(&AddressKind::Public) {
                kinds.retain(|kind| *kind == AddressKind::Public);
            }
            kinds
        }
        // Behind a proxy, names need not resolve here: then nothing but the internet is allowed.
        Err(_) => Kinds::from([AddressKind::Public]),
    }
}

/// Resolves names, and refuses addresses that a request may not reach.
pub(crate) struct CheckedResolver {
    pub(super) lookup: LookupFn,
    /// `None` allows all addresses: for hosts that the operator named.
    pub(super) allowed: Option<Kinds>,
    /// The name of the proxy, which the operator named.
    pub(super) exempt: Option<String>,
}

/// A name that resolves to an address that may not be reached.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` resolves to a {kind} address, to which its registry may not send requests")]
pub(crate) struct ForbiddenAddress {
    name: String,
    kind: AddressKind,
}

/// A name that does not exist. An unreachable name server is another error.
#[derive(Debug, thiserror::Error)]
#[error("the name does not exist")]
pub(crate) struct NoSuchName(#[source] io::Error);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let allowed = self
            .allowed
            .clone()
            .filter(|_| self.exempt.as_ref() != Some(&name));
        let pending = (self.lookup)(name.clone());
        Box::pin(async move {
            let addresses = pending.await.map_err(name_error)?;
            if let Some(allowed) = allowed {
                for address in &addresses {
                    let kind = AddressKind::of(address.ip());
                    // One forbidden address among allowed ones is an attack, not an accident.
                    if kind == AddressKind::Metadata || !allowed.contains(&kind) {
                        return Err(ForbiddenAddress { name, kind }.into());
                    }
                }
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Tells a name that does not exist from a look-up that failed. The standard library has no type
/// for the difference, only the text of `getaddrinfo`'s code.
fn name_error(cause: io::Error) -> Box<dyn std::error::Error + Send + Sync> {
    if cause.to_string().contains("not known") {
        Box::new(NoSuchName(cause))
    } else {
        Box::new(cause)
    }
}

#[cfg(test)]
mod tests;
