//! The trait through which the HTTP client gets credentials.
//!
//! The client decides where a credential is sent: to the origin it was asked for, or to a token
//! server that passes the realm policy.

use std::fmt;

use async_trait::async_trait;
use qmt_oci_ref::{RegistryError, RegistryHost, Repository};
use secrecy::SecretString;

use super::origin::CredentialOrigin;

/// Finds the credential for a registry. `Ok(None)` means anonymous access.
///
/// After [`CredentialError::File`](crate::error::CredentialError::File) and
/// [`CredentialError::Helper`](crate::error::CredentialError::Helper), public content is read
/// without a credential, and a refusal is reported as that error. Every other error ends the
/// request.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// Returns the credential for `host`, the most specific one for `repository` where given.
    ///
    /// # Errors
    ///
    /// [`CredentialError::File`](crate::error::CredentialError::File) and
    /// [`CredentialError::Helper`](crate::error::CredentialError::Helper) where a source can't be used.
    async fn credential(
        &self,
        host: &RegistryHost,
        repository: Option<&Repository>,
    ) -> Result<Option<Credential>, RegistryError>;

    /// Describes where the credential for `host` and `repository` comes from, for messages. It reads
    /// no credential.
    fn origin(&self, host: &RegistryHost, repository: Option<&Repository>) -> CredentialOrigin {
        let _ = (host, repository);
        CredentialOrigin::Unknown
    }
}

/// A secret for one registry. Its `Debug` form shows the kind and nothing else.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credential {
    /// A user name and a password, for basic authentication or a token server.
    Basic {
        /// The user name.
        username: String,
        /// The password, or an access token used in its place.
        password: SecretString,
    },
    /// A refresh token ("identity token" in docker's files), exchanged at the token server.
    IdentityToken(SecretString),
    /// A bearer token that the registry itself accepts ("registry token" in docker's files).
    Bearer(SecretString),
}

impl Credential {
    /// Makes a user name and password credential.
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic {
            username: username.into(),
            password: SecretString::from(password.into()),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(..)",
            Self::IdentityToken(_) => "IdentityToken(..)",
            Self::Bearer(_) => "Bearer(..)",
        })
    }
}

// Written out, because `automock` does not support `Option<&_>` arguments.
#[cfg(feature = "test-util")]
mockall::mock! {
    /// A [`CredentialStore`] whose answers a test sets.
    pub CredentialStore {
        /// What [`CredentialStore::credential`] does; `repository` comes as a value.
        pub fn credential(
            &self,
            host: &RegistryHost,
            repository: Option<Repository>,
        ) -> Result<Option<Credential>, RegistryError>;
    }
}

#[cfg(feature = "test-util")]
#[async_trait]
impl CredentialStore for MockCredentialStore {
    async fn credential(
        &self,
        host: &RegistryHost,
        repository: Option<&Repository>,
    ) -> Result<Option<Credential>, RegistryError> {
        // The inherent method of the same name belongs to the mock.
        Self::credential(self, host, repository.cloned())
    }
}

#[cfg(test)]
mod tests;
