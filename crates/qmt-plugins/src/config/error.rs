//! Why a config can't be used.

use std::path::{Path, PathBuf};

/// Why a config can't be used. Every message names the file, and the key if it is about one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No config file was given, and none was found.
    #[error(
        "no config file found: there is no {names} in {}; name one with `--config`",
        .folders.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NotFound {
        /// The file names that were searched for, with their extensions.
        names: &'static str,
        /// The folders that were searched.
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
    /// The extension of the file does not name its format.
    #[error("the config file {} must end in .toml, .json, .yaml or .yml", .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file is too large.
    #[error("the config file {} has {size} bytes; the limit is {limit}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Other users could change the policy.
    #[error(
        "the config file {} can be written by every user, so its policy can't be trusted; run \
         `chmod o-w` on it", .path.display()
    )]
    WritableByAll {
        /// The file.
        path: PathBuf,
    },
    /// The file is malformed, or a value has the wrong type.
    #[error("{}: {}{message}", .path.display(), shown_key(.key.as_deref()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key with dots, if it is known.
        key: Option<String>,
        /// What is wrong, with line and column if the parser reports them.
        message: String,
    },
    /// A key that does not exist.
    #[error("{}: unknown key `{key}`{}", .path.display(), shown_nearest(.nearest.as_deref()))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// The most similar key.
        nearest: Option<String>,
    },
    /// Values contradict each other, or one is not valid.
    #[error("{}: `{key}`: {rule}", .path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// An environment variable would change the policy.
    #[error(
        "the environment variable {name} may not change `{key}`, which decides about trust; set it \
         in the file, or set `allow_env_override = true` in its [oci] table"
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
