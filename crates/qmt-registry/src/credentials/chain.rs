//! [`CredentialChain`]: the sources of credentials, in docker's order.

use std::collections::HashMap;
use std::fmt;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use qmt_oci_ref::{RegistryError, RegistryHost, Repository};

use super::auth_file::{AuthFile, CredentialWithOrigin};
use super::environment::Environment;
use super::helper::HelperLimits;
use super::origin::AUTH_VARIABLE;
use super::origin::CredentialOrigin;
use super::store::{Credential, CredentialStore};
use crate::error::ClientError;
use crate::limits::{HELPER_OUTPUT_MAX, HELPER_TIME_MAX};

/// Looks for credentials as docker and podman do:
///
/// 1. those given with [`CredentialChain::with_explicit`],
/// 2. the variables `QMT_REGISTRY_<HOST>_TOKEN`, or `…_USERNAME` and `…_PASSWORD` (the host in upper
///    case, with `__` for `-` and `_` for other characters than letters and digits),
/// 3. the `auths` in `DOCKER_AUTH_CONFIG`,
/// 4. docker's `config.json` in `DOCKER_CONFIG` or `~/.docker`: `credHelpers`, `credsStore`,
///    `auths`,
/// 5. the containers' `auth.json`: `REGISTRY_AUTH_FILE`, else `XDG_RUNTIME_DIR/containers` (on Linux
///    without that variable `/run/containers/<uid>`), then `~/.config/containers`.
///
/// In a file the entry with the most specific path wins (`host/team/app` before `host/team` before
/// `host`), also before a helper for the whole host. A file, entry or helper that can't be used is
/// an error where no other file has a credential for the registry.
#[derive(Clone)]
pub struct CredentialChain {
    explicit: Vec<(RegistryHost, Credential)>,
    pub(super) environment: Environment,
    /// The origin of the last credential that was found, by registry and path.
    origins: Arc<Mutex<HashMap<OriginKey, CredentialOrigin>>>,
}

/// A registry, and the path of the repository for which a credential is looked for.
type OriginKey = (RegistryHost, Option<String>);

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
            origins: Arc::default(),
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

    /// Finds the source of the credential for the registry, if there is one. A source that can't be
    /// read is skipped; the next request reports its error.
    pub async fn source(&self, host: &RegistryHost) -> Option<CredentialOrigin> {
        let known = self.origin(host, None);
        if let CredentialOrigin::Caller | CredentialOrigin::Variables(_) = known {
            return Some(known);
        }
        for path in self.files() {
            if let Ok(Some((_, origin))) = self.in_file(&path, host, None).await {
                return Some(match origin {
                    CredentialOrigin::Helper { .. } => origin,
                    _ => CredentialOrigin::File(path),
                });
            }
        }
        None
    }

    /// Finds the source of a credential that is still used after a logout from the registry: for all of
    /// it, as [`Self::source`] does, else for the first of its paths that has one.
    pub async fn remaining(&self, host: &RegistryHost) -> Option<CredentialOrigin> {
        if let Some(origin) = self.source(host).await {
            return Some(origin);
        }
        if let Ok(Some(variable)) = AuthFile::of_variable(&self.environment) {
            for path in variable.paths(host) {
                if let Ok(Some((_, origin))) = self.in_variable(host, Some(&path)).await {
                    return Some(origin);
                }
            }
        }
        for file in self.files() {
            let is_dockers = self.docker_config().as_ref() == Some(&file);
            let Ok(Some(read)) = AuthFile::read(&file, is_dockers, None).await else {
                continue;
            };
            for path in read.paths(host) {
                let found = read.credential(&self.environment, host, Some(&path)).await;
                if let Ok(Some((_, origin))) = found {
                    return Some(origin);
                }
            }
        }
        None
    }

    /// The credential that docker's variable has for the registry.
    async fn in_variable(
        &self,
        host: &RegistryHost,
        path: Option<&str>,
    ) -> Result<Option<CredentialWithOrigin>, ClientError> {
        let Some(file) = AuthFile::of_variable(&self.environment)? else {
            return Ok(None);
        };
        let found = file.credential(&self.environment, host, path).await?;
        let origin = CredentialOrigin::Variables(vec![AUTH_VARIABLE.to_owned()]);
        Ok(found.map(|(credential, _)| (credential, origin)))
    }

    /// The credential that a file has for the registry.
    async fn in_file(
        &self,
        file: &Path,
        host: &RegistryHost,
        path: Option<&str>,
    ) -> Result<Option<CredentialWithOrigin>, ClientError> {
        let is_dockers = self.docker_config().as_deref() == Some(file);
        let variable = self.environment.variable_of_file(is_dockers);
        match AuthFile::read(file, is_dockers, variable).await? {
            Some(file) => file.credential(&self.environment, host, path).await,
            None => Ok(None),
        }
    }

    /// Looks into docker's variable, then into the files.
    async fn stored(
        &self,
        host: &RegistryHost,
        path: Option<&str>,
    ) -> Result<Option<CredentialWithOrigin>, ClientError> {
        let mut failed = None;
        let files = self.files();
        for file in iter::once(None).chain(files.iter().map(Some)) {
            let found = match file {
                None => self.in_variable(host, path).await,
                Some(file) => self.in_file(file, host, path).await,
            };
            match found {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// The files that are looked into, in order.
    fn files(&self) -> Vec<PathBuf> {
        let docker = self.docker_config().into_iter();
        docker.chain(self.environment.auth_files()).collect()
    }

    /// Docker's configuration file, if one is named.
    fn docker_config(&self) -> Option<PathBuf> {
        self.environment.docker_config().unwrap_or_default()
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
        let path = path_at(host, repository);
        let found = self.stored(host, path).await?;
        let known = (host.clone(), path.map(str::to_owned));
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.remove(&known);
        Ok(found.map(|(credential, origin)| {
            origins.insert(known, origin);
            credential
        }))
    }

    fn origin(&self, host: &RegistryHost, repository: Option<&Repository>) -> CredentialOrigin {
        if self.explicit.iter().any(|(known, _)| known == host) {
            return CredentialOrigin::Caller;
        }
        let variables = self.environment.variables_of(host);
        if !variables.is_empty() {
            return CredentialOrigin::Variables(variables);
        }
        let known = (host.clone(), path_at(host, repository).map(str::to_owned));
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(origin) = origins.get(&known) {
            return origin.clone();
        }
        if let Ok(Some(file)) = AuthFile::of_variable(&self.environment)
            && file.has_entry(host)
        {
            return CredentialOrigin::Variables(vec![AUTH_VARIABLE.to_owned()]);
        }
        self.environment.misdirected(host).unwrap_or_default()
    }
}

/// The path of `repository`. One of another registry never selects an entry of this registry.
fn path_at<'a>(host: &RegistryHost, repository: Option<&'a Repository>) -> Option<&'a str> {
    let repository = repository.filter(|repository| repository.host() == host);
    repository.map(Repository::path)
}

impl fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.explicit.iter().map(|(host, _)| host).collect();
        f.debug_struct("CredentialChain")
            .field("explicit", &hosts)
            .finish_non_exhaustive()
    }
}
