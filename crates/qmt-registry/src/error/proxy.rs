//! Why a proxy could not be used.

use qmt_oci_ref::RegistryErrorKind;

use super::text::suffix;
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
            Self::Failed { .. } | Self::Answer { .. } | Self::Variable { .. } => {
                SETTINGS.to_owned()
            }
        }
    }
}
