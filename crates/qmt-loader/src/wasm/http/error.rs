//! Why a plugin's HTTP request failed.

use std::error::Error;
use std::io;

use qmt_oci_ref::text::counted;

use super::public::AddressError;
use crate::error::BoxError;

/// Why a plugin's HTTP request failed. No text holds a URL or the value of a header.
#[derive(Debug, thiserror::Error)]
pub(in crate::wasm) enum HttpError {
    #[error("the HTTP request is not valid JSON")]
    Json(#[source] serde_json::Error),
    #[error("the HTTP request has no URL")]
    NoUrl,
    #[error("the URL of the HTTP request cannot be read")]
    Url(#[source] Option<url::ParseError>),
    #[error("only http and https URLs can be requested")]
    Scheme,
    #[error("a URL may not carry a user name or password")]
    Credentials,
    #[error("the host of the URL is not a valid name or address")]
    Host,
    #[error("the method of the HTTP request is not allowed")]
    Method,
    #[error("the name of a header is not valid")]
    HeaderName,
    #[error("header `{name}` cannot be set by a plugin")]
    ReservedHeader { name: String },
    #[error("the value of header `{name}` is not valid")]
    HeaderValue { name: String },
    #[error("the HTTP request has more than {limit} headers")]
    TooManyHeaders { limit: usize },
    #[error("a HEAD request may not have a body")]
    BodyNotAllowed,
    #[error(
        "host `{host}` on port {port} is not granted to this plugin; the operator grants it with `allow.hosts`"
    )]
    NotGranted { host: String, port: u16 },
    #[error("the time of the call ended before the HTTP response was complete")]
    TimedOut,
    #[error("the HTTP request was redirected more than {}", counted(*.limit, "time"))]
    TooManyRedirects { limit: usize },
    #[error("the target of the redirect cannot be read")]
    Location,
    #[error("a redirect may not lead from https to http")]
    Downgrade,
    #[error("the headers of the response are too large")]
    HeadersTooLarge,
    #[error("the body of the response is larger than {limit} bytes")]
    BodyTooLarge { limit: u64 },
    #[error("the name of the host cannot be resolved")]
    Unresolved(#[source] BoxError),
    #[error(
        "the host name has no public address; a private address must be granted literally, such as `10.0.0.1`"
    )]
    NoPublicAddress,
    #[error("the connection to the host failed")]
    Connection(#[source] BoxError),
    #[error("the TLS connection to the host failed")]
    Tls(#[source] BoxError),
    #[error("the response breaks a rule of HTTP")]
    Protocol(#[source] BoxError),
    #[error("the HTTP client cannot run")]
    Client(#[source] BoxError),
}

impl HttpError {
    pub(super) fn setup(error: impl Into<BoxError>) -> Self {
        Self::Client(error.into())
    }

    /// Finds the rule that an exchange broke in the causes that the client gives.
    pub(super) fn exchange(error: reqwest::Error) -> Self {
        // The query of a URL may be secret.
        let error = error.without_url();
        if error.is_builder() {
            return Self::Url(None);
        }
        let kind = causes(&error).find_map(kind_of);
        match kind {
            Some(Kind::NoPublicAddress) => Self::NoPublicAddress,
            Some(Kind::HeadersTooLarge) => Self::HeadersTooLarge,
            Some(Kind::Tls) => Self::Tls(error.into()),
            _ if error.is_dns() => Self::Unresolved(error.into()),
            Some(Kind::Connection) => Self::Connection(error.into()),
            None if error.is_connect() => Self::Connection(error.into()),
            None => Self::Protocol(error.into()),
        }
    }
}

enum Kind {
    NoPublicAddress,
    HeadersTooLarge,
    Tls,
    Connection,
}

fn kind_of(error: &(dyn Error + 'static)) -> Option<Kind> {
    if error.is::<AddressError>() {
        return Some(Kind::NoPublicAddress);
    }
    if error.is::<rustls::Error>() {
        return Some(Kind::Tls);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // `io::Error::source` is the source of what it wraps, not what it wraps.
        let inner = error.get_ref().and_then(|inner| kind_of(inner));
        return Some(inner.unwrap_or(Kind::Connection));
    }
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse_too_large() {
        return Some(Kind::HeadersTooLarge);
    }
    let broken = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    broken.then_some(Kind::Connection)
}

/// Returns `error` and its sources.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}
