//! Credentials for registries, stored where docker stores them.

use qmt_oci_ref::{RegistryError, RegistryErrorKind, RegistryHost};
use qmt_registry::credentials::{
    Credential, CredentialChain, CredentialOrigin, CredentialStore as _, LoggedIn,
};

use crate::error::Error;
use crate::host::PluginHost;

impl PluginHost {
    /// Checks whether this host may log in to `registry`, before a user is asked for a password.
    ///
    /// # Errors
    ///
    /// [`Error::NetworkForbidden`] if the host is offline or frozen.
    pub fn check_login(&self, registry: &RegistryHost) -> Result<(), Error> {
        self.require_network(registry, "logging in")
    }

    /// Checks that `registry` accepts this name and password (or token), and stores them where
    /// docker does: with its credential helper, else in its config file.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`] if the registry refuses them or they can't be stored, and that of
    /// [`Self::check_login`].
    pub async fn login(
        &self,
        registry: &RegistryHost,
        username: &str,
        password: &str,
    ) -> Result<LoggedIn, Error> {
        self.check_login(registry)?;
        let credential = Credential::basic(username, password);
        let client = self
            .http_client()
            .map_err(failed(registry, "setting up the connection to"))?;
        let checked = client.check_credential(registry, credential.clone()).await;
        let was_checked = checked.map_err(failed(registry, "logging in to"))?;
        let chain = CredentialChain::from_environment();
        let stored = chain.store(registry, &credential).await;
        let stored = stored.map_err(failed(registry, "storing the credential for"))?;
        let origin = chain.origin(registry, None);
        let overridden_by = Some(origin).filter(|o| matches!(o, CredentialOrigin::Variables(_)));
        Ok(LoggedIn::new(stored, was_checked, overridden_by))
    }

    /// Checks that `registry` answers, with the credential that is stored for it, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`] if it can't be reached, is no registry, or refuses the credential, and
    /// [`Error::NetworkForbidden`] if the host is offline or frozen.
    pub async fn check_registry(&self, registry: &RegistryHost) -> Result<RegistryAccess, Error> {
        self.require_network(registry, "checking")?;
        let client = self
            .http_client()
            .map_err(failed(registry, "setting up the connection to"))?;
        let origin = CredentialChain::from_environment().source(registry).await;
        match (client.check_host(registry).await, origin) {
            (Ok(true), Some(origin)) => Ok(RegistryAccess::LoggedIn(origin)),
            (Ok(_), _) => Ok(RegistryAccess::Anonymous),
            (Err(error), None) if error.kind() == RegistryErrorKind::Unauthorized => {
                Ok(RegistryAccess::LoginRequired)
            }
            (Err(error), _) => Err(failed(registry, "checking")(error)),
        }
    }

    /// Removes the credential of `registry` from docker's file or helper.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`] if docker's file or helper can't be used.
    pub async fn logout(registry: &RegistryHost) -> Result<LoggedOut, Error> {
        let erased = CredentialChain::from_environment().erase(registry).await;
        let was_logged_in = erased.map_err(failed(registry, "removing the credential for"))?;
        let remaining = CredentialChain::from_environment()
            .remaining(registry)
            .await;
        Ok(LoggedOut {
            was_logged_in,
            remaining,
        })
    }
}

/// How a registry answers, as [`PluginHost::check_registry`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryAccess {
    /// It asked for no credential, or an anonymous one was enough.
    Anonymous,
    /// It accepts the credential that is stored there.
    LoggedIn(CredentialOrigin),
    /// It requires a credential, and none is stored. Images that everyone may pull can be exempt.
    LoginRequired,
}

/// What [`PluginHost::logout`] removed and left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedOut {
    /// Whether docker's file or helper had a credential. It is removed.
    pub was_logged_in: bool,
    /// What still has a credential for the registry or a path in it, such as podman's file or a
    /// variable. It stays in use: only what docker's files have for the whole registry is removed.
    pub remaining: Option<CredentialOrigin>,
}

fn failed(registry: &RegistryHost, doing: &'static str) -> impl FnOnce(RegistryError) -> Error {
    move |source| Error::registry(registry, registry, doing, source)
}
