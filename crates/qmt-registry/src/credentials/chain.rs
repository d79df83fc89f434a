//! [`CredentialChain`]: the sources of credentials, in docker's order.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use qmt_oci_ref::{RegistryError, RegistryHost, Repository};

use super::auth_file::AuthFile;
use super::environment::Environment;
use super::helper::HelperLimits;
use super::save::{self, StoredIn};
use super::store::{Credential, CredentialStore};
use crate::limits::{HELPER_OUTPUT_MAX, HELPER_TIME_MAX};

/// Looks for credentials as docker and podman do:
///
/// 1. those given with [`CredentialChain::with_explicit`],
/// 2. the variables `QMT_REGISTRY_<HOST>_TOKEN`, or `…_USERNAME` and `…_PASSWORD` (the host in upper
///    case, with `_` for everything but letters and digits),
/// 3. docker's `config.json` in `DOCKER_CONFIG` or `~/.docker`: `credHelpers`, `credsStore`,
///    `auths`,
/// 4. the containers' `auth.json`: `REGISTRY_AUTH_FILE`, else `XDG_RUNTIME_DIR/containers` (on Linux
///    without that variable `/run/containers/<uid>`), then `~/.config/containers`.
///
/// In a file the entry with the most specific path wins (`host/team/app` before `host/team` before
/// `host`), also before a helper for the whole host.
#[derive(Clone)]
pub struct CredentialChain {
    explicit: Vec<(RegistryHost, Credential)>,
    pub(super) environment: Environment,
}

impl CredentialChain {
    /// A chain over the environment of this process. It reads nothing yet.
    pub fn from_environment() -> Self {
        Self::over(Environment::of_process())
    }

    /// A chain over a given environment.
    pub fn over(environment: Environment) -> Self {
        Self {
            explicit: Vec::new(),
            environment,
        }
    }

    /// Adds a credential that comes before all other sources.
    #[must_use]
    pub fn with_explicit(mut self, host: RegistryHost, credential: Credential) -> Self {
        self.explicit.retain(|(known, _)| *known != host);
        self.explicit.push((host, credential));
        self
    }

    /// Lowers the limits of a credential helper: `time` to at most [`HELPER_TIME_MAX`], the bytes
    /// of its `output` to at most [`HELPER_OUTPUT_MAX`].
    #[must_use]
    pub fn helper_limits(mut self, time: Duration, output: u64) -> Self {
        self.environment.helper_limits = HelperLimits {
            time: time.min(HELPER_TIME_MAX),
            output: output.min(HELPER_OUTPUT_MAX),
        };
        self
    }

    /// Stores a credential as `docker login` does: in the helper that docker's configuration names
    /// for the registry, else in docker's `config.json` (mode 0600, other content unchanged).
    ///
    /// # Errors
    /// [`ClientError::CredentialFile`](crate::ClientError::CredentialFile), [`ClientError::CredentialHelper`](crate::ClientError::CredentialHelper),
    /// [`ClientError::CredentialOption`](crate::ClientError::CredentialOption) for a credential that can't be stored.
    pub async fn store(
        &self,
        host: &RegistryHost,
        credential: &Credential,
    ) -> Result<StoredIn, RegistryError> {
        Ok(save::store(&self.environment, host, credential).await?)
    }

    /// Removes what is stored for the registry, as `docker logout` does. Returns whether there was
    /// anything.
    ///
    /// # Errors
    /// [`ClientError::CredentialFile`](crate::ClientError::CredentialFile), [`ClientError::CredentialHelper`](crate::ClientError::CredentialHelper).
    pub async fn erase(&self, host: &RegistryHost) -> Result<bool, RegistryError> {
        Ok(save::erase(&self.environment, host).await?)
    }

    /// Describes the source of the credential for the registry, if there is one: the file, or the
    /// variables. A source that can't be read is skipped; the next request reports its error.
    pub async fn origin(&self, host: &RegistryHost) -> Option<String> {
        if self.explicit.iter().any(|(known, _)| known == host) {
            return Some("the caller".to_owned());
        }
        if let Ok(Some(_)) = self.environment.credential(host) {
            return Some("the variables `QMT_REGISTRY_…`".to_owned());
        }
        for path in self.files() {
            let Ok(Some(file)) = AuthFile::read(&path).await else {
                continue;
            };
            if let Ok(Some(_)) = file.credential(&self.environment, host, None).await {
                return Some(path.display().to_string());
            }
        }
        None
    }

    /// The files that are looked into, in order.
    fn files(&self) -> Vec<PathBuf> {
        self.environment
            .docker_config()
            .into_iter()
            .chain(self.environment.auth_files())
            .collect()
    }
}

#[async_trait]
impl CredentialStore for CredentialChain {
    async fn credential(
        &self,
        host: &RegistryHost,
        repository: Option<&Repository>,
    ) -> Result<Option<Credential>, RegistryError> {
        let explicit = self.explicit.iter().find(|(known, _)| known == host);
        if let Some((_, credential)) = explicit {
            return Ok(Some(credential.clone()));
        }
        if let Some(credential) = self.environment.credential(host)? {
            return Ok(Some(credential));
        }
        // A repository of another registry never selects an entry of this registry.
        let path = repository
            .filter(|repository| repository.host() == host)
            .map(Repository::path);
        for file in self.files() {
            let Some(file) = AuthFile::read(&file).await? else {
                continue;
            };
            if let Some(credential) = file.credential(&self.environment, host, path).await? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.explicit.iter().map(|(host, _)| host).collect();
        f.debug_struct("CredentialChain")
            .field("explicit", &hosts)
            .finish_non_exhaustive()
    }
}
