//! Attempts that failed: which error the caller sees, and whether another attempt can help.

use std::error::Error;
use std::fmt;
use std::io;
use std::iter;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use qmt_oci_ref::RegistryHost;
use rustls::{CertificateError, InvalidMessage, OtherError};

use super::endpoint::{Connection, Endpoint};
use super::explain::{alert, certificate, is_about_name_or_time, tls};
use super::options::HostOptions;
use super::resolver::{ForbiddenAddress, NoSuchName};
use super::verifier::{AuthorityNotValid, IssuerKeyDiffers, MarkedAsAuthority, is_unknown_issuer};
use crate::BoxError;
use crate::error::{ClientError, ProxyError, TlsError};
use crate::redact::RedactedUrl;

/// A failed attempt, and the pause that the server asks for before the next one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ClientError,
    pub(crate) retry_after: Option<Duration>,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

/// Reads `Retry-After`: seconds, or a date. A date in the past means no pause; anything else (a
/// negative number, for example) is ignored.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large for the type is larger than every limit.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Whether a proxy gave an answer of this status in place of the server, whose own errors have a
/// known form.
pub(crate) fn is_of_proxy(status: u16, is_of_server: bool) -> bool {
    match status {
        407 => true,
        403 | 502..=504 => !is_of_server,
        _ => false,
    }
}

/// The content of an upload can't be read, or is too short.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct UnreadableContent(pub(super) BoxError);

/// What is said of a tunnel that a proxy refuses: the HTTP client drops the status.
const UNKNOWN_STATUS: &str =
    "the status of its answer is not known here; the log of the proxy has it";

/// What the HTTP client reports, of which only the innermost cause is shown: the others name the layers
/// of the client.
#[derive(Debug)]
pub(crate) struct RootCause(reqwest::Error);

impl RootCause {
    /// The error with all its causes.
    pub(crate) fn of_client(&self) -> &(dyn Error + 'static) {
        &self.0
    }
}

impl fmt::Display for RootCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = self.of_client();
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        fmt::Display::fmt(cause, f)
    }
}

impl Error for RootCause {}

