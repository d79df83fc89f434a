//! Credentials for registries, kept the way docker keeps them.

use std::ffi::OsString;
use std::path::PathBuf;

use qmt_oci_ref::RegistryHost;
use qmt_registry::{Credential, CredentialChain, CredentialStore as _, RegistryError, StoredIn};

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
    let variables: Vec<_> = std::env::vars_os().collect();
    let all = CredentialChain::from_environment();
    let remaining = if gives(&all, registry).await {
        Some(origin(registry, &variables).await)
    } else {
        None
    };
    Ok(LoggedOut {
        was_logged_in,
        remaining,
    })
}

/// Says where a credential comes from that is none of docker's.
async fn origin(registry: &RegistryHost, variables: &[(OsString, OsString)]) -> String {
    let ours = |name: &OsString| name.to_string_lossy().starts_with("QMT_REGISTRY_");
    let only_ours = variables.iter().filter(|(name, _)| ours(name)).cloned();
    if gives(&CredentialChain::over(only_ours.collect()), registry).await {
        return "the variables `QMT_REGISTRY_…`".to_owned();
    }
    for file in podman_files(variables) {
        // This file alone, and what a helper needs that it names.
        let needed = variables
            .iter()
            .filter(|(name, _)| *name == *"PATH")
            .cloned();
        let named = (OsString::from("REGISTRY_AUTH_FILE"), file.clone().into());
        let chain = CredentialChain::over(needed.chain([named]).collect());
        if gives(&chain, registry).await {
            return file.display().to_string();
        }
    }
    "podman's `auth.json`".to_owned()
}

/// The files that podman keeps credentials in, as far as variables name them.
fn podman_files(variables: &[(OsString, OsString)]) -> Vec<PathBuf> {
    let folder = |name: &str| {
        let (_, value) = variables.iter().find(|(known, _)| *known == *name)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    };
    let home = || Some(folder("HOME")?.join(".config"));
    let of_podman = |folder: PathBuf| folder.join("containers").join("auth.json");
    let kept = [
        folder("XDG_RUNTIME_DIR"),
        folder("XDG_CONFIG_HOME").or_else(home),
    ];
    let kept = kept.into_iter().flatten().map(of_podman);
    folder("REGISTRY_AUTH_FILE")
        .into_iter()
        .chain(kept)
        .collect()
}

/// A source that can't be read gives nothing: the next pull says what is wrong with it.
async fn gives(chain: &CredentialChain, registry: &RegistryHost) -> bool {
    matches!(chain.credential(registry, None).await, Ok(Some(_)))
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
