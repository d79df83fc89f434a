//! What an image contains and what would be extracted from it, without loading anything.

mod platforms;
mod versions;

use std::collections::BTreeMap;

use qmt_cache::{Cache as _, CachedArtifact};
use qmt_loader::{Artifact, LoadOptions, Preflight};
use qmt_oci_ref::manifest::platform_json;
use qmt_oci_ref::{Descriptor, Digest, PinnedReference, Platform, PluginKind, text};
use serde::{Serialize, Serializer};

pub use self::platforms::{Offer, Offers};
pub use self::versions::{DigestOrigin, VersionReport, Versions};
pub use crate::artifact::ArtifactSummary;
use crate::error::Error;
use crate::host::PluginHost;
pub use crate::import::{ImportReport, ImportedPlugin, KeptTag, MissingPlatform};
use crate::local;
use crate::pipeline::{self, Preview};
use crate::source::PluginSource;
use crate::stage::content::Content as LoadedContent;
use crate::target::Target;

/// What an image or a file contains. Its signature is not verified: [`PluginHost::verify`] does
/// that.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The image, with its digest; a file has none.
    pub reference: Option<PinnedReference>,
    /// Why there is no signature to verify, if it is a file.
    pub unsigned: Option<&'static str>,
    /// The manifest that was selected for this host; a file has none.
    pub manifest: Option<Digest>,
    /// The platform of that manifest, if the image names one.
    #[serde(serialize_with = "platform_json::serialize")]
    pub platform: Option<Platform>,
    /// The kind of plugin that the image declares; in the end, the content decides. For a file,
    /// the kind of its content.
    pub kind_hint: Option<PluginKind>,
    /// How the plugin's file is found in the layers, or the path or URL of the file.
    pub file: String,
    /// The layers that would be fetched.
    pub layers: Vec<Descriptor>,
    /// The annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Why this manifest was selected, one sentence per step.
    pub trace: Vec<String>,
    /// What is known about the plugin's file, unless it would have to be fetched from an image.
    pub content: Option<Content>,
}

/// A plugin's file, in the cache or on its own.
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

/// The trust root, the policies, and the risks of both.
#[cfg(feature = "sigstore")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustSummary {
    /// The trust root; `None` if the images are verified without one, so that none was read.
    pub root: Option<qmt_verify::trust::TrustRootInfo>,
    /// The policies, the most specific scope first.
    pub policies: Vec<qmt_verify::report::PolicyReport>,
    /// The risks, one line each.
    pub warnings: Vec<String>,
}

impl PluginHost {
    /// Reads the manifests of what `target` names, and the plugin's file if the cache has it or if
    /// `target` is the file itself.
    ///
    /// # Errors
    ///
    /// [`Error::Registry`], or [`Error::Artifact`] if nothing in the image is for this host. For
    /// files those of [`PluginHost::fetch`].
    pub async fn inspect(&self, target: &Target) -> Result<Inspection, Error> {
        match target.located(self.file.folder()) {
            PluginSource::Registry(_) | PluginSource::Layout { .. } => {
                let context = self.prepare(target)?;
                let (reference, _, preview) = pipeline::preview(&context).await?;
                self.inspect_selection(target, reference, preview?).await
            }
            PluginSource::File(path) => {
                let read = local::read(self, target.provider(), &path).await?;
                let file = path.display().to_string();
                self.inspect_file(target, read.kind, &read.content, file)
            }
            PluginSource::Url { url, sha256 } => {
                let bytes = self.download(target, &url, &sha256).await?;
                let content = LoadedContent::hash(bytes);
                let (kind, file) = Self::kind_of_url(target, &content)?;
                self.inspect_file(target, kind, &content, file.display().to_string())
            }
        }
    }

    async fn inspect_selection(
        &self,
        target: &Target,
        reference: PinnedReference,
        (selection, key): Preview,
    ) -> Result<Inspection, Error> {
        let found = self.cache.lookup(&key).await;
        let found = found.map_err(|source| Error::cache(target.name(), source))?;
        let content = match found {
            Some(artifact) => self.inspect_cached(target, artifact).await,
            None => None,
        };
        Ok(Inspection {
            reference: Some(reference),
            unsigned: None,
            manifest: Some(selection.manifest().digest().clone()),
            platform: selection.platform().cloned(),
            kind_hint: selection.kind_hint(),
            file: selection.file().to_string(),
            layers: selection.layers().to_vec(),
            annotations: selection.annotations().clone().into_iter().collect(),
            trace: selection.trace().to_vec(),
            content,
        })
    }

    fn inspect_file(
        &self,
        target: &Target,
        kind: PluginKind,
        content: &LoadedContent,
        file: String,
    ) -> Result<Inspection, Error> {
        let artifact = content.artifact(kind, target.name())?;
        Ok(Inspection {
            reference: None,
            unsigned: target.source().unsigned(),
            manifest: None,
            platform: None,
            kind_hint: Some(kind),
            file,
            layers: Vec::new(),
            annotations: BTreeMap::new(),
            trace: Vec::new(),
            content: Some(self.content(target, &artifact)),
        })
    }

    /// Reads a cached file. A damaged one counts as missing.
    async fn inspect_cached(&self, target: &Target, artifact: CachedArtifact) -> Option<Content> {
        let kind = artifact.record().kind();
        let content = LoadedContent::read(&artifact).await.ok()?;
        let artifact = content.artifact(kind, target.name()).ok()?;
        Some(self.content(target, &artifact))
    }

    fn content(&self, target: &Target, artifact: &Artifact) -> Content {
        Content {
            digest: artifact.digest().clone(),
            size: u64::try_from(artifact.bytes().len()).unwrap_or(u64::MAX),
            preflight: self
                .preflight(artifact, &self.load_options(target))
                .map_err(|error| text::messages(&error).join(": ")),
        }
    }

    /// Runs the loader's checks before loading.
    pub(crate) fn preflight(
        &self,
        artifact: &Artifact,
        options: &LoadOptions,
    ) -> Result<Preflight, Error> {
        let loader = self.loaders.for_kind(artifact.name(), artifact.kind())?;
        let found = loader.preflight_with(artifact, options);
        found.map_err(|source| Error::load(artifact.name(), "loading it", source))
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
