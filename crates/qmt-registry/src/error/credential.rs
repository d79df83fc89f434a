//! Why a credential is missing or can't be used.

use std::path::{Path, PathBuf};

use qmt_oci_ref::RegistryHost;

use super::text::{at_key, from_variables, login, write_out};
use crate::BoxError;
use crate::credentials::{AUTH_VARIABLE, CredentialOrigin};
use crate::redact::RedactedUrl;

/// How the name of a program begins if the file names it with what is added.
const PREFIX_TWICE: &str = "docker-credential-docker-credential-";

/// Why a credential is missing or can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A file with credentials exists and can't be used.
    #[error("{} `{}`{}: {reason}", kind_of_place(.path), .path.display(), at_key(.key.as_ref()))]
    File {
        /// The file.
        path: PathBuf,
        /// The key of what can't be used, where it is not the whole file.
        key: Option<String>,
        /// The registry, where a login to it replaces what can't be used.
        replaced_by: Option<RegistryHost>,
        /// The variable that the path comes from, if one is set.
        variable: Option<&'static str>,
        /// The rule that it breaks.
        reason: &'static str,
        /// The cause, where it can't contain a secret.
        source: Option<BoxError>,
    },
    /// Docker's file can't be written.
    #[error("credentials file `{}`: it can't be written", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The variables that a credential can be in without a login; none at a logout.
        instead: Option<[String; 2]>,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Docker's file can't be written, because something else has the name of its folder.
    #[error("credentials file `{}`: it can't be written, because `{}` is not a folder", .path.display(), .folder.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
        /// What has the name of its folder, or of a folder above it.
        folder: PathBuf,
        /// The variable that the path comes from, if one is set.
        variable: Option<&'static str>,
    },
    /// Another process changes docker's file.
    #[error("credentials file `{}`: another process keeps the lock `{}`", .path.display(), .lock.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// A credential helper failed. Its output is never shown.
    #[error("credential helper `{program}`, named by `{key}` in `{}`: {reason}", .path.display())]
    Helper {
        /// The helper's program.
        program: String,
        /// The file that names it.
        path: PathBuf,
        /// The key in that file.
        key: String,
        /// What went wrong.
        reason: &'static str,
        /// How far it came.
        failure: HelperFailure,
        /// The error of the operating system, or how the program ended.
        source: Option<BoxError>,
    },
    /// The variable with the place of docker's configuration holds no complete path.
    #[error("the credentials file is unknown: {origin}")]
    NotAPath {
        /// The variable, and what it holds.
        origin: CredentialOrigin,
    },
    /// A variable with a credential can be meant for this registry, or for another one.
    #[error(
        "`{variable}` can be meant for another registry than `{host}`, whose variables are \
             `{own}`, with `__` for `-`"
    )]
    AmbiguousVariable {
        /// The registry that requires a credential.
        host: RegistryHost,
        /// The variable that is set.
        variable: String,
        /// How the names of the registry's own variables begin.
        own: String,
    },
    /// A variable is named like those of the registry, and is not read.
    #[error("`{variable}` is not a setting; {suggestion}")]
    UnknownVariable {
        /// The variable that is set.
        variable: String,
        /// The variable that was probably meant.
        suggestion: String,
    },
    /// A credential has characters that can't be sent.
    #[error("the credential for `{host}`{} can't be used: {reason}", from_variables(.origin))]
    Unusable {
        /// The registry.
        host: RegistryHost,
        /// Where the credential comes from.
        origin: CredentialOrigin,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// No variable names the folder of docker's configuration file.
    #[error(
        "docker's `config.json` has no folder: neither `DOCKER_CONFIG` nor the home folder is set"
    )]
    NoFolder,
    /// A credential in the environment or the config can't be used.
    #[error("credential in `{origin}`: {reason}")]
    Option {
        /// The variable's or option's name.
        origin: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
}

