//! What the user can do about an error.

use qmt_oci_ref::RegistryHost;
#[cfg(feature = "layout")]
use qmt_storage::LayoutError;

use super::credential::{password_hint, unsent_hint};
use super::text::{APACHE_HTTPS_EXPECTED, login, write_out};
use super::{ClientError, WithheldReason, proxy, unreachable};
use crate::credentials::CredentialOrigin;
#[cfg(feature = "http")]
use crate::http::RootCause;
#[cfg(feature = "http")]
use crate::limits::{HEADER_BYTES_MAX, HEADERS_MAX};
use crate::redact::RedactedUrl;

/// Where to look if a web site answers.
pub(super) const WEB_PAGE: &str = "check that this is the host of the registry and not of its web \
                                   site; login pages and proxies also answer with HTML";

/// What a page means that refuses access.
const BLOCK_PAGE: &str = "a registry refuses access in JSON; this page is probably from a proxy or \
                          firewall that blocks the request, or from a web site: check the name of the \
                          host, and ask the operator of the network to allow access to it";

/// What servers in Go, nginx and Apache answer to plain HTTP at an HTTPS port. No status code
/// stands for this, so only the text identifies it.
const HTTPS_EXPECTED: [&str; 3] = [
    "Client sent an HTTP request to an HTTPS server",
    "The plain HTTP request was sent to HTTPS port",
    APACHE_HTTPS_EXPECTED,
];

/// What nginx answers to a request without a client certificate that it accepts. It sends status 400
/// for its own 495 and 496, so only the text identifies it.
const CLIENT_CERTIFICATE: [&str; 2] = [
    "No required SSL certificate was sent",
    "The SSL certificate error",
];

impl ClientError {
    /// Returns what the user can do about it, if the message does not say so.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Status {
                url,
                status,
                from: None,
                message,
            }
            | Self::TokenRefused {
                realm: url,
                status,
                message,
                ..
            } if is_about_client_certificate(*status, message) => {
                Some(client_certificate_hint(&host_of(&url.address())))
            }
            Self::Unauthorized {
                host,
                is_unsent: true,
                origin,
                ..
            } => Some(unsent_hint(host, origin)),
            Self::Unauthorized {
                host,
                anonymous,
                origin,
                ..
            }
            | Self::TokenRefused {
                host,
                anonymous,
                origin,
                ..
            } => Some(refusal_hint(host, *anonymous, origin)),
            Self::CredentialWithheld {
                url,
                reason,
                origin,
            } => variables_hint(origin).or_else(|| match reason {
                WithheldReason::IsToken => Some(password_hint(url, origin)),
                WithheldReason::WeakerChallenge => None,
            }),
            Self::File(error) => error.hint(),
            #[cfg(feature = "layout")]
            Self::Layout(
                LayoutError::Digest { .. }
                | LayoutError::Size { .. }
                | LayoutError::DamagedEntry { .. },
            ) => Some("the layout is damaged: copy it again, or export it again".to_owned()),
            Self::NotFound {
                host,
                origin,
                advice,
                ..
            } => missing_hint(host.as_ref(), origin.as_ref(), advice),
            Self::UploadRefused { advice, .. } if !advice.is_empty() => Some((*advice).to_owned()),
            Self::RateLimited { host, .. } => Some(match host {
                None => "try again later".to_owned(),
                Some(host) => format!(
                    "try again later; many registries allow more requests after a login: \
                     {}",
                    login(host.as_str())
                ),
            }),
            Self::Login(error) => Some(error.hint()),
            Self::TokenServer(error) => error.hint(),
            Self::WebPage { from, .. } => Some(match from {
                None => WEB_PAGE.to_owned(),
                Some(host) => format!(
                    "`{host}` redirects there: login pages of networks and proxies answer with HTML; if \
                     `{host}` keeps its content there, ask its operator"
                ),
            }),
            Self::BlockPage { .. } => Some(BLOCK_PAGE.to_owned()),
            Self::Credential(error) => error.hint(),
            Self::Tls(error) => error.hint(),
            Self::Status {
                url,
                status: 400,
                from: None,
                message,
            } if HTTPS_EXPECTED.iter().any(|text| message.contains(text)) => plain_http_hint(url),
            #[cfg(feature = "http")]
            Self::Transport { source, .. } if is_too_large(&**source) => Some(format!(
                "the head of an answer has at most {HEADERS_MAX} header lines and {} KiB; a registry \
                 needs few of them, so ask its operator what adds more",
                HEADER_BYTES_MAX >> 10
            )),
            #[cfg(feature = "http")]
            Self::Transport {
                url,
                proxy: None,
                answered: false,
                source,
                ..
            } if is_not_http(&**source) => Some(format!(
                "check that `{}` is the port of a registry: the answer cannot be read as HTTP",
                url.address()
            )),
            // The connection was closed without an answer.
            Self::Transport {
                url,
                proxy: None,
                answered: false,
                retryable: true,
                ..
            } => plain_http_hint(url),
            Self::Proxy(error) => Some(error.hint()),
            Self::RedirectRefused { from, to, .. } if to.is_downgrade_of(from) => {
                Some(
                    "the registry does not know that it is reached by HTTPS: its operator must set its \
                     external URL, or the proxy in front of it the header `X-Forwarded-Proto`"
                        .to_owned(),
                )
            }
            Self::Transport { proxy: Some(_), .. } | Self::Timeout { proxy: Some(_), .. } => {
                Some(proxy::SETTINGS.to_owned())
            }
            Self::Timeout { url, .. } => Some(format!(
                "try again later: `{}`, or the network on the way, is slow or drops packets",
                url.address()
            )),
            Self::Unreachable {
                address,
                from,
                for_upload,
                for_login,
                for_content,
                exempt,
                ..
            } => Some(match from {
                Some(registry) if *for_upload => format!(
                    "`{registry}` is probably behind a proxy and does not know its external URL: \
                     set that in the config of the registry"
                ),
                Some(registry) => unreachable::target(address, registry, *exempt, *for_content),
                None => unreachable::server(address, *exempt, *for_login),
            }),
            _ => None,
        }
    }
}

