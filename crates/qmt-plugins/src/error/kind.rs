//! What an error means to a program.

use qmt_artifact::ArtifactError;
use qmt_registry::RegistryError;
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
    /// There is no such plugin, image, tag or file.
    NotFound,
    /// A registry could not be reached or did not answer as it should.
    Network,
    /// The config, lockfile, trust material or stored credentials can't be used.
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
            // A TUF repository that is not there is no mistake in the config.
            Self::Trust(source)
                if registry_cause(source).is_some_and(RegistryError::is_network) =>
            {
                ErrorKind::Network
            }
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
            Self::Pack {
                source: ArtifactError::ReadFile { source, .. },
                ..
            } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Registry { source, .. } => of_registry(source),
            Self::NotVerified {
                source: VerifyError::Source { .. } | VerifyError::Timeout { .. },
                ..
            } => match registry_cause(self) {
                // What does not exist is no answer where signatures are looked for.
                Some(cause) if cause.is_configuration() => ErrorKind::Config,
                _ => ErrorKind::Network,
            },
            Self::NotVerified { .. } | Self::StepBack { .. } => ErrorKind::NotVerified,
            // A manifest or layer comes through the registry: what it says about why counts.
            Self::Artifact { source, .. } => {
                registry_cause(source).map_or(ErrorKind::Failure, of_registry)
            }
            _ => ErrorKind::Failure,
        }
    }
}

fn of_registry(error: &RegistryError) -> ErrorKind {
    if error.is_not_found() || error.is_missing_layout() {
        ErrorKind::NotFound
    } else if error.is_configuration() {
        ErrorKind::Config
    } else {
        ErrorKind::Network
    }
}
