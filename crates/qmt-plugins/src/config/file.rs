//! Reads the config file.

use std::path::{Path, PathBuf};

use figment::providers::{Format, Json, Toml, Yaml};
use figment::value::{Dict, Empty, Tag, Value};
use qmt_oci_ref::json::Unambiguous;
use qmt_oci_ref::text;
use qmt_storage::files::{open_regular, read_at_most};

use super::explain::{explain, push_name};
use super::writers::{Writers, writers};
use super::{Config, ConfigError, PullPolicy, check, env, path as config_path, written};

/// Largest config file, in bytes.
pub const CONFIG_MAX_BYTES: u64 = 1 << 20;
/// Most work that reading YAML may take: opening brackets times bytes. For each token, the parser
/// looks at every list and table in brackets that is still open, and whether a bracket is inside a
/// text or a comment only the parser can tell. A file of 10 KiB can consist of brackets, one of
/// 1 MiB can have 256 of them.
const YAML_WORK_MAX: usize = 1 << 28;

/// A checked config, and the file that it comes from.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    config: Config,
    warnings: Vec<String>,
    /// Those of `warnings` that are about the file and not about what it says.
    file_warnings: Vec<String>,
    /// Whether `pull_policy` is that of a variable.
    has_pull_policy_of_variable: bool,
}

impl ConfigFile {
    /// Reads `path`, applies the environment variables, and checks the result. If there is no such
    /// file, `~` is the home folder: a shell does not replace it in the value of a variable.
    ///
    /// # Errors
    ///
    /// Any [`ConfigError`] except `NotFound`.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let home = config_path::expand(path).ok().filter(|_| !path.exists());
        Self::read_with(home.as_deref().unwrap_or(path), &env::variables())
    }

    fn read_with(path: &Path, variables: &[(String, String)]) -> Result<Self, ConfigError> {
        let (text, warning) = read_text(path)?;
        let mut root = match parse(path, &text)? {
            Value::Dict(_, root) => root,
            // An empty YAML file, as an empty TOML file.
            Value::Empty(..) => Dict::new(),
            _ => {
                return Err(ConfigError::Invalid {
                    path: path.to_owned(),
                    key: None,
                    message: "it must be a table of keys and values".to_owned(),
                });
            }
        };
        written::normalize(path, &mut root).map_err(|error| {
            // What an unknown key holds does not matter.
            match extract(path, &root) {
                Err(unknown @ ConfigError::UnknownKey { .. }) => unknown,
                _ => error,
            }
        })?;
        let mut config = extract(path, &root)?;
        if !variables.is_empty() {
            env::overlay(&mut root, &config.oci, variables)?;
            config = extract(path, &root)?;
        }
        let file = Self::in_memory(path, config);
        let mut file = file.map_err(|error| env::blamed(error, variables))?;
        file.has_pull_policy_of_variable = env::variable_of("pull_policy", variables).is_some();
        file.warn(warning);
        Ok(file)
    }

    /// Checks another config in place of the one in this file, such as a changed copy of it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Contradiction`].
    pub fn with_config(&self, config: Config) -> Result<Self, ConfigError> {
        let mut file = Self::in_memory(&*self.path, config)?;
        file.warn(self.file_warnings.iter().cloned());
        file.has_pull_policy_of_variable = self.has_pull_policy_of_variable;
        Ok(file)
    }

    /// Adds warnings about the file itself.
    pub(super) fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            self.warnings.push(warning.clone());
            self.file_warnings.push(warning);
        }
    }

    /// Checks a config that a program made. Relative paths start at the folder of `path`, and
    /// errors name `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Contradiction`].
    pub fn in_memory(path: impl Into<PathBuf>, config: Config) -> Result<Self, ConfigError> {
        let (path, mut config) = (path.into(), config);
        check::check(&path, &config)?;
        config_path::expand_all(&path, &mut config)?;
        #[cfg(feature = "sigstore")]
        crate::policy::check_texts(&config.oci, folder_of(&path))
            .map_err(|(key, rule)| ConfigError::contradiction(&path, key, rule))?;
        let warnings = check::identity::warnings(&config.oci);
        Ok(Self {
            path,
            config,
            warnings,
            file_warnings: Vec::new(),
            has_pull_policy_of_variable: false,
        })
    }

    /// Returns a warning for each environment variable that begins with `QMT_`, sets nothing, and is not
    /// granted to a plugin.
    pub fn unknown_variables(&self) -> Vec<String> {
        let names: Vec<_> = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect();
        let providers = self.config.providers.iter();
        let is_granted = |name: &&str| {
            let mut granted = providers.clone().flat_map(|one| &one.allow.env);
            granted.any(|granted| granted == name)
        };
        env::unknown(
            names
                .iter()
                .map(String::as_str)
                .filter(|name| !is_granted(name)),
        )
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder at which relative paths in the file start.
    pub fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// Returns the config. Its paths are expanded: `~` is replaced by the home folder.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns those of [`Self::warnings`] that are not about what the file says.
    pub(crate) fn file_warnings(&self) -> &[String] {
        &self.file_warnings
    }

    /// Returns the rule that forbids to pull, if the config has it, as it is written.
    pub(crate) fn never_pulls(&self) -> Option<&'static str> {
        let is_never = self.config.oci.pull_policy == PullPolicy::Never;
        is_never.then_some(if self.has_pull_policy_of_variable {
            "`QMT_OCI__PULL_POLICY=never`"
        } else {
            "`pull_policy = \"never\"`"
        })
    }

    /// Returns warnings about the file itself, one line each, such as that other users may change
    /// it, or that no certificate names such a signer.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Names the character at which a parser stopped, if it is invisible.
