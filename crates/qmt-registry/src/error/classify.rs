//! What an error means for the caller: its kind, and what to look at.

use std::io;

use qmt_oci_ref::{RegistryError, RegistryErrorKind};

#[cfg(feature = "http")]
use url::Url;

use super::{ClientError, Phase};
#[cfg(feature = "http")]
use crate::{error::BoxError, redact::RedactedUrl};

impl ClientError {
    /// The kind of failure.
    pub fn kind(&self) -> RegistryErrorKind {
        use RegistryErrorKind as Kind;
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Unauthorized { .. }
            | Self::TokenRefused { .. }
            | Self::CredentialWithheld { .. }
            | Self::CredentialHelper { .. } => Kind::Unauthorized,
            Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::NotAManifest { .. } => Kind::Content,
            // Too many requests, and what a gateway answers when its backend does not.
            Self::Status {
                status: 408 | 425 | 429 | 500 | 502..=504,
                ..
            }
            | Self::RateLimited { .. }
            | Self::MirrorContent { .. } => Kind::Network { retryable: true },
            Self::Timeout { phase, .. } => Kind::Network {
                retryable: *phase != Phase::Finish,
            },
            Self::Transport { retryable, .. } | Self::Unreachable { retryable, .. } => {
                Kind::Network {
                    retryable: *retryable,
                }
            }
            Self::WithoutTls { .. } | Self::Setup { .. } => Kind::Network { retryable: false },
            Self::Protocol { .. }
            | Self::Status { .. }
            | Self::RedirectRefused { .. }
            | Self::RealmRefused { .. }
            | Self::Challenge { .. }
            | Self::Token { .. }
            | Self::CannotResume { .. }
            | Self::UploadRefused { .. }
            | Self::Flooded { .. } => Kind::Protocol,
            Self::Options { .. }
            | Self::Url { .. }
            | Self::CredentialFile { .. }
            | Self::CredentialOption { .. } => Kind::Configuration,
            Self::Content { .. } | Self::Layout { .. } => Kind::Storage,
            Self::Offline { .. } => Kind::Offline,
            Self::Caller(error) => error.kind(),
        }
    }

    /// Whether the image layout that was to be opened does not exist. Says nothing about what a
    /// layout contains.
    pub fn is_missing_layout(&self) -> bool {
        let Self::Layout { source, .. } = self else {
            return false;
        };
        let cause = source.as_ref().and_then(|cause| cause.downcast_ref());
        cause.is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::NotFound)
    }

    /// Returns what to check where no server can be reached.
    pub fn unreachable_hint(&self) -> Option<String> {
        let Self::Unreachable { address, .. } = self else {
            return None;
        };
        // The default port of HTTPS is not written in references.
        let (host, plain) = match address.strip_suffix(":443") {
            Some(host) => (
                host,
                " (if it serves plain HTTP: `plain_http = true` there)",
            ),
            None => (address.as_str(), ""),
        };
        Some(format!(
            "is the registry running, and are its name and port right{plain}? Set `proxy` or \
             `mirrors` in `[registries.\"{host}\"]` to reach it another way; where a proxy is set \
             already (there or by HTTPS_PROXY), it may be the proxy that does not answer"
        ))
    }
}

impl From<ClientError> for RegistryError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Caller(error) => error,
            error => Self::new(error.kind(), error),
        }
    }
}

#[cfg(feature = "http")]
impl ClientError {
    /// Whether the same request can succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self.kind(), RegistryErrorKind::Network { retryable: true })
    }

    pub(crate) fn protocol(url: &Url, rule: &'static str) -> Self {
        let url = RedactedUrl::from(url);
        Self::Protocol { url, rule }
    }

    pub(crate) fn redirect_refused(from: &Url, to: &Url, reason: &'static str) -> Self {
        let (from, to) = (RedactedUrl::from(from), RedactedUrl::from(to));
        Self::RedirectRefused { from, to, reason }
    }

    pub(crate) fn setup(source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Setup { source }
    }
}
