//! What an image holds and what would be taken from it, without loading anything.

use qmt_artifact::PluginKind;
use qmt_loader::{Artifact, Preflight};
use qmt_oci_ref::{Annotations, Descriptor, Digest, PinnedReference, Platform};
use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::host::PluginHost;
use crate::stage::load::loader_kind;
use crate::stage::{resolve, select};
use crate::target::Target;

/// What an image holds. It says nothing about trust: `verify` does.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The image, with its digest.
    pub reference: PinnedReference,
    /// The manifest that was selected for this host.
    pub manifest: Digest,
    /// The platform that it is for, where the image says so.
    pub platform: Option<Platform>,
    /// The kind of plugin that the image says it holds. The content has the last word.
    pub kind_hint: Option<PluginKind>,
    /// How the plugin's file is found in the layers.
    pub file: String,
    /// The layers that would be fetched.
    pub layers: Vec<Descriptor>,
    /// The annotations of the manifest.
    pub annotations: Annotations,
    /// Why this was selected, one sentence a step.
    pub trace: Vec<String>,
    /// What is known of the file, where the cache holds it.
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
    /// What the loader says of it before any of it runs, or why it would refuse it.
    #[serde(serialize_with = "verdict")]
    pub preflight: Result<Preflight, String>,
}

impl PluginHost {
    /// Looks at what `target` names: manifests only, and the file where the cache holds it.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`], or [`Error::Artifact`] where nothing in it fits this host.
    pub async fn inspect(&self, target: &Target) -> Result<Inspection, Error> {
        let (context, request) = self.prepare(target)?;
        let pinned = resolve::resolve(&context, &request).await?;
        let selected = select::select(&context, &request, &pinned).await?;
        let selection = selected.selection();
        let found = context
            .cache
            .lookup(selected.key())
            .await
            .map_err(context.cache_error())?;
        let content = match found {
            None => None,
            Some(artifact) => {
                let record = artifact.record().clone();
                let read = tokio::task::spawn_blocking(move || artifact.read_proven()).await;
                // A damaged entry was dropped just now: there is nothing to look at.
                read.ok().and_then(Result::ok).map(|file| {
                    let kind = kind_of(record.kind());
                    let artifact = Artifact::new(
                        loader_kind(kind),
                        file.bytes(),
                        file.digest().clone(),
                        target.name(),
                    );
                    let preflight = self
                        .loaders
                        .for_kind(target.name(), kind)
                        .map_err(|error| error.to_string())
                        .and_then(|loader| {
                            loader
                                .preflight(&artifact)
                                .map_err(|error| error.to_string())
                        });
                    Content {
                        digest: file.digest().clone(),
                        size: record.size(),
                        preflight,
                    }
                })
            }
        };
        Ok(Inspection {
            reference: pinned.pin().clone(),
            manifest: selection.manifest().digest().clone(),
            platform: selection.platform().cloned(),
            kind_hint: selection.kind_hint(),
            file: selection.file().to_string(),
            layers: selection.layers().to_vec(),
            annotations: selection.annotations().clone(),
            trace: selection.trace().to_vec(),
            content,
        })
    }
}

/// Reads the kind that the extraction found. A damaged record was no hit.
fn kind_of(recorded: &str) -> PluginKind {
    match recorded {
        "native" => PluginKind::Native,
        _ => PluginKind::Wasm,
    }
}

fn verdict<S: Serializer>(
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