fn refused_character(text: &str, start: usize) -> Option<String> {
    let character = text.get(start..)?.chars().next()?;
    let shown = text::escape(character.encode_utf8(&mut [0; 4]));
    // A line break ends what is wrong.
    let is_visible = character == '\n' || shown.chars().eq([character]);
    (!is_visible).then(|| format!("the character `{shown}` is not allowed"))
}

/// Reads the file, and returns a warning if users other than this one may change it.
pub(super) fn read_text(path: &Path) -> Result<(String, Option<String>), ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let file = open_regular(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    let writers = writers(path, &metadata);
    if writers == Writers::Everyone {
        return Err(ConfigError::WritableByAll {
            path: path.to_owned(),
        });
    }
    let bytes = read_at_most(file, CONFIG_MAX_BYTES).map_err(read)?;
    let bytes = bytes.ok_or_else(|| ConfigError::TooLarge {
        path: path.to_owned(),
        size: metadata.len(),
        limit: CONFIG_MAX_BYTES,
    })?;
    let text = text::from_file(bytes).map_err(|problem| {
        read(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            problem,
        ))
    })?;
    Ok((text, writers.warning(path)))
}

/// The syntax of a config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Toml,
    Json,
    Yaml,
}

impl Syntax {
    /// Returns the syntax that the ending of `path` names.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        match &*ending.to_ascii_lowercase() {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<Value, ConfigError> {
    let syntax = Syntax::of(path).ok_or_else(|| ConfigError::UnknownFormat {
        path: path.to_owned(),
    })?;
    let parsed = match syntax {
        Syntax::Toml => Toml::from_str(text).map_err(|error| {
            let at = error.span().map(|span| span.start);
            toml_problem(text, error.message(), at)
        }),
        Syntax::Json => Json::from_str::<Unambiguous>(text)
            .and_then(|_| Json::from_str(text))
            .map_err(|error| {
                json_problem(text, error.line(), error.column())
                    .unwrap_or_else(|| error.to_string())
            }),
        Syntax::Yaml => yaml(text),
    };
    parsed.map_err(|message| ConfigError::Invalid {
        path: path.to_owned(),
        key: None,
        message: match syntax {
            Syntax::Json | Syntax::Yaml if is_toml(text) => {
                "it is written in TOML; give the file a name that ends in `.toml`".to_owned()
            }
            Syntax::Json | Syntax::Yaml | Syntax::Toml => message,
        },
    })
}

