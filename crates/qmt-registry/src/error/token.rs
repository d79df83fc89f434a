//! Why no token was acquired.

use qmt_oci_ref::text::shell_word;
use qmt_oci_ref::{RegistryErrorKind, RegistryHost};

use super::ClientError;
use super::hint::credential;
use super::text::realm_hint;
use crate::BoxError;
use crate::credentials::CredentialOrigin;
use crate::redact::RedactedUrl;

/// Why no token was acquired, where the credential is not the reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenServerError {
    /// The registry's challenge can't be answered.
    #[error(
        "`{host}` requires authentication (status 401) in a way that is not supported: {reason}{}",
        offers(.offered)
    )]
    Challenge {
        /// The registry.
        host: RegistryHost,
        /// The rule that it breaks.
        reason: &'static str,
        /// What it offers instead, as far as that is known.
        offered: Vec<&'static str>,
    },
    /// The registry requires a token, and its challenge has an empty `realm`.
    #[error(
        "`{host}` requires a token and does not name its token server: the `realm` in its \
         `WWW-Authenticate` is empty"
    )]
    EmptyRealm {
        /// The registry.
        host: RegistryHost,
    },
    /// The token server does not get the credential, or no request at all.
    #[error("`{host}` names `{realm}` as its token server, which {}: {reason}{}",
        if *.for_anonymous { "gets no credential" } else { "is not used" },
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
        /// Whether it is asked for anonymous tokens.
        for_anonymous: bool,
    },
    /// The token server can't be reached, or answers with an error.
    #[error("the token server `{realm}`, which `{host}` names, gives no token{}", for_credential(.origin.as_ref()))]
    Failed {
        /// The registry.
        host: RegistryHost,
        /// The token server.
        realm: RedactedUrl,
        /// Where the credential comes from, if it answered to a request with one.
        origin: Option<CredentialOrigin>,
        /// Why.
        source: Box<ClientError>,
    },
    /// The token server's answer has no usable token.
    #[error("the token server `{realm}` gave no usable token{}: {reason}", for_credential(.origin.as_ref()))]
    NoToken {
        /// The token server.
        realm: RedactedUrl,
        /// Where the credential comes from, if it was asked with one.
        origin: Option<CredentialOrigin>,
        /// What is wrong with the answer.
        reason: &'static str,
        /// Where the parser stopped, if it did; never a part of the answer.
        source: Option<BoxError>,
    },
}

impl TokenServerError {
    pub(super) fn kind(&self) -> RegistryErrorKind {
        match self {
            Self::Failed { source, .. } => source.kind(),
            Self::Challenge { .. }
            | Self::EmptyRealm { .. }
            | Self::RealmRefused { .. }
            | Self::NoToken { .. } => RegistryErrorKind::Protocol,
        }
    }

    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Failed {
                host,
                origin: Some(origin),
                ..
            } => Some(sent_hint(host, origin)),
            Self::Failed { host, source, .. } => match **source {
                ClientError::Unreachable { .. } => Some(format!(
                    "if that name is internal to the registry, the operator of `{host}` must set \
                     its external URL there"
                )),
                _ => source.hint(),
            },
            Self::Challenge { host, .. } => Some(format!(
                "only `Bearer` and `Basic` are supported: check that `{host}` is the registry itself, \
                 and not a proxy or web site with a login of its own"
            )),
            Self::EmptyRealm { host }
            | Self::RealmRefused {
                host, allow: None, ..
            } => Some(format!(
                "the operator of `{host}` must correct its settings: the external URL of the token \
                 server is the `realm` that it sends in the header `WWW-Authenticate`"
            )),
            Self::RealmRefused { .. } | Self::NoToken { .. } => None,
        }
    }
}

fn for_credential(origin: Option<&CredentialOrigin>) -> String {
    let credential = match origin {
        None => return String::new(),
        // What follows the name of the credential elsewhere would end with a comma here.
        Some(origin @ CredentialOrigin::Entry { .. }) => format!("the credential in {origin}"),
        Some(origin) => credential(origin),
    };
    if credential.is_empty() {
        return credential;
    }
    format!(" for {credential}")
}

/// What to do where a server fails for a credential: anonymous requests may be answered.
fn sent_hint(host: &RegistryHost, origin: &CredentialOrigin) -> String {
    let remove = match origin {
        CredentialOrigin::Variables(_) => format!("unset {origin}"),
        CredentialOrigin::Unknown | CredentialOrigin::Caller => "send no credential".to_owned(),
        _ => format!(
            "remove the credential (`qmt-plugins logout {}`)",
            shell_word(host.as_str())
        ),
    };
    format!("try again later; if the image is public, {remove}: none is required then")
}

fn offers(offered: &[&str]) -> String {
    match offered {
        [] => String::new(),
        offered => format!(", but `{}`", offered.join("`, `")),
    }
}
