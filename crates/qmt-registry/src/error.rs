//! Why a registry could not give, or take, what was asked: [`ClientError`], and the errors that it
//! holds.

mod classify;
mod credential;
mod file;
mod hint;
mod login;
mod proxy;
pub(crate) mod text;
mod tls;
mod token;
mod unreachable;

use std::{path::PathBuf, time::Duration};

use qmt_oci_ref::{Digest, RegistryError, RegistryHost, manifest::ManifestError, text::counted};

pub use self::credential::{CredentialError, HelperFailure, WithheldReason};
pub use self::file::FileError;
pub use self::login::LoginError;
pub use self::proxy::ProxyError;
pub use self::text::Phase;
use self::text::{in_file, listed, named, pause, place, redirected, suffix, through};
pub use self::tls::TlsError;
pub use self::token::TokenServerError;
use crate::{BoxError, credentials::CredentialOrigin, redact::RedactedUrl};

/// Why a registry could not give what a pin promised, or would not take what was pushed.
///
/// The methods of this crate return it wrapped in a [`RegistryError`], which has a kind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The registry does not have it.
    #[error("{what} does not exist {}{}", place(.store.as_ref()), suffix(.message))]
    NotFound {
        /// What was asked for, its name in backticks.
        what: String,
        /// Where the registry redirected the request, if it did.
        store: Option<RedactedUrl>,
        /// The registry's message, escaped; empty without one.
        message: String,
        /// The registry, where it may also have denied access by this answer.
        host: Option<RegistryHost>,
        /// Where the credential comes from that was sent, if one was.
        origin: Option<CredentialOrigin>,
        /// What to check or do, for the hint; may be empty.
        advice: &'static str,
    },
    /// The image layout does not have it.
    #[error("image layout `{}` does not have `{what}`{}", .path.display(), listed(.names))]
    NotInLayout {
        /// The folder or archive.
        path: PathBuf,
        /// The tag, reference or digest that was asked for.
        what: String,
        /// The names of its images, `@` and the digest of those without one, if a tag was asked for.
        names: Vec<String>,
    },
    /// The registry requires another credential. Many registries answer so for what does not exist.
    #[error("{}{}", text::unauthorized(.host, .what, *.status, *.anonymous, *.is_unsent), suffix(.message))]
    Unauthorized {
        /// The registry.
        host: RegistryHost,
        /// What was asked for, its name in backticks.
        what: String,
        /// The status: 401 or 403.
        status: u16,
        /// Whether the request was sent without a credential.
        anonymous: bool,
        /// Whether there is a credential, which was not sent because the registry did not ask for it.
        is_unsent: bool,
        /// Where the credential comes from.
        origin: CredentialOrigin,
        /// The registry's message, escaped; empty without one.
        message: String,
    },
    /// The content hashes to another digest than the one that names it.
    #[error("{}", text::mismatch(.expected, .actual, .header.as_ref()))]
    DigestMismatch {
        /// What the pin, descriptor or header names.
        expected: Digest,
        /// The URL whose answer names it in `Docker-Content-Digest`, if that is wrong.
        header: Option<RedactedUrl>,
        /// What arrived.
        actual: Digest,
    },
    /// The content is shorter or longer than its descriptor says.
    #[error("{}", text::size_mismatch(.digest, *.expected, *.actual, *.at_least))]
    SizeMismatch {
        /// The blob.
        digest: Digest,
        /// Bytes that the descriptor promises.
        expected: u64,
        /// Bytes that arrived, or were announced.
        actual: u64,
        /// Whether the transfer was stopped, so that there may be more.
        at_least: bool,
        /// Whether what arrived was read and hashes to another digest as well.
        is_other_content: bool,
    },
    /// An answer is larger than the limit; nothing beyond the limit was read.
    #[error("{what} from `{url}` has more than {limit} {unit}")]
    TooLarge {
        /// What kind of answer it is.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What the limit counts.
        unit: &'static str,
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
    /// A list has entries that cannot be read. The others were read.
    #[error("{count} of the referrers of `{subject}` cannot be read: {rule}")]
    UnreadableEntries {
        /// The manifest that the list belongs to.
        subject: String,
        /// How many entries cannot be read.
        count: usize,
        /// The rule that the first of them breaks.
        rule: &'static str,
    },
    /// The answer to a request for a manifest is not a manifest or index, or is ambiguous.
    #[error("{what} is not a usable image manifest or index")]
    NotAManifest {
        /// What was asked for, its name in backticks.
        what: String,
        /// The rule that it breaks.
        source: ManifestError,
    },
    /// The answer has status 200, and an error in place of the manifest or list.
    #[error("`{url}`{} answers with status 200{}", redirected(.from.as_ref()), suffix(.message))]
    ErrorContent {
        /// What was asked for.
        url: RedactedUrl,
        /// The registry that redirected the request there, if one did.
        from: Option<RegistryHost>,
        /// The server's message, escaped.
        message: String,
    },
    /// The answer is an HTML page, such as that of a login, a proxy or a web site.
    #[error("`{url}`{} answers with an HTML page instead of {what}", redirected(.from.as_ref()))]
    WebPage {
        /// What was asked for.
        url: RedactedUrl,
        /// What it should be.
        what: &'static str,
        /// The registry that redirected the request there, if one did.
        from: Option<RegistryHost>,
    },
    /// The answer refuses access with an HTML page, as proxies and firewalls do.
    #[error("`{url}` refuses access with status {status}: {message}")]
    BlockPage {
        /// What was asked for.
        url: RedactedUrl,
        /// The status.
        status: u16,
        /// What the page is and its title, escaped.
        message: String,
    },
    /// The registry sent something that the protocol does not allow.
    #[error("`{url}` breaks the rule that {rule}")]
    Protocol {
        /// What was asked for.
        url: RedactedUrl,
        /// The rule that it breaks.
        rule: &'static str,
        /// Whether the content was compressed, so that it is not what its digest names.
        compressed: bool,
    },
    /// The registry, or a server that it redirects to, answered with an error.
    #[error("`{url}`{} answers with status {status}{}", redirected(.from.as_ref()), suffix(.message))]
    Status {
        /// What was asked for.
        url: RedactedUrl,
        /// The status.
        status: u16,
        /// The registry that redirected the request there, if one did.
        from: Option<RegistryHost>,
        /// The server's message, escaped; empty without one.
        message: String,
    },
    /// The registry limits the rate of requests, and asks for a longer pause than is waited.
    #[error("`{url}` limits the rate of requests (status 429){}{}", pause(*.retry_after), suffix(.message))]
    RateLimited {
        /// The registry, where a login to it may allow more requests.
        host: Option<RegistryHost>,
        /// What was asked for.
        url: RedactedUrl,
        /// The pause that it asks for, if it does.
        retry_after: Option<Duration>,
        /// The server's message, escaped; empty without one.
        message: String,
    },
    /// A request is redirected more often than the limit allows.
    #[error("`{url}` is redirected more than {}", counted(*.limit, "time"))]
    TooManyRedirects {
        /// What was asked for.
        url: RedactedUrl,
        /// The limit.
        limit: usize,
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
    /// No token was acquired.
    #[error(transparent)]
    TokenServer(#[from] TokenServerError),
    /// The token server refused the credential, or access without one.
    #[error("{}{}", text::token_refused(.host, .realm, *.status, *.anonymous), suffix(.message))]
    TokenRefused {
        /// The registry.
        host: RegistryHost,
        /// The token server.
        realm: RedactedUrl,
        /// The status.
        status: u16,
        /// Whether the request was sent without a credential.
        anonymous: bool,
        /// Where the credential comes from.
        origin: CredentialOrigin,
        /// The server's message, escaped; empty without one.
        message: String,
    },
    /// Sending the credential would expose it.
    #[error("no credential is sent to `{url}`: {reason}")]
    CredentialWithheld {
        /// The registry.
        url: RedactedUrl,
        /// The rule that forbids it.
        reason: WithheldReason,
        /// Where the credential comes from.
        origin: CredentialOrigin,
    },
    /// The connection broke, or was not made.
    #[error("the request to `{url}`{} failed", through(.proxy.as_ref()))]
    Transport {
        /// The request's URL without userinfo and query.
        url: RedactedUrl,
        /// The proxy that the request was sent through.
        proxy: Option<RedactedUrl>,
        /// Whether another attempt can help.
        retryable: bool,
        /// Whether the head of an answer had arrived, to this request or an earlier one.
        answered: bool,
        /// What the HTTP client reports, its own URL removed.
        source: BoxError,
    },
    /// There is no TLS connection to the server.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No server can be reached under this name and port.
    #[error("`{address}`{} can't be reached: {reason}", named(.from.as_ref(), *.for_upload))]
    Unreachable {
        /// Host and port.
        address: String,
        /// The registry that redirected the request there, or named it for an upload, if one did.
        from: Option<RegistryHost>,
        /// Whether it named it for an upload.
        for_upload: bool,
        /// Whether it was requested for a blob or file, which registries keep elsewhere.
        for_content: bool,
        /// Whether it was requested for a login, which uses no mirror.
        for_login: bool,
        /// Whether `NO_PROXY` names the host, so that no proxy is used for it.
        exempt: bool,
        /// Whether another attempt can help: not where the name does not exist.
        retryable: bool,
        /// Why the connection failed.
        reason: &'static str,
        /// What the HTTP client reports, its URL removed.
        source: BoxError,
    },
    /// A proxy could not be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A server took longer than the limit.
    #[error("`{url}` did not {phase}{} within {limit:?}", through(.proxy.as_ref()))]
    Timeout {
        /// What was asked for.
        url: RedactedUrl,
        /// The proxy that the request was sent through, where it may be the silent one.
        proxy: Option<RedactedUrl>,
        /// What did not happen in time.
        phase: Phase,
        /// The limit.
        limit: Duration,
    },
    /// A mirror's content does not match its digest. The next attempt skips this mirror.
    #[error("the mirror `{mirror}` sent wrong content, and is skipped from now on")]
    MirrorContent {
        /// The mirror.
        mirror: RegistryHost,
        /// What is wrong with it.
        source: RegistryError,
    },
    /// The digester of the bytes so far does not fit this blob.
    #[error("`{digest}` can't be resumed: {reason}")]
    CannotResume {
        /// The blob.
        digest: Digest,
        /// What does not fit.
        reason: &'static str,
    },
    /// The registry does not accept an upload.
    #[error("`{url}` does not accept the upload: {reason}{}", suffix(.message))]
    UploadRefused {
        /// Where the upload went.
        url: RedactedUrl,
        /// What went wrong.
        reason: &'static str,
        /// The registry's message, escaped; empty without one.
        message: String,
        /// What to do, for the hint; may be empty.
        advice: &'static str,
    },
    /// A server sends endless HTTP/2 frames: <https://www.rfc-editor.org/rfc/rfc9113#section-10.5>
    #[error("`{url}` sent a flood of HTTP/2 frames; the connection was closed")]
    Flooded {
        /// What was asked for.
        url: RedactedUrl,
        /// The frames that were too many.
        source: BoxError,
    },
    /// What is to be uploaded can't be read.
    #[error("the content to upload can't be read")]
    Content(#[source] BoxError),
    /// An option can't be used.
    #[error("option `{option}` of registry `{host}` can't be used{}: {reason}", in_file(.path.as_ref()))]
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
    /// A file that is not part of an image was not downloaded.
    #[error(transparent)]
    File(#[from] FileError),
    /// The HTTP client can't be set up.
    #[error("the HTTP client can't be set up")]
    Setup(#[source] BoxError),
    /// The task of a transfer ended early, such as at the end of its runtime.
    #[error("the transfer was interrupted, because its task ended")]
    Interrupted(#[source] BoxError),
    /// The network may not be used, and the answer is not stored locally.
    #[error("{what} is not available offline: {rule} forbids network access")]
    Offline {
        /// What was asked for.
        what: String,
        /// The option or setting that forbids the network.
        rule: &'static str,
    },
    /// A credential is missing or can't be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A login was not accepted.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// An OCI image layout can't be read or written.
    #[cfg(feature = "layout")]
    #[error(transparent)]
    Layout(qmt_storage::LayoutError),
    /// The error of a credential store or blob content that the caller supplied.
    #[error(transparent)]
    Caller(#[from] RegistryError),
}

#[cfg(test)]
mod tests;
