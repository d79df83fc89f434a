//! What an error means for the caller: its kind, and what to look at.

#[cfg(feature = "http")]
use std::time::Duration;

#[cfg(feature = "http")]
use qmt_oci_ref::RegistryHost;
use qmt_oci_ref::{RegistryError, RegistryErrorKind};
#[cfg(feature = "http")]
use url::Url;

use super::{ClientError, Phase};
#[cfg(feature = "http")]
use super::{FileError, TokenServerError};
#[cfg(feature = "http")]
use crate::{BoxError, limits::Limits, redact::RedactedUrl};

impl ClientError {
    /// The kind of failure.
    pub fn kind(&self) -> RegistryErrorKind {
        use RegistryErrorKind as Kind;
        match self {
            Self::NotFound { .. } | Self::NotInLayout { .. } => Kind::NotFound,
            Self::Unauthorized { .. }
            | Self::TokenRefused { .. }
            | Self::CredentialWithheld { .. } => Kind::Unauthorized,
            Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::UnreadableEntries { .. }
            | Self::NotAManifest { .. }
            | Self::ErrorContent { .. }
            | Self::WebPage { .. } => Kind::Content,
            // Too many requests, and what a server or its gateway may not answer the next time; 501
            // and 505 say that it does not support the request.
            Self::Status {
                status: 408 | 425 | 429 | 500 | 502..=504 | 506..=599,
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
            Self::Setup(_) | Self::Interrupted(_) => Kind::Network { retryable: false },
            Self::Proxy(error) => error.kind(),
            Self::Tls(error) => error.kind(),
            Self::Protocol { .. }
            | Self::BlockPage { .. }
            | Self::Status { .. }
            | Self::RedirectRefused { .. }
            | Self::TooManyRedirects { .. }
            | Self::CannotResume { .. }
            | Self::UploadRefused { .. }
            | Self::Flooded { .. } => Kind::Protocol,
            Self::Options { .. } | Self::Credential(_) => Kind::Configuration,
            Self::Content(_) => Kind::Storage,
            #[cfg(feature = "layout")]
            Self::Layout(_) => Kind::Storage,
            Self::Offline { .. } => Kind::Offline,
            Self::File(error) => error.kind(),
            Self::Login(error) => error.kind(),
            Self::TokenServer(error) => error.kind(),
            Self::Caller(error) => error.kind(),
        }
    }
}

impl ClientError {
    /// Whether something else was sent in place of the content.
    fn is_other_content(&self) -> bool {
        matches!(
            self,
            Self::WebPage { .. }
                | Self::DigestMismatch { .. }
                | Self::SizeMismatch {
                    is_other_content: true,
                    ..
                }
        )
    }
}

impl From<ClientError> for RegistryError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Caller(error) => error,
            error => {
                let (is_other_content, hint) = (error.is_other_content(), error.hint());
                let mut error = Self::new(error.kind(), error);
                if let Some(hint) = hint {
                    error = error.with_hint(hint);
                }
                if is_other_content {
                    error.with_other_content()
                } else {
                    error
                }
            }
        }
    }
}

impl ClientError {
    /// Whether a proxy may be what failed.
    pub fn is_about_proxy(&self) -> bool {
        matches!(
            self,
            Self::Proxy(_)
                | Self::Transport { proxy: Some(_), .. }
                | Self::Timeout { proxy: Some(_), .. }
        )
    }
}

#[cfg(feature = "http")]
impl ClientError {
    /// The error of the server itself, without the context of its role.
    pub(crate) fn at_server(&self) -> &Self {
        match self {
            Self::TokenServer(TokenServerError::Failed { source, .. }) => source,
            error => error,
        }
    }

    /// The error of a server to which `registry` redirects, or which it names for an upload;
    /// `is_content` if a blob or file was requested.
    pub(crate) fn elsewhere(
        mut self,
        registry: &RegistryHost,
        is_named_for_upload: bool,
        is_content: bool,
    ) -> Self {
        if let Self::Unreachable {
            from,
            for_upload,
            for_content,
            ..
        } = &mut self
        {
            *from = Some(registry.clone());
            (*for_upload, *for_content) = (is_named_for_upload, is_content);
        }
        self
    }

    /// The error for the file at `url`, for which no credential is sent.
    pub(crate) fn of_file(self, url: RedactedUrl) -> Self {
        let (url, status, message) = match self {
            Self::NotFound { store, message, .. } => (store.unwrap_or(url), 404, message),
            Self::Unauthorized {
                status, message, ..
            }
            | Self::TokenRefused {
                status, message, ..
            } => (url, status, message),
            Self::BlockPage {
                url,
                status,
                message,
            }
            | Self::Status {
                url,
                status: status @ (401 | 403 | 410),
                message,
                ..
            } => (url, status, message),
            error => return error,
        };
        Self::File(FileError::Status {
            url,
            status,
            message,
        })
    }

    /// Whether a server accepted no connection, or did not send an answer or its body, in time.
    pub(crate) fn is_silence(&self) -> bool {
        let Self::Timeout { phase, .. } = self.at_server() else {
            return false;
        };
        matches!(phase, Phase::Connect | Phase::Answer | Phase::Body)
    }

    /// The error for `what`, which exists in no source, without an answer that says more.
    pub(crate) fn absent(what: impl std::fmt::Display) -> Self {
        Self::NotFound {
            what: format!("`{what}`"),
            store: None,
            message: String::new(),
            host: None,
            origin: None,
            advice: "",
        }
    }

    /// Whether the same request can succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self.kind(), RegistryErrorKind::Network { retryable: true })
    }

    pub(crate) fn protocol(url: &Url, rule: &'static str) -> Self {
        Self::Protocol {
            url: RedactedUrl::from(url),
            rule,
            compressed: false,
        }
    }

    pub(crate) fn redirect_refused(from: &Url, to: &Url, reason: &'static str) -> Self {
        let (from, to) = (RedactedUrl::from(from), RedactedUrl::from(to));
        Self::RedirectRefused { from, to, reason }
    }

    pub(crate) fn too_many_redirects(url: &Url, limits: &Limits) -> Self {
        let (url, limit) = (RedactedUrl::from(url), limits.redirects);
        Self::TooManyRedirects { url, limit }
    }

    pub(crate) fn upload_refused(url: RedactedUrl, reason: &'static str) -> Self {
        Self::UploadRefused {
            url,
            reason,
            message: String::new(),
            advice: "",
        }
    }

    pub(crate) fn timed_out(url: RedactedUrl, phase: Phase, limit: Duration) -> Self {
        Self::Timeout {
            url,
            proxy: None,
            phase,
            limit,
        }
    }

    /// Sets whether the refusal is of a request without the credential that there is.
    pub(crate) fn with_unsent_credential(mut self, unsent: bool) -> Self {
        if let Self::Unauthorized { is_unsent, .. } = &mut self {
            *is_unsent = unsent;
        }
        self
    }

    pub(crate) fn setup(source: impl Into<BoxError>) -> Self {
        Self::Setup(source.into())
    }
}
