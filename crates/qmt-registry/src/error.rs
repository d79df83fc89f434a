//! Why a registry could not give, or take, what was asked.

mod classify;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use qmt_oci_ref::manifest::ManifestError;
use qmt_oci_ref::{Digest, RegistryError, RegistryHost};

use crate::redact::RedactedUrl;

/// The cause of a failure, of whatever type the library that reports it has.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a registry could not give what a pin promised, or would not take what was pushed.
///
/// The methods of this crate return [`RegistryError`], which has the kind of failure; this is the
/// error that it wraps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The registry does not have it.
    #[error("`{what}` does not exist in its registry")]
    NotFound {
        /// The reference or blob that was asked for.
        what: String,
    },
    /// The registry requires another credential. Many registries answer so for what does not exist.
    #[error("{}{}", unauthorized(.host, .what, *.status, *.anonymous), suffix(.message))]
    Unauthorized {
        /// The registry.
        host: RegistryHost,
        /// The reference or blob that was asked for.
        what: String,
        /// The status: 401 or 403.
        status: u16,
        /// Whether the request was sent without a credential.
        anonymous: bool,
        /// The registry's message, escaped; empty where there is none.
        message: String,
    },
    /// The content hashes to another digest than the one that names it. Never retried.
    #[error("content of `{expected}` hashes to `{actual}`")]
    DigestMismatch {
        /// What the pin, descriptor or header names.
        expected: Digest,
        /// What arrived.
        actual: Digest,
    },
    /// The content is shorter or longer than its descriptor says.
    #[error("`{digest}` has {expected} bytes according to its descriptor, but {actual}{or_more} in the registry",
        or_more = if *.at_least { " or more" } else { "" })]
    SizeMismatch {
        /// The blob.
        digest: Digest,
        /// Bytes that the descriptor promises.
        expected: u64,
        /// Bytes that arrived, or were announced.
        actual: u64,
        /// Whether the transfer was stopped, so that there may be more.
        at_least: bool,
    },
    /// An answer is larger than the limit; nothing beyond the limit was read.
    #[error("{what} from `{url}` exceeds the limit of {limit}")]
    TooLarge {
        /// What kind of answer it is, with the limit's unit.
        what: &'static str,
        /// The limit, in the unit that `what` names.
        limit: u64,
        /// Where it came from.
        url: RedactedUrl,
    },
    /// A list has more entries than the limit.
    #[error("`{subject}` has more than {limit} {what}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The manifest that the list belongs to.
        subject: String,
    },
    /// The answer to a request for a manifest is not a manifest or index, or is ambiguous.
    #[error("`{what}` is not a usable image manifest or index")]
    NotAManifest {
        /// The reference that was asked for.
        what: String,
        /// The rule that it breaks.
        source: ManifestError,
    },
    /// The registry sent something that the protocol does not allow.
    #[error("`{url}` breaks the rule that {rule}")]
    Protocol {
        /// What was asked for.
        url: RedactedUrl,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The registry answered with an error.
    #[error("`{url}` answers with status {status}{}", suffix(.message))]
    Status {
        /// What was asked for.
        url: RedactedUrl,
        /// The status.
        status: u16,
        /// The server's message, escaped; empty where there is none.
        message: String,
    },
    /// The registry limits the rate of requests, and asks for a longer pause than is waited.
    #[error("`{url}` limits the rate of requests{}", pause(*.retry_after))]
    RateLimited {
        /// What was asked for.
        url: RedactedUrl,
        /// The pause that it asks for, if it does.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("the redirect from `{from}` to `{to}` is not followed: {reason}")]
    RedirectRefused {
        /// What was asked for.
        from: RedactedUrl,
        /// The target of the redirect.
        to: RedactedUrl,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A token server that does not get the credential, or no request at all.
    #[error("`{host}` names `{realm}` as its token server, which is not used: {reason}{}",
        realm_hint(.allow.as_deref(), .host))]
    RealmRefused {
        /// The registry.
        host: RegistryHost,
        /// The token server.
        realm: RedactedUrl,
        /// The rule that it breaks.
        reason: &'static str,
        /// The entry of `allow_realms` that would accept it, where one can.
        allow: Option<String>,
    },
    /// The registry's challenge can't be answered.
    #[error("`{host}` requires authentication in a way that is not supported: {reason}")]
    Challenge {
        /// The registry.
        host: RegistryHost,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The token server's answer has no usable token.
    #[error("the token server `{realm}` gave no usable token: {reason}")]
    Token {
        /// The token server.
        realm: RedactedUrl,
        /// What is wrong with the answer.
        reason: &'static str,
        /// Where the parser stopped, if it did; never a part of the answer.
        source: Option<BoxError>,
    },
    /// The token server refused the credential.
    #[error("the token server `{realm}` refuses the credential (status {status}){}", suffix(.message))]
    TokenRefused {
        /// The token server.
        realm: RedactedUrl,
        /// The status.
        status: u16,
        /// The server's message, escaped; empty where there is none.
        message: String,
    },
    /// Sending the credential would expose it.
    #[error("no credential is sent to `{url}`: {reason}")]
    CredentialWithheld {
        /// The registry.
        url: RedactedUrl,
        /// The rule that forbids it.
        reason: &'static str,
    },
    /// The connection broke, or was not made.
    #[error("the request to `{url}` failed")]
    Transport {
        /// The request's URL without userinfo and query.
        url: RedactedUrl,
        /// Whether another attempt can help.
        retryable: bool,
        /// What the HTTP client reports, its own URL removed.
        source: BoxError,
    },
    /// The answer to the TLS handshake is not TLS: a server of plain HTTP answers so.
    #[error("the request to `{url}` failed: the server does not use TLS")]
    WithoutTls {
        /// The request's URL without userinfo and query.
        url: RedactedUrl,
        /// What the TLS client reports.
        source: BoxError,
    },
    /// No server can be reached under this name and port.
    #[error("`{address}` can't be reached: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Whether another attempt can help: a name that does not exist will not exist a moment
        /// later.
        retryable: bool,
        /// Why there is no connection.
        reason: &'static str,
        /// What the HTTP client reports, its URL removed.
        source: BoxError,
    },
    /// A server took longer than the limit.
    #[error("`{url}` did not {phase} within {limit:?}")]
    Timeout {
        /// What was asked for.
        url: RedactedUrl,
        /// What did not happen in time.
        phase: Phase,
        /// The limit.
        limit: Duration,
    },
    /// A mirror's content does not match its digest, and part of it was handed out already. The
    /// next attempt, from the start, skips this mirror.
    #[error("the mirror `{mirror}` sent wrong content, and is skipped from now on")]
    MirrorContent {
        /// The mirror.
        mirror: RegistryHost,
        /// What is wrong with it.
        source: RegistryError,
    },
    /// The digester of the bytes so far does not fit the blob.
    #[error("`{digest}` can't be resumed: {reason}")]
    CannotResume {
        /// The blob.
        digest: Digest,
        /// Why.
        reason: &'static str,
    },
    /// The registry does not accept an upload.
    #[error("`{url}` does not accept the upload: {reason}")]
    UploadRefused {
        /// Where the upload went.
        url: RedactedUrl,
        /// What went wrong.
        reason: &'static str,
    },
    /// A server sends HTTP/2 frames without end: header lines, empty data.
    /// <https://www.rfc-editor.org/rfc/rfc9113#section-10.5>
    #[error("`{url}` sent a flood of HTTP/2 frames; the connection was closed")]
    Flooded {
        /// What was asked for.
        url: RedactedUrl,
        /// The frames that were too many.
        source: BoxError,
    },
    /// What is to be uploaded can't be read.
    #[error("the content to upload can't be read")]
    Content {
        /// Why.
        source: BoxError,
    },
    /// An option can't be used.
    #[error("option `{option}` of registry `{host}` can't be used{file}: {reason}",
        file = in_file(.path.as_ref()))]
    Options {
        /// The registry that it belongs to.
        host: RegistryHost,
        /// The option's name in the config.
        option: &'static str,
        /// The file that it names, if it does.
        path: Option<PathBuf>,
        /// The rule that it breaks.
        reason: &'static str,
        /// The cause, if there is one.
        source: Option<BoxError>,
    },
    /// Files are not fetched from this URL.
    #[error("{reason}")]
    Url {
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The HTTP client can't be set up.
    #[error("the HTTP client can't be set up")]
    Setup {
        /// Why.
        source: BoxError,
    },
    /// The network may not be used, and the answer is not stored locally.
    #[error("{what} is not available offline: {rule} forbids network access")]
    Offline {
        /// What was asked for.
        what: String,
        /// The option or setting that forbids the network.
        rule: &'static str,
    },
    /// A file with credentials exists and can't be used.
    #[error("credentials file `{}`: {reason}", .path.display())]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        reason: &'static str,
        /// The cause, where it can't contain a secret.
        source: Option<BoxError>,
    },
    /// A credential helper failed. Its output is never shown.
    #[error("credential helper `{helper}`: {reason}")]
    CredentialHelper {
        /// The helper's name.
        helper: String,
        /// What went wrong.
        reason: &'static str,
    },
    /// A credential in the environment or the config can't be used.
    #[error("credential in `{origin}`: {reason}")]
    CredentialOption {
        /// The variable's or option's name.
        origin: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// An OCI image layout can't be read or written.
    #[error("image layout `{}`: {reason}", .path.display())]
    Layout {
        /// The layout, or the file in it.
        path: PathBuf,
        /// The rule that it breaks.
        reason: &'static str,
        /// The cause, if there is one.
        source: Option<BoxError>,
    },
    /// The error of a credential store or blob content that the caller supplied.
    #[error(transparent)]
    Caller(#[from] RegistryError),
}

/// What was waited for when the time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The connection, TLS included.
    Connect,
    /// The head of the answer.
    Answer,
    /// A body at the slowest acceptable rate.
    Body,
    /// The whole operation.
    Finish,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "accept a connection",
            Self::Answer => "answer",
            Self::Body => "send its content at 1 KiB/s or more",
            Self::Finish => "finish",
        })
    }
}

