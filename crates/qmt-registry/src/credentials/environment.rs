//! Environment variables as a map, so that tests need no global state.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use qmt_oci_ref::RegistryHost;
use secrecy::SecretString;

use super::auth_file::AuthFile;
use super::helper::HelperLimits;
use super::misspelled;
use super::origin::{AUTH_VARIABLE, CredentialOrigin};
use super::store::Credential;
use crate::error::{ClientError, CredentialError};
use crate::place::{self, Content};

/// The variable with the folder of docker's configuration.
const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// The variable with the containers' file.
const AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// The variable with the home folder.
const HOME: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };

/// How the names of all registries' variables begin.
pub(super) const START: &str = "QMT_REGISTRY_";
/// How the names of a registry's variables end.
pub(super) const SUFFIXES: [&str; 3] = ["TOKEN", "USERNAME", "PASSWORD"];

/// Environment variables and the home folder.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// Where podman writes in sessions without `XDG_RUNTIME_DIR`, such as those of root and of CI.
    pub(super) runtime: Option<PathBuf>,
    pub(super) helper_limits: HelperLimits,
}

impl Environment {
    /// The environment of this process, as it is now.
    pub fn of_process() -> Self {
        let mut environment: Self = std::env::vars_os().collect();
        #[cfg(target_os = "linux")]
        {
            let user = rustix::process::getuid().as_raw();
            environment.runtime = Some(PathBuf::from(format!("/run/containers/{user}")));
        }
        environment
    }

    /// A variable that is set and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }

    /// All variables, for the helpers.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.variables.iter()
    }

    /// The credential that variables hold for the registry. An incomplete one is an error, and so is
    /// one that may be meant for another registry: `registry-gitlab.com` must not receive the
    /// credential for `registry.gitlab.com`.
    pub(super) fn credential(
        &self,
        host: &RegistryHost,
    ) -> Result<Option<Credential>, ClientError> {
        let prefix = variable_prefix(host, "__");
        let own = variable_names(&prefix);
        let shared = variable_names(&variable_prefix(host, "_"));
        // If the registry's own variable is empty, it has no credential.
        let is_known = |name: &String| self.variables.contains_key(OsStr::new(name));
        if own != shared
            && !own.iter().any(is_known)
            && let Some(variable) = shared.into_iter().find(|name| self.get(name).is_some())
        {
            return Err(ClientError::from(CredentialError::AmbiguousVariable {
                host: host.clone(),
                variable,
                own: format!("{prefix}_…"),
            }));
        }
        let [token, username, password] = &own;
        let unusable = |variable: &str, reason| {
            let origin = variable.to_owned();
            ClientError::from(CredentialError::Option { origin, reason })
        };
        let text = |variable| -> Result<Option<String>, ClientError> {
            let Some(value) = self.get(variable) else {
                return Ok(None);
            };
            let text = value.to_str();
            let text = text.ok_or_else(|| unusable(variable, "it is not UTF-8"))?;
            // Files from which variables are set often end with a line break.
            let text = text.strip_suffix('\n').unwrap_or(text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            Ok((!text.is_empty()).then(|| text.to_owned()))
        };
        let values = (text(token)?, text(username)?, text(password)?);
        if !matches!(values, (Some(_), ..) | (_, Some(_), Some(_))) {
            let set = self.variables.iter().filter(|(_, value)| !value.is_empty());
            if let Some(error) = misspelled::find(&prefix, set.map(|(name, _)| name)) {
                return Err(error);
            }
        }
        let (variable, reason) = match values {
            (None, None, None) => return Ok(None),
            (Some(value), None, None) if begins_with_bearer(&value) => {
                let reason =
                    "it must be set without the word `Bearer`, which is added when it is sent";
                (token, reason)
            }
            (Some(token), None, None) => {
                return Ok(Some(Credential::Bearer(SecretString::from(token))));
            }
            (None, Some(username), Some(password)) => {
                return Ok(Some(Credential::basic(username, password)));
            }
            (Some(_), _, _) => {
                let reason = "it is set together with a user name or password; unset one of them";
                (token, reason)
            }
            (None, Some(_), None) => (username, "the password is not set; set `…_PASSWORD` too"),
            (None, None, Some(_)) => (password, "the user name is not set; set `…_USERNAME` too"),
        };
        Err(unusable(variable, reason))
    }

    /// The names of the variables that hold a credential for the registry.
    pub(super) fn variables_of(&self, host: &RegistryHost) -> Vec<String> {
        let names = variable_names(&variable_prefix(host, "__")).into_iter();
        names.filter(|name| self.get(name).is_some()).collect()
    }

    /// The variable that probably has, or names, a credential for the registry, and is not used.
    pub(super) fn misdirected(&self, host: &RegistryHost) -> Option<CredentialOrigin> {
        let other_port = || {
            host.port()?;
            let variables = self.variables_of(&host.host().parse().ok()?);
            let own = variable_prefix(host, "__");
            let is_set = !variables.is_empty();
            is_set.then_some(CredentialOrigin::OtherPort { variables, own })
        };
        let no_auths = || {
            let has_none = AuthFile::lacks_auths(self);
            let variable = AUTH_VARIABLE;
            has_none.then_some(CredentialOrigin::NoAuths { variable })
        };
        other_port().or_else(no_auths).or_else(|| self.place())
    }

    /// The variable that names a place without a credentials file, if one does.
    fn place(&self) -> Option<CredentialOrigin> {
        let check = |variable, is_folder| match complete(variable, self.get(variable)?) {
            Err(origin) => Some(origin),
            Ok(path) => lack(&path, is_folder).map(|reason| CredentialOrigin::Misdirected {
                variable,
                path,
                reason,
            }),
        };
        check(DOCKER_CONFIG, true).or_else(|| check(AUTH_FILE, false))
    }

    /// The variable that the path of docker's configuration file, or of the containers', comes from.
    pub(super) fn variable_of_file(&self, is_dockers: bool) -> Option<&'static str> {
        let variable = if is_dockers { DOCKER_CONFIG } else { AUTH_FILE };
        self.get(variable).map(|_| variable)
    }

    /// The variables with the user name and the password for a registry.
    pub(super) fn password_variables(host: &RegistryHost) -> [String; 2] {
        let [_, username, password] = variable_names(&variable_prefix(host, "__"));
        [username, password]
    }

    /// The file or folder that a variable names.
    fn path(&self, variable: &str) -> Option<PathBuf> {
        place::path(self.get(variable)?).ok()
    }

    /// Docker's configuration file, if the variable or the home folder names one. `DOCKER_CONFIG`
    /// is its folder; many set it to the file.
    ///
    /// # Errors
    /// What the variable holds, if that is not a complete path.
    pub(super) fn docker_config(&self) -> Result<Option<PathBuf>, CredentialOrigin> {
        let named = self.get(DOCKER_CONFIG);
        let folder = match named.map(|value| complete(DOCKER_CONFIG, value)) {
            Some(Err(origin)) => return Err(origin),
            Some(Ok(file)) if file.is_file() => return Ok(Some(file)),
            Some(Ok(folder)) => Some(folder),
            None => self.path(HOME).map(|home| home.join(".docker")),
        };
        Ok(folder.map(|folder| folder.join("config.json")))
    }

    /// The containers' files: the one that `REGISTRY_AUTH_FILE` names, else the well-known ones.
    pub(super) fn auth_files(&self) -> Vec<PathBuf> {
        if let Some(value) = self.get(AUTH_FILE) {
            return complete(AUTH_FILE, value).into_iter().collect();
        }
        let runtime = self.path("XDG_RUNTIME_DIR");
        let runtime = runtime.map(|folder| folder.join("containers"));
        let config = self
            .path("XDG_CONFIG_HOME")
            .or_else(|| self.path(HOME).map(|home| home.join(".config")));
        let config = config.map(|folder| folder.join("containers"));
        let folders = runtime.or_else(|| self.runtime.clone()).into_iter();
        folders
            .chain(config)
            .map(|folder| folder.join("auth.json"))
            .collect()
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            variables: variables.collect(),
            ..Self::default()
        }
    }
}

