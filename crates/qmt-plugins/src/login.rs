//! Credentials for registries, kept the way docker keeps them.

use qmt_oci_ref::RegistryHost;
use qmt_registry::{Credential, CredentialChain, RegistryError, StoredIn};

use crate::error::Error;
use crate::host::PluginHost;

impl PluginHost {
    /// Asks `registry` whether it takes this name and password (or token), and stores them where
    /// docker would: by its credential helper, else in its config file.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`] where the registry refuses them, or they can't be stored,
    /// [`Error::NetworkForbidden`] where the host is offline or frozen.
    pub async fn login(
        &self,
        registry: &RegistryHost,
        username: &str,
        password: &str,
    ) -> Result<StoredIn, Error> {
        self.needs_network(registry, "logging in")?;
        let credential = Credential::basic(username, password);
        let client = self
            .http_client()
            .map_err(failed(registry, "setting up the connection to"))?;
        let checked = client.check_credential(registry, credential.clone()).await;
        checked.map_err(failed(registry, "logging in to"))?;
        let stored = CredentialChain::from_environment()
            .store(registry, &credential)
            .await;
        stored.map_err(failed(registry, "storing the credential for"))
    }
}

/// What [`logout`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedOut {
    /// Whether docker's file or helper had a credential, which is gone now.
    pub was_logged_in: bool,
    /// What still gives a credential for the registry: a file of podman's, or variables. It is used
    /// as before; we only write what is docker's.
    pub remaining: Option<String>,
}

/// Forgets the credential of `registry` that docker's file or helper holds.
///
/// # Errors
///
/// [`Error::Registry`] where docker's files or helper can't be used.
pub async fn logout(registry: &RegistryHost) -> Result<LoggedOut, Error> {
    let erased = CredentialChain::from_environment().erase(registry).await;
    let was_logged_in = erased.map_err(failed(registry, "forgetting the credential for"))?;
    let remaining = CredentialChain::from_environment().origin(registry).await;
    Ok(LoggedOut {
        was_logged_in,
        remaining,
    })
}

fn failed(registry: &RegistryHost, doing: &'static str) -> impl FnOnce(RegistryError) -> Error {
    let reference = registry.to_string();
    move |source| Error::Registry {
        plugin: reference.clone(),
        reference,
        doing,
        source,
    }
}
