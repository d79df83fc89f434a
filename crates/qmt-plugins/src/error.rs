//! Why a plugin was not fetched, verified, loaded or called.

mod kind;

use std::fmt::Display;
use std::path::PathBuf;

use qmt_artifact::ArtifactError;
use qmt_cache::CacheError;
use qmt_loader::LoadError;
use qmt_oci_ref::{Digest, PluginKind, RegistryError};
use qmt_registry::ClientError;
use qmt_verify::VerifyError;
use qmt_verify::report::RejectionCode;

pub use self::kind::ErrorKind;
use crate::config::{ConfigError, LAYOUT_NAMES, scope_of};
use crate::lockfile::LockfileError;
use crate::source::SourceError;

/// Why a plugin was not fetched, verified, loaded or called. Every message names the plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The config can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lockfile can't be used.
    #[error(transparent)]
    Lockfile(#[from] LockfileError),
    /// No provider has this name, and it is not a reference.
    #[error(
        "the config names no plugin `{name}`{}; it names {}",
        .nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default(),
        if .known.is_empty() { "none".to_owned() } else { .known.join(", ") }
    )]
    UnknownPlugin {
        /// The name.
        name: String,
        /// The most similar name in the config.
        nearest: Option<String>,
        /// The names in the config.
        known: Vec<String>,
    },
    /// The text is neither the name of a provider nor a reference.
    #[error("`{text}` is neither the name of a plugin in the config nor a reference")]
    Source {
        /// The text.
        text: String,
        /// Why it is not a reference.
        #[source]
        source: SourceError,
    },
    /// A request to a registry failed.
    #[error("`{plugin}`: {doing} `{reference}` failed")]
    Registry {
        /// The plugin.
        plugin: String,
        /// The image.
        reference: String,
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: RegistryError,
    },
    /// The policy does not accept its signatures, or they could not be discovered.
    #[error("`{plugin}` is not verified, so it is not loaded: `{reference}`")]
    NotVerified {
        /// The plugin.
        plugin: String,
        /// The image, with its digest.
        reference: String,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// Trust material or policy can't be used.
    #[error("the trust settings of the config can't be used")]
    Trust(#[source] VerifyError),
    /// The tag names a version that was signed before the one in the lockfile.
    #[error(
        "`{plugin}` is not loaded: `{reference}` was rolled back to {digest} ({signed}); the \
         lockfile has {locked} ({locked_signed})"
    )]
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
    },
    /// The image could not be signed, so it is not published.
    #[error("`{plugin}`: signing the image failed")]
    Signing {
        /// What was to be published.
        plugin: String,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// The image is not a plugin image, or none for this host.
    #[error("`{plugin}`: `{reference}` does not contain a plugin for this host")]
    Artifact {
        /// The plugin.
        plugin: String,
        /// The image, with its digest.
        reference: String,
        /// Why.
        #[source]
        source: ArtifactError,
    },
    /// The files can't be packed into an image.
    #[error("nothing was published as `{destination}`: the image can't be packed")]
    Pack {
        /// The destination.
        destination: String,
        /// Why.
        #[source]
        source: ArtifactError,
    },
    /// Work on another thread did not complete: it panicked, or the program ends.
    #[error("`{plugin}`: {doing} did not complete")]
    Stopped {
        /// The plugin, or the destination.
        plugin: String,
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The cache failed.
    #[error("`{plugin}`: the cache failed")]
    Cache {
        /// The plugin.
        plugin: String,
        /// Why.
        #[source]
        source: CacheError,
    },
    /// The verified plugin can't be loaded or called.
    #[error("`{plugin}`: {doing} failed")]
    Load {
        /// The plugin.
        plugin: String,
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// It is not in the cache, and the network may not be used.
    #[error(
        "`{plugin}`: {missing} of `{reference}` is not in the cache, and {rule} forbids requests to \
         the registry"
    )]
    Offline {
        /// The plugin.
        plugin: String,
        /// The image.
        reference: String,
        /// What the cache lacks.
        missing: &'static str,
        /// What forbids the network.
        rule: &'static str,
    },
    /// The operation requires the network, which may not be used.
    #[error("`{target}`: {doing} requires the network, and {rule} forbids it")]
    NetworkForbidden {
        /// The image or registry.
        target: String,
        /// The operation.
        doing: &'static str,
        /// What forbids the network.
        rule: &'static str,
    },
    /// It is another kind of plugin than the config requires.
    #[error("`{plugin}`: the config requires a {expected} plugin, and this is a {found} plugin")]
    WrongKind {
        /// The plugin.
        plugin: String,
        /// The kind that the config requires.
        expected: PluginKind,
        /// The kind of the plugin.
        found: PluginKind,
    },
    /// The config does not allow native code, which would run in the host's process.
    #[error(
        "`{plugin}` is native code, which runs with all rights of this program, and is not loaded: {rule}"
    )]
    NativeForbidden {
        /// The plugin.
        plugin: String,
        /// The rule that forbids it, and what would allow it.
        rule: &'static str,
    },
    /// A local file can't be read.
    #[error("`{plugin}`: the file {} can't be read", .path.display())]
    File {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A local file is not a plugin.
    #[error("`{plugin}`: the file {} {problem}", .path.display())]
    NotAPlugin {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// This build lacks a feature.
    #[error("`{plugin}`: this program was built without support for {what}")]
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

    pub(crate) fn cache(plugin: &str, source: CacheError) -> Self {
        let plugin = plugin.to_owned();
        Self::Cache { plugin, source }
    }

    pub(crate) fn unsupported(plugin: &str, what: &'static str) -> Self {
        let plugin = plugin.to_owned();
        Self::Unsupported { plugin, what }
    }

    /// Reports whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Registry { source, .. } => source.is_retryable(),
            Self::NotVerified { source, .. } => source.is_retryable(),
            Self::Artifact { source, .. } => {
                registry_cause(source).is_some_and(RegistryError::is_retryable)
            }
            _ => false,
        }
    }

    /// Returns what to do about it, if that is not part of the message.
    pub fn hint(&self) -> Option<String> {
        let client_error =
            registry_cause(self).and_then(RegistryError::downcast_ref::<ClientError>);
        if let Some(hint) = client_error.and_then(ClientError::unreachable_hint) {
            return Some(hint);
        }
        match self {
            Self::NotVerified {
                source: VerifyError::NoSignature { rejected, .. },
                reference,
                ..
            } if rejected.is_empty() => Some(if reference.starts_with(LAYOUT_NAMES) {
                "sign the image in a registry, and copy it into the layout together with its signatures".to_owned()
            } else {
                format!("the publisher signs it with `cosign sign {reference}`")
            }),
            Self::NotVerified {
                source, reference, ..
            } => {
                let hints = source
                    .rejections()
                    .iter()
                    .map(|rejection| rejection.hint.as_str());
                let first = hints.into_iter().find(|hint| !hint.is_empty())?;
                let mut rejections = source.rejections().iter();
                // A new signer is often intended, so the message shows how to accept it.
                if let Some(line) = rejections
                    .find(|one| one.code == RejectionCode::OtherSigner)
                    .and_then(|one| one.config_line.as_deref())
                {
                    let scope = scope_of(reference);
                    return Some(format!(
                        "{first}:\n[[oci.policy]]\nscope = \"{scope}\"\n{line}"
                    ));
                }
                Some(format!(
                    "{first}; `qmt-plugins why {reference}` shows each signature that was discovered, \
                     and the config lines that accept its signer"
                ))
            }
            Self::Registry { .. }
                if matches!(client_error, Some(ClientError::WithoutTls { .. })) =>
            {
                Some(
                    "the registry answers without TLS; if that is intended, set `plain_http = true` in \
                 `[registries.\"HOST\"]` of the config"
                        .to_owned(),
                )
            }
            Self::Config(ConfigError::NotFound { .. }) => Some(
                "a minimal config is a file `plugins.toml` with `[[providers]]`, `name = \"…\"` and \
                 `path = \"oci://…\"`; `qmt-plugins config schema` prints all keys"
                    .to_owned(),
            ),
            Self::Pack {
                source: ArtifactError::LimitExceeded { .. },
                ..
            } => Some(
                "hosts accept what their own `max_artifact_size` allows; set it in this config to \
                 publish more"
                    .to_owned(),
            ),
            Self::Rollback { plugin, .. } => Some(format!(
                "if the publisher withdrew the newer version, `qmt-plugins update {plugin}` accepts \
                 this one; without `refresh_after` and `pull_policy = \"always\"` the version in the \
                 lockfile stays in use"
            )),
            Self::WrongKind { .. } => {
                Some("change `kind` or `path` of the provider".to_owned())
            }
            Self::Offline { .. } => {
                Some("run `qmt-plugins pull` once with access to the registry".to_owned())
            }
            _ => None,
        }
    }
}

/// Finds the error of a registry among `error` and its causes.
pub(crate) fn registry_cause<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a RegistryError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<RegistryError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
