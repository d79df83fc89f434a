//! Login and logout as docker does them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::{RegistryError, RegistryHost};
use qmt_storage::files::{create_private_folder, link_target, not_a_folder};
use qmt_storage::{FileLock, ReplaceOptions};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::auth_file::{self, AuthFile, read_bounded};
use super::chain::CredentialChain;
use super::environment::Environment;
use super::helper::{Helper, TOKEN_USER};
use super::key;
use super::origin::CredentialOrigin;
use super::store::Credential;
use crate::error::{ClientError, CredentialError};

/// The file that exists while docker's file is changed, in its folder.
const LOCK_NAME: &str = ".qmt-plugins.login.lock";
/// How long other logins are waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// Where a credential was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredIn {
    /// In the credential helper of this name.
    Helper(String),
    /// In this file, readable for its owner; encoded, not encrypted.
    File(PathBuf),
}

/// What a login stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedIn {
    /// Where the credential is stored.
    pub stored: StoredIn,
    /// Whether the registry asked for the credential. If not, it may be wrong.
    pub was_checked: bool,
    /// The variables that are used before the stored credential.
    pub overridden_by: Option<CredentialOrigin>,
}

impl LoggedIn {
    /// Makes the result of a login.
    pub fn new(
        stored: StoredIn,
        was_checked: bool,
        overridden_by: Option<CredentialOrigin>,
    ) -> Self {
        Self {
            stored,
            was_checked,
            overridden_by,
        }
    }
}

impl CredentialChain {
    /// Stores a credential as `docker login` does: in the helper that docker's configuration names
    /// for the registry, else in docker's `config.json` (mode 0600, other content unchanged).
    ///
    /// # Errors
    /// [`CredentialError::File`](crate::error::CredentialError::File), [`CredentialError::Helper`](crate::error::CredentialError::Helper),
    /// [`CredentialError::Option`](crate::error::CredentialError::Option) for a credential that can't be stored.
    pub async fn store(
        &self,
        host: &RegistryHost,
        credential: &Credential,
    ) -> Result<StoredIn, RegistryError> {
        let environment = &self.environment;
        let (path, helper) = target(environment, host).await?;
        let key = key::for_storing(host);
        let (username, secret) = match credential {
            Credential::Basic { username, password } => (username.as_str(), password),
            Credential::IdentityToken(token) => (TOKEN_USER, token),
            Credential::Bearer(_) => {
                let reason =
                    "docker's files have no bearer tokens; set an environment variable instead";
                return Err(unusable(reason).into());
            }
        };
        let secret = secret.expose_secret();
        let (entry, stored) = if let Some(helper) = helper {
            helper.store(environment, &key, username, secret).await?;
            // Docker notes in the file that the helper has a credential.
            (Map::new(), StoredIn::Helper(helper.name))
        } else {
            let is_token = matches!(credential, Credential::IdentityToken(_));
            let entry = entry(username, secret, is_token)?;
            (entry, StoredIn::File(path.clone()))
        };
        let insert = move |auths: &mut Map<String, Value>| {
            auths.insert(key, Value::Object(entry));
            true // Also makes the file private again.
        };
        let updated = update(&path, insert).await;
        updated.map_err(|error| match error {
            ClientError::Credential(CredentialError::Unwritable { path, source, .. }) => {
                let instead = Some(Environment::password_variables(host));
                CredentialError::Unwritable {
                    path,
                    instead,
                    source,
                }
                .into()
            }
            error => at_variable(environment, error),
        })?;
        Ok(stored)
    }

    /// Removes what is stored for the registry, as `docker logout` does. Returns whether there was
    /// anything.
    ///
    /// # Errors
    /// [`CredentialError::File`](crate::error::CredentialError::File), [`CredentialError::Helper`](crate::error::CredentialError::Helper).
    pub async fn erase(&self, host: &RegistryHost) -> Result<bool, RegistryError> {
        let environment = &self.environment;
        let (path, helper) = target(environment, host).await?;
        let mut had = false;
        if let Some(helper) = helper {
            had = helper.erase(environment, &key::for_storing(host)).await?;
        }
        if !path.exists() {
            return Ok(had);
        }
        let host = host.clone();
        let removed = update(&path, move |auths| {
            let before = auths.len();
            // Every key of the registry itself; entries for single repositories stay.
            auths.retain(|key, _| key::fit(key, &host, None).is_none());
            before != auths.len()
        });
        let removed = removed.await;
        Ok(removed.map_err(|error| at_variable(environment, error))? || had)
    }
}

