//! Why there is no TLS connection to a server.

use std::path::PathBuf;

use qmt_oci_ref::text::shell_word;
use qmt_oci_ref::{RegistryErrorKind, RegistryHost};

use super::hint::client_certificate_hint;
use super::text::{issuer, suffix};
use crate::BoxError;
use crate::redact::RedactedUrl;

/// Why there is no TLS connection to a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The answer to the TLS handshake is not TLS: a server of plain HTTP answers so.
    #[error("the request to `{url}` failed: the server does not use TLS")]
    WithoutTls {
        /// The request's URL without userinfo and query.
        url: RedactedUrl,
        /// Whether the registry is used over plain HTTP, so that a redirect led to this URL.
        plain_http: bool,
        /// What the TLS client reports.
        source: BoxError,
    },
    /// The server's certificate is not accepted.
    #[error("the certificate of `{address}` is not accepted{}", issuer(*.unknown_issuer))]
    Certificate {
        /// Host and port.
        address: String,
        /// The registry whose options apply.
        host: RegistryHost,
        /// The option `ca_file`, if it is set.
        ca_file: Option<PathBuf>,
        /// Whether the registry is used over plain HTTP, so that `ca_file` cannot be set.
        plain_http: bool,
        /// Whether its issuer, or the certificate itself where it has none, is not trusted.
        unknown_issuer: bool,
        /// Whether it is for another name, or not valid at the time of this machine's clock.
        is_about_name_or_time: bool,
        /// Any other reason.
        source: Option<BoxError>,
    },
    /// The server's certificate is not accepted, because it is marked as one that issues others.
    #[error(
        "the certificate of `{address}` is not accepted: it is marked as the certificate of an \
         authority (`CA:TRUE`)"
    )]
    MarkedAsAuthority {
        /// Host and port.
        address: String,
        /// The registry whose options apply.
        host: RegistryHost,
        /// The option `ca_file`, if it is set.
        ca_file: Option<PathBuf>,
        /// Whether the registry is used over plain HTTP, so that `ca_file` cannot be set.
        plain_http: bool,
    },
    /// The server ends the handshake with an alert, and would do so again.
    #[error("`{address}` refuses the TLS connection: {reason}")]
    Refused {
        /// Host and port.
        address: String,
        /// What the alert means.
        reason: &'static str,
        /// The registry whose options name the client's certificate, if it is about that.
        certificate_of: Option<RegistryHost>,
    },
    /// The server ends the connection before there is one of TLS.
    #[error("`{address}` closes the connection during the TLS handshake")]
    Closed {
        /// Host and port.
        address: String,
        /// The registry, if the server is its own and is to be used over HTTPS.
        host: Option<RegistryHost>,
        /// Whether another attempt can help: after a reset, which may be of the network.
        retryable: bool,
    },
    /// This machine has no certificate by which any server could be trusted.
    #[error("this machine has no CA certificates")]
    NoAuthorities {
        /// The registry whose server was to be verified.
        host: RegistryHost,
        /// Whether the registry is used over plain HTTP, so that `ca_file` cannot be set.
        plain_http: bool,
    },
    /// There is no such certificate in the file or folder that a variable names.
    #[error("there are no CA certificates in `{}`, which the variable `{variable}` names{}", .path.display(), suffix(.reason))]
    NoAuthoritiesAt {
        /// The registry whose server was to be verified.
        host: RegistryHost,
        /// Whether the registry is used over plain HTTP, so that `ca_file` cannot be set.
        plain_http: bool,
        /// The variable.
        variable: &'static str,
        /// What it names.
        path: PathBuf,
        /// What is wrong with that; may be empty.
        reason: &'static str,
    },
    /// A variable that should name such certificates holds something else, which is not shown.
    #[error("there are no CA certificates: the variable `{variable}` holds {content}, not a path")]
    NoPathOfAuthorities {
        /// The registry whose server was to be verified.
        host: RegistryHost,
        /// Whether the registry is used over plain HTTP, so that `ca_file` cannot be set.
        plain_http: bool,
        /// The variable.
        variable: &'static str,
        /// What it holds.
        content: &'static str,
    },
}