impl CredentialError {
    /// What the user can do about it, if the message does not say so.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File { path, key, .. } if is_variable(path) => {
                let what = key.as_ref();
                let what = what.map_or_else(String::new, |key| format!("`{key}` in "));
                format!(
                    "correct {what}the variable `{AUTH_VARIABLE}`, which holds the content of a \
                     credentials file as JSON, or unset it"
                )
            }
            Self::File {
                key: Some(_),
                replaced_by: Some(host),
                ..
            } => format!("{} replaces the entry", login(host.as_str())),
            Self::File { key: Some(key), .. } => format!("correct or remove `{key}` there"),
            Self::File {
                variable: Some(variable),
                ..
            } => format!(
                "its path comes from the variable `{variable}`: correct the file, or correct or unset \
                 the variable"
            ),
            Self::Unwritable {
                instead: Some([username, password]),
                ..
            } => format!(
                "name a folder that can be written to with the variable `DOCKER_CONFIG`, or set \
                 `{username}` and `{password}`, which require no login"
            ),
            Self::Unwritable { instead: None, .. } => {
                "the credential stays in the file: remove it where the file comes from, or make the \
                 file and its folder writable; `DOCKER_CONFIG` names another folder"
                    .to_owned()
            }
            Self::NotAFolder {
                variable: Some(variable),
                ..
            } => format!("its path comes from the variable `{variable}`: correct or unset it"),
            Self::NotAFolder { folder, .. } => format!(
                "rename or remove `{}`, or name another folder with the variable `DOCKER_CONFIG`",
                folder.display()
            ),
            Self::Locked { .. } => {
                "try again when the other `qmt-plugins login` or `logout` has ended".to_owned()
            }
            Self::NotAPath {
                origin: CredentialOrigin::Unexpanded { variable, .. },
            } => write_out(variable),
            Self::Helper {
                program,
                key,
                failure,
                ..
            } => {
                let remove = format!("remove `{key}` from the file and log in again");
                match failure {
                    HelperFailure::Name => remove,
                    HelperFailure::Missing => match program.strip_prefix(PREFIX_TWICE) {
                        Some(name) => format!(
                            "write `{name}` in `{key}`: `docker-credential-` is added to it"
                        ),
                        None => format!("install `{program}`, or {remove}"),
                    },
                    HelperFailure::Run => {
                        format!("run `{program} list` to see what is wrong with it, or {remove}")
                    }
                }
            }
            Self::AmbiguousVariable { host, own, .. } => format!(
                "set `{own}` for `{host}`; if it has no credential, set one of them to an empty string"
            ),
            Self::NoFolder => "set `DOCKER_CONFIG` to a folder for credentials".to_owned(),
            Self::File { .. }
            | Self::NotAPath { .. }
            | Self::UnknownVariable { .. }
            | Self::Unusable { .. }
            | Self::Option { .. } => return None,
        })
    }

    /// Adds the variable that the path of the file comes from.
    #[cfg(feature = "http")]
    pub(crate) fn at_variable(mut self, name: Option<&'static str>) -> Self {
        if let Self::File { variable, .. } | Self::NotAFolder { variable, .. } = &mut self {
            *variable = name;
        }
        self
    }
}

/// How far a credential helper came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HelperFailure {
    /// No program can have its name.
    Name,
    /// There is no such program.
    Missing,
    /// It can't be started, or it failed.
    Run,
}

/// Why a stored credential is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WithheldReason {
    /// The registry requires a password, and what is stored is a token.
    #[error("the registry requires a password, and there is a token")]
    IsToken,
    /// Over plain HTTP, the registry required a token before, and requires a password now.
    #[error("it required a token before, and requires a password over HTTP now")]
    WeakerChallenge,
}

/// Docker's credentials can be in a variable as well.
fn kind_of_place(path: &Path) -> &'static str {
    if is_variable(path) {
        "variable"
    } else {
        "credentials file"
    }
}

/// Whether `path` stands for [`AUTH_VARIABLE`].
fn is_variable(path: &Path) -> bool {
    path == Path::new(AUTH_VARIABLE)
}

/// The hint for a registry that requires a password where a token is stored.
pub(super) fn password_hint(url: &RedactedUrl, origin: &CredentialOrigin) -> String {
    let address = url.address();
    let default_port = if url.is_https() { ":443" } else { ":80" };
    let host = address.strip_suffix(default_port).unwrap_or(&address);
    let login = format!("log in with a user name and password: {}", login(host));
    match origin {
        CredentialOrigin::Entry {
            is_replaced_by_login: false,
            ..
        } => format!(
            "the token is from {origin}, which is used before that of a login to `{host}`: remove \
             or replace this entry"
        ),
        CredentialOrigin::Entry { .. }
        | CredentialOrigin::File(_)
        | CredentialOrigin::Helper { .. } => format!("the token is from {origin}; {login}"),
        CredentialOrigin::Unknown
        | CredentialOrigin::Caller
        | CredentialOrigin::Variables(_)
        | CredentialOrigin::Misdirected { .. }
        | CredentialOrigin::Unexpanded { .. }
        | CredentialOrigin::NoAuths { .. }
        | CredentialOrigin::OtherPort { .. }
        | CredentialOrigin::NotAPath { .. } => login,
    }
}

/// The hint for a registry that refuses a request, and does not ask for the credential that there is.
pub(super) fn unsent_hint(host: &RegistryHost, origin: &CredentialOrigin) -> String {
    format!(
        "{} is sent only where the registry asks for one, with the header `WWW-Authenticate`: the \
         operator of `{host}` must add it, or find what refuses requests in front of the registry, such \
         as a firewall",
        super::hint::credential(origin)
    )
}
