//! Docker's `config.json` and the containers' `auth.json`: one format.
//!
//! Many programs write these files, so `null` means absent, an empty file has no credential, and
//! only what belongs to the registry at hand can be an error, where nothing else has a credential
//! for it.
//!
//! Formats: <https://docs.docker.com/reference/cli/docker/login/>,
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>

use std::io::Read;
use std::path::{Path, PathBuf};

use qmt_oci_ref::RegistryHost;
use qmt_oci_ref::text::{self, without_byte_order_mark};
use serde_json::{Map, Value};
use tokio::task::JoinError;
use zeroize::{Zeroize as _, Zeroizing};

use super::environment::Environment;
use super::helper::Helper;
use super::origin::AUTH_VARIABLE;
use super::origin::CredentialOrigin;
use super::store::Credential;
use super::{entry, key};
use crate::BoxError;
use crate::error::{ClientError, CredentialError};
use crate::limits::CREDENTIAL_FILE_MAX;

/// A credential, and where it comes from.
pub(super) type CredentialWithOrigin = (Credential, CredentialOrigin);

/// A credentials file that was read.
pub(super) struct AuthFile {
    path: PathBuf,
    content: Map<String, Value>,
    /// Whether it is docker's, which a login writes, and which is read before the others.
    is_dockers: bool,
}

impl AuthFile {
    /// Reads the file, whose path comes from `variable`; `None` if it does not exist.
    pub(super) async fn read(
        path: &Path,
        is_dockers: bool,
        variable: Option<&'static str>,
    ) -> Result<Option<Self>, ClientError> {
        let content = blocking(path, "reading it was interrupted", |path| {
            // A link to `/dev/null` is a common way to have no such file.
            if is_device(path) {
                return Ok(None);
            }
            let text = read_bounded(path)?;
            text.map(|text| parse(path, &text)).transpose()
        });
        let content = content.await.map_err(|error| match error {
            ClientError::Credential(error) => error.at_variable(variable).into(),
            error => error,
        });
        Ok(content?.map(|content| Self {
            path: path.to_owned(),
            content,
            is_dockers,
        }))
    }

    /// Reads the entries in the variable that docker and GitLab's runner read. Like docker, it takes no
    /// helper from there.
    pub(super) fn of_variable(environment: &Environment) -> Result<Option<Self>, ClientError> {
        let Some(text) = environment.get(AUTH_VARIABLE) else {
            return Ok(None);
        };
        let path = PathBuf::from(AUTH_VARIABLE);
        let mut content = parse(&path, text.as_encoded_bytes())?;
        content.retain(|name, _| name.eq_ignore_ascii_case("auths"));
        Ok(Some(Self {
            path,
            content,
            is_dockers: false,
        }))
    }

    /// Reports whether the variable has something else than `auths`, such as what belongs inside.
    pub(super) fn lacks_auths(environment: &Environment) -> bool {
        let text = environment.get(AUTH_VARIABLE);
        let content = text.map(|text| parse(Path::new(AUTH_VARIABLE), text.as_encoded_bytes()));
        let Some(Ok(mut content)) = content else {
            return false;
        };
        let lacks = !content.is_empty() && field(&content, "auths").is_none();
        content.values_mut().for_each(wipe);
        lacks
    }

    /// Reports whether an entry for the registry has a credential, or one that can't be used. Docker
    /// writes an empty entry where a helper has it.
    pub(super) fn has_entry(&self, host: &RegistryHost) -> bool {
        let entries = self.map("auths").unwrap_or_default();
        let entry = best(entries, host, None);
        entry.is_some_and(|(_, _, entry)| !matches!(entry::decode(entry), Ok(None)))
    }