/// Turns what the HTTP client reports into the error for `url`. Without a `connection`, a body broke.
pub(crate) fn broken(
    url: RedactedUrl,
    connection: Option<(&Endpoint, &Connection)>,
    error: reqwest::Error,
) -> ClientError {
    let causes = || iter::successors(error.source(), |inner| (*inner).source());
    let cause = causes().find_map(cause_of);
    let tunnel = causes().find_map(Tunnel::of);
    let proxy = connection.and_then(|(_, connection)| connection.proxy.as_ref());
    // Without a tunnel, there is a connection to the proxy only.
    let is_of_proxy = proxy.is_some()
        && match tunnel {
            Some(Tunnel::NotReached) => true,
            Some(Tunnel::Unauthorized | Tunnel::Refused { .. }) => false,
            None => !url.is_https(),
        };
    let (is_connect, is_dns) = (error.is_connect(), error.is_dns());
    let is_request_valid = !error.is_builder();
    // rustls writes its errors as code.
    let source = match causes().find_map(tls_of) {
        Some(cause) => tls(cause).into(),
        None if let Some(Tunnel::Refused { is_http: true, .. }) = tunnel => UNKNOWN_STATUS.into(),
        None => RootCause(error.without_url()).into(),
    };
    let (reason, retryable) = match cause {
        Some(Cause::Upload(text)) => {
            return ClientError::Content(text.into());
        }
        Some(Cause::Tls(ref cause @ rustls::Error::InvalidCertificate(ref refusal)))
            if is_of_proxy
                && let Some((endpoint, connection)) = connection
                && let Some(proxy) = &connection.proxy =>
        {
            return ClientError::Proxy(ProxyError::Certificate {
                proxy: proxy.clone(),
                url,
                host: endpoint.host.clone(),
                plain_http: endpoint.options.plain_http,
                unknown_issuer: is_unknown_issuer(cause),
                source: certificate(refusal).into(),
            });
        }
        Some(Cause::Tls(cause)) if is_of_proxy => (Some(tls_of_proxy(&cause)), false),
        Some(Cause::Flood) => return ClientError::Flooded { url, source },
        Some(Cause::Tls(cause)) if let Some((endpoint, connection)) = connection => {
            let (host, options) = endpoint.trust_of(&url);
            return tls_error(&url, &host, &options, connection.is_own, &cause, source).into();
        }
        Some(Cause::Final | Cause::Tls(_)) => (None, false),
        Some(Cause::UnknownName) => (Some("the name does not exist"), false),
        Some(Cause::Refused) if is_connect => (
            Some("the connection is refused, nothing listens there"),
            true,
        ),
        Some(Cause::NoRoute) if is_connect => (Some("there is no route to it"), true),
        Some(cause @ (Cause::Cut | Cause::Reset))
            if is_connect
                && url.is_https()
                && proxy.is_none()
                && let Some((endpoint, connection)) = connection =>
        {
            let is_for_tls = connection.is_own && !endpoint.options.plain_http;
            return ClientError::from(TlsError::Closed {
                address: url.address(),
                host: is_for_tls.then(|| endpoint.host.clone()),
                retryable: matches!(cause, Cause::Reset),
            });
        }
        // The server, or the proxy for it, closed the connection during the TLS handshake.
        Some(Cause::Cut) if is_connect && !is_of_proxy => (None, false),
        _ if is_dns => (Some("the name can't be looked up"), true),
        None | Some(Cause::Reset) if let Some(Tunnel::Refused { reason, .. }) = tunnel => {
            (Some(reason), false)
        }
        _ if is_connect && is_of_proxy => (Some("it can't be reached"), true),
        _ => (None, is_request_valid),
    };
    match (reason, proxy) {
        (_, Some(proxy)) if matches!(tunnel, Some(Tunnel::Unauthorized)) => {
            ClientError::Proxy(ProxyError::Answer {
                proxy: proxy.clone(),
                url,
                status: 407,
                message: String::new(),
            })
        }
        (Some(reason), Some(proxy)) => ClientError::Proxy(ProxyError::Failed {
            proxy: proxy.clone(),
            url,
            retryable,
            reason,
            source,
        }),
        (Some(reason), None) => ClientError::Unreachable {
            address: url.address(),
            from: None,
            for_upload: false,
            for_content: false,
            for_login: false,
            exempt: connection.is_some_and(|(endpoint, _)| endpoint.is_exempt(&url)),
            retryable,
            reason,
            source,
        },
        (None, _) => ClientError::Transport {
            url,
            proxy: proxy.cloned(),
            retryable,
            answered: connection.is_none_or(|(endpoint, _)| endpoint.has_answered()),
            source,
        },
    }
}

fn tls_error(
    url: &RedactedUrl,
    host: &RegistryHost,
    options: &HostOptions,
    is_own: bool,
    cause: &rustls::Error,
    source: BoxError,
) -> TlsError {
    let (address, host, ca_file) = (url.address(), host.clone(), options.ca_file.clone());
    let plain_http = options.plain_http;
    let has_certificate = is_own && options.client_certificate.is_some();
    match cause {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause)))
            if cause.is::<MarkedAsAuthority>() =>
        {
            TlsError::MarkedAsAuthority {
                address,
                host,
                ca_file,
                plain_http,
            }
        }
        rustls::Error::InvalidCertificate(refusal) => {
            let is_renewed = matches!(refusal, CertificateError::Other(OtherError(cause))
                if cause.is::<IssuerKeyDiffers>());
            let unknown_issuer = is_renewed || is_unknown_issuer(cause);
            let is_outdated = matches!(refusal, CertificateError::Other(OtherError(cause))
                if cause.is::<AuthorityNotValid>());
            TlsError::Certificate {
                address,
                host,
                ca_file,
                plain_http,
                unknown_issuer,
                is_about_name_or_time: is_about_name_or_time(refusal) || is_outdated,
                source: (is_renewed || !unknown_issuer).then(|| certificate(refusal).into()),
            }
        }
        rustls::Error::AlertReceived(received)
            if let Some((reason, is_about_client)) = alert(*received, has_certificate) =>
        {
            TlsError::Refused {
                address,
                reason,
                certificate_of: (is_about_client && is_own).then_some(host),
            }
        }
        _ => TlsError::WithoutTls {
            url: url.clone(),
            plain_http,
            source,
        },
    }
}

