//! What `fetch` returns: a verified plugin in the cache, and what is known about it.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use qmt_loader::Artifact;
use qmt_oci_ref::{Digest, PinnedReference, PluginKind};
use qmt_verify::{SignerId, Verification};
use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::stage::cache::Cached;
use crate::stage::content::Content;

/// What a loader holds ready.
pub(crate) type Prepared = Arc<dyn Any + Send + Sync>;

/// A plugin that was fetched and verified, and not loaded.
///
/// A host that loads plugins itself should load [`PluginArtifact::bytes`], because these bytes were
/// hashed. The file at [`PluginArtifact::path`] was hashed too, but can change afterwards.
#[derive(Clone, Debug)]
pub struct PluginArtifact {
    pub(crate) name: String,
    pub(crate) kind: PluginKind,
    pub(crate) path: PathBuf,
    pub(crate) content: Content,
    pub(crate) image: Option<Cached>,
    /// What the loader holds ready for it.
    pub(crate) prepared: Option<Prepared>,
}

impl PluginArtifact {
    /// Returns the provider's name, or the reference where the config does not name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kind of plugin, identified by its content.
    pub fn kind(&self) -> PluginKind {
        self.kind
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the digest of the file.
    pub fn digest(&self) -> &Digest {
        self.content.digest()
    }

    /// Reads the content of the file and checks that it has the digest
    /// [`PluginArtifact::digest`]. Every call reads the file again.
    ///
    /// Blocks the thread; takes as much memory as the file has bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Cache`] if the file can't be read or was changed; fetching it again repairs that.
    pub fn bytes(&self) -> Result<Bytes, Error> {
        let bytes = self.content.bytes();
        bytes.map_err(|source| Error::cache(&self.name, source))
    }

    /// Returns it as a loader takes it, with the bytes of [`PluginArtifact::bytes`]. The options
    /// that go with it are those of [`PluginHost::load_options`](crate::PluginHost::load_options).
    ///
    /// # Errors
    ///
    /// As [`PluginArtifact::bytes`].
    pub fn to_loader_artifact(&self) -> Result<Artifact, Error> {
        self.content.artifact(self.kind, &self.name)
    }

    /// Returns the image that it was extracted from; a local file has none.
    pub fn reference(&self) -> Option<&PinnedReference> {
        self.image.as_ref().map(Cached::pin)
    }

    /// Returns what was verified about the signature; a local file has none.
    pub fn verification(&self) -> Option<&Verification> {
        self.image.as_ref().map(Cached::verification)
    }

    /// Reports whether the cache had it before this call.
    pub fn is_from_cache(&self) -> bool {
        self.image.as_ref().is_some_and(Cached::is_hit)
    }

    /// Returns a summary as data.
    pub fn summary(&self) -> ArtifactSummary {
        let verification = self.verification();
        ArtifactSummary {
            name: self.name.clone(),
            kind: self.kind,
            path: self.path.clone(),
            file_digest: self.digest().clone(),
            size: self.content.size(),
            reference: self.reference().cloned(),
            manifest: self.image.as_ref().map(|image| image.manifest().clone()),
            signer: verification.and_then(Verification::signer).cloned(),
            from_cache: self.is_from_cache(),
        }
    }
}

/// A summary of a [`PluginArtifact`], as data.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ArtifactSummary {
    /// The provider's name, or the reference.
    pub name: String,
    /// The kind of plugin.
    pub kind: PluginKind,
    /// The path of the file. As data, characters that are not UTF-8 are replaced.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The digest of the file.
    pub file_digest: Digest,
    /// The size of the file in bytes.
    pub size: u64,
    /// The image, with the digest that was resolved and verified.
    pub reference: Option<PinnedReference>,
    /// The manifest that was selected.
    pub manifest: Option<Digest>,
    /// The signer; `None` if the signature was not verified.
    pub signer: Option<SignerId>,
    /// Whether the cache had it before.
    pub from_cache: bool,
}

/// Writes a path as text, whatever its bytes are.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
