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
use super::store::Credential;
use super::{helper, key};
use crate::error::{BoxError, ClientError};
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

/// The entry of one registry. Never shown.
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
    pub(super) async fn read(path: &Path) -> Result<Option<Self>, ClientError> {
        let path = path.to_owned();
        let task = tokio::task::spawn_blocking({
            let path = path.clone();
            move || read_bounded(&path)
        });
        let stopped = |cause: tokio::task::JoinError| {
            unusable(&path, "reading it was interrupted", Some(cause.into()))
        };
        let Some(text) = task.await.map_err(stopped)?? else {
            return Ok(None);
        };
        // A list would be read as the fields in their order. The parser's message may quote the
        // file, so only the position is kept.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(unusable(&path, "it is not JSON in docker's format", None));
        }
        let content = serde_json::from_slice(&text).map_err(|cause| {
            let place = format!("line {}, column {}", cause.line(), cause.column());
            unusable(
                &path,
                "it is not JSON in docker's format",
                Some(place.into()),
            )
        })?;
        Ok(Some(Self { path, content }))
    }

    /// The helper that is configured for the registry, after the number of path components that it
    /// is named for.
    pub(super) fn helper(&self, host: &RegistryHost, path: Option<&str>) -> Option<(usize, &str)> {
        let named = best(self.content.cred_helpers.iter(), host, path);
        let store = self.content.creds_store.as_ref().map(|name| (0, name));
        let mut helpers = named.into_iter().chain(store);
        let (fit, name) = helpers.find(|(_, name)| !name.is_empty())?;
        Some((fit, name.as_str()))
    }

    /// The credential for the registry: from an entry for a more specific path than a helper is
    /// named for, else from the helper, else from the store for all, else from the file itself.
    /// Where a helper has nothing, the file is used, as by podman (docker would not use it).
    pub(super) async fn credential(
        &self,
        environment: &Environment,
        host: &RegistryHost,
        path: Option<&str>,
    ) -> Result<Option<Credential>, ClientError> {
        let entry = best(self.content.auths.iter(), host, path);
        if let Some((fit, name)) = self.helper(host, path) {
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

    fn decode(&self, entry: &Entry) -> Result<Option<Credential>, ClientError> {
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
            // Docker writes `{}` where a helper has the credential.
            (None, None) => Ok(None),
            _ => Err(self.unusable("an entry has a user name without password, or the reverse")),
        }
    }

    /// Decodes `base64(user:password)`.
    fn decode_auth(&self, auth: &str) -> Result<Credential, ClientError> {
        // Docker sometimes ends the text with NULs.
        let auth = auth.trim_end_matches('\0').trim();
        let bytes = STANDARD
            .decode(auth)
            .or_else(|_| STANDARD_NO_PAD.decode(auth))
            .map(Zeroizing::new)
            .map_err(|_| self.unusable("an `auth` in it is not base64"))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| self.unusable("an `auth` in it is not UTF-8 behind the base64"))?;
        let (username, password) = text
            .trim_end_matches('\0')
            .split_once(':')
            .ok_or_else(|| self.unusable("an `auth` in it has no colon behind the base64"))?;
        if username.is_empty() {
            return Err(self.unusable("an `auth` in it has no user name"));
        }
        // Docker marks a token in place of a password by this user name.
        if username == helper::TOKEN_USER {
            return Ok(Credential::IdentityToken(SecretString::from(password)));
        }
        Ok(Credential::basic(username, password))
    }

    fn unusable(&self, reason: &'static str) -> ClientError {
        unusable(&self.path, reason, None)
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
        // Of two keys for one origin, the one that docker would write.
        .max_by_key(|(fit, key, _)| (*fit, **key == key::for_storing(host)))
        .map(|(fit, _, entry)| (fit, entry))
}

/// Reads a file of at most [`CREDENTIAL_FILE_MAX`] bytes; `None` if there is none.
pub(super) fn read_bounded(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ClientError> {
    let unreadable = |cause: std::io::Error| unusable(path, "it can't be read", Some(cause.into()));
    let file = match std::fs::File::open(path) {
        Err(cause) if is_absent(&cause) => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(unusable(path, "it is not a regular file", None));
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(CREDENTIAL_FILE_MAX.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > CREDENTIAL_FILE_MAX {
        return Err(unusable(path, "it is larger than 1 MiB", None));
    }
    Ok(Some(text))
}

pub(super) fn unusable(path: &Path, reason: &'static str, source: Option<BoxError>) -> ClientError {
    ClientError::CredentialFile {
        path: path.to_owned(),
        reason,
        source,
    }
}

fn is_absent(cause: &std::io::Error) -> bool {
    matches!(
        cause.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}