/// Reports whether a text has settings in TOML.
fn is_toml(text: &str) -> bool {
    text.parse::<toml::Table>()
        .is_ok_and(|table| !table.is_empty())
}

/// Says what is wrong with TOML, and in which line. The whole message of the parser quotes the line,
/// which may be long or have a password.
pub(crate) fn toml_problem(text: &str, message: &str, at: Option<usize>) -> String {
    let reason = text::escape(&message.replace('\n', ", "));
    match at {
        Some(at) => {
            let reason = refused_character(text, at).unwrap_or(reason);
            format!("{reason} at {}", place(text, at))
        }
        None => reason,
    }
}

/// Returns the line and the column of a byte.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line} column {column}")
}

/// Says what is at the place where the parser of JSON stopped, if that is allowed in other formats.
fn json_problem(text: &str, line: usize, column: usize) -> Option<String> {
    if text.trim().is_empty() {
        return Some("it is empty; a config in JSON without settings is `{}`".to_owned());
    }
    let rest = text
        .lines()
        .nth(line.checked_sub(1)?)?
        .get(column.checked_sub(1)?..)?;
    let is_comment = ["//", "/*", "#"]
        .iter()
        .any(|start| rest.starts_with(start));
    is_comment.then(|| {
        format!(
            "JSON has no comments, and there is one at line {line} column {column}; remove it, or write the \
             config in TOML or YAML"
        )
    })
}

fn yaml(text: &str) -> Result<Value, String> {
    let brackets = text.bytes().filter(|byte| b"[{".contains(byte)).count();
    if brackets.saturating_mul(text.len()) > YAML_WORK_MAX {
        return Err(format!(
            "{brackets} lists and tables in brackets are too many for {} bytes of YAML; write one item \
             per line, or use JSON or TOML",
            text.len()
        ));
    }
    if text.trim().is_empty() {
        return Ok(Value::Empty(Tag::Default, Empty::None));
    }
    // Of two equal keys, the last one would win without a word, unlike in TOML.
    Yaml::from_str::<Unambiguous>(text)
        .and_then(|_| Yaml::from_str(text))
        .map_err(|error| {
            let at = error.location();
            at.and_then(|at| tab_before(text, at.line()))
                .unwrap_or_else(|| error.to_string())
        })
}

/// Names the tab with which the line begins where the parser stopped, or the one before it.
fn tab_before(text: &str, line: usize) -> Option<String> {
    let mut lines = text
        .lines()
        .enumerate()
        .take(line)
        .skip(line.saturating_sub(2));
    let (index, _) = lines.find(|(_, line)| line.trim_start_matches(' ').starts_with('\t'))?;
    let number = index + 1;
    Some(format!(
        "line {number} begins with a tab, which YAML does not allow; use spaces"
    ))
}

fn extract(path: &Path, root: &Dict) -> Result<Config, ConfigError> {
    let root = Value::from(root.clone());
    let extracted = root.deserialize();
    let config: Config = extracted.map_err(|error| explain(path, &root, &error))?;
    let tables = Value::serialize(&config).map_err(|error| explain(path, &root, &error))?;
    match list_for_table(&root, &tables, "") {
        Some(key) => Err(ConfigError::contradiction(
            path,
            key,
            "must be a table, not a list",
        )),
        None => Ok(config),
    }
}

/// Returns the key of a list in place of a table, which serde reads as the table's fields in their order.
fn list_for_table(read: &Value, tables: &Value, key: &str) -> Option<String> {
    match (read, tables) {
        (Value::Array(..), Value::Dict(..)) => Some(key.to_owned()),
        (Value::Dict(_, read), Value::Dict(_, tables)) => read.iter().find_map(|(name, value)| {
            let mut key = key.to_owned();
            push_name(&mut key, name);
            list_for_table(value, tables.get(name)?, &key)
        }),
        (Value::Array(_, read), Value::Array(_, tables)) => {
            let mut items = read.iter().zip(tables).enumerate();
            items.find_map(|(index, (value, table))| {
                list_for_table(value, table, &format!("{key}[{index}]"))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
