//! What an error means to a program.

use qmt_artifact::ArtifactError;
use qmt_cache::CacheError;
use qmt_loader::LoadErrorKind;
use qmt_oci_ref::{RegistryError, RegistryErrorKind};
use qmt_registry::ClientError;
use qmt_verify::VerifyError;

use super::message::of;
use super::{Error, causes, registry_cause};

/// What an error means to a program: the exit codes of the command follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Anything else.
    Failure,
    /// The call itself is wrong.
    Usage,
    /// The signature is missing, or not accepted.
    NotVerified,
    /// The plugin, image, tag or file does not exist.
    NotFound,
    /// A registry could not be reached, or its answer was refused.
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
            // Whatever was to be written.
            _ if is_disk_full(self) => ErrorKind::Failure,
            // An unreachable TUF repository is not a mistake in the config.
            Self::Trust(source) | Self::Unverifiable { source, .. }
                if registry_cause(source).is_some_and(RegistryError::is_network) =>
            {
                ErrorKind::Network
            }
            Self::Trust(VerifyError::NotStored { .. })
            | Self::Unverifiable {
                source: VerifyError::NotStored { .. },
                ..
            }
            | Self::UnknownPlugin { .. }
            | Self::Source { .. }
            | Self::Offline { .. }
            | Self::NotImported { .. } => ErrorKind::NotFound,
            Self::Config(_)
            | Self::Lockfile(_)
            | Self::Trust(_)
            | Self::Unverifiable { .. }
            // What `cache_dir` names can't be a cache.
            | Self::Cache {
                source: CacheError::UnsafeFolder { .. } | CacheError::NoFolder,
                ..
            } => ErrorKind::Config,
            Self::NetworkForbidden { .. }
            | Self::Pack {
                source: ArtifactError::Pack { .. },
                ..
            } => ErrorKind::Usage,
            Self::Cache {
                source: CacheError::Layout(error),
                ..
            } if error.is_missing() => ErrorKind::NotFound,
            // A right or limit that the config gives.
            Self::Load { source, .. } if source.kind() == LoadErrorKind::Config => {
                ErrorKind::Config
            }
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Pack {
                source: ArtifactError::ReadFile { source, .. },
                ..
            } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Registry { source, .. } | Self::LockedVersionGone { source, .. } => {
                of_registry(source)
            }
            Self::NotVerified { source, .. } => of_verification(source),
            Self::Unsigned { .. }
            | Self::Rollback { .. }
            | Self::NotNewer { .. }
            | Self::DamagedSignatures { .. }
            | Self::SignaturesNotImported { .. } => ErrorKind::NotVerified,
            Self::Artifact {
                source: ArtifactError::Manifest { .. } | ArtifactError::DigestMismatch { .. },
                ..
            }
            | Self::AmbiguousTag { .. }
            // A layout is a registry, and this one has too much.
            | Self::Cache {
                source: CacheError::Import { .. },
                ..
            } => ErrorKind::Network,
            // Manifests and layers come from a registry, and its error decides.
            Self::Artifact { source, .. } => {
                registry_cause(source).map_or(ErrorKind::Failure, of_registry)
            }
            _ => ErrorKind::Failure,
        }
    }
}

fn is_disk_full(error: &Error) -> bool {
    let mut causes = causes(error).filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| {
        use std::io::ErrorKind as Kind;
        matches!(cause.kind(), Kind::StorageFull | Kind::QuotaExceeded)
    })
}

/// Returns the headline of [`Error::NotVerified`]: nothing is known about signatures that could not
/// be looked up.
pub(super) fn not_verified(plugin: &str, reference: &str, source: &VerifyError) -> String {
    if of_verification(source) == ErrorKind::NotVerified {
        return format!("`{plugin}` is not verified, so it is not loaded: `{reference}`");
    }
    // A version that the cache has with its signatures may be loaded all the same.
    let of = of(plugin, reference);
    format!("{of}looking up the signatures of `{reference}` failed")
}

fn of_verification(source: &VerifyError) -> ErrorKind {
    // Only what could not be looked up may be there the next time.
    if !matches!(source, VerifyError::Source { .. }) {
        return ErrorKind::NotVerified;
    }
    match registry_cause(source) {
        Some(cause) if cause.kind() == RegistryErrorKind::Configuration => ErrorKind::Config,
        Some(cause) if is_missing_layout(cause) => ErrorKind::NotFound,
        _ => ErrorKind::Network,
    }
}

#[cfg(feature = "layout")]
fn is_missing_layout(error: &RegistryError) -> bool {
    let missing =
        |error: &ClientError| matches!(error, ClientError::Layout(error) if error.is_missing());
    error.downcast_ref().is_some_and(missing)
}

#[cfg(not(feature = "layout"))]
fn is_missing_layout(_: &RegistryError) -> bool {
    false
}

fn of_registry(error: &RegistryError) -> ErrorKind {
    match error.kind() {
        RegistryErrorKind::NotFound | RegistryErrorKind::Offline => ErrorKind::NotFound,
        RegistryErrorKind::Configuration => ErrorKind::Config,
        RegistryErrorKind::Storage if is_missing_layout(error) => ErrorKind::NotFound,
        RegistryErrorKind::Storage => match error.downcast_ref::<ClientError>() {
            // A layout is a registry, whatever it is stored on.
            Some(_) => ErrorKind::Network,
            None => ErrorKind::Failure,
        },
        RegistryErrorKind::Unauthorized
        | RegistryErrorKind::Network { .. }
        | RegistryErrorKind::Content
        | RegistryErrorKind::Protocol => ErrorKind::Network,
    }
}