/// Whether the server requires a client certificate, or another one.
fn is_about_client_certificate(status: u16, message: &str) -> bool {
    let mut texts = CLIENT_CERTIFICATE.iter();
    matches!(status, 495 | 496) || (status == 400 && texts.any(|text| message.contains(text)))
}

/// What to do where a server requires a client certificate of the registry `host`.
pub(super) fn client_certificate_hint(host: &str) -> String {
    format!(
        "`client_cert` and `client_key` in `[registries.\"{host}\"]` name the client's certificate \
         and its key (PEM)"
    )
}

/// Whether an answer cannot be read as HTTP.
#[cfg(feature = "http")]
fn is_not_http(error: &(dyn std::error::Error + 'static)) -> bool {
    has_cause(error, hyper::Error::is_parse)
}

/// Whether the head of an answer is over the limits of the HTTP library.
#[cfg(feature = "http")]
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    has_cause(error, hyper::Error::is_parse_too_large)
}

#[cfg(feature = "http")]
fn has_cause(
    error: &(dyn std::error::Error + 'static),
    is_it: impl Fn(&hyper::Error) -> bool,
) -> bool {
    let error = error.downcast_ref().map_or(error, RootCause::of_client);
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(&is_it))
}

fn refusal_hint(host: &RegistryHost, anonymous: bool, origin: &CredentialOrigin) -> String {
    if let Some(hint) = variables_hint(origin) {
        return hint;
    }
    let login = login(host.as_str());
    match origin {
        CredentialOrigin::Misdirected { .. }
        | CredentialOrigin::NoAuths { .. }
        | CredentialOrigin::OtherPort { .. }
            if anonymous =>
        {
            format!("{origin}; correct it, or log in with {login}")
        }
        CredentialOrigin::Unexpanded { variable, .. } if anonymous => {
            format!("{origin}; {} and log in with {login}", write_out(variable))
        }
        CredentialOrigin::NotAPath {
            variable,
            advice: "",
            ..
        } if anonymous => format!("{origin}; correct or unset `{variable}`"),
        CredentialOrigin::NotAPath { .. } if anonymous => origin.to_string(),
        _ if anonymous => {
            format!("log in with {login}; logins of docker and podman are used as well")
        }
        CredentialOrigin::Entry {
            is_replaced_by_login: false,
            ..
        } => format!(
            "the credential is from {origin}, which is used before that of a login to `{host}`: remove \
             or replace this entry"
        ),
        CredentialOrigin::Helper { .. } => format!(
            "the credential is from {origin}; it may have expired or lack this right; {login} replaces \
             it, unless that program generates credentials itself"
        ),
        CredentialOrigin::Entry { .. } => format!(
            "the credential, {origin}, may have expired or lack this right; {login} replaces it"
        ),
        _ => format!("the credential may have expired or lack this right; {login} replaces it"),
    }
}

fn variables_hint(origin: &CredentialOrigin) -> Option<String> {
    let CredentialOrigin::Variables(names) = origin else {
        return None;
    };
    let (are, them) = if names.len() > 1 {
        ("are", "them")
    } else {
        ("is", "it")
    };
    Some(format!(
        "the credential is from {origin}, which {are} used before stored logins: correct or unset \
         {them}"
    ))
}

fn missing_hint(
    host: Option<&RegistryHost>,
    origin: Option<&CredentialOrigin>,
    advice: &str,
) -> Option<String> {
    match (host, origin) {
        (None, _) => Some(advice.to_owned()).filter(|advice| !advice.is_empty()),
        (Some(_), Some(origin)) => Some(format!(
            "{advice}; many registries answer the same to a credential without the right to it: {} \
             may lack this right",
            credential(origin)
        )),
        (Some(host), None) => Some(format!(
            "{advice}; for a private repository, many registries answer the same until you log in: {}",
            login(host.as_str())
        )),
    }
}

/// The credential that was sent, with its origin where that is a place.
pub(super) fn credential(origin: &CredentialOrigin) -> String {
    match origin {
        CredentialOrigin::Entry { .. } => format!("the credential, {origin},"),
        CredentialOrigin::Variables(_)
        | CredentialOrigin::File(_)
        | CredentialOrigin::Helper { .. } => {
            format!("the credential from {origin}")
        }
        CredentialOrigin::Unknown
        | CredentialOrigin::Caller
        | CredentialOrigin::Misdirected { .. }
        | CredentialOrigin::Unexpanded { .. }
        | CredentialOrigin::NoAuths { .. }
        | CredentialOrigin::OtherPort { .. }
        | CredentialOrigin::NotAPath { .. } => "the credential".to_owned(),
    }
}

/// Returns the hint for plain HTTP that may have reached an HTTPS port.
fn plain_http_hint(url: &RedactedUrl) -> Option<String> {
    let address = url.address();
    (!url.is_https()).then(|| {
        format!(
            "if `{address}` serves HTTPS, remove `plain_http` from the options of the registry in \
             the config"
        )
    })
}

/// The host as references and the config name it: without a default port, and Docker Hub's server as
/// `docker.io`.
pub(super) fn host_of(address: &str) -> String {
    let host = [":443", ":80"]
        .iter()
        .find_map(|port| address.strip_suffix(port));
    let host = host.unwrap_or(address);
    let named: Result<RegistryHost, _> = host.parse();
    named.map_or_else(|_| host.to_owned(), |named| named.to_string())
}
