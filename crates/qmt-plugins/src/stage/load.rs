//! **load**: verified bytes → code that can be called.

use std::sync::Arc;

use bytes::Bytes;
use qmt_cache::{CacheError, CachedArtifact};
use qmt_loader::native::Isolation;
use qmt_loader::{Artifact, LoadError, LoadOptions, Plugin};
use qmt_oci_ref::{Digest, PluginKind};
use qmt_verify::Verification;

use super::cache::Cached;
use crate::artifact::PluginArtifact;
use crate::config::{NativeRule, ProviderConfig};
use crate::error::Error;
use crate::events::{Reporter, Stage};
use crate::loaders::Loaders;
use crate::target::Target;

/// A plugin's bytes, which were hashed, or where they are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In memory, with the digest that was computed over exactly these bytes.
    InMemory(Bytes, Digest),
    /// In the cache; they are hashed again whenever they are read.
    InCache(CachedArtifact),
}

/// What happens to a plugin's bytes after the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// They are read, because they run in this process.
    Read,
    /// They are hashed where they are, however many there are.
    Hash,
}

impl Content {
    /// Hashes `bytes`.
    pub(crate) fn hash(bytes: Bytes) -> Self {
        let digest = Digest::sha256(&bytes);
        Self::InMemory(bytes, digest)
    }

    /// Takes what the pipeline left in the cache. An artifact that was extracted in this run was
    /// hashed while it was written.
    pub(crate) async fn of(cached: &Cached, mode: ReadMode) -> Result<Self, CacheError> {
        let artifact = cached.artifact();
        match mode {
            ReadMode::Read => Self::read(artifact).await,
            ReadMode::Hash => {
                if cached.is_hit() {
                    blocking(artifact, CachedArtifact::prove).await?;
                }
                Ok(Self::InCache(artifact.clone()))
            }
        }
    }

    /// Returns the bytes. Blocks the thread if they have to be read.
    pub(crate) fn bytes(&self) -> Result<Bytes, CacheError> {
        match self {
            Self::InMemory(bytes, _) => Ok(bytes.clone()),
            Self::InCache(artifact) => artifact.read_proven(),
        }
    }

    /// Returns them as a loader takes them. Blocks the thread if they have to be read.
    pub(crate) fn artifact(&self, kind: PluginKind, plugin: &str) -> Result<Artifact, Error> {
        let bytes = self.bytes();
        let bytes = bytes.map_err(|source| Error::cache(plugin, source))?;
        let digest = self.digest().clone();
        Ok(Artifact::from_verified(kind, bytes, digest, plugin))
    }

    pub(crate) fn digest(&self) -> &Digest {
        match self {
            Self::InMemory(_, digest) => digest,
            Self::InCache(artifact) => artifact.record().file_digest(),
        }
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::InMemory(bytes, _) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::InCache(artifact) => artifact.record().size(),
        }
    }

    /// Reads and hashes a file of the cache on a thread that may block.
    pub(crate) async fn read(artifact: &CachedArtifact) -> Result<Self, CacheError> {
        let bytes = blocking(artifact, CachedArtifact::read_proven).await?;
        let digest = artifact.record().file_digest().clone();
        Ok(Self::InMemory(bytes, digest))
    }
}

async fn blocking<T: Send + 'static>(
    artifact: &CachedArtifact,
    work: impl FnOnce(&CachedArtifact) -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    let (path, artifact) = (artifact.path().to_owned(), artifact.clone());
    tokio::task::spawn_blocking(move || work(&artifact))
        .await
        .unwrap_or_else(|stopped| {
            // The runtime is shutting down, or the work panicked.
            Err(CacheError::Io {
                action: "read",
                path,
                source: std::io::Error::other(stopped),
            })
        })
}

/// What is verified about a native plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NativeTrust {
    /// A signature that the policy accepts.
    Verified,
    /// Nothing: verification is switched off.
    Unverified,
    /// Nothing: it is a local file or a URL in the config, which are not signed.
    Unsigned,
}

impl NativeTrust {
    pub(crate) fn of_image(is_skipped: bool) -> Self {
        if is_skipped {
            Self::Unverified
        } else {
            Self::Verified
        }
    }
}

/// What the lockfile records about the repository of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The kind.
    pub(crate) kind: PluginKind,
    /// The plugin that has the entry, if it is another one.
    pub(crate) other: Option<String>,
}

impl Recorded {
    /// Says that the kind has changed to native code.
    fn changed(&self) -> String {
        let recorded = match &self.other {
            None => "it as a Wasm plugin, and it".to_owned(),
            Some(other) => {
                format!("`{other}`, of the same repository, as a Wasm plugin, and the image")
            }
        };
        format!(
            "the lockfile records {recorded} has become native since; `kind = \"native\"` accepts \
             the change"
        )
    }
}

