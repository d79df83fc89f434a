//! Docker's `config.json` and the containers' `auth.json`: one format.
//!
//! Formats: <https://docs.docker.com/reference/cli/docker/login/>,
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use qmt_oci_ref::RegistryHost;
use secrecy::SecretString;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::environment::Environment;
use super::{helper, key};
use crate::credential::Credential;
use crate::error::{BoxError, RegistryError};
use crate::limits::CREDENTIAL_FILE_MAX;

/// A credentials file that was read.
pub(super) struct AuthFile {
    path: PathBuf,
    content: Content,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

/// What a file says about one registry. Never printed.
#[derive(Default, Deserialize)]
struct Entry {
    auth: Option<Zeroizing<String>>,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
    identitytoken: Option<Zeroizing<String>>,
    registrytoken: Option<Zeroizing<String>>,
}

impl AuthFile {
    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// [`RegistryError::CredentialFile`] if it can't be read, is too large or is malformed.
    pub(super) async fn read(path: &Path) -> Result<Option<Self>, RegistryError> {
        let path = path.to_owned();
        let task = tokio::task::spawn_blocking({
            let path = path.clone();
            move || read_bounded(&path)
        });
        let stopped = |cause: tokio::task::JoinError| {
            fault(&path, "reading it was interrupted", Some(cause.into()))
        };
        let Some(text) = task.await.map_err(stopped)?? else {
            return Ok(None);
        };
        // The parser's message may quote the file, so it is left out but for the place.
        // A list would be read as the fields in their order.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(fault(&path, "it is not the JSON that docker writes", None));
        }
        let content = serde_json::from_slice(&text).map_err(|cause| {
            let place = format!("line {}, column {}", cause.line(), cause.column());
            fault(
                &path,
                "it is not the JSON that docker writes",
                Some(place.into()),
            )
        })?;
        Ok(Some(Self { path, content }))
    }

    /// The helper that is configured for the registry.
    pub(super) fn helper(&self, host: &RegistryHost, path: Option<&str>) -> Option<&str> {
        self.helper_and_fit(host, path).map(|(_, name)| name)
    }

    /// The same with the number of path components that it is named for.
    fn helper_and_fit(&self, host: &RegistryHost, path: Option<&str>) -> Option<(usize, &str)> {
        let named = best(self.content.cred_helpers.iter(), host, path);
        let store = self
            .content
            .creds_store
            .as_deref()
            .filter(|name| !name.is_empty());
        named
            .map(|(fit, name)| (fit, name.as_str()))
            .filter(|(_, name)| !name.is_empty())
            .or(store.map(|name| (0, name)))
    }

    /// The credential for the registry: from an entry for a more specific path than a helper is
    /// named for, else from the helper, else from the store for all, else from the file itself. A
    /// helper that has nothing hands on to the file, as it
    /// does with podman (docker would go without).
    pub(super) async fn credential(
        &self,
        environment: &Environment,
        host: &RegistryHost,
        path: Option<&str>,
    ) -> Result<Option<Credential>, RegistryError> {
        let entry = best(self.content.auths.iter(), host, path);
        if let Some((fit, name)) = self.helper_and_fit(host, path) {
            if let Some((_, entry)) = entry.filter(|(in_file, _)| *in_file > fit)
                && let Some(credential) = self.decode(entry)?
            {
                return Ok(Some(credential));
            }
            let key = key::for_storing(host);
            if let Some(credential) = helper::get(environment, name, &key).await? {
                return Ok(Some(credential));
            }
        }
        entry.map_or(Ok(None), |(_, entry)| self.decode(entry))
    }

    fn decode(&self, entry: &Entry) -> Result<Option<Credential>, RegistryError> {
        let full = |text: &Option<Zeroizing<String>>| {
            text.as_ref()
                .filter(|text| !text.is_empty())
                .map(|text| SecretString::from(text.as_str()))
        };
        if let Some(token) = full(&entry.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(token) = full(&entry.registrytoken) {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.is_empty()) {
            return self.decode_auth(auth).map(Some);
        }
        let username = entry.username.as_deref().filter(|name| !name.is_empty());
        match (username, full(&entry.password)) {
            (Some(username), Some(password)) => {
                let username = username.to_owned();
                Ok(Some(Credential::Basic { username, password }))
            }
            // Docker leaves `{}` behind where a helper holds the credential.
            (None, None) => Ok(None),
            _ => Err(self.fault("an entry has a user name without password, or the reverse")),
        }
    }

    /// Decodes `base64(user:password)`.
    fn decode_auth(&self, auth: &str) -> Result<Credential, RegistryError> {
        // Docker itself ends the text with NULs at times.
        let auth = auth.trim_end_matches('\0').trim();
        let bytes = STANDARD
            .decode(auth)
            .or_else(|_| STANDARD_NO_PAD.decode(auth))
            .map(Zeroizing::new)
            .map_err(|_| self.fault("an `auth` in it is not base64"))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| self.fault("an `auth` in it is not UTF-8 behind the base64"))?;
        let (username, password) = text
            .trim_end_matches('\0')
            .split_once(':')
            .ok_or_else(|| self.fault("an `auth` in it has no colon behind the base64"))?;
        if username.is_empty() {
            return Err(self.fault("an `auth` in it has no user name"));
        }
        // Docker's sign for a token in place of a password is a user of this name without one.
        if username == helper::TOKEN_USER {
            return Ok(Credential::IdentityToken(SecretString::from(password)));
        }
        Ok(Credential::basic(username, password))
    }

    fn fault(&self, fault: &'static str) -> RegistryError {
        self::fault(&self.path, fault, None)
    }
}

/// The entry with the most specific key for the registry and path, and how many components of the
/// path the key names.
fn best<'a, T>(
    entries: impl Iterator<Item = (&'a String, &'a T)>,
    host: &RegistryHost,
    path: Option<&str>,
) -> Option<(usize, &'a T)> {
    entries
        .filter_map(|(key, entry)| Some((key::fit(key, host, path)?, key, entry)))
        // Of two spellings of one origin, the one that docker would write.
        .max_by_key(|(fit, key, _)| (*fit, **key == key::for_storing(host)))
        .map(|(fit, _, entry)| (fit, entry))
}

/// Reads a file of at most [`CREDENTIAL_FILE_MAX`] bytes; `None` if there is none.
pub(super) fn read_bounded(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, RegistryError> {
    let unreadable = |cause: std::io::Error| fault(path, "it can't be read", Some(cause.into()));
    let file = match std::fs::File::open(path) {
        Err(cause) if is_absent(&cause) => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(fault(path, "it is not a regular file", None));
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(CREDENTIAL_FILE_MAX.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > CREDENTIAL_FILE_MAX {
        return Err(fault(path, "it is larger than 1 MiB", None));
    }
    Ok(Some(text))
}

pub(super) fn fault(path: &Path, fault: &'static str, source: Option<BoxError>) -> RegistryError {
    RegistryError::CredentialFile {
        path: path.to_owned(),
        fault,
        source,
    }
}

fn is_absent(cause: &std::io::Error) -> bool {
    matches!(
        cause.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}
