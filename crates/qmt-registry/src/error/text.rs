//! Parts of messages that depend on more than one field.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use qmt_oci_ref::{Digest, RegistryHost, text};

#[cfg(feature = "http")]
use super::ClientError;
use crate::credentials::CredentialOrigin;
use crate::redact::RedactedUrl;

/// Longer pauses are not worth an exact number.
const DAY: Duration = Duration::from_hours(24);
/// Most names of images that a message lists.
const NAMES_MAX: usize = 10;

/// Why a certificate of an unknown authority is not accepted.
pub(crate) const UNKNOWN_ISSUER: &str =
    "it is issued by an authority that is not trusted here, or by itself";

/// What Apache answers to plain HTTP at an HTTPS port.
pub(crate) const APACHE_HTTPS_EXPECTED: &str = "speaking plain HTTP to an SSL-enabled server port";

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

pub(super) fn mismatch(expected: &Digest, actual: &Digest, header: Option<&RedactedUrl>) -> String {
    match header {
        Some(url) => format!(
            "`{url}` sends `Docker-Content-Digest: {expected}`, but the content hashes to `{actual}`"
        ),
        None => format!("content of `{expected}` hashes to `{actual}`"),
    }
}

pub(super) fn size_mismatch(digest: &Digest, expected: u64, actual: u64, at_least: bool) -> String {
    let or_more = if at_least { " or more" } else { "" };
    let expected = text::counted(expected, "byte");
    format!(
        "`{digest}` has {expected} according to its descriptor, but its content has {actual}{or_more}"
    )
}

pub(super) fn unauthorized(
    host: &RegistryHost,
    what: &str,
    status: u16,
    anonymous: bool,
    is_unsent: bool,
) -> String {
    if is_unsent {
        format!(
            "`{host}` refuses access to {what} (status {status}) and does not ask for a credential, so \
             the stored one was not sent"
        )
    } else if anonymous && status == 403 {
        format!("`{host}` refuses access to {what} without a credential (status {status})")
    } else if anonymous {
        format!("`{host}` requires a credential for {what} (status {status}, none was sent)")
    } else {
        format!("`{host}` refuses access to {what} (status {status})")
    }
}

pub(super) fn token_refused(
    host: &RegistryHost,
    realm: &RedactedUrl,
    status: u16,
    anonymous: bool,
) -> String {
    if anonymous {
        format!(
            "`{host}` requires a credential: its token server `{realm}` gives no token without one \
             (status {status})"
        )
    } else {
        format!("the token server `{realm}` refuses the credential (status {status})")
    }
}

pub(super) fn login_refused(host: &RegistryHost, status: u16) -> String {
    let reason = if status == 403 {
        ""
    } else {
        ": the user name or password is wrong"
    };
    format!("`{host}` refuses the login{reason} (status {status})")
}

/// The command that stores a credential for `host`.
pub(super) fn login(host: &str) -> String {
    format!("`qmt-plugins login {}`", text::shell_word(host))
}

/// What to do about a path that only a shell makes complete.
pub(super) fn write_out(variable: &str) -> String {
    format!("write out the path in `{variable}`, or unset it")
}

pub(super) fn redirected(from: Option<&RegistryHost>) -> String {
    from.map_or_else(String::new, |host| {
        format!(", to which `{host}` redirects,")
    })
}

/// How the registry names an address that is not its own.
pub(super) fn named(from: Option<&RegistryHost>, for_upload: bool) -> String {
    match from {
        Some(host) if for_upload => format!(", which `{host}` names for the upload,"),
        from => redirected(from),
    }
}

pub(super) fn place(store: Option<&RedactedUrl>) -> String {
    store.map_or_else(
        || "in its registry".to_owned(),
        |store| format!("at `{store}`, to which its registry redirects"),
    )
}

/// How a registry answers for a tag that it does not have, where that is not with status 404.
#[cfg(feature = "http")]
pub(crate) fn answers_with(status: u16, message: &str) -> String {
    format!(
        "the registry answers with status {status}{}",
        suffix(message)
    )
}

pub(super) fn through(proxy: Option<&RedactedUrl>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" through the proxy `{proxy}`"))
}

pub(super) fn suffix(message: &str) -> String {
    let separator = if message.is_empty() { "" } else { ": " };
    format!("{separator}{message}")
}

/// The error and its innermost cause: those between are the HTTP client's. A message that names the
/// reason has it already.
#[cfg(feature = "http")]
pub(crate) fn error_with_cause(error: &ClientError) -> String {
    let messages = text::messages(error);
    match (error, &messages[..]) {
        (ClientError::Unreachable { .. } | ClientError::Tls(_), _) | (_, [] | [_]) => {
            error.to_string()
        }
        (_, [first, .., last]) => format!("{first}: {last}"),
    }
}

pub(super) fn pause(retry_after: Option<Duration>) -> String {
    match retry_after {
        None => String::new(),
        Some(pause) if pause > DAY => " and asks for a pause of more than a day".to_owned(),
        Some(pause) => format!(" and asks for a pause of {} s", pause.as_secs()),
    }
}

pub(super) fn realm_hint(allow: Option<&str>, host: &RegistryHost) -> String {
    allow.map_or_else(String::new, |realm| {
        format!("; to trust it, set allow_realms = [\"{realm}\"] for registry `{host}`")
    })
}

pub(super) fn from_variables(origin: &CredentialOrigin) -> String {
    match origin {
        CredentialOrigin::Variables(_) => format!(", from {origin},"),
        _ => String::new(),
    }
}

pub(super) fn at_key(key: Option<&String>) -> String {
    key.map_or_else(String::new, |key| format!(", `{key}`"))
}

pub(super) fn in_file(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| format!(" (`{}`)", path.display()))
}

pub(super) fn issuer(is_unknown: bool) -> String {
    suffix(if is_unknown { UNKNOWN_ISSUER } else { "" })
}

/// Lists at most [`NAMES_MAX`] names of images.
pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!("; it has {}", quoted(names, NAMES_MAX))
}

/// Quotes the first names, and counts the others.
pub(crate) fn quoted(names: &[String], most: usize) -> String {
    let shown = names.iter().take(most);
    let shown: Vec<String> = shown
        .map(|name| format!("`{}`", text::escape(name)))
        .collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