    /// The paths in the registry for which an entry or a helper is named.
    pub(super) fn paths(&self, host: &RegistryHost) -> Vec<String> {
        let maps = ["auths", "credHelpers"].map(|name| self.map(name).unwrap_or_default());
        let keys = maps.into_iter().flatten().flat_map(Map::keys);
        let paths = keys.filter_map(|key| key::scope(key, host));
        let paths = paths.filter(|path| !path.is_empty());
        paths.map(str::to_owned).collect()
    }

    /// The helper that is configured for the registry.
    pub(super) fn helper(&self, host: &RegistryHost) -> Result<Option<Helper>, ClientError> {
        match self.first_helper(host, None) {
            (_, Some(error)) => Err(error),
            (found, None) => Ok(found.map(|(_, helper)| helper)),
        }
    }

    /// The first helper that is configured for the registry, after the number of path components
    /// that it is named for; and why a setting before it can't be used.
    fn first_helper(
        &self,
        host: &RegistryHost,
        path: Option<&str>,
    ) -> (Option<(usize, Helper)>, Option<ClientError>) {
        let (helpers, mut failed) = match self.map("credHelpers") {
            Ok(helpers) => (helpers, None),
            Err(error) => (None, Some(error)),
        };
        let named = best(helpers, host, path)
            .map(|(fit, key, name)| (fit, format!("credHelpers[\"{}\"]", text::escape(key)), name));
        let store = field(&self.content, "credsStore");
        let store = store.map(|name| (0, "credsStore".to_owned(), name));
        for (fit, setting, name) in named.into_iter().chain(store) {
            match name.as_str().map(str::trim) {
                Some("") => {}
                Some(name) => {
                    let helper = Helper::new(name, self.path.clone(), setting);
                    return (Some((fit, helper)), failed);
                }
                None => {
                    let error = self.unusable(&setting, "it is not the name of a helper", None);
                    failed = failed.or(Some(error));
                }
            }
        }
        (None, failed)
    }

