//! Why a plugin was not fetched, verified, loaded or called.

mod hint;
mod kind;
mod layout;
mod message;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use qmt_artifact::ArtifactError;
use qmt_cache::CacheError;
use qmt_loader::LoadError;
use qmt_oci_ref::{Digest, PluginKind, RegistryError, Tag, text};
use qmt_verify::VerifyError;

pub use self::kind::ErrorKind;
use crate::config::ConfigError;
use crate::lockfile::LockfileError;
use crate::source::SourceError;

/// Why a plugin was not fetched, verified, loaded or called. Every message names the plugin.
///
/// `{}` shows the message alone, `{:#}` also its causes and the hint on one line, and `{:?}` the
/// same on several lines, so that an error that `main` returns can be read.
#[non_exhaustive]
pub enum Error {
    /// The config can't be used.
    Config(ConfigError),
    /// The lockfile can't be used.
    Lockfile(LockfileError),
    /// No provider has this name, and it is not a reference.
    UnknownPlugin {
        /// The name.
        name: String,
        /// The most similar name in the config.
        nearest: Option<String>,
        /// The names in the config.
        known: Vec<String>,
    },
    /// The text is neither the name of a provider nor a reference.
    Source {
        /// The text.
        text: String,
        /// Why it is not a reference.
        source: SourceError,
    },
    /// A request to a registry failed.
    Registry {
        /// The plugin.
        plugin: String,
        /// The image.
        reference: String,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: RegistryError,
    },
    /// The registry has removed the version that the lockfile names.
    LockedVersionGone {
        /// The plugin.
        plugin: String,
        /// The image.
        reference: String,
        /// The digest in the lockfile.
        digest: Digest,
        /// The registry's error.
        source: RegistryError,
    },
    /// The policy does not accept its signatures, or they could not be discovered.
    NotVerified {
        /// The plugin.
        plugin: String,
        /// The image, with its digest.
        reference: String,
        /// Why.
        source: VerifyError,
    },
    /// It is a file, which has no signature.
    Unsigned {
        /// The plugin.
        plugin: String,
        /// What it is instead of an image.
        what: &'static str,
    },
    /// Trust material or policy can't be used.
    Trust(VerifyError),
    /// Trust material or policy can't be used to verify a plugin.
    Unverifiable {
        /// The plugin.
        plugin: String,
        /// The image.
        reference: String,
        /// That the image itself is not in the cache, where the network may not be used.
        missing: Option<Box<Self>>,
        /// Why.
        source: VerifyError,
    },
    /// The tag names a version that was signed before the one in the lockfile, or that is not
    /// proven to be signed later.
    Rollback {
        /// The plugin.
        plugin: String,
        /// The image, as the config names it.
        reference: String,
        /// The digest that the tag names now.
        digest: Digest,
        /// When that was signed, as text.
        signed: String,
        /// The digest in the lockfile.
        locked: Digest,
        /// When that was signed, as text.
        locked_signed: String,
        /// Whether the signatures prove which version is older.
        is_proven: bool,
    },
    /// A layout names another image for a tag, which is not proven to be signed later than the one that
    /// the tag names in the cache.
    NotNewer {
        /// The tag.
        reference: String,
        /// The image that the layout names.
        digest: Digest,
        /// When that was signed, as text.
        signed: String,
        /// The image that the tag names in the cache.
        stored: Digest,
        /// When that was signed, as text.
        stored_signed: String,
    },
    /// A layout lists several images under one tag, so the tag names none of them.
    AmbiguousTag {
        /// The tag.
        reference: String,
    },
    /// The image could not be signed, so it is not published.
    Signing {
        /// What was to be published.
        plugin: String,
        /// Why.
        source: VerifyError,
    },
    /// The image is not a plugin image, or none for this host.
    Artifact {
        /// The plugin.
        plugin: String,
        /// The image, with its digest.
        reference: String,
        /// Why.
        source: ArtifactError,
    },
    /// The files can't be packed into an image.
    Pack {
        /// The destination.
        destination: String,
        /// Why.
        source: ArtifactError,
    },
    /// Work on another thread did not complete: it panicked, or the program ends.
    Stopped {
        /// The plugin, or the destination.
        plugin: String,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The cache failed.
    Cache {
        /// The plugin; `None` if it is about the cache as a whole.
        plugin: Option<String>,
        /// Why.
        source: CacheError,
    },
    /// The verified plugin can't be loaded or called.
    Load {
        /// The plugin.
        plugin: String,
        /// What was being done.
        doing: String,
        /// Why.
        source: LoadError,
    },
    /// It is not in the cache, and the network may not be used.
    Offline {
        /// The plugin.
        plugin: String,
        /// The image.
        reference: String,
        /// What the cache lacks.
        missing: &'static str,
        /// The platform of the image whose manifest it lacks, to be named in an export.
        platform: Option<String>,
        /// What forbids the network.
        rule: &'static str,
    },
    /// An update from the cache, which has no image of the tag.
    NotImported {
        /// The plugin.
        plugin: String,
        /// The image.
        reference: String,
    },
    /// An import from a layout whose signatures of an image can't be read.
    DamagedSignatures {
        /// The image.
        reference: String,
        /// The layout.
        layout: PathBuf,
    },
    /// An import from a layout with signatures in the form of another tool, which are not read.
    SignaturesNotImported {
        /// The image.
        reference: String,
        /// The layout.
        layout: PathBuf,
        /// The tag of the image.
        tag: Tag,
    },
    /// The operation requires the network, which may not be used.
    NetworkForbidden {
        /// The image or registry.
        target: String,
        /// The operation.
        doing: &'static str,
        /// What forbids the network.
        rule: &'static str,
    },
    /// It is another kind of plugin than the config requires.
    WrongKind {
        /// The plugin.
        plugin: String,
        /// The kind that the config requires.
        expected: PluginKind,
        /// The kind of the plugin.
        found: PluginKind,
    },
    /// The config does not allow native code, which would run in the host's process.
    NativeForbidden {
        /// The plugin.
        plugin: String,
        /// The rule that forbids it, and what would allow it.
        rule: Cow<'static, str>,
    },
    /// A local file can't be read.
    File {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A local file is not a plugin.
    NotAPlugin {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// This build lacks a feature.
    Unsupported {
        /// The plugin.
        plugin: String,
        /// What is missing.
        what: &'static str,
    },
}

impl Error {
    #[cfg(not(feature = "http"))]
    pub(crate) const NO_HTTP: &str = "registries over HTTP (feature `http`)";
    #[cfg(not(feature = "layout"))]
    pub(crate) const NO_LAYOUT: &str = "OCI layouts (feature `layout`)";

    pub(crate) fn registry(
        plugin: impl Display,
        reference: impl Display,
        doing: &'static str,
        source: RegistryError,
    ) -> Self {
        Self::Registry {
            plugin: plugin.to_string(),
            reference: reference.to_string(),
            doing,
            source,
        }
    }

    pub(crate) fn source(text: &str, source: SourceError) -> Self {
        let text = text::without_credentials(text).into_owned();
        Self::Source { text, source }
    }

    pub(crate) fn cache(plugin: &str, source: CacheError) -> Self {
        let plugin = Some(plugin.to_owned());
        Self::Cache { plugin, source }
    }

    pub(crate) fn load(plugin: &str, doing: impl Into<String>, source: LoadError) -> Self {
        Self::Load {
            plugin: plugin.to_owned(),
            doing: doing.into(),
            source,
        }
    }

    pub(crate) fn not_a_plugin(plugin: &str, path: &Path, problem: impl Into<String>) -> Self {
        Self::NotAPlugin {
            plugin: plugin.to_owned(),
            path: path.to_owned(),
            problem: problem.into(),
        }
    }

    pub(crate) fn unsupported(plugin: &str, what: &'static str) -> Self {
        let plugin = plugin.to_owned();
        Self::Unsupported { plugin, what }
    }

    /// Returns why trust material or policy can't be used, if that is the error.
    pub fn trust(&self) -> Option<&VerifyError> {
        match self {
            Self::Trust(source) | Self::Unverifiable { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Reports whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Registry { source, .. } => source.is_retryable(),
            Self::NotVerified { source, .. } => source.is_retryable(),
            Self::Artifact { .. } | Self::Trust(_) | Self::Unverifiable { .. } => {
                registry_cause(self).is_some_and(RegistryError::is_retryable)
            }
            Self::Cache { source, .. } => source.is_retryable(),
            Self::Lockfile(LockfileError::Busy { .. } | LockfileError::Raced { .. }) => true,
            _ => false,
        }
    }
}

/// Finds the error of a registry among `error` and its causes.
pub(crate) fn registry_cause<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a RegistryError> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Returns `error` and its causes, outermost first.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
