//! What `fetch` hands to a host: a verified plugin on disk, and what is known of it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use qmt_artifact::PluginKind;
use qmt_oci_ref::{Digest, PinnedReference};
use qmt_verify::Verification;
use serde::Serialize;

use crate::error::Error;
use crate::stage::load::Content;

/// A plugin that was fetched and verified, and not loaded.
///
/// A host that loads by itself should load [`PluginArtifact::bytes`]: these are the bytes that were
/// hashed. The file at [`PluginArtifact::path`] was proven, and can change after this was made.
#[derive(Clone, Debug)]
pub struct PluginArtifact {
    pub(crate) name: String,
    pub(crate) kind: PluginKind,
    pub(crate) path: PathBuf,
    pub(crate) content: Content,
    pub(crate) image: Option<ImageFacts>,
}

/// What is known of the image that a plugin came in.
#[derive(Clone, Debug)]
pub(crate) struct ImageFacts {
    pub(crate) pin: PinnedReference,
    pub(crate) manifest: Digest,
    pub(crate) verification: Verification,
    pub(crate) is_hit: bool,
}

impl PluginArtifact {
    /// Returns the provider's name, or the reference where the config does not name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kind of plugin, as its content says.
    pub fn kind(&self) -> PluginKind {
        self.kind
    }

    /// Returns where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the digest of the file.
    pub fn digest(&self) -> &Digest {
        self.content.digest()
    }

    /// Reads the content of the file while hashing it. Every call reads anew, and gives the bytes
    /// that [`PluginArtifact::digest`] names.
    ///
    /// Blocks the thread; takes as much memory as the file has bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Cache`] where the file can't be read or was changed; fetching it again mends that.
    pub fn bytes(&self) -> Result<Bytes, Error> {
        self.content.bytes().map_err(|source| Error::Cache {
            plugin: self.name.clone(),
            source,
        })
    }

    /// Returns the image that it came in; a file of the operator's own has none.
    pub fn reference(&self) -> Option<&PinnedReference> {
        self.image.as_ref().map(|image| &image.pin)
    }

    /// Returns what was proven about the signature; a file of the operator's own has none.
    pub fn verification(&self) -> Option<&Verification> {
        self.image.as_ref().map(|image| &image.verification)
    }

    /// Reports whether the cache had it already.
    pub fn is_from_cache(&self) -> bool {
        self.image.as_ref().is_some_and(|image| image.is_hit)
    }

    /// Returns the facts as data for machines.
    pub fn summary(&self) -> ArtifactSummary {
        let image = self.image.as_ref();
        let signer = image
            .and_then(|image| image.verification.signer())
            .map(ToString::to_string);
        ArtifactSummary {
            name: self.name.clone(),
            kind: self.kind,
            path: self.path.clone(),
            file_digest: self.digest().clone(),
            size: self.content.size(),
            reference: image.map(|image| image.pin.clone()),
            manifest: image.map(|image| image.manifest.clone()),
            signer,
            from_cache: self.is_from_cache(),
        }
    }
}

/// The facts of a [`PluginArtifact`], as data.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ArtifactSummary {
    /// The provider's name, or the reference.
    pub name: String,
    /// The kind of plugin.
    pub kind: PluginKind,
    /// Where the file lies.
    pub path: PathBuf,
    /// The digest of the file.
    pub file_digest: Digest,
    /// The size of the file in bytes.
    pub size: u64,
    /// The image, with the digest that was resolved and verified.
    pub reference: Option<PinnedReference>,
    /// The manifest that was selected.
    pub manifest: Option<Digest>,
    /// Who signed it; missing where nobody was asked.
    pub signer: Option<String>,
    /// Whether the cache had it already.
    pub from_cache: bool,
}
