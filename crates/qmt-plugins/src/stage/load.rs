//! **load**: proven bytes → code that can be called.

use std::sync::Arc;

use bytes::Bytes;
use qmt_artifact::PluginKind;
use qmt_cache::{CacheError, CachedArtifact, ProvenFile};
use qmt_loader::{Artifact, Kind, LoadOptions, Plugin};
use qmt_oci_ref::Digest;

use super::cache::Cached;
use crate::config::{ProviderConfig, ProviderKind};
use crate::error::Error;
use crate::events::{Reporter, Stage};
use crate::loaders::Loaders;

/// The bytes that will run, and the digest that was computed over exactly these bytes.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    bytes: Bytes,
    digest: Digest,
}

impl Code {
    /// Hashes `bytes`.
    pub(crate) fn hash(bytes: Bytes) -> Self {
        Self {
            digest: Digest::sha256(&bytes),
            bytes,
        }
    }

    fn proven(file: &ProvenFile) -> Self {
        Self {
            bytes: file.bytes(),
            digest: file.digest().clone(),
        }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// Why a native plugin counts as allowed or not, apart from the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its signature holds.
    Verified,
    /// Verification is switched off.
    Unverified,
    /// It is a file of the operator's own.
    OwnFile,
}

/// A plugin's content.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In memory.
    Read(Code),
    /// In the cache, where it was proven; it is proven again when it is read.
    Kept(CachedArtifact),
}

impl Content {
    /// Takes what the pipeline left in the cache. What was extracted just now was hashed while it
    /// was written; what was there already is hashed here.
    pub(crate) async fn prove(cached: &Cached) -> Result<Self, CacheError> {
        let artifact = cached.artifact().clone();
        if cached.is_hit() {
            blocking(&artifact, CachedArtifact::prove).await?;
        }
        Ok(Self::Kept(artifact))
    }

    /// Reads what the pipeline left in the cache, to run it.
    pub(crate) async fn read(cached: &Cached) -> Result<Self, CacheError> {
        let file = blocking(cached.artifact(), CachedArtifact::read_proven).await?;
        Ok(Self::Read(Code::proven(&file)))
    }

    /// Returns the bytes that will run.
    pub(crate) async fn into_code(self) -> Result<Code, CacheError> {
        match self {
            Self::Read(code) => Ok(code),
            Self::Kept(artifact) => {
                let file = blocking(&artifact, CachedArtifact::read_proven).await?;
                Ok(Code::proven(&file))
            }
        }
    }

    /// Returns the bytes; blocks the thread where they have to be read first.
    pub(crate) fn bytes(&self) -> Result<Bytes, CacheError> {
        match self {
            Self::Read(code) => Ok(code.bytes()),
            Self::Kept(artifact) => artifact.read_proven().map(|file| file.bytes()),
        }
    }

    pub(crate) fn digest(&self) -> &Digest {
        match self {
            Self::Read(code) => code.digest(),
            Self::Kept(artifact) => artifact.record().file_digest(),
        }
    }

    /// Returns how many bytes there are.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Read(code) => u64::try_from(code.bytes.len()).unwrap_or(u64::MAX),
            Self::Kept(artifact) => artifact.record().size(),
        }
    }
}

async fn blocking<T: Send + 'static>(
    artifact: &CachedArtifact,
    work: impl FnOnce(&CachedArtifact) -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    let (path, artifact) = (artifact.path().to_owned(), artifact.clone());
    tokio::task::spawn_blocking(move || work(&artifact))
        .await
        .unwrap_or(Err(CacheError::Damaged {
            path,
            reason: "reading it was interrupted",
        }))
}

/// Decides whether the config allows a plugin of `kind`. `before` is what the lockfile knew it as.
pub(crate) fn permit(
    provider: &ProviderConfig,
    kind: PluginKind,
    before: Option<ProviderKind>,
    standing: Standing,
) -> Result<(), Error> {
    let plugin = provider.name.clone();
    if let Some(expected) = provider.kind.map(plugin_kind)
        && expected != kind
    {
        return Err(Error::WrongKind {
            plugin,
            expected,
            found: kind,
        });
    }
    if kind != PluginKind::Native || provider.allow.native == Some(true) {
        return Ok(());
    }
    let forbid = |rule: &str| {
        Err(Error::NativeForbidden {
            plugin: plugin.clone(),
            rule: rule.to_owned(),
        })
    };
    if provider.allow.native == Some(false) {
        return forbid("`allow.native = false` forbids it");
    }
    match standing {
        Standing::Unverified => forbid(
            "nobody vouches for it, because `insecure_skip_signature` is set; \
             `allow.native = true` loads it all the same",
        ),
        Standing::OwnFile => forbid("a file is not signed; `allow.native = true` loads it"),
        Standing::Verified if before == Some(ProviderKind::Wasm) && provider.kind.is_none() => {
            forbid(
                "it was a Wasm plugin when it was locked, and has become native since; \
             `kind = \"native\"` accepts the change",
            )
        }
        Standing::Verified => Ok(()),
    }
}