/// Checks whether the config allows a plugin of `kind`. `default` is the key `native` of `[oci]`,
/// `before` what is in the lockfile.
pub(crate) fn check_allowed(
    provider: &ProviderConfig,
    default: Option<NativeRule>,
    kind: PluginKind,
    before: Option<&Recorded>,
    trust: NativeTrust,
) -> Result<(), Error> {
    let plugin = provider.name.clone();
    if let Some(expected) = provider.kind
        && expected != kind
    {
        return Err(Error::WrongKind {
            plugin,
            expected,
            found: kind,
        });
    }
    if kind != PluginKind::Native {
        return Ok(());
    }
    if let Some(denial) = provider.native_denial(default) {
        let rule = denial.rule().into();
        return Err(Error::NativeForbidden { plugin, rule });
    }
    if provider.allows_native() {
        return Ok(());
    }
    let rule = match trust {
        NativeTrust::Unverified => {
            "its signature is not verified, because `insecure_skip_signature` is set; \
             `native = \"isolated\"` or `allow.native = true` allows it"
        }
        NativeTrust::Unsigned => {
            "it comes from a file or URL, which is not signed; `native = \"isolated\"` or \
             `allow.native = true` allows it"
        }
        NativeTrust::Verified => match before {
            Some(before) if before.kind == PluginKind::Wasm && provider.kind.is_none() => {
                let rule = before.changed().into();
                return Err(Error::NativeForbidden { plugin, rule });
            }
            _ => return Ok(()),
        },
    };
    let rule = rule.into();
    Err(Error::NativeForbidden { plugin, rule })
}

/// Refuses native code outside the config whose signer is neither configured nor pinned.
pub(crate) fn check_unpinned(target: &Target, artifact: &PluginArtifact) -> Result<(), Error> {
    let is_allowed = target.is_configured() || target.provider().allows_native();
    let is_unpinned = artifact.verification().is_some_and(Verification::first_use);
    if is_allowed || !is_unpinned || artifact.kind() != PluginKind::Native {
        return Ok(());
    }
    Err(Error::NativeForbidden {
        plugin: target.name().to_owned(),
        rule: "no signer is configured for it, and the lockfile pins none for a plugin outside of \
               the config; `allow.native = true` allows it"
            .into(),
    })
}

/// Loads the bytes with the loader of their kind.
pub(crate) async fn load(
    loaders: &Loaders,
    artifact: PluginArtifact,
    mut options: LoadOptions,
    reporter: &Reporter,
) -> Result<Arc<dyn Plugin>, Error> {
    reporter.started(Stage::Load);
    let PluginArtifact {
        name,
        kind,
        content,
        prepared: _prepared,
        ..
    } = artifact;
    let artifact = content.artifact(kind, &name)?;
    let loader = loaders.for_kind(&name, kind)?;
    let failed = |source| Error::load(&name, "loading it", source);
    let is_isolated = kind == PluginKind::Native && options.isolation == Isolation::Process;
    if kind == PluginKind::Native && !is_isolated {
        // It can only come from the host's defaults, and applies to plugins with several instances.
        options.at_start = None;
    }
    let plugin = loader.load(artifact, options).await.map_err(failed)?;
    if is_isolated {
        let missing = missing_confinement(&*plugin).ok_or_else(|| {
            failed(LoadError::Isolation {
                plugin: name.clone(),
                rule: "the loader that the host uses for native plugins must isolate them",
                source: None,
            })
        })?;
        if !missing.is_empty() {
            let missing = missing.join(", ");
            // The host's own loader does not know the config.
            if loaders.require_confinement {
                let plugin = name.clone();
                return Err(failed(LoadError::Unconfined { plugin, missing }));
            }
            reporter.warning(format!(
                "it is not fully isolated: the kernel lacks parts of the confinement: {missing}"
            ));
        }
    }
    let exports = plugin.exports().join(", ");
    reporter.finished(Stage::Load, format!("{kind}: {exports}"));
    Ok(plugin)
}

/// Returns the parts of the confinement that the kernel lacks, or `None` if the plugin runs in this
/// process: the host may use another loader, which does not know this option.
#[cfg(feature = "native")]
fn missing_confinement(plugin: &dyn Plugin) -> Option<&[&'static str]> {
    let plugin: &dyn std::any::Any = plugin;
    let native = plugin.downcast_ref::<qmt_loader::native::NativePlugin>()?;
    (native.isolation() == Isolation::Process).then(|| native.missing_confinement())
}

#[cfg(not(feature = "native"))]
fn missing_confinement(_: &dyn Plugin) -> Option<&[&'static str]> {
    None
}

