//! What an image contains and what would be extracted from it, without loading anything.

use std::collections::BTreeMap;

use qmt_cache::{Cache as _, CachedArtifact};
use qmt_loader::{Artifact, Preflight};
use qmt_oci_ref::manifest::platform_json;
use qmt_oci_ref::{Descriptor, Digest, PinnedReference, Platform, PluginKind};
use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::host::PluginHost;
use crate::pipeline;
use crate::target::Target;

/// What an image contains. Its signature is not verified: [`PluginHost::verify`] does that.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The image, with its digest.
    pub reference: PinnedReference,
    /// The manifest that was selected for this host.
    pub manifest: Digest,
    /// The platform of that manifest, if the image names one.
    #[serde(serialize_with = "platform_json::serialize")]
    pub platform: Option<Platform>,
    /// The kind of plugin that the image declares. The content decides in the end.
    pub kind_hint: Option<PluginKind>,
    /// How the plugin's file is found in the layers.
    pub file: String,
    /// The layers that would be fetched.
    pub layers: Vec<Descriptor>,
    /// The annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Why this manifest was selected, one sentence per step.
    pub trace: Vec<String>,
    /// What is known about the file, if the cache has it.
    pub content: Option<Content>,
}

/// A plugin's file in the cache.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Content {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What the loader reads from it before any of it runs, or why it would refuse it.
    #[serde(serialize_with = "preflight_data")]
    pub preflight: Result<Preflight, String>,
}

impl PluginHost {
    /// Reads the manifests of what `target` names, and the plugin's file if the cache has it.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`], or [`Error::Artifact`] if nothing in the image is for this host.
    pub async fn inspect(&self, target: &Target) -> Result<Inspection, Error> {
        let (context, request) = self.prepare(target)?;
        let (reference, selection, key) = pipeline::preview(&context, &request).await?;
        let found = self.cache.lookup(&key).await;
        let found = found.map_err(|source| Error::cache(target.name(), source))?;
        let content = match found {
            Some(artifact) => self.inspect_content(target, artifact).await,
            None => None,
        };
        Ok(Inspection {
            reference,
            manifest: selection.manifest().digest().clone(),
            platform: selection.platform().cloned(),
            kind_hint: selection.kind_hint(),
            file: selection.file().to_string(),
            layers: selection.layers().to_vec(),
            annotations: selection.annotations().clone().into_iter().collect(),
            trace: selection.trace().to_vec(),
            content,
        })
    }

    /// Runs the loader's preflight on a cached file. A damaged file counts as missing.
    async fn inspect_content(&self, target: &Target, artifact: CachedArtifact) -> Option<Content> {
        let kind = artifact.record().kind();
        let size = artifact.record().size();
        let read = tokio::task::spawn_blocking(move || artifact.read_proven()).await;
        let file = read.ok()?.ok()?;
        let digest = file.digest().clone();
        let artifact = Artifact::from_verified(kind, file.bytes(), digest.clone(), target.name());
        let preflight = match self.loaders.for_kind(target.name(), kind) {
            Ok(loader) => loader
                .preflight(&artifact)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Some(Content {
            digest,
            size,
            preflight,
        })
    }
}

fn preflight_data<S: Serializer>(
    preflight: &Result<Preflight, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match preflight {
        Ok(found) => serde_json::json!({
            "kind": found.kind.to_string(),
            "exports": found.exports,
            "imports": found.imports,
            "wasi": found.wasi,
            "abi": found.abi,
        })
        .serialize(serializer),
        Err(problem) => serde_json::json!({ "refused": problem }).serialize(serializer),
    }
}