/// Compares the digest that names some content with the one computed over it.
#[cfg(any(feature = "http", feature = "layout"))]
pub(crate) fn check_digest(expected: &Digest, actual: &Digest) -> Result<(), ClientError> {
    if expected == actual {
        return Ok(());
    }
    let (expected, actual) = (expected.clone(), actual.clone());
    Err(ClientError::DigestMismatch { expected, actual })
}

fn unauthorized(host: &RegistryHost, what: &str, status: u16, anonymous: bool) -> String {
    if anonymous {
        format!("`{host}` requires a credential for `{what}` (status {status}, none was sent)")
    } else {
        format!("`{host}` refuses access to `{what}` (status {status})")
    }
}

fn suffix(message: &str) -> String {
    let separator = if message.is_empty() { "" } else { ": " };
    format!("{separator}{message}")
}

fn pause(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |pause| {
        format!(" and asks for a pause of {} s", pause.as_secs())
    })
}

fn realm_hint(allow: Option<&str>, host: &RegistryHost) -> String {
    allow.map_or_else(String::new, |realm| {
        format!("; to trust it, set allow_realms = [\"{realm}\"] for registry `{host}`")
    })
}

fn in_file(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| format!(" (`{}`)", path.display()))
}

#[cfg(test)]
mod tests;
