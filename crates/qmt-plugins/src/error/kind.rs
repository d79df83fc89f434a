//! What an error means to a program.

use qmt_artifact::ArtifactError;
use qmt_verify::VerifyError;

use super::{Error, registry_cause};

/// What an error means to a program: the exit codes of the command follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Anything else.
    Failure,
    /// What was asked for makes no sense, whatever there is.
    Usage,
    /// The signature does not hold, is missing, or could not be looked for.
    NotVerified,
    /// There is no such plugin, image or tag.
    NotFound,
    /// A registry could not be reached or did not answer as it should.
    Network,
    /// The config, lockfile or trust material can't be used.
    Config,
}

impl ErrorKind {
    /// Returns the kind as one word for machines, such as `not-verified`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotVerified => "not-verified",
            Self::NotFound => "not-found",
            Self::Network => "network",
            Self::Config => "config",
        }
    }
}

impl Error {
    /// Returns what the error means to a program.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_) | Self::Lockfile(_) | Self::Trust(_) => ErrorKind::Config,
            Self::NetworkForbidden { .. }
            | Self::Pack {
                source: ArtifactError::Pack { .. },
                ..
            } => ErrorKind::Usage,
            Self::UnknownPlugin { .. } | Self::Source { .. } | Self::Offline { .. } => {
                ErrorKind::NotFound
            }
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Registry { source, .. } if source.is_not_found() => ErrorKind::NotFound,
            Self::Registry { .. }
            | Self::NotVerified {
                source: VerifyError::Source { .. } | VerifyError::Timeout { .. },
                ..
            } => ErrorKind::Network,
            Self::NotVerified { .. } | Self::StepBack { .. } => ErrorKind::NotVerified,
            // A manifest or layer comes through the registry: what it says about why counts.
            Self::Artifact { source, .. } => match registry_cause(source) {
                Some(cause) if cause.is_not_found() => ErrorKind::NotFound,
                Some(_) => ErrorKind::Network,
                None => ErrorKind::Failure,
            },
            _ => ErrorKind::Failure,
        }
    }
}
