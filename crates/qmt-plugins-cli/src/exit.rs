//! Failures: messages for people, exit codes and data for programs.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use qmt_plugins::cache::CacheError;
use qmt_plugins::config::ConfigError;
use qmt_plugins::oci_ref::text::messages;
use qmt_plugins::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::args::CACHE_VARIABLE;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What an option of the command can do about an error.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Advice {
    /// Next to what the error itself says.
    Also(&'static str),
    /// What the error itself says does not apply.
    Instead(&'static str),
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library returned an error; `advice` is what an option of the command can do about it.
    Library {
        error: Box<Error>,
        advice: Option<Advice>,
    },
    /// The arguments are wrong.
    Usage {
        message: String,
        hint: Option<String>,
    },
    /// The result of a check is negative.
    Negative { code: Code, message: String },
    /// Stdout can't be written.
    Output(io::Error),
    /// A signal stopped the command.
    Interrupted { downloads: Vec<String>, code: Code },
    /// The file with the signing key can't be used.
    Key { path: PathBuf, source: BoxError },
    /// Anything else.
    Other { doing: String, source: BoxError },
    /// It was printed already; only the exit code remains.
    Reported(Code),
}

/// The exit codes, as `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Failure = 1,
    Usage = 2,
    NotVerified = 3,
    NotFound = 4,
    Network = 5,
    Config = 6,
    /// What shells report after Ctrl-C.
    Interrupted = 130,
    /// What shells report after SIGTERM.
    Terminated = 143,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

impl Failure {
    pub(crate) fn other(doing: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Other {
            doing: doing.into(),
            source: source.into(),
        }
    }

    pub(crate) fn key(path: &Path, source: impl Into<BoxError>) -> Self {
        Self::Key {
            path: path.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: None,
        }
    }

    /// Adds the variable or option that sets the cache folder, if that folder is the cause: a change of
    /// the config would have no effect.
    pub(crate) fn with_cache_setting(mut self, setting: Option<&'static str>) -> Self {
        if let Self::Library { error, advice } = &mut self
            && advice.is_none()
            && is_about_cache_folder(error)
        {
            *advice = setting.map(Advice::Also);
        }
        self
    }

    pub(crate) fn advised(error: Error, advice: Advice) -> Self {
        Self::Library {
            error: Box::new(error),
            advice: Some(advice),
        }
    }

    /// Keeps in `earlier` the failure that decides the exit code: the first one, or the first that
    /// is [`Code::NotVerified`].
    pub(crate) fn add_to(self, earlier: &mut Option<Self>) {
        let code = earlier.as_ref().map(Self::code);
        let is_worse = self.code() == Code::NotVerified && code != Some(Code::NotVerified);
        if earlier.is_none() || is_worse {
            *earlier = Some(self);
        }
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Library { error, .. } => code_of(error.kind()),
            Self::Usage { .. } => Code::Usage,
            Self::Other { source, .. } | Self::Key { source, .. } if is_missing_file(source) => {
                Code::NotFound
            }
            Self::Key { .. } => Code::Config,
            Self::Output(_) | Self::Other { .. } => Code::Failure,
            Self::Interrupted { code, .. } | Self::Negative { code, .. } | Self::Reported(code) => {
                *code
            }
        }
    }

    /// The kind as one word, as `--format json` prints it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.code() {
            Code::Failure => ErrorKind::Failure.as_str(),
            Code::Usage => ErrorKind::Usage.as_str(),
            Code::NotVerified => ErrorKind::NotVerified.as_str(),
            Code::NotFound => ErrorKind::NotFound.as_str(),
            Code::Network => ErrorKind::Network.as_str(),
            Code::Config => ErrorKind::Config.as_str(),
            Code::Interrupted | Code::Terminated => "interrupted",
        }
    }

    /// Returns the message and its causes, outermost first.
    pub(crate) fn messages(&self) -> Vec<String> {
        match self {
            Self::Library { error, .. } => messages(&**error),
            Self::Usage { message, .. } | Self::Negative { message, .. } => vec![message.clone()],
            Self::Output(error) => with_causes("the output can't be written", error),
            Self::Interrupted { downloads, .. } => vec![interrupted(downloads)],
            Self::Key { path, source } => with_causes(
                &format!("the key `{}` can't be used", path.display()),
                &**source,
            ),
            Self::Other { doing, source } => with_causes(doing, &**source),
            Self::Reported(_) => Vec::new(),
        }
    }

    /// Returns the failure as data: kind, message, causes, hint and each rejected signature.
    pub(crate) fn data(&self) -> Value {
        let error = match self {
            Self::Library { error, .. } => Some(&**error),
            _ => None,
        };
        data(self.kind(), &self.messages(), self.hint().as_deref(), error)
    }

    /// Reports whether what follows the first line of a message are lines for the config, and not an
    /// excerpt of a file that can't be parsed.
    pub(crate) fn has_config_lines(&self) -> bool {
        matches!(self, Self::Library { error, .. } if has_config_lines(error))
    }

    /// Returns what an option does in place of what the error itself says.
    pub(crate) fn option(&self) -> Option<&'static str> {
        match self {
            Self::Library {
                advice: Some(Advice::Instead(advice)),
                ..
            } => Some(advice),
            _ => None,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Library { error, advice } => match (error.hint(), advice) {
                (Some(hint), Some(Advice::Also(advice))) => Some(format!("{hint}; {advice}")),
                (_, Some(Advice::Also(advice) | Advice::Instead(advice))) => {
                    Some((*advice).to_owned())
                }
                (hint, None) => hint,
            },
            Self::Usage { hint, .. } => hint.clone(),
            Self::Key { source, .. } if is_missing_file(source) => {
                Some("`cosign generate-key-pair` makes a key".to_owned())
            }
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library {
            error: Box::new(blamed(error)),
            advice: None,
        }
    }
}

