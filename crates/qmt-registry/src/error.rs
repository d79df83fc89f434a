//! Why a registry could not give, or take, what was asked.

mod class;
mod phase;
mod server_text;

use std::path::PathBuf;
use std::time::Duration;

use qmt_oci_ref::{Digest, MediaType, RegistryHost};

#[cfg(feature = "http")]
pub(crate) use self::class::NO_TLS;
pub use self::phase::Phase;
pub use self::server_text::ServerText;

use crate::redact::RedactedUrl;

/// The cause of a transport's or file's failure, of whatever type its library has.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a registry could not give us what a pin promised, or would not take what we pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The registry does not have it.
    #[error("`{what}` does not exist in its registry")]
    NotFound {
        /// The reference or blob that was asked for.
        what: String,
    },
    /// The registry wants a (better) credential. Many registries say so for what does not exist.
    #[error("`{host}` refuses access to `{what}` (status {status}{with}){said}",
        with = if *.anonymous { ", asked without a credential" } else { "" })]
    Unauthorized {
        /// The registry.
        host: RegistryHost,
        /// The reference or blob that was asked for.
        what: String,
        /// The status: 401 or 403.
        status: u16,
        /// Whether no credential was at hand.
        anonymous: bool,
        /// What the server said.
        said: ServerText,
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
    #[error("`{digest}` has {expected} bytes by its descriptor, the registry has {actual}{or_more}",
        or_more = if *.at_least { " or more" } else { "" })]
    SizeMismatch {
        /// The blob.
        digest: Digest,
        /// Bytes that the descriptor promises.
        expected: u64,
        /// Bytes that came, or were announced.
        actual: u64,
        /// Whether the transfer was stopped, so that there may be more.
        at_least: bool,
    },
    /// An answer is larger than what is accepted; nothing beyond the limit was read.
    #[error("{what} from `{url}` exceeds the limit of {limit}")]
    TooLarge {
        /// What kind of answer it is, with the limit's unit.
        what: &'static str,
        /// The limit, in the unit that `what` names.
        limit: u64,
        /// Where it came from.
        url: RedactedUrl,
    },
    /// A list has more entries than what is accepted.
    #[error("`{subject}` has more than {limit} {what}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// Whose list it is.
        subject: String,
    },
    /// The `Content-Type` of a manifest and the `mediaType` in it differ (CVE-2021-41190).
    #[error("`{what}` is sent as `{header}`, its content says `{body}`")]
    MediaTypeMismatch {
        /// The reference that was asked for.
        what: String,
        /// The header's media type.
        header: MediaType,
        /// The content's media type, or what its fields say that it is.
        body: MediaType,
    },
    /// The answer to a request for a manifest is none.
    #[error("`{what}` is not an image manifest or index: {fault}")]
    NotAManifest {
        /// The reference that was asked for.
        what: String,
        /// The rule that it breaks.
        fault: &'static str,
        /// What the parser said, if it came to a parser.
        source: Option<serde_json::Error>,
    },
    /// The registry sent something that the protocol does not allow.
    #[error("`{url}` answers against the distribution specification: {fault}")]
    Protocol {
        /// What was asked for.
        url: RedactedUrl,
        /// The rule that it breaks.
        fault: &'static str,
    },
    /// The registry answered with an error.
    #[error("`{url}` answers with status {status}{said}")]
    Status {
        /// What was asked for.
        url: RedactedUrl,
        /// The status.
        status: u16,
        /// What the server said.
        said: ServerText,
    },
    /// The registry wants us to come back later than we are ready to wait.
    #[error("`{url}` limits our requests{later}", later = later(*.retry_after))]
    RateLimited {
        /// What was asked for.
        url: RedactedUrl,
        /// How long it asked us to wait, if it did.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("`{from}` redirects to `{to}`: {fault}")]
    RedirectRefused {
        /// Who redirects.
        from: RedactedUrl,
        /// Where to.
        to: RedactedUrl,
        /// The rule that it breaks.
        fault: &'static str,
    },
    /// A token server that is not given the credential, or not asked at all.
    #[error("`{host}` names `{realm}` as its token server: {fault}{hint}",
        hint = realm_hint(.allow.as_deref(), .host))]
    RealmRefused {
        /// The registry.
        host: RegistryHost,
        /// The token server.
        realm: RedactedUrl,
        /// The rule that it breaks.
        fault: &'static str,
        /// The entry of `allow_realms` that would accept it, where one can.
        allow: Option<String>,
    },
    /// The registry's demand for a credential can't be met.
    #[error("`{host}` asks for authentication in a way that is not supported: {fault}")]
    Challenge {
        /// The registry.
        host: RegistryHost,
        /// The rule that it breaks.
        fault: &'static str,
    },
    /// The token server's answer is of no use.
    #[error("the token server `{realm}` gave no usable token: {fault}")]
    Token {
        /// The token server.
        realm: RedactedUrl,
        /// What is wrong with the answer.
        fault: &'static str,
        /// What the parser said, if it came to a parser.
        source: Option<serde_json::Error>,
    },
    /// The token server refused the credential.
    #[error("the token server `{realm}` refuses the credential (status {status}){said}")]
    TokenRefused {
        /// The token server.
        realm: RedactedUrl,
        /// The status.
        status: u16,
        /// What the server said.
        said: ServerText,
    },
    /// A credential would have to travel unprotected.
    #[error("no credential is sent to `{url}`: {fault}")]
    CredentialWithheld {
        /// Where it would go.
        url: RedactedUrl,
        /// The rule that forbids it.
        fault: &'static str,
    },
    /// The exchange broke off. The cause is in `source`.
    #[error("request to `{url}` failed{tls}", tls = if *.retryable { "" } else { " for good" })]
    Transport {
        /// The request's URL without userinfo and query.
        url: RedactedUrl,
        /// Whether another try can help.
        retryable: bool,
        /// What the HTTP client said, its own URL removed.
        source: BoxError,
    },
    /// Nobody answers under this name and port: there was no exchange at all.
    #[error("`{address}` can't be reached: {fault}")]
    Unreachable {
        /// Host and port that were tried.
        address: String,
        /// Whether another try can help: a name that does not exist is the same a moment later.
        retryable: bool,
        /// What kept us from it.
        fault: &'static str,
        /// What the HTTP client said, its URL removed.
        source: BoxError,
    },
    /// Something took longer than it may.
    #[error("`{url}` did not {phase} within {limit:?}")]
    Timeout {
        /// What was asked for.
        url: RedactedUrl,
        /// What did not happen in time.
        phase: Phase,
        /// The time that it had.
        limit: Duration,
    },
    /// A mirror's content does not match its digest after part of it was handed out. Asking again,
    /// from the start, goes to the next source.
    #[error("the mirror `{mirror}` sent wrong content; it is not asked again")]
    MirrorLied {
        /// The mirror.
        mirror: RegistryHost,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// A digester was handed over that does not fit the blob.
    #[error("`{digest}` can't be continued: {fault}")]
    CannotResume {
        /// The blob.
        digest: Digest,
        /// Why.
        fault: &'static str,
    },
    /// The registry does not take an upload.
    #[error("`{url}` does not take the upload: {fault}")]
    UploadRefused {
        /// Where the upload went.
        url: RedactedUrl,
        /// What went wrong.
        fault: &'static str,
    },
    /// A server sends HTTP/2 frames without end or sense: header lines, empty data.
    /// <https://www.rfc-editor.org/rfc/rfc9113#section-10.5>
    #[error("`{url}` answers with a flood of HTTP/2 frames; the connection was given up")]
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
    #[error("option `{option}` of registry `{host}` can't be used{file}: {fault}",
        file = in_file(.path.as_ref()))]
    Options {
        /// The registry that it belongs to.
        host: RegistryHost,
        /// The option's name in the config.
        option: &'static str,
        /// The file that it names, if it does.
        path: Option<PathBuf>,
        /// The rule that it breaks.
        fault: &'static str,
        /// The cause, if there is one.
        source: Option<BoxError>,
    },
    /// A URL is none that files are fetched from.
    #[error("{fault}")]
    Url {
        /// The rule that it breaks.
        fault: &'static str,
    },
    /// The HTTP client can't be set up.
    #[error("the HTTP client can't be set up")]
    Client {
        /// Why.
        source: BoxError,
    },
    /// A file with credentials is there and can't be used.
    #[error("credentials file `{}`: {fault}", .path.display())]
    CredentialFile {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        fault: &'static str,
        /// The cause, if there is one that can't hold a secret.
        source: Option<BoxError>,
    },
    /// A credential helper failed. Its output is never shown.
    #[error("credential helper `{helper}`: {fault}")]
    CredentialHelper {
        /// The helper's name.
        helper: String,
        /// What went wrong.
        fault: &'static str,
    },
    /// A credential in the environment or the config can't be used.
    #[error("credential in `{origin}`: {fault}")]
    CredentialOption {
        /// The variable's or option's name.
        origin: String,
        /// The rule that it breaks.
        fault: &'static str,
    },
    /// An OCI image layout can't be read or written.
    #[error("image layout `{}`: {fault}", .path.display())]
    Layout {
        /// The layout, or the file in it.
        path: PathBuf,
        /// The rule that it breaks.
        fault: &'static str,
        /// The cause, if there is one.
        source: Option<BoxError>,
    },
}

fn later(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| {
        format!(" and asks to wait {} s", wait.as_secs())
    })
}

fn realm_hint(allow: Option<&str>, host: &RegistryHost) -> String {
    allow.map_or_else(String::new, |realm| {
        format!("; if it is the right one, set allow_realms = [\"{realm}\"] for registry `{host}`")
    })
}

fn in_file(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| format!(" (`{}`)", path.display()))
}

#[cfg(test)]
mod tests;
