//! Registries over HTTP, in three layers.
//!
//! - [`transport`]: one request on the wire; knows nothing of the other two.
//! - [`auth`]: challenges, token servers, tokens; knows the transport.
//! - [`client`]: manifests, blobs, uploads, referrers, retries; knows both.

mod auth;
mod client;
mod transport;

pub(crate) use self::client::until;
pub use self::client::{HttpRegistry, HttpRegistryBuilder};
pub use self::transport::HostOptions;
pub(crate) use self::transport::{RootCause, origin_key};