/// Reports whether another folder is the next step.
fn is_about_cache_folder(error: &Error) -> bool {
    let Error::Cache { source, .. } = error else {
        return false;
    };
    match source {
        CacheError::Unwritable { .. }
        | CacheError::UnsafeFolder { .. }
        | CacheError::Damaged { removed: false, .. } => true,
        CacheError::Io { source, .. } => matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ),
        _ => false,
    }
}

/// Names the variable in place of the folder of the cache that it sets.
fn blamed(error: Error) -> Error {
    let variable = std::env::var_os(CACHE_VARIABLE);
    match error {
        Error::Config(ConfigError::CacheDir { path, rule })
            if variable.is_some_and(|variable| variable == *path) =>
        {
            ConfigError::VariableValue {
                name: CACHE_VARIABLE.to_owned(),
                problem: rule.to_owned(),
            }
            .into()
        }
        error => error,
    }
}

/// Returns an error of the library as [`Failure::data`] does.
pub(crate) fn error_data(error: &Error) -> Value {
    let kind = error.kind().as_str();
    data(kind, &messages(error), error.hint().as_deref(), Some(error))
}

/// The one form of errors in JSON. docs/operators.md describes it.
fn data(kind: &str, messages: &[String], hint: Option<&str>, error: Option<&Error>) -> Value {
    let (rejected, trust_root) = match error {
        Some(Error::NotVerified { source, .. }) => (source.rejections(), source.trust_root()),
        _ => (&[][..], None),
    };
    let message = messages.first().map_or("", String::as_str);
    let lines = error
        .filter(|error| hint.is_none() && has_config_lines(error))
        .and_then(|_| with_config_lines(message));
    let (message, hint) = match &lines {
        Some((message, lines)) => (*message, Some(lines.as_str())),
        None => (message, hint),
    };
    json!({
        "kind": kind,
        "message": message,
        "causes": messages.get(1..).unwrap_or_default(),
        "hint": hint,
        "rejected": rejected,
        "trust_root": trust_root,
    })
}

fn has_config_lines(error: &Error) -> bool {
    matches!(error, Error::Config(ConfigError::Contradiction { .. }))
}

/// Splits a message with config lines into what is wrong and what to do: the lines, after what they
/// change.
pub(crate) fn with_config_lines(message: &str) -> Option<(&str, String)> {
    let (text, lines) = message.split_once('\n')?;
    let change = text.rsplit_once("; ");
    let (text, change) = change.unwrap_or((text, "these config lines do that:"));
    Some((text, format!("{change}\n{lines}")))
}

fn with_causes(message: &str, error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut all = vec![message.to_owned()];
    all.extend(messages(error));
    all
}

fn interrupted(downloads: &[String]) -> String {
    if downloads.is_empty() {
        return "interrupted".to_owned();
    }
    let names: Vec<String> = downloads.iter().map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    format!("interrupted; the download of {names} will be resumed next time")
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Usage => Code::Usage,
        ErrorKind::NotVerified => Code::NotVerified,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Network => Code::Network,
        ErrorKind::Config => Code::Config,
        _ => Code::Failure,
    }
}

fn is_missing_file(error: &BoxError) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_lines_are_the_hint() {
        let error = || {
            let rule = "a key; and a log; add to `[oci]`:\na = 1\nb = 2";
            let (path, key) = (PathBuf::from("c.toml"), "oci".to_owned());
            let rule = rule.to_owned();
            Error::from(ConfigError::Contradiction { path, key, rule })
        };
        let failure = Failure::from(error()).data();
        assert_eq!(failure, error_data(&error()));
        assert_eq!(failure["message"], "c.toml: `oci`: a key; and a log");
        assert_eq!(failure["hint"], "add to `[oci]`:\na = 1\nb = 2");
    }

    /// The order of the plugins in a config does not hide a refused signature.
    #[test]
    fn the_first_failure_counts_unless_one_is_not_verified() {
        let negative = |code| Failure::Negative {
            code,
            message: String::new(),
        };
        for (codes, expected) in [
            ([Code::NotFound, Code::Network], Code::NotFound),
            ([Code::NotFound, Code::NotVerified], Code::NotVerified),
            ([Code::NotVerified, Code::NotFound], Code::NotVerified),
        ] {
            let mut failed = None;
            for code in codes {
                negative(code).add_to(&mut failed);
            }
            assert_eq!(failed.unwrap().code(), expected);
        }
    }
}