/// The entry of docker's file for a credential.
fn entry(username: &str, secret: &str, is_token: bool) -> Result<Map<String, Value>, ClientError> {
    if !is_token && (username.is_empty() || username.contains(':')) {
        return Err(unusable("a user name is not empty and has no colon"));
    }
    let password = if is_token { "" } else { secret };
    let auth = Zeroizing::new(format!("{username}:{password}"));
    let auth = STANDARD.encode(auth.as_bytes());
    let mut entry = Map::from_iter([("auth".to_owned(), auth.into())]);
    if is_token {
        entry.insert("identitytoken".to_owned(), secret.into());
    }
    Ok(entry)
}

/// Docker's file, and the helper that it names for the registry.
async fn target(
    environment: &Environment,
    host: &RegistryHost,
) -> Result<(PathBuf, Option<Helper>), ClientError> {
    let path = environment
        .docker_config()
        .map_err(|origin| ClientError::from(CredentialError::NotAPath { origin }))?
        .ok_or(CredentialError::NoFolder)?;
    let variable = environment.variable_of_file(true);
    let file = AuthFile::read(&path, true, variable).await?;
    let helper = file.map(|file| file.helper(host)).transpose()?;
    Ok((path, helper.flatten()))
}

/// Adds the variable that the path of docker's file comes from.
fn at_variable(environment: &Environment, error: ClientError) -> ClientError {
    match error {
        ClientError::Credential(error) => {
            let variable = environment.variable_of_file(true);
            error.at_variable(variable).into()
        }
        error => error,
    }
}

/// Changes `auths` in docker's file and leaves everything else in it as it is. Writes the file only
/// if `change` returns that it changed something, and returns the same.
async fn update(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> bool + Send + 'static,
) -> Result<bool, ClientError> {
    let work = |path: &Path| update_blocking(path, change);
    auth_file::blocking(path, "writing it was interrupted", work).await
}

fn update_blocking(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> bool,
) -> Result<bool, ClientError> {
    let unusable = |reason, source| auth_file::unusable(path, reason, source);
    let unwritable = |source: io::Error| {
        let (path, instead) = (path.to_owned(), None);
        ClientError::from(CredentialError::Unwritable {
            path,
            instead,
            source,
        })
    };
    // Dotfiles are often links into a repository: the target is replaced, the link stays.
    let target = link_target(path);
    let folder = target.parent().unwrap_or(Path::new("."));
    if let Some(blocked) = not_a_folder(folder) {
        return Err(ClientError::from(CredentialError::NotAFolder {
            path: path.to_owned(),
            folder: blocked.to_owned(),
            variable: None,
        }));
    }
    create_private_folder(folder).map_err(unwritable)?;
    let lock = folder.join(LOCK_NAME);
    let _lock = match FileLock::acquire(&lock, LOCK_LIMIT, || {}) {
        Ok(lock) => Some(lock),
        Err(cause) if cause.kind() == io::ErrorKind::TimedOut => {
            let path = path.to_owned();
            return Err(ClientError::from(CredentialError::Locked { path, lock }));
        }
        // The file is replaced atomically all the same, and what can't be written is reported then.
        Err(_) => None,
    };
    let mut content = match read_bounded(path)? {
        Some(text) => auth_file::parse(path, &text)?,
        None => Map::new(),
    };
    let known = content.keys().find(|key| key.eq_ignore_ascii_case("auths"));
    let name = known.map_or_else(|| "auths".to_owned(), Clone::clone);
    let auths = content.entry(name).or_insert(Value::Null);
    if auths.is_null() || auths.as_array().is_some_and(Vec::is_empty) {
        *auths = Value::Object(Map::new());
    }
    let auths = auths.as_object_mut();
    if !change(auths.ok_or_else(|| unusable("its `auths` is not a JSON object", None))?) {
        return Ok(false);
    }
    let mut text = Zeroizing::new(serde_json::to_vec_pretty(&content).unwrap_or_default());
    text.push(b'\n');
    qmt_storage::replace(&target, &text, ReplaceOptions::PRIVATE).map_err(unwritable)?;
    Ok(true)
}

fn unusable(reason: &'static str) -> ClientError {
    ClientError::from(CredentialError::Option {
        origin: "login".to_owned(),
        reason,
    })
}