impl fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Whether a token begins with the word that precedes it in a header.
pub(crate) fn begins_with_bearer(token: &str) -> bool {
    let first = token.split_whitespace().next();
    first.is_some_and(|word| word.eq_ignore_ascii_case("Bearer"))
}

/// The path that a variable names, if a program can use it as it is.
fn complete(variable: &'static str, value: &OsStr) -> Result<PathBuf, CredentialOrigin> {
    let path = place::path(value).map_err(|content| not_a_path(variable, content))?;
    match place::unexpanded(&path) {
        None => Ok(path),
        Some(reason) => Err(CredentialOrigin::Unexpanded {
            variable,
            path,
            reason,
        }),
    }
}

/// What a variable holds that does not name a file or folder.
fn not_a_path(variable: &'static str, content: Content) -> CredentialOrigin {
    let advice = match content {
        Content::Json => "`DOCKER_AUTH_CONFIG` is the variable for the content",
        Content::Base64OfJson => "`DOCKER_AUTH_CONFIG` is the variable for the decoded content",
        _ => "",
    };
    CredentialOrigin::NotAPath {
        variable,
        content: content.name(),
        advice,
    }
}

/// What a place for credentials lacks, as the end of "which …".
fn lack(path: &Path, is_folder: bool) -> Option<&'static str> {
    if !path.exists() {
        Some("does not exist")
    } else if !is_folder || path.is_file() || path.join("config.json").exists() {
        None
    } else if path.join(".dockerconfigjson").exists() {
        Some("has a `.dockerconfigjson` but no `config.json` (the variable may also name the file)")
    } else {
        Some("has no `config.json`")
    }
}

/// How the names of the registry's variables begin, such as `QMT_REGISTRY_GHCR_IO`. With `__` for
/// `-` no two registries have the same: no name has two dots, or a dot and a colon, in a row.
fn variable_prefix(host: &RegistryHost, hyphen: &str) -> String {
    let mut prefix = START.to_owned();
    for c in host.as_str().chars() {
        match c {
            '-' => prefix.push_str(hyphen),
            c if c.is_ascii_alphanumeric() => prefix.push(c.to_ascii_uppercase()),
            _ => prefix.push('_'),
        }
    }
    prefix
}

/// The names of the variables of one registry.
fn variable_names(prefix: &str) -> [String; 3] {
    SUFFIXES.map(|suffix| format!("{prefix}_{suffix}"))
}
