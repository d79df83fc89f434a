//! Which redirects are followed. These checks are pure; `request` runs the loop.

use http::{HeaderMap, StatusCode, header};
use qmt_oci_ref::address::AddressKind;
use url::Url;

use super::resolver::literal;
use crate::error::ClientError;

/// Whether `status` is a redirect to a new `Location`.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Whether two URLs have scheme, host and port in common.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// The `Location` of a redirect, read from the headers that `from` sent.
pub(crate) fn location(from: &Url, headers: &HeaderMap) -> Result<Url, ClientError> {
    check_location(from, parse_location(from, headers)?)
}

/// The `Location` of an upload session, read from the headers that `from` sent.
pub(crate) fn upload_location(from: &Url, headers: &HeaderMap) -> Result<Url, ClientError> {
    check_location(from, with_tls_of(from, parse_location(from, headers)?))
}

/// Corrects a URL of the same host that a server names with HTTP, without a port or with that of
/// `from`: many registries behind a TLS proxy do not know their scheme, or neither that nor the port.
pub(crate) fn with_tls_of(from: &Url, mut to: Url) -> Url {
    let is_plain = from.scheme() == "https" && to.scheme() == "http";
    let is_at_port = to.port().is_none() || to.port() == from.port();
    if is_plain && is_at_port && from.host() == to.host() {
        // These setters fail for other schemes only.
        let _ = to.set_scheme(from.scheme());
        let _ = to.set_port(from.port());
    }
    to
}

fn parse_location(from: &Url, headers: &HeaderMap) -> Result<Url, ClientError> {
    let protocol = |rule| ClientError::protocol(from, rule);
    let mut locations = headers.get_all(header::LOCATION).iter();
    let location = locations
        .next()
        .filter(|first| locations.all(|other| other == *first));
    let location = location.ok_or_else(|| {
        protocol("a redirect and the answer to an upload have exactly one `Location`")
    })?;
    let location = str::from_utf8(location.as_bytes())
        .map_err(|_| protocol("a `Location` is ASCII or UTF-8"))?;
    if location.chars().any(char::is_control) {
        return Err(protocol("a `Location` has no control characters"));
    }
    // Spaces and other characters that a URL does not allow are encoded, as browsers do.
    from.join(location)
        .map_err(|_| protocol("a `Location` is a URL"))
}

fn check_location(from: &Url, to: Url) -> Result<Url, ClientError> {
    let refuse = |reason| Err(ClientError::redirect_refused(from, &to, reason));
    if !matches!(to.scheme(), "https" | "http") {
        return refuse("only HTTP and HTTPS are followed");
    }
    match unsafe_part(from, &to) {
        Some(reason) => refuse(reason),
        None => Ok(to),
    }
}

/// Why no request is sent to the HTTP or HTTPS URL `to` that `from` names.
pub(crate) fn unsafe_part(from: &Url, to: &Url) -> Option<&'static str> {
    if from.scheme() == "https" && to.scheme() == "http" {
        Some("it leads from HTTPS to HTTP")
    } else if !to.username().is_empty() || to.password().is_some() {
        Some("it contains a user name or password")
    } else if to.host_str().is_none_or(str::is_empty) {
        Some("it has no host")
    } else {
        None
    }
}

/// Refuses a target whose host is an address to which a registry of the kind `registry` may not
/// lead; `None` is a kind that is not known. The resolver checks names when the connection is made.
pub(crate) fn check_address(
    from: &Url,
    to: &Url,
    registry: impl Into<Option<AddressKind>>,
) -> Result<(), ClientError> {
    let registry = registry.into();
    let Some(kind) = literal(to).map(AddressKind::of) else {
        return Ok(());
    };
    if registry.unwrap_or(AddressKind::Public).may_lead_to(kind) {
        return Ok(());
    }
    let reason = match (registry, kind) {
        (_, AddressKind::Metadata) => {
            "the address is that of a cloud's metadata service, to which no registry may lead"
        }
        (None, _) => {
            "the registry is reached through a proxy, so its own address is not known, and this one is \
             not public; name the registry by its address, or reach it without the proxy (`NO_PROXY`)"
        }
        (Some(AddressKind::Public), _) => {
            "the registry has a public address, and this one is not public; if the registry is in that \
             network as well, name it by its address there"
        }
        (Some(AddressKind::Private), _) => {
            "the registry has a private address, and this one is neither private nor public"
        }
        (Some(AddressKind::Loopback), AddressKind::Private) => {
            "the registry has an address of this machine, and this one is of a private network; \
             name the registry by an address in that network"
        }
        _ => "the address is in another kind of network than the registry, and not public",
    };
    Err(ClientError::redirect_refused(from, to, reason))
}

/// Refuses a target whose host is an address to which an earlier server of the chain, in the network
/// `outermost`, may not lead.
pub(crate) fn check_after(from: &Url, to: &Url, outermost: AddressKind) -> Result<(), ClientError> {
    match literal(to).map(AddressKind::of) {
        Some(kind) if !outermost.may_lead_to(kind) => {
            Err(ClientError::redirect_refused(from, to, AFTER_OTHER))
        }
        Some(_) | None => Ok(()),
    }
}

/// Why a redirect is refused that the registry itself could have sent.
const AFTER_OTHER: &str = "the registry may redirect to this address, but a server in another network, to \
     which it redirected first, may not";

#[cfg(test)]
mod tests;
