//! Addresses that a plugin may reach: those of the public network.
//!
//! The client asks for the addresses of names only. A URL with a literal address reaches it without
//! a lookup, so such a URL passes only where the operator granted that address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use qmt_oci_ref::address::AddressKind;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Looks a name up; tests replace the system's.
pub(super) type Lookup = Arc<dyn Fn(String) -> LookupFuture + Send + Sync>;
type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Returns the system's name resolution.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    })
}

/// Resolves names, and leaves out addresses of this machine and of private networks unless
/// `private` is set. The connection goes to an address that this returned, so a name that resolves
/// to another address a second time does not help.
pub(super) struct Addresses {
    pub(super) private: bool,
    pub(super) lookup: Lookup,
}

/// A name that resolves to private addresses only.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
pub(super) struct AddressError;

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        let pending = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let mut addresses = pending.await?;
            addresses.retain(|address| private || is_public(address.ip()));
            if addresses.is_empty() {
                return Err(AddressError.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Reports whether an address belongs to the public network.
pub(super) fn is_public(address: IpAddr) -> bool {
    AddressKind::of(address) == AddressKind::Public
}