impl TlsError {
    pub(super) fn kind(&self) -> RegistryErrorKind {
        match self {
            Self::NoAuthoritiesAt { .. } | Self::NoPathOfAuthorities { .. } => {
                RegistryErrorKind::Configuration
            }
            Self::Closed { retryable, .. } => RegistryErrorKind::Network {
                retryable: *retryable,
            },
            Self::WithoutTls { .. }
            | Self::Certificate { .. }
            | Self::MarkedAsAuthority { .. }
            | Self::Refused { .. }
            | Self::NoAuthorities { .. } => RegistryErrorKind::Network { retryable: false },
        }
    }

    /// What the user can do about it.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::WithoutTls {
                plain_http: true, ..
            } => {
                "the registry is used over plain HTTP, but redirects to HTTPS, which is not served \
                  there; its address or its redirects are configured wrongly"
                    .to_owned()
            }
            Self::WithoutTls { url, .. } => format!(
                "the registry answers without TLS; if that is intended, set `plain_http = true` in \
                 `[registries.\"{}\"]` of the config",
                super::hint::host_of(&url.address())
            ),
            Self::Certificate {
                address,
                unknown_issuer: true,
                ca_file: Some(file),
                ..
            } => format!(
                "`{}`, which `ca_file` names, does not contain the issuer of the certificate, or the \
                 server does not send its intermediate certificate; `openssl s_client -connect {} \
                 -showcerts` shows what it sends",
                file.display(),
                shell_word(address)
            ),
            Self::Certificate {
                unknown_issuer: true,
                plain_http: true,
                ..
            } => format!(
                "if it is your company's authority or the server's own certificate, {SYSTEM}"
            ),
            Self::Certificate {
                host,
                unknown_issuer: true,
                ..
            } => format!(
                "if it is your company's authority or the server's own certificate, name its PEM file \
                 with `ca_file` in `[registries.\"{host}\"]`, or add it to the system's certificates"
            ),
            Self::Certificate {
                is_about_name_or_time: true,
                ..
            } => "certificates are checked for the name by which the registry is reached, and \
                  against this machine's clock"
                .to_owned(),
            Self::Certificate { address, .. } => {
                format!("the operator of `{address}` must replace the certificate")
            }
            Self::MarkedAsAuthority {
                host,
                ca_file,
                plain_http,
                ..
            } => {
                let trust = match ca_file {
                    None if *plain_http => SYSTEM.to_owned(),
                    Some(file) => format!(
                        "add the server's own certificate to `{}`, which `ca_file` names",
                        file.display()
                    ),
                    None => format!(
                        "name the PEM file of the server's own certificate with `ca_file` in \
                         `[registries.\"{host}\"]`"
                    ),
                };
                format!(
                    "{trust}, or issue one with `CA:FALSE`; one with `CA:TRUE` is accepted only \
                     where it is listed itself"
                )
            }
            Self::Refused { certificate_of, .. } => {
                client_certificate_hint(certificate_of.as_ref()?.as_str())
            }
            Self::Closed { address, host, .. } => match host {
                Some(host) => format!(
                    "does `{address}` serve HTTPS? If it serves plain HTTP, set `plain_http = true` in \
                     `[registries.\"{host}\"]` of the config; servers also close the \
                     connection if they require a client certificate or do not know the host name, and \
                     firewalls if they block it"
                ),
                None => format!(
                    "does `{address}` serve HTTPS, is its host name right, and does no firewall block it?"
                ),
            },
            Self::NoAuthorities { host, plain_http } => format!(
                "install the package `ca-certificates`{}",
                or_ca_file(host, *plain_http)
            ),
            Self::NoAuthoritiesAt {
                host,
                plain_http,
                variable,
                ..
            }
            | Self::NoPathOfAuthorities {
                host,
                plain_http,
                variable,
                ..
            } => {
                format!(
                    "correct or unset `{variable}`{}",
                    or_ca_file(host, *plain_http)
                )
            }
        })
    }
}

/// What to do where the registry itself is used over plain HTTP, and names a server of HTTPS.
const SYSTEM: &str = "add it to the system's certificates (`ca_file` cannot be set together with \
                      `plain_http`)";

/// How `ca_file` helps a registry with an authority that the system does not know.
pub(super) fn or_ca_file(host: &RegistryHost, plain_http: bool) -> String {
    if plain_http {
        return String::new();
    }
    format!(", or name the authority's certificate with `ca_file` in `[registries.\"{host}\"]`")
}
