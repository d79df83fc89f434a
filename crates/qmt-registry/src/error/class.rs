//! What an error means for whoever asked: whether to ask again, elsewhere, or differently.

use super::{Phase, RegistryError};

impl RegistryError {
    /// Whether the registry said that what was asked for does not exist (status 404).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the image layout that was to be opened is not there. Unlike [`Self::is_not_found`]
    /// this says nothing about what a layout holds.
    pub fn is_missing_layout(&self) -> bool {
        match self {
            Self::Layout {
                source: Some(cause),
                ..
            } => cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound),
            _ => false,
        }
    }

    /// Whether an option, or a file or variable with credentials, can't be used: what the operator
    /// set is at fault, whatever the registry does.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Options { .. }
                | Self::CredentialFile { .. }
                | Self::CredentialOption { .. }
                | Self::Url { .. }
        )
    }

    /// Whether the same request can succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport { retryable, .. } | Self::Unreachable { retryable, .. } => *retryable,
            Self::Timeout { phase, .. } => *phase != Phase::Finish,
            Self::RateLimited { .. } | Self::MirrorLied { .. } => true,
            Self::Status { status, .. } => is_retryable_status(*status),
            _ => false,
        }
    }

    /// Whether the registry answered a TLS handshake with something else, as one does that speaks
    /// plain HTTP.
    pub fn is_without_tls(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = match self {
            Self::Transport { source, .. } => Some(&**source),
            _ => None,
        };
        while let Some(error) = next {
            if error.to_string().contains(NO_TLS) {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// Returns what to look at where nobody answered at all.
    pub fn unreachable_hint(&self) -> Option<String> {
        let Self::Unreachable { address, .. } = self else {
            return None;
        };
        // Nobody writes the port that HTTPS has by itself.
        let (named, plain) = match address.strip_suffix(":443") {
            Some(host) => (
                host,
                " (if it serves plain HTTP: `plain_http = true` there)",
            ),
            None => (address.as_str(), ""),
        };
        Some(format!(
            "is the registry running, and are its name and port right{plain}? A way around it is \
             set by `proxy` or `mirrors` in `[registries.\"{named}\"]`; where a proxy is set \
             already (there or by HTTPS_PROXY), it may be the proxy that does not answer"
        ))
    }

    /// Whether the network, rather than a content or a right, is at fault.
    pub fn is_network(&self) -> bool {
        match self {
            Self::Transport { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. } => true,
            Self::Status { status, .. } => is_retryable_status(*status),
            _ => false,
        }
    }

    /// Whether the content, rather than the way to it, is wrong.
    #[cfg(feature = "http")]
    pub(crate) fn is_content(&self) -> bool {
        matches!(
            self,
            Self::DigestMismatch { .. }
                | Self::SizeMismatch { .. }
                | Self::TooLarge { .. }
                | Self::MediaTypeMismatch { .. }
                | Self::NotAManifest { .. }
        )
    }
}

/// Whether a status means "later": too many requests, and what a gateway says when it is at a loss.
pub(crate) fn is_retryable_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504)
}

/// What rustls says of an answer that is no TLS record.
pub(crate) const NO_TLS: &str = "InvalidContentType";
