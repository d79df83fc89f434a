//! Failures: messages for people, exit codes and data for programs.

use std::error::Error as StdError;
use std::process::ExitCode;

use qmt_plugins::verify::report::{Rejection, TrustReport};
use qmt_plugins::{Error, ErrorKind};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library returned an error.
    Library(Box<Error>),
    /// The arguments are wrong.
    Usage(String),
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

    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Library(error) => code_of(error.kind()),
            Self::Usage(_) => Code::Usage,
            Self::Other { source, .. } if is_missing_file(source) => Code::NotFound,
            Self::Other { .. } => Code::Failure,
            Self::Reported(code) => *code,
        }
    }

    /// The kind as one word, as `--format json` prints it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Library(error) => error.kind().as_str(),
            Self::Usage(_) => "usage",
            Self::Other { source, .. } if is_missing_file(source) => ErrorKind::NotFound.as_str(),
            Self::Other { .. } | Self::Reported(_) => "failure",
        }
    }

    /// Returns the message and its causes, outermost first.
    pub(crate) fn messages(&self) -> Vec<String> {
        match self {
            Self::Library(error) => chain(&**error),
            Self::Usage(message) => vec![message.clone()],
            Self::Other { doing, source } => {
                let mut messages = vec![doing.clone()];
                messages.extend(chain(&**source));
                messages
            }
            Self::Reported(_) => Vec::new(),
        }
    }

    /// Returns the rejected signatures, if the error is about signatures.
    pub(crate) fn rejections(&self) -> &[Rejection] {
        match self {
            Self::Library(error) => match &**error {
                Error::NotVerified { source, .. } => source.rejections(),
                _ => &[],
            },
            _ => &[],
        }
    }

    /// Returns the trust root with which a refused image was verified.
    pub(crate) fn trust_root(&self) -> Option<&TrustReport> {
        match self {
            Self::Library(error) => match &**error {
                Error::NotVerified { source, .. } => source.trust_root(),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Library(error) => error.hint(),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(Box::new(error))
    }
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
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn chain(error: &dyn StdError) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        let message = error.to_string();
        // Some libraries repeat their cause in their own text.
        if messages.last() != Some(&message) {
            messages.push(message);
        }
        next = error.source();
    }
    messages
}
