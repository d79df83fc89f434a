//! Requests on the wire: connections, bodies, redirects, name resolution, TLS, proxies.
//!
//! Boundary: a credential is a header value here, and content is bytes. The layers above
//! ([`auth`](super::auth) and [`client`](super::client)) give both their meaning.

mod authorities;
mod body;
mod certificate;
mod chain;
mod encoding;
mod endpoint;
mod explain;
mod failure;
mod message;
mod options;
mod proxy;
mod redirect;
mod request;
mod resolver;
mod secrets;
mod system;
mod tls;
mod verifier;

#[cfg(test)]
mod tests;

pub(super) use self::authorities::Authorities;
pub(super) use self::body::{Body, length};
pub(super) use self::chain::RedirectChain;
pub(super) use self::endpoint::{API, Context, Endpoint};
pub(crate) use self::failure::RootCause;
pub(super) use self::failure::{Failure, is_of_proxy, retry_after};
pub(super) use self::message::{
    ErrorBody, has_error_code, is_denied, is_error_only, is_registry_error, is_web_page,
};
pub use self::options::HostOptions;
pub(crate) use self::options::origin_key;
pub(super) use self::proxy::Proxies;
pub(super) use self::redirect::{
    is_redirect, location, same_origin, unsafe_part, upload_location, with_tls_of,
};
pub(super) use self::request::{Answer, Payload, RequestSpec, exchange, follow};
pub(super) use self::resolver::{LookupFn, literal, system_lookup};
pub(super) use self::secrets::Secrets;