fn tls_of_proxy(cause: &rustls::Error) -> &'static str {
    match cause {
        rustls::Error::InvalidMessage(_) => {
            "it does not use TLS; write `http://` in the URL of the proxy"
        }
        _ => "it refuses the TLS connection",
    }
}

/// Where the tunnel through a proxy, by `CONNECT` of HTTP or of SOCKS, ended.
enum Tunnel {
    /// There is no connection to the proxy.
    NotReached,
    /// The proxy requires a user name and a password.
    Unauthorized,
    /// The proxy does not connect to the server.
    Refused { reason: &'static str, is_http: bool },
}

impl Tunnel {
    /// The type of these errors is private to the HTTP client, so only the text tells.
    fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let text = error.to_string();
        let kinds = [
            ("tunnel error: ", "it refuses the `CONNECT` request", true),
            (
                "SOCKS error: ",
                "it refuses to connect to the server",
                false,
            ),
        ];
        let mut kinds = kinds.into_iter();
        let (rest, reason, is_http) = kinds.find_map(|(kind, reason, is_http)| {
            Some((text.strip_prefix(kind)?, reason, is_http))
        })?;
        Some(match rest {
            "failed to create underlying connection" => Self::NotReached,
            "proxy authorization required" => Self::Unauthorized,
            _ => Self::Refused { reason, is_http },
        })
    }
}

/// Why a request failed.
enum Cause {
    /// The caller's content can't be read: nothing that the server can correct.
    Upload(String),
    /// The server sent HTTP/2 frames without end, and would do so again.
    Flood,
    /// No TLS connection with this server, now or later.
    Tls(rustls::Error),
    /// A TLS version, a malformed head or a forbidden address, which is the same the next time.
    Final,
    UnknownName,
    Refused,
    NoRoute,
    /// The connection was closed.
    Cut,
    Reset,
}

/// The error of the TLS client that one error of a chain is.
fn tls_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        // `io::Error::source` is the source of what it wraps, not what it wraps.
        Some(error) => tls_of(error.get_ref()?),
        None => error.downcast_ref(),
    }
}

/// The cause that one error of a chain is, by its type.
fn cause_of(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // `io::Error::source` is the source of what it wraps, not what it wraps.
        let inner = error.get_ref().and_then(|inner| cause_of(inner));
        return inner.or_else(|| match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Cause::Refused),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Some(Cause::NoRoute)
            }
            io::ErrorKind::UnexpectedEof => Some(Cause::Cut),
            io::ErrorKind::ConnectionReset => Some(Cause::Reset),
            _ => None,
        });
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return match error {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)
            | rustls::Error::InvalidCertificate(_) => Some(Cause::Tls(error.clone())),
            rustls::Error::AlertReceived(received) if alert(*received, false).is_some() => {
                Some(Cause::Tls(error.clone()))
            }
            rustls::Error::NoCertificatesPresented | rustls::Error::PeerIncompatible(_) => {
                Some(Cause::Final)
            }
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<UnreadableContent>() {
        return Some(Cause::Upload(error.to_string()));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_parse().then_some(Cause::Final);
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        let is_flood = error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        return is_flood.then_some(Cause::Flood);
    }
    if error.is::<ForbiddenAddress>() {
        return Some(Cause::Final);
    }
    error.is::<NoSuchName>().then_some(Cause::UnknownName)
}

#[cfg(test)]
mod tests;
