//! Why a proxy could not be used.

use qmt_oci_ref::{RegistryErrorKind, RegistryHost};

use super::text::suffix;
use super::tls::or_ca_file;
use crate::BoxError;
use crate::redact::RedactedUrl;

/// Where proxies are set.
pub(super) const SETTINGS: &str = "a proxy is set by `proxy` of a registry in the config or by \
                                   `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`; `NO_PROXY` names \
                                   hosts that are reached without a proxy";

/// Why a proxy could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy can't be reached, or does not connect to the server.
    #[error("the proxy `{proxy}` can't be used to reach `{url}`: {reason}")]
    Failed {
        /// The proxy.
        proxy: RedactedUrl,
        /// What was asked for.
        url: RedactedUrl,
        /// Whether another attempt can help.
        retryable: bool,
        /// Why the connection failed.
        reason: &'static str,
        /// What the HTTP client reports, its URL removed.
        source: BoxError,
    },
    /// The certificate of the proxy is not accepted.
    #[error("the proxy `{proxy}` can't be used to reach `{url}`: its certificate is not accepted")]
    Certificate {
        /// The proxy.
        proxy: RedactedUrl,
        /// What was asked for.
        url: RedactedUrl,
        /// The registry, whose options apply.
        host: RegistryHost,
        /// Whether the registry is used over plain HTTP, so that it has no `ca_file`.
        plain_http: bool,
        /// Whether no trusted authority issued the certificate.
        unknown_issuer: bool,
        /// What the TLS client reports.
        source: BoxError,
    },
    /// The proxy itself answered with an error.
    #[error("the proxy `{proxy}` answers in place of `{url}` with status {status}{}", suffix(.message))]
    Answer {
        /// The proxy.
        proxy: RedactedUrl,
        /// What was asked for.
        url: RedactedUrl,
        /// The status.
        status: u16,
        /// The proxy's message, escaped; empty without one.
        message: String,
    },
    /// A variable that names a proxy can't be used.
    #[error("the proxy in the variable `{variable}` can't be used: {reason}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// The rule that it breaks.
        reason: &'static str,
    },
}

impl ProxyError {
    pub(super) fn kind(&self) -> RegistryErrorKind {
        match self {
            Self::Failed { retryable, .. } => RegistryErrorKind::Network {
                retryable: *retryable,
            },
            Self::Certificate { .. } => RegistryErrorKind::Network { retryable: false },
            // What a gateway may not answer the next time.
            Self::Answer { status, .. } => RegistryErrorKind::Network {
                retryable: matches!(status, 502..=504),
            },
            Self::Variable { .. } => RegistryErrorKind::Configuration,
        }
    }

    pub(super) fn hint(&self) -> String {
        match self {
            Self::Answer { status: 407, .. } => format!(
                "the URL of the proxy must have a user name and password that it accepts, \
                 `http://USER:PASSWORD@…`; methods other than Basic, such as NTLM, are not supported; \
                 {SETTINGS}"
            ),
            Self::Certificate {
                host,
                plain_http,
                unknown_issuer: true,
                ..
            } => format!(
                "add the certificate of the proxy's authority to the system's certificates{}",
                or_ca_file(host, *plain_http)
            ),
            Self::Certificate { proxy, .. } => {
                format!("the operator of `{proxy}` must replace the certificate")
            }
            Self::Failed { .. } | Self::Answer { .. } | Self::Variable { .. } => {
                SETTINGS.to_owned()
            }
        }
    }
}