    /// The credential for the registry: from an entry for a more specific path than a helper is
    /// named for, else from the helper, else from the store for all, else from the file itself.
    /// Where a helper has nothing or fails, or a setting can't be used, the file is used, as by
    /// podman (docker would not use it).
    pub(super) async fn credential(
        &self,
        environment: &Environment,
        host: &RegistryHost,
        path: Option<&str>,
    ) -> Result<Option<CredentialWithOrigin>, ClientError> {
        let (helper, mut failed) = self.first_helper(host, path);
        let entry = match self.map("auths") {
            Ok(entries) => best(entries, host, path),
            Err(error) => {
                failed = failed.or(Some(error));
                None
            }
        };
        if let Some((fit, helper)) = helper {
            if let Some(entry) = entry.filter(|(in_file, ..)| *in_file > fit)
                && let Some(found) = self.decode(host, entry)?
            {
                return Ok(Some(found));
            }
            match helper.get(environment, &key::for_storing(host)).await {
                Ok(Some(credential)) => return Ok(Some((credential, helper.origin()))),
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let found = entry.map_or(Ok(None), |entry| self.decode(host, entry));
        match (found, failed) {
            (Ok(None) | Err(_), Some(failed)) => Err(failed),
            (found, _) => found,
        }
    }

    fn decode(
        &self,
        host: &RegistryHost,
        (fit, key, entry): (usize, &str, &Value),
    ) -> Result<Option<CredentialWithOrigin>, ClientError> {
        let decoded = entry::decode(entry).map_err(|reason| {
            let replaced_by = (fit == 0 && self.is_dockers).then(|| host.clone());
            self.unusable(key, reason, replaced_by)
        })?;
        let origin = CredentialOrigin::Entry {
            path: self.path.clone(),
            key: text::escape(key),
            is_replaced_by_login: fit == 0 || !self.is_dockers,
        };
        Ok(decoded.map(|credential| (credential, origin)))
    }

    /// An object of the file. Some programs write an empty one as a list.
    fn map(&self, name: &str) -> Result<Option<&Map<String, Value>>, ClientError> {
        match field(&self.content, name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(Value::Array(list)) if list.is_empty() => Ok(None),
            Some(_) => Err(self.unusable(name, "it is not a JSON object", None)),
        }
    }

    fn unusable(
        &self,
        key: &str,
        reason: &'static str,
        replaced_by: Option<RegistryHost>,
    ) -> ClientError {
        CredentialError::File {
            path: self.path.clone(),
            key: Some(text::escape(key)),
            replaced_by,
            variable: None,
            reason,
            source: None,
        }
        .into()
    }
}

impl Drop for AuthFile {
    fn drop(&mut self) {
        self.content.values_mut().for_each(wipe);
    }
}

/// Works with the file at `path` on a thread; `interrupted` is the error's text if that is ended.
pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    interrupted: &'static str,
    work: impl FnOnce(&Path) -> Result<T, ClientError> + Send + 'static,
) -> Result<T, ClientError> {
    let owned = path.to_owned();
    let task = tokio::task::spawn_blocking(move || work(&owned));
    let stopped = |cause: JoinError| Err(unusable(path, interrupted, Some(cause.into())));
    task.await.unwrap_or_else(stopped)
}

/// Overwrites the texts, which may be secrets.
pub(super) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(values) => values.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The field of that name, in upper or lower case (docker does not distinguish them); `None` also
/// for `null`.
pub(super) fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let in_any_case = || {
        let mut fields = map.iter();
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let value = map
        .get(name)
        .or_else(|| in_any_case().map(|(_, value)| value));
    value.filter(|value| !value.is_null())
}

/// The value with the most specific key for the registry and path, after the number of components
/// of the path that the key names, and the key.
fn best<'a>(
    map: Option<&'a Map<String, Value>>,
    host: &RegistryHost,
    path: Option<&str>,
) -> Option<(usize, &'a str, &'a Value)> {
    map?.iter()
        .filter(|(_, value)| !value.is_null())
        .filter_map(|(key, value)| Some((key::fit(key, host, path)?, key.as_str(), value)))
        // Of two keys for one origin, the one that docker would write.
        .max_by_key(|(fit, key, _)| (*fit, *key == key::for_storing(host)))
}

/// Reads the content of a file. An empty one has no credential.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Map<String, Value>, ClientError> {
    const FORMAT: &str = "it is not JSON in docker's format";
    let text = decoded(text);
    if text.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&text) {
        Ok(Value::Object(content)) => Ok(content),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(unusable(path, FORMAT, None)),
        // The parser's message may quote the file, so only the position is kept.
        Err(cause) => {
            let place = format!("line {}, column {}", cause.line(), cause.column());
            Err(unusable(path, FORMAT, Some(place.into())))
        }
    }
}

/// The text as UTF-8 without a byte order mark. Editors on Windows write one; PowerShell writes
/// UTF-16.
fn decoded(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = rest.chunks_exact(2);
        let units = units.filter_map(|pair| pair.try_into().ok()).map(unit);
        let decoded = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
        decoded.collect::<String>().into_bytes()
    };
    Zeroizing::new(match text {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        text => without_byte_order_mark(text).to_vec(),
    })
}

#[cfg(unix)]
fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device())
}

#[cfg(not(unix))]
fn is_device(_: &Path) -> bool {
    false
}

/// Reads a file of at most [`CREDENTIAL_FILE_MAX`] bytes; `None` if it does not exist.
pub(super) fn read_bounded(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ClientError> {
    let unreadable = |cause: std::io::Error| unusable(path, "it can't be read", Some(cause.into()));
    let file = match qmt_storage::files::open_regular(path) {
        Err(cause) if qmt_storage::files::is_absent(&cause) => return Ok(None),
        file => file.map_err(unreadable)?,
    };
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
    ClientError::from(CredentialError::File {
        path: path.to_owned(),
        key: None,
        replaced_by: None,
        variable: None,
        reason,
        source,
    })
}
