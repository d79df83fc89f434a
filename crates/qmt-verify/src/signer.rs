//! Signers, in the form that the lockfile pins.

use std::fmt::{self, Write as _};

#[cfg(feature = "sigstore")]
use qmt_oci_ref::text;
use serde::{Deserialize, Serialize};

/// A signer: an identity with its issuer, or a public key. Two are the same signer only if all of
/// it is equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a signer is either `key`, or `issuer` and `identity`, and nothing else"
)]
#[non_exhaustive]
pub enum SignerId {
    /// Signed with a certificate.
    #[non_exhaustive]
    Certificate {
        /// The issuer of the identity, such as `https://accounts.google.com`.
        issuer: String,
        /// The identity, such as an e-mail address or the URI of a workflow.
        identity: String,
    },
    /// Signed with a key.
    #[non_exhaustive]
    Key {
        /// `sha256:` and the digest of the key in its `SubjectPublicKeyInfo` form.
        key: String,
    },
}

impl SignerId {
    /// A signer with a certificate.
    pub fn certificate(issuer: impl Into<String>, identity: impl Into<String>) -> Self {
        Self::Certificate {
            issuer: issuer.into(),
            identity: identity.into(),
        }
    }

    /// A signer with a key, named by its fingerprint.
    pub fn key(fingerprint: impl Into<String>) -> Self {
        Self::Key {
            key: fingerprint.into(),
        }
    }

    /// This signer as a signature names it, safe to print.
    #[cfg(feature = "sigstore")]
    pub(crate) fn escaped(&self) -> Self {
        match self {
            Self::Certificate { issuer, identity } => {
                Self::certificate(text::escape(issuer), text::escape(identity))
            }
            Self::Key { key } => Self::key(text::escape(key)),
        }
    }

    /// Whether this is a certificate that names no issuer. No config line can name such a signer.
    pub(crate) fn lacks_issuer(&self) -> bool {
        matches!(self, Self::Certificate { issuer, .. } if issuer.trim().is_empty())
    }

    /// The line for `[[oci.policy]]` that accepts exactly this signer. A key is named by its file,
    /// for which the line has a placeholder.
    pub fn config_line(&self) -> String {
        self.line(true)
    }

    /// As [`SignerId::config_line`], where no transparency log recorded the signature.
    #[cfg(feature = "sigstore")]
    pub(crate) fn config_line_without_log(&self) -> String {
        self.line(false)
    }

    fn line(&self, logged: bool) -> String {
        match self {
            Self::Certificate { issuer, identity } => {
                any_of(&[("issuer", issuer), ("identity", identity)], logged)
            }
            Self::Key { key } => format!("{}  # the key {key}", key_line(UNKNOWN_KEY_FILE, logged)),
        }
    }
}

/// The placeholder for the key file of a signer that the config does not name.
pub(crate) const UNKNOWN_KEY_FILE: &str = "signer.pub";

/// The line for `[[oci.policy]]` that accepts the key in `file`, also without a transparency log
/// unless the signature is `logged`.
pub(crate) fn key_line(file: &str, logged: bool) -> String {
    any_of(&[("key", file)], logged)
}

/// The line for `[[oci.policy]]` that accepts a workflow on every tag, so that it holds for the
/// next release too.
#[cfg(feature = "sigstore")]
pub(crate) fn release_line(issuer: &str, workflow: &str, logged: bool) -> String {
    let regex = format!("{}@refs/tags/.+", regex::escape(workflow));
    any_of(&[("issuer", issuer), ("identity_regex", &regex)], logged)
}

fn any_of(keys: &[(&str, &str)], logged: bool) -> String {
    let log = (!logged).then_some(("transparency_log", "optional"));
    let keys = keys.iter().copied().chain(log);
    let keys: Vec<_> = keys
        .map(|(key, value)| format!("{key} = {}", quoted(value)))
        .collect();
    format!("any_of = [{{ {} }}]", keys.join(", "))
}

impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { identity, .. } if self.lacks_issuer() => {
                write!(f, "{identity} (its certificate names no issuer)")
            }
            Self::Certificate { issuer, identity } => write!(f, "{identity} (issuer {issuer})"),
            Self::Key { key } => write!(f, "key {key}"),
        }
    }
}

/// A TOML basic string, in which characters that could move a cursor or hide are escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            other if other.is_alphanumeric() => quoted.push(other),
            other => {
                // Writing to a `String` cannot fail.
                let _ = write!(quoted, "\\U{:08X}", u32::from(other));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
