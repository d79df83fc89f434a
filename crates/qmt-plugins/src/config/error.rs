//! What can be wrong with a config.

use std::path::{Path, PathBuf};

/// Why a config can't be used. Each names the file and the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No config file was given, and none was found.
    #[error(
        "no config file found: there is no {names} in {}; name one with `--config`",
        .folders.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NotFound {
        /// The names that were looked for, with the endings.
        names: &'static str,
        /// The folders that were looked into.
        folders: Vec<PathBuf>,
    },
    /// The file can't be read.
    #[error("the config file {} can't be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file's name does not tell its format.
    #[error("the config file {} must end in .toml, .json, .yaml or .yml", .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file is too large to be a config.
    #[error("the config file {} is {size} bytes long, at most {limit} are allowed", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Others could change whom we trust.
    #[error(
        "the config file {} may be written by everyone, so it can't say whom to trust; run \
         `chmod o-w` on it", .path.display()
    )]
    WritableByAll {
        /// The file.
        path: PathBuf,
    },
    /// The text is not what its format wants, or a value has the wrong type.
    #[error("{}: {}{message}", .path.display(), shown_key(.key.as_deref()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key, dotted, where it is known.
        key: Option<String>,
        /// What is wrong, with line and column where the format's reader tells them.
        message: String,
    },
    /// A key that does not exist.
    #[error("{}: unknown key `{key}`{}", .path.display(), shown_nearest(.nearest.as_deref()))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// The key that was probably meant.
        nearest: Option<String>,
    },
    /// Values that can't be together, or one that makes no sense.
    #[error("{}: `{key}`: {rule}", .path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// An environment variable tried to weaken the policy.
    #[error(
        "the environment variable {name} may not change `{key}`, which decides over trust; put it \
         into the file, or set `allow_env_override = true` in its [oci] table"
    )]
    Environment {
        /// The variable.
        name: String,
        /// The key that it would change.
        key: String,
    },
}

impl ConfigError {
    pub(super) fn contradiction(
        path: &Path,
        key: impl Into<String>,
        rule: impl Into<String>,
    ) -> Self {
        Self::Contradiction {
            path: path.to_owned(),
            key: key.into(),
            rule: rule.into(),
        }
    }
}

fn shown_key(key: Option<&str>) -> String {
    key.map(|key| format!("`{key}`: ")).unwrap_or_default()
}

fn shown_nearest(nearest: Option<&str>) -> String {
    nearest
        .map(|nearest| format!("; did you mean `{nearest}`?"))
        .unwrap_or_default()
}
