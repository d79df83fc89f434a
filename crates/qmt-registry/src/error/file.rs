//! Why a file that is not part of an image was not downloaded.

use qmt_oci_ref::{Digest, RegistryErrorKind};

use super::text::suffix;
use crate::redact::RedactedUrl;

/// What to do about a file that requires a credential.
const PUBLISH_OPENLY: &str =
    "files are downloaded without credentials: publish it where none is required";

/// Why a file that is not part of an image was not downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Files are not downloaded from this URL.
    #[error("{rule}")]
    Url {
        /// The rule that the URL breaks.
        rule: &'static str,
    },
    /// The server does not have the file, or requires a credential.
    #[error("`{url}` answers with status {status}{}", suffix(.message))]
    Status {
        /// Where the file was downloaded from.
        url: RedactedUrl,
        /// The status: 401, 403, 404 or 410.
        status: u16,
        /// The server's message, escaped; empty without one.
        message: String,
    },
    /// The server answers with a web page.
    #[error("`{url}` answers with status 200: {title}")]
    WebPage {
        /// Where the file was downloaded from.
        url: RedactedUrl,
        /// What the page is, escaped.
        title: String,
    },
    /// The file is another one than the config names.
    #[error(
        "the file at `{url}` has the digest `{actual}`; `sha256` in the config names `{expected}`"
    )]
    DigestMismatch {
        /// Where the file was downloaded from.
        url: RedactedUrl,
        /// What the config names.
        expected: Digest,
        /// What arrived.
        actual: Digest,
    },
}

impl FileError {
    pub(super) fn kind(&self) -> RegistryErrorKind {
        match self {
            Self::Url { .. } => RegistryErrorKind::Configuration,
            Self::Status {
                status: 404 | 410, ..
            } => RegistryErrorKind::NotFound,
            Self::Status { .. } => RegistryErrorKind::Unauthorized,
            Self::WebPage { .. } | Self::DigestMismatch { .. } => RegistryErrorKind::Content,
        }
    }

    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Url { .. }
            | Self::Status {
                status: 404 | 410, ..
            } => None,
            Self::Status { .. } => Some(PUBLISH_OPENLY.to_owned()),
            Self::WebPage { .. } => Some(format!("check the URL; {PUBLISH_OPENLY}")),
            Self::DigestMismatch { actual, .. } => Some(format!(
                "the publisher may have replaced the file: only if you trust the new one, set \
                 `sha256 = \"{}\"` for it in the config",
                actual.hex()
            )),
        }
    }
}
