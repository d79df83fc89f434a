//! What can go wrong in a stage. The pipeline adds the plugin and its reference.

use std::io;

use qmt_artifact::ArtifactError;
use qmt_cache::CacheError;
use qmt_oci_ref::{PinnedReference, RegistryError, RegistryErrorKind};
use qmt_verify::VerifyError;

use super::Context;
use crate::error::{Error, registry_cause};

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum StageError {
    Resolve(RegistryError),
    Manifest(RegistryError),
    Verify(#[from] VerifyError),
    #[error("the tag names a version that is not proven to be newer than the locked one")]
    Rollback(Box<Error>),
    Select(ArtifactError),
    Extract(ArtifactError),
    #[error("{missing} is not in the cache, and {rule} forbids the network")]
    Offline {
        missing: &'static str,
        platform: Option<String>,
        rule: &'static str,
    },
    #[error("the cache has no image of this tag")]
    NotImported,
    Cache(#[from] CacheError),
    #[error("{doing} did not complete")]
    Stopped {
        doing: &'static str,
        source: io::Error,
    },
}

impl StageError {
    /// Adds the plugin and its reference. `pin` is what the reference was resolved to, if it was.
    pub(crate) fn attach(self, context: &Context, pin: Option<&PinnedReference>) -> Error {
        let plugin = context.reporter.plugin().to_owned();
        let reference = context.request.source.clone();
        let pinned = pin.map_or_else(|| reference.clone(), ToString::to_string);
        let is_tag = matches!(self, Self::Resolve(_));
        match self.refused_offline(context) {
            Self::Resolve(source) => Error::registry(plugin, reference, "resolving", source),
            Self::Manifest(source) => match &context.request.locked {
                Some(locked)
                    if source.kind() == RegistryErrorKind::NotFound
                        && context.request.reference.digest().is_none() =>
                {
                    Error::LockedVersionGone {
                        plugin,
                        reference,
                        digest: locked.digest.clone(),
                        source,
                    }
                }
                _ => Error::registry(plugin, reference, "fetching the manifest of", source),
            },
            Self::Verify(source) => Error::NotVerified {
                plugin,
                reference: pinned,
                source,
            },
            Self::Rollback(error) => *error,
            Self::Select(source) | Self::Extract(source) => Error::Artifact {
                plugin,
                reference: pinned,
                source,
            },
            Self::Offline {
                missing,
                platform,
                rule,
            } => Error::Offline {
                plugin,
                reference: match &context.request.locked {
                    // The cache may have another version of the tag.
                    Some(locked) if context.request.reference.digest().is_none() && !is_tag => {
                        format!("{reference}@{}", locked.digest)
                    }
                    _ => reference,
                },
                missing,
                platform,
                rule,
            },
            Self::NotImported => Error::NotImported { plugin, reference },
            Self::Cache(source) => Error::cache(&plugin, source),
            Self::Stopped { doing, source } => Error::Stopped {
                plugin,
                doing,
                source,
            },
        }
    }

    /// Turns what an offline registry answered into [`StageError::Offline`].
    fn refused_offline(self, context: &Context) -> Self {
        let (missing, error): (_, &(dyn std::error::Error + 'static)) = match &self {
            Self::Resolve(error) => ("the digest", error),
            Self::Manifest(error) => ("the manifest", error),
            Self::Verify(error) => ("the signature", error),
            Self::Select(error) => ("the manifest", error),
            Self::Extract(error) => ("the plugin", error),
            Self::Rollback(_)
            | Self::Offline { .. }
            | Self::NotImported
            | Self::Cache(_)
            | Self::Stopped { .. } => return self,
        };
        let kind = registry_cause(error).map(RegistryError::kind);
        if kind != Some(RegistryErrorKind::Offline) {
            return self;
        }
        let rule = context.offline.unwrap_or("the registry");
        let platform = if let Self::Select(ArtifactError::Registry { platform, .. }) = self {
            platform
        } else {
            None
        };
        Self::Offline {
            missing,
            platform,
            rule,
        }
    }
}
