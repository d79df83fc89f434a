//! Finds and reads the config file.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::{Error as FigmentError, Kind};
use figment::providers::{Format, Json, Toml, Yaml};

use super::{Config, ConfigError, check, env, written};

/// Largest config file, in bytes.
pub const CONFIG_MAX_BYTES: u64 = 1 << 20;
/// The file names that are searched for, without extension.
const NAMES: [&str; 3] = ["extism_plugins", "plugins", "providers"];
const ENDINGS: [&str; 4] = ["toml", "json", "yaml", "yml"];
/// The same, for error messages.
const NAMES_SHOWN: &str = "extism_plugins, plugins or providers (.toml, .json, .yaml, .yml)";
/// The variable that names the config file; no folder is searched then.
const PATH_VARIABLE: &str = "QMT_PROVIDER_CONFIG";

/// A checked config, and the file that it comes from.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    config: Config,
}

impl ConfigFile {
    /// Reads `path`, applies the environment variables, and checks the result.
    ///
    /// # Errors
    ///
    /// Any [`ConfigError`] except `NotFound`.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::read_with(path.as_ref(), &env::variables())
    }

    fn read_with(path: &Path, variables: &[(String, String)]) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let figment = match path.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => Figment::from(Toml::string(&text)),
            Some("json") => Figment::from(Json::string(&text)),
            Some("yaml" | "yml") => Figment::from(Yaml::string(&text)),
            _ => {
                return Err(ConfigError::UnknownFormat {
                    path: path.to_owned(),
                });
            }
        };
        let figment_error = |error: FigmentError| explain(path, &error);
        let plain: Config = figment.extract().map_err(figment_error)?;
        let figment = env::overlay(figment, variables, plain.oci.allow_env_override)?;
        let config: Config = figment.extract().map_err(figment_error)?;
        let root: figment::value::Dict = figment.extract().map_err(figment_error)?;
        written::check(path, &root)?;
        check::check(path, &config)?;
        Ok(Self {
            path: path.to_owned(),
            config,
        })
    }

    /// Checks a config that a program made. Relative paths start at the folder of `path`, and errors
    /// name `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Contradiction`].
    pub fn in_memory(path: impl Into<PathBuf>, config: Config) -> Result<Self, ConfigError> {
        let path = path.into();
        check::check(&path, &config)?;
        Ok(Self { path, config })
    }

    /// Reads the first config file that exists: the one that `QMT_PROVIDER_CONFIG` names, else
    /// `extism_plugins`, `plugins` or `providers` (`.toml`, `.json`, `.yaml`, `.yml`) in the working
    /// folder, `QMT_CONFIG_DIR`, `QMT_HOME`, `~/.qmt`, and the platform's config folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotFound`] with all folders, or those of [`Self::read`].
    pub fn discover() -> Result<Self, ConfigError> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(path) = variable(PATH_VARIABLE) {
            return Self::read(PathBuf::from(path));
        }
        let mut folders = vec![PathBuf::from(".")];
        folders.extend(
            ["QMT_CONFIG_DIR", "QMT_HOME"]
                .iter()
                .filter_map(|name| variable(name))
                .map(PathBuf::from),
        );
        if let Some(home) = directories::BaseDirs::new() {
            folders.push(home.home_dir().join(".qmt"));
            folders.push(home.config_dir().join("querymt"));
        }
        let candidates: Vec<PathBuf> = folders
            .iter()
            .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)))
            .flat_map(|stem| {
                ENDINGS
                    .iter()
                    .map(move |ending| stem.with_extension(ending))
            })
            .collect();
        match candidates.iter().find(|path| path.is_file()) {
            Some(path) => Self::read(path),
            None => Err(ConfigError::NotFound {
                names: NAMES_SHOWN,
                folders,
            }),
        }
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder at which relative paths in the file start.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Returns the config.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(read)?;
    if metadata.len() > CONFIG_MAX_BYTES {
        let (size, limit) = (metadata.len(), CONFIG_MAX_BYTES);
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            size,
            limit,
        });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o002 != 0 {
            return Err(ConfigError::WritableByAll {
                path: path.to_owned(),
            });
        }
    }
    std::fs::read_to_string(path).map_err(read)
}

/// Converts figment's error to one that names the key and the most similar one.
fn explain(path: &Path, error: &FigmentError) -> ConfigError {
    let path = path.to_owned();
    let key = (!error.path.is_empty()).then(|| error.path.join("."));
    match &error.kind {
        Kind::UnknownField(name, known) => {
            let nearest = known
                .iter()
                .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
                .filter(|(distance, _)| *distance <= name.len().div_ceil(2))
                .min()
                .map(|(_, candidate)| candidate.to_owned());
            // Figment's path includes the unknown key.
            let key = key.unwrap_or_else(|| name.clone());
            ConfigError::UnknownKey { path, key, nearest }
        }
        kind => ConfigError::Invalid {
            path,
            key,
            message: kind.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