/// Hands the bytes to the loader of their kind.
pub(crate) async fn load(
    loaders: &Loaders,
    provider: &ProviderConfig,
    kind: PluginKind,
    code: Code,
    reporter: &Reporter,
) -> Result<Arc<dyn Plugin>, Error> {
    reporter.started(Stage::Load);
    let loader = loaders.for_kind(&provider.name, kind)?;
    let artifact = Artifact::new(
        loader_kind(kind),
        code.bytes(),
        code.digest().clone(),
        &*provider.name,
    );
    let loaded = loader.load(artifact, options(provider)).await;
    let plugin = loaded.map_err(|source| Error::Load {
        plugin: provider.name.clone(),
        doing: "loading it".to_owned(),
        source,
    })?;
    reporter.finished(
        Stage::Load,
        format!("{kind}: {}", plugin.exports().join(", ")),
    );
    Ok(plugin)
}

fn options(provider: &ProviderConfig) -> LoadOptions {
    let mut options = LoadOptions::default();
    for (key, value) in &provider.config {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        options.config.insert(key.clone(), text);
    }
    if let Some(size) = provider.limits.memory_max {
        options.limits.memory_max = size.bytes();
    }
    if let Some(span) = provider.limits.timeout {
        options.limits.timeout = span.duration();
    }
    options.limits.fuel = provider.limits.fuel;
    if let Some(size) = provider.limits.http_body_max {
        options.limits.http_body_max = size.bytes();
    }
    options.allow.hosts.clone_from(&provider.allow.hosts);
    options.allow.env.clone_from(&provider.allow.env);
    options.allow.paths = provider
        .allow
        .paths
        .iter()
        .map(|(host, guest)| (host.into(), guest.clone()))
        .collect();
    options
}

pub(crate) fn loader_kind(kind: PluginKind) -> Kind {
    match kind {
        PluginKind::Native => Kind::Native,
        _ => Kind::Wasm,
    }
}

pub(crate) fn plugin_kind(kind: ProviderKind) -> PluginKind {
    match kind {
        ProviderKind::Native => PluginKind::Native,
        ProviderKind::Wasm => PluginKind::Wasm,
    }
}

pub(crate) fn provider_kind(kind: PluginKind) -> ProviderKind {
    match kind {
        PluginKind::Native => ProviderKind::Native,
        _ => ProviderKind::Wasm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AllowConfig;

    fn provider(kind: Option<ProviderKind>, native: Option<bool>) -> ProviderConfig {
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

    /// Invariant 6: native code is never silent.
    #[test]
    fn native_code_needs_a_word() {
        use Standing::{OwnFile, Unverified, Verified};
        let (wasm, native) = (Some(ProviderKind::Wasm), Some(ProviderKind::Native));
        for (kind, allow, before, standing, is_allowed) in [
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
            (None, None, None, OwnFile, false),
            (None, Some(true), None, OwnFile, true),
        ] {
            let verdict = permit(&provider(kind, allow), PluginKind::Native, before, standing);
            let case = format!("{kind:?} {allow:?} {before:?} {standing:?}");
            assert_eq!(verdict.is_ok(), is_allowed, "{case}: {verdict:?}");
        }
    }

    #[test]
    fn wasm_needs_none_but_must_be_what_is_asked_for() {
        for standing in [Standing::Verified, Standing::Unverified, Standing::OwnFile] {
            assert!(permit(&provider(None, None), PluginKind::Wasm, None, standing).is_ok());
        }
        let native = provider(Some(ProviderKind::Native), None);
        let error = permit(&native, PluginKind::Wasm, None, Standing::Verified).unwrap_err();
        assert!(matches!(error, Error::WrongKind { .. }), "{error}");
    }
}
