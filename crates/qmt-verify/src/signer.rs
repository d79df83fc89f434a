//! Who signed, in the form that the lockfile pins.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A signer: an identity that an issuer vouched for, or a public key. Two are the same signer only
/// if all of it is equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
#[non_exhaustive]
pub enum SignerId {
    /// Signed with a certificate.
    #[non_exhaustive]
    Certificate {
        /// Who vouched for the identity, such as `https://accounts.google.com`.
        issuer: String,
        /// Who signed, such as an e-mail address or the URI of a workflow.
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

    /// The line for `[[oci.policy]]` that accepts exactly this signer. A key is named by its file,
    /// which only the operator knows.
    pub fn config_line(&self) -> String {
        match self {
            Self::Certificate { issuer, identity } => format!(
                "any_of = [{{ issuer = {}, identity = {} }}]",
                quoted(issuer),
                quoted(identity)
            ),
            Self::Key { key } => format!("any_of = [{{ key = \"FILE.pub\" }}]  # the key {key}"),
        }
    }
}

impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { issuer, identity } => write!(f, "{identity} (issuer {issuer})"),
            Self::Key { key } => write!(f, "key {key}"),
        }
    }
}

/// A TOML basic string; JSON's escapes are a subset of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
