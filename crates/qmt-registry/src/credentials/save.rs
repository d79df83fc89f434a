//! Login and logout, the way docker does them.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::RegistryHost;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::auth_file::{AuthFile, fault, read_bounded};
use super::environment::Environment;
use super::{helper, key};
use crate::credential::Credential;
use crate::error::RegistryError;

/// Where a credential was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredIn {
    /// In the credential helper of this name.
    Helper(String),
    /// In this file, readable for its owner; encoded, not encrypted.
    File(PathBuf),
}

pub(super) async fn store(
    environment: &Environment,
    host: &RegistryHost,
    credential: &Credential,
) -> Result<StoredIn, RegistryError> {
    let (path, helper) = target(environment, host).await?;
    let key = key::for_storing(host);
    if let Some(name) = helper {
        let (username, secret) = match credential {
            Credential::Basic { username, password } => (username.as_str(), password),
            Credential::IdentityToken(token) => (helper::TOKEN_USER, token),
            Credential::Bearer(_) => return Err(no_bearer()),
        };
        helper::store(environment, &name, &key, username, secret.expose_secret()).await?;
        // Docker notes in the file that there is something.
        update(&path, move |auths| {
            auths.insert(key, Value::Object(Map::new()));
        })
        .await?;
        return Ok(StoredIn::Helper(name));
    }
    let mut entry = Map::new();
    match credential {
        Credential::Basic { username, password } => {
            if username.is_empty() || username.contains(':') {
                return Err(unusable("a user name can't be empty or have a colon in it"));
            }
            let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
            entry.insert("auth".to_owned(), STANDARD.encode(pair.as_bytes()).into());
        }
        Credential::IdentityToken(token) => {
            entry.insert(
                "auth".to_owned(),
                STANDARD.encode(format!("{}:", helper::TOKEN_USER)).into(),
            );
            entry.insert("identitytoken".to_owned(), token.expose_secret().into());
        }
        Credential::Bearer(_) => return Err(no_bearer()),
    }
    update(&path, move |auths| {
        auths.insert(key, Value::Object(entry));
    })
    .await?;
    Ok(StoredIn::File(path))
}

pub(super) async fn erase(
    environment: &Environment,
    host: &RegistryHost,
) -> Result<bool, RegistryError> {
    let (path, helper) = target(environment, host).await?;
    let mut had = false;
    if let Some(name) = helper {
        had = helper::erase(environment, &name, &key::for_storing(host)).await?;
    }
    if !path.exists() {
        return Ok(had);
    }
    let host = host.clone();
    let removed = update(&path, move |auths| {
        let before = auths.len();
        // Every spelling of the registry itself; entries for single repositories stay.
        auths.retain(|key, _| key::fit(key, &host, None).is_none());
        before != auths.len()
    });
    Ok(removed.await? || had)
}

/// Docker's file, and the helper that it names for the registry.
async fn target(
    environment: &Environment,
    host: &RegistryHost,
) -> Result<(PathBuf, Option<String>), RegistryError> {
    let path = environment
        .docker_config()
        .ok_or_else(|| unusable("there is neither `DOCKER_CONFIG` nor a home folder"))?;
    let file = AuthFile::read(&path).await?;
    let helper = file.and_then(|file| file.helper(host, None).map(str::to_owned));
    Ok((path, helper))
}

/// Changes `auths` in docker's file and leaves everything else in it as it is.
async fn update<T: Send + 'static>(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> T + Send + 'static,
) -> Result<T, RegistryError> {
    let path = path.to_owned();
    let task = tokio::task::spawn_blocking({
        let path = path.clone();
        move || update_blocking(&path, change)
    });
    task.await.unwrap_or_else(|stopped| {
        Err(fault(
            &path,
            "writing it was interrupted",
            Some(stopped.into()),
        ))
    })
}

fn update_blocking<T>(
    path: &Path,
    change: impl FnOnce(&mut Map<String, Value>) -> T,
) -> Result<T, RegistryError> {
    let unwritable = |cause: std::io::Error| fault(path, "it can't be written", Some(cause.into()));
    let malformed = || fault(path, "it is not the JSON that docker writes", None);
    let mut content = match read_bounded(path)? {
        Some(text) => serde_json::from_slice::<Value>(&text).map_err(|_| malformed())?,
        None => Value::Object(Map::new()),
    };
    let content_map = content.as_object_mut().ok_or_else(malformed)?;
    let auths = content_map
        .entry("auths")
        .or_insert_with(|| Value::Object(Map::new()));
    let result = change(auths.as_object_mut().ok_or_else(malformed)?);
    let mut text = Zeroizing::new(serde_json::to_vec_pretty(&content).unwrap_or_default());
    text.push(b'\n');

    // Dotfiles are often links into a repository: the target is replaced, the link stays.
    let folder = path.parent().unwrap_or(Path::new("."));
    let target = std::fs::canonicalize(path)
        // A link to what is not there yet.
        .or_else(|_| std::fs::read_link(path).map(|target| folder.join(target)))
        .unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().unwrap_or(Path::new("."));
    make_private(folder).map_err(unwritable)?;
    let mut temp = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?; // Mode 0600.
    temp.write_all(&text).map_err(unwritable)?;
    temp.as_file().sync_all().map_err(unwritable)?;
    temp.persist(&target)
        .map_err(|error| unwritable(error.error))?;
    Ok(result)
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn no_bearer() -> RegistryError {
    unusable("a bearer token can't be stored the way docker does; use an environment variable")
}

fn unusable(fault: &'static str) -> RegistryError {
    RegistryError::CredentialOption {
        origin: "login".to_owned(),
        fault,
    }
}
