//! Why a config can't be used.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use qmt_oci_ref::text;

/// Why a config can't be used. Every message names the file, and the key if it is about one.
///
/// `{:?}` shows message, causes and hint, so that an error that `main` returns can be read.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No config file was given, and none was found.
    #[error(
        "no config file found: there is no {names} in {}; name one with `--config`",
        .folders.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NotFound {
        /// The file names that were searched for, with their extensions.
        names: String,
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
    /// The file can't be written.
    #[error("the config file {} can't be written", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A plugin can't be added by appending lines to the file.
    #[error("{}: lines can only be added to a TOML file that has no `providers = [ … ]`", .path.display())]
    NotAppendable {
        /// The file.
        path: PathBuf,
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
    /// Every user could change the policy: the file is the config, a key or trust material.
    #[error(
        "the file {} can be written by every user, so what it says about trust can't be relied \
         on; run `chmod o-w` on it", .path.display()
    )]
    WritableByAll {
        /// The file.
        path: PathBuf,
    },
    /// The only config file that was found is in the working folder and belongs to another user.
    #[error(
        "the config file {} belongs to another user, and a config decides what this program trusts; \
         name it with `--config` if that is intended", .path.display()
    )]
    ForeignOwner {
        /// The file.
        path: PathBuf,
    },
    /// The file is malformed, or a value has the wrong type.
    #[error("{}: {}{}", .path.display(), shown_key(.key.as_deref()), text::shorten(message))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key with dots, if it is known.
        key: Option<String>,
        /// What is wrong, with line and column if the parser reports them.
        message: String,
    },
    /// A key that does not exist.
    #[error(
        "{}: unknown key `{}`{}",
        .path.display(), shown_name(key), shown_nearest(.nearest.as_deref())
    )]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// The most similar key.
        nearest: Option<String>,
    },
    /// Values contradict each other, or one is not valid.
    #[error("{}: `{}`: {}", .path.display(), shown_name(key), text::shorten(rule))]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// The name of a plugin that is to be added.
    #[error("the name `{name}` can't be used: {rule}")]
    ProviderName {
        /// The name.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Settings that would fail later, when the plugin or registry is used.
    #[error("{}: {}", .path.display(), shown_problems(.problems))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Each key, dotted, and the rule that it breaks.
        problems: Vec<(String, String)>,
    },
    /// An environment variable that sets nothing.
    #[error(
        "the environment variable {name} sets nothing: there is no such setting{}",
        shown_nearest(.nearest.as_deref())
    )]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The most similar variable.
        nearest: Option<String>,
    },
    /// The folder of the cache that the program, and not the config, names.
    #[error("the folder of the cache, `{}`, can't be used: {rule}", .path.display())]
    CacheDir {
        /// The folder, as it was given.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// An environment variable has a value that can't be used.
    #[error("the environment variable {name} can't be used: {problem}")]
    VariableValue {
        /// The variable.
        name: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// An environment variable would raise a limit.
    #[error(
        "the environment variable {name} may not go beyond `{limit}`, which holds for this config; \
         change the file, or set `allow_env_override = true` in its [oci] table"
    )]
    VariableRaises {
        /// The variable.
        name: String,
        /// The setting that limits it, as the file would have it.
        limit: String,
    },
    /// An environment variable would change the policy.
    #[error(
        "the environment variable {name} may not change `{key}`, which decides about trust; {}",
        instead_of_variable(key)
    )]
    Environment {
        /// The variable.
        name: String,
        /// The key that it would change.
        key: String,
    },
}

/// Most characters of a key that are shown.
const KEY_CHARS_MAX: usize = 400;

/// How a config is begun.
const MINIMAL: &str = "a minimal config is a file `plugins.toml` with `[[providers]]`, `name = \"…\"` \
                       and `path = \"oci://…\"`; `qmt-plugins config schema` prints all keys";

/// What sets a key that variables of the form `QMT_OCI__…` may not set.
fn instead_of_variable(key: &str) -> &'static str {
    if key == "oci.cache_dir" {
        "`QMT_CACHE_DIR` sets the folder of the cache"
    } else {
        "set it in the file, or set `allow_env_override = true` in its [oci] table"
    }
}

/// `main` shows the errors that it returns in this form.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::error_report(self, self.hint()))
    }
}

impl ConfigError {
    /// Returns what to do about it, if that is not part of the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } => Some(MINIMAL),
            Self::Read { source, .. } if source.kind() == ErrorKind::NotFound => Some(MINIMAL),
            Self::NotAppendable { .. } => {
                Some("write the plugin into the file by hand; `qmt-plugins pull` then fetches it")
            }
            _ => None,
        }
    }

    pub(crate) fn contradiction(
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

/// Returns a key as it is shown: the file may have any text for it.
fn shown_name(key: &str) -> String {
    text::escape_to(key, KEY_CHARS_MAX)
}

fn shown_key(key: Option<&str>) -> String {
    key.map(|key| format!("`{}`: ", shown_name(key)))
        .unwrap_or_default()
}

fn shown_nearest(nearest: Option<&str>) -> String {
    nearest
        .map(|nearest| format!("; did you mean `{nearest}`?"))
        .unwrap_or_default()
}

fn shown_problems(problems: &[(String, String)]) -> String {
    let shown = |(key, rule): &(String, String)| {
        let (key, rule) = (shown_name(key), text::shorten(rule));
        format!("`{key}`: {rule}")
    };
    let lines: Vec<_> = problems.iter().map(shown).collect();
    lines.join("; ")
}
