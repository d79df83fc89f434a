//! Which addresses a request may reach when a server, not the operator, names the host.
//!
//! Redirects and token servers are named by a registry. The operator allows the kind of network
//! that the registry itself is in, and no other: a registry on the internet can't redirect to a
//! loopback port or a cloud's metadata service. The check is part of the resolver that the
//! connection uses, so a name can't change between check and connect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use qmt_oci_ref::address::AddressKind;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

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

/// The kind of network that a registry is in, as its connections found it: of all addresses to which
/// its name resolved for them, the outermost. A name with a public address and an internal one, or
/// with one after the other, must not lead inside.
#[derive(Clone)]
pub(crate) struct RegistryKind {
    name: String,
    outermost: Arc<Mutex<Option<AddressKind>>>,
}

impl RegistryKind {
    /// The kind of the registry at `base`; a name's is not known yet.
    pub(crate) fn of(base: &Url) -> Self {
        let kind = literal(base).map(AddressKind::of);
        Self {
            name: base.host_str().unwrap_or_default().to_owned(),
            outermost: Arc::new(Mutex::new(kind)),
        }
    }

    /// The kind. Where it is not known, nothing but the internet is allowed.
    pub(crate) fn get(&self) -> AddressKind {
        self.known().unwrap_or(AddressKind::Public)
    }

    /// The kind; `None` behind a proxy, which resolves the name itself.
    pub(crate) fn known(&self) -> Option<AddressKind> {
        *self
            .outermost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of the addresses to which `name` resolved for a connection.
    fn resolved(&self, name: &str, addresses: &[SocketAddr]) {
        if self.name == name {
            let kind = self.outermost.lock();
            let mut kind = kind.unwrap_or_else(PoisonError::into_inner);
            let kinds = addresses
                .iter()
                .map(|address| AddressKind::of(address.ip()));
            *kind = kinds.chain(*kind).min();
        }
    }
}

/// Resolves names, and refuses addresses that a request may not reach.
pub(crate) struct CheckedResolver {
    pub(super) lookup: LookupFn,
    /// The registry whose kind the look-ups tell.
    pub(super) registry: RegistryKind,
    /// The outermost network of the servers that led to the host; `None` for hosts that the operator named,
    /// which may have any address.
    pub(super) named_by: Option<AddressKind>,
    /// The name of the proxy, which the operator named.
    pub(super) exempt: Option<String>,
}

/// A name that resolves to an address that may not be reached.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{name}` resolves to a {kind} address, to which the registry `{registry}` may not lead: {}",
    why_forbidden(*.kind, *.own, *.named_by)
)]
pub(crate) struct ForbiddenAddress {
    name: String,
    kind: AddressKind,
    registry: String,
    /// The kind of the registry; `None` where it is not known.
    own: Option<AddressKind>,
    /// The kind of the outermost server in the chain of redirects, which starts with the registry.
    named_by: AddressKind,
}

/// Why a registry of the kind `own` may not lead to an address of another kind, and what to do.
fn why_forbidden(kind: AddressKind, own: Option<AddressKind>, named_by: AddressKind) -> String {
    match own {
        _ if kind == AddressKind::Metadata => "no registry may lead there".to_owned(),
        Some(own) if own.may_lead_to(kind) => format!(
            "its own address is {own}, but it redirected to a server with a {named_by} address, \
             which redirects there"
        ),
        None => {
            "it is reached through a proxy, so its own address is not known; name the registry \
                 by its address, or reach it without the proxy (`NO_PROXY`)"
                .to_owned()
        }
        Some(own) => format!(
            "its own address is {own}; if it is in that network as well, name the registry by its \
             address there"
        ),
    }
}

/// A name that does not exist. An unreachable name server is another error.
#[derive(Debug, thiserror::Error)]
#[error("the name does not exist")]
pub(crate) struct NoSuchName(#[source] io::Error);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let registry = self.registry.clone();
        let named_by = self.named_by;
        let named_by = named_by.filter(|_| self.exempt.as_ref() != Some(&name));
        let pending = (self.lookup)(name.clone());
        Box::pin(async move {
            let mut addresses = pending.await.map_err(name_error)?;
            registry.resolved(&name, &addresses);
            if let Some(from) = named_by {
                let kind = |address: &SocketAddr| AddressKind::of(address.ip());
                let mut kinds = addresses.iter().map(kind);
                let forbidden = kinds.find(|kind| !from.may_lead_to(*kind));
                addresses.retain(|address| from.may_lead_to(kind(address)));
                // One forbidden address among allowed ones is an attack, not an accident, but the
                // registry's own name is the operator's.
                let is_refused = addresses.is_empty() || registry.name != name;
                if let Some(kind) = forbidden.filter(|_| is_refused) {
                    let own = registry.known();
                    let registry = registry.name;
                    return Err(ForbiddenAddress {
                        name,
                        kind,
                        registry,
                        own,
                        named_by: from,
                    }
                    .into());
                }
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// What `getaddrinfo` says of a name that does not exist: in glibc and macOS, and in musl.
const UNKNOWN: [&str; 2] = ["not known", "does not resolve"];
/// The same as Windows' error code, `WSAHOST_NOT_FOUND`.
const HOST_NOT_FOUND: i32 = 11_001;

/// Tells a name that does not exist from a look-up that failed. The standard library has no type
/// for the difference, and on Unix only the text of `getaddrinfo`'s code.
fn name_error(cause: io::Error) -> Box<dyn std::error::Error + Send + Sync> {
    let text = cause.to_string();
    let is_unknown = UNKNOWN.iter().any(|words| text.contains(words));
    if is_unknown || cause.raw_os_error() == Some(HOST_NOT_FOUND) {
        Box::new(NoSuchName(cause))
    } else {
        Box::new(cause)
    }
}

#[cfg(test)]
mod tests;
