//! Why a plugin was not fetched, verified, loaded or called.

mod kind;

use std::path::PathBuf;

use qmt_artifact::{ArtifactError, PluginKind};
use qmt_cache::CacheError;
use qmt_loader::LoadError;
use qmt_oci_ref::Digest;
use qmt_registry::RegistryError;
use qmt_verify::VerifyError;

pub use self::kind::ErrorKind;
use crate::config::{ConfigError, LAYOUT_NAMES, scope_of};
use crate::lockfile::LockfileError;
use crate::source::SourceError;

/// Why a plugin was not fetched, verified, loaded or called. Each names the plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The config can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lockfile can't be used.
    #[error(transparent)]
    Lockfile(#[from] LockfileError),
    /// No provider has this name, and it is no reference either.
    #[error(
        "the config names no plugin `{name}`{}; it names {}",
        .nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default(),
        if .known.is_empty() { "none".to_owned() } else { .known.join(", ") }
    )]
    UnknownPlugin {
        /// What was asked for.
        name: String,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// The names that there are.
        known: Vec<String>,
    },
    /// What was given is neither a provider's name nor a reference.
    #[error("`{text}` is neither the name of a plugin in the config nor a reference")]
    Source {
        /// What was given.
        text: String,
        /// Why it is no reference.
        #[source]
        source: SourceError,
    },
    /// The registry did not give what was asked for.
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
    /// Nobody whom the policy trusts signed it, or that could not be found out.
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
    /// The tag went back to a version that was signed before the one that the lockfile holds.
    #[error(
        "`{plugin}` is not loaded: `{reference}` went back to {digest} ({signed}), the lockfile \
         holds {locked} ({locked_signed})"
    )]
    StepBack {
        /// The plugin.
        plugin: String,
        /// The image, as the config names it.
        reference: String,
        /// What the tag stands for now.
        digest: Digest,
        /// When that was signed, in words.
        signed: String,
        /// What it stood for, and still does by the lockfile.
        locked: Digest,
        /// When that was signed, in words.
        locked_signed: String,
    },
    /// What was to be published is not signed, so it is not published either.
    #[error("`{plugin}`: signing it failed")]
    Signing {
        /// What was to be published.
        plugin: String,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// The image is not a plugin image, or not for this host.
    #[error("`{plugin}`: `{reference}` does not hold a plugin that can be used here")]
    Artifact {
        /// The plugin.
        plugin: String,
        /// The image, with its digest.
        reference: String,
        /// Why.
        #[source]
        source: ArtifactError,
    },
    /// Files make no image that could be published.
    #[error("nothing was published as `{destination}`: there is no image to push")]
    Pack {
        /// Where it was to go.
        destination: String,
        /// Why.
        #[source]
        source: ArtifactError,
    },
    /// Work on a thread of its own did not come to its end: it panicked, or the program ends.
    #[error("`{plugin}`: {doing} stopped before its end")]
    Stopped {
        /// The plugin, or where it was to go.
        plugin: String,
        /// What was being done.
        doing: &'static str,
        /// How it ended.
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
    /// It was verified, and can't be loaded or called.
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
    /// The network may not be used, and the cache does not hold it.
    #[error(
        "`{plugin}`: {missing} of `{reference}` is not in the cache, and {rule} forbids to ask the registry"
    )]
    Offline {
        /// The plugin.
        plugin: String,
        /// The image.
        reference: String,
        /// What is missing.
        missing: &'static str,
        /// What forbids the network.
        rule: &'static str,
    },
    /// What was asked for is done over the network alone, which may not be used.
    #[error("`{target}`: {doing} needs the network, and {rule} forbids to use it")]
    NetworkForbidden {
        /// The image or registry.
        target: String,
        /// What was to be done.
        doing: &'static str,
        /// What forbids the network.
        rule: &'static str,
    },
    /// It is another kind of plugin than the config asks for.
    #[error("`{plugin}`: the config asks for a {expected} plugin, this is a {found} one")]
    WrongKind {
        /// The plugin.
        plugin: String,
        /// What the config says.
        expected: PluginKind,
        /// What it is.
        found: PluginKind,
    },
    /// Native code would run in the host's process without the operator's word.
    #[error("`{plugin}` is native code, which runs with all rights of this program: {rule}")]
    NativeForbidden {
        /// The plugin.
        plugin: String,
        /// Which rule forbids it, and what would allow it.
        rule: String,
    },
    /// A file of the operator's can't be read.
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
    /// A file of the operator's is no plugin.
    #[error("`{plugin}`: the file {} {problem}", .path.display())]
    NotAPlugin {
        /// The plugin.
        plugin: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A feature that this build lacks.
    #[error("`{plugin}`: this program was built without support for {what}")]
    Unsupported {
        /// The plugin.
        plugin: String,
        /// What is missing.
        what: &'static str,
    },
}

impl Error {
    /// Reports whether the same call may succeed later without anything being changed.
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

    /// Returns what to do about it, where that is not part of the message.
    pub fn hint(&self) -> Option<String> {
        // Whichever step it was that found nobody.
        if let Some(hint) = registry_cause(self).and_then(RegistryError::unreachable_hint) {
            return Some(hint);
        }
        match self {
            Self::NotVerified {
                source: VerifyError::NoSignature { rejected, .. },
                reference,
                ..
            } if rejected.is_empty() => Some(if reference.starts_with(LAYOUT_NAMES) {
                "sign it in a registry, and copy it into the layout with its signatures".to_owned()
            } else {
                format!("whoever publishes it signs it by `cosign sign {reference}`")
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
                // Another signer than the pinned one: often a change of hands, and meant.
                if let Some(line) = rejections
                    .find(|one| one.code == "other-signer")
                    .and_then(|one| one.config_line.as_deref())
                {
                    let scope = scope_of(reference);
                    return Some(format!(
                        "{first}:\n[[oci.policy]]\nscope = \"{scope}\"\n{line}"
                    ));
                }
                Some(format!(
                    "{first}; `qmt-plugins why {reference}` shows each signature that was found, \
                     and the config lines that accept its signer"
                ))
            }
            Self::Registry { source, .. } if source.is_without_tls() => Some(
                "the registry answers without TLS; if that is meant, say so in the config: \
                 `[registries.\"HOST\"]` with `plain_http = true`"
                    .to_owned(),
            ),
            Self::Config(ConfigError::NotFound { .. }) => Some(
                "a first one is a file `plugins.toml` with `[[providers]]`, `name = \"…\"` and \
                 `path = \"oci://…\"`; `qmt-plugins config schema` prints all keys"
                    .to_owned(),
            ),
            Self::Pack {
                source: ArtifactError::TooMuch { .. },
                ..
            } => Some(
                "hosts take as much as their own `max_artifact_size` says; set it here to publish \
                 more"
                    .to_owned(),
            ),
            Self::StepBack { plugin, .. } => Some(format!(
                "if the publisher took the newer one back, `qmt-plugins update {plugin}` follows; \
                 without `refresh_after` and `pull_policy = \"always\"` the lockfile's stays"
            )),
            Self::WrongKind { .. } => {
                Some("change `kind` of the provider, or the image".to_owned())
            }
            Self::Offline { .. } => {
                Some("run `qmt-plugins pull` once while the registry can be reached".to_owned())
            }
            _ => None,
        }
    }
}

/// Finds what the registry said in the causes of `error`.
fn registry_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a RegistryError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<RegistryError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