/// Returns the options that the config sets, and `defaults` where it sets none. The plugin gets the
/// rights of both.
pub(crate) fn options(provider: &ProviderConfig, defaults: &LoadOptions) -> LoadOptions {
    let mut options = defaults.clone();
    for (key, value) in &provider.config {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        options.config.insert(key.clone(), text);
    }
    let limits = &provider.limits;
    if let Some(size) = limits.memory_max {
        options.limits.memory_max = size.bytes();
    }
    if let Some(span) = limits.timeout {
        options.limits.timeout = span.duration();
    }
    if let Some(span) = limits.compile_timeout {
        options.limits.compile_timeout = span.duration();
    }
    options.limits.fuel = limits.fuel.or(options.limits.fuel);
    if let Some(size) = limits.http_body_max {
        options.limits.http_body_max = size.bytes();
    }
    if let Some(size) = limits.library_max {
        options.limits.library_max = size.bytes();
    }
    let allow = &provider.allow;
    options.allow.hosts.extend_from_slice(&allow.hosts);
    options.allow.env.extend_from_slice(&allow.env);
    let libraries = &mut options.allow.libraries;
    libraries.extend_from_slice(&allow.libraries);
    let paths = allow.paths.iter();
    let paths = paths.map(|(host, guest)| (host.into(), guest.clone()));
    options.allow.paths.extend(paths);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AllowConfig;

    fn provider(kind: Option<PluginKind>, native: Option<bool>) -> ProviderConfig {
        let allow = AllowConfig {
            native,
            ..AllowConfig::default()
        };
        ProviderConfig {
            name: "p".to_owned(),
            kind,
            allow,
            ..ProviderConfig::default()
        }
    }

    /// Invariant 6: native code never runs unnoticed.
    #[test]
    fn native_code_must_be_allowed() {
        use NativeTrust::{Unsigned, Unverified, Verified};
        let (wasm, native) = (Some(PluginKind::Wasm), Some(PluginKind::Native));
        for (kind, allow, before, trust, is_allowed) in [
            (None, None, None, Verified, true),
            (None, None, native, Verified, true),
            (None, None, wasm, Verified, false),
            (native, None, wasm, Verified, true),
            (None, Some(true), wasm, Verified, true),
            (None, Some(false), None, Verified, false),
            (wasm, Some(true), None, Verified, false),
            (None, None, None, Unverified, false),
            (native, None, None, Unverified, false),
            (None, Some(true), None, Unverified, true),
            (None, None, None, Unsigned, false),
            (None, Some(true), None, Unsigned, true),
        ] {
            let provider = provider(kind, allow);
            let recorded = before.map(|kind| Recorded { kind, other: None });
            let recorded = recorded.as_ref();
            let checked = check_allowed(&provider, None, PluginKind::Native, recorded, trust);
            let case = format!("{kind:?} {allow:?} {before:?} {trust:?}");
            assert_eq!(checked.is_ok(), is_allowed, "{case}: {checked:?}");
        }
    }

    /// The key of a provider is the operator's consent; the default of `[oci]` is not.
    #[test]
    fn the_key_native_says_where_native_code_runs() {
        use NativeRule::{Deny, InProcess, Isolated};
        use NativeTrust::{Unsigned, Verified};
        for (native, allow, default, rule, unsigned, signed) in [
            (None, None, None, InProcess, false, true),
            (None, None, Some(Deny), Deny, false, false),
            (None, None, Some(Isolated), Isolated, false, true),
            (None, Some(true), Some(Isolated), Isolated, true, true),
            (None, Some(true), Some(Deny), Deny, false, false),
            (None, Some(false), Some(Isolated), Deny, false, false),
            (Some(Isolated), None, Some(Deny), Isolated, true, true),
            (Some(InProcess), None, Some(Isolated), InProcess, true, true),
            (Some(Deny), None, Some(InProcess), Deny, false, false),
        ] {
            let mut provider = provider(None, allow);
            provider.native = native;
            let check =
                |trust| check_allowed(&provider, default, PluginKind::Native, None, trust).is_ok();
            let case = format!("{native:?} {allow:?} {default:?}");
            assert_eq!(provider.native_rule(default), rule, "{case}");
            assert_eq!(
                (check(Unsigned), check(Verified)),
                (unsigned, signed),
                "{case}"
            );
        }
    }

    #[test]
    fn wasm_is_allowed_and_must_be_of_the_configured_kind() {
        for trust in [
            NativeTrust::Verified,
            NativeTrust::Unverified,
            NativeTrust::Unsigned,
        ] {
            assert!(
                check_allowed(&provider(None, None), None, PluginKind::Wasm, None, trust).is_ok()
            );
        }
        let native = provider(Some(PluginKind::Native), None);
        let error = check_allowed(&native, None, PluginKind::Wasm, None, NativeTrust::Verified)
            .unwrap_err();
        assert!(matches!(error, Error::WrongKind { .. }), "{error}");
    }
}
