//! Where an image is pushed to: a registry or a layout.

use std::sync::Arc;

#[cfg(feature = "sigstore")]
use qmt_oci_ref::Digest;
use qmt_oci_ref::{Descriptor, PinnedReference, RawManifest, Reference, RegistryError};
use qmt_registry::{BlobContent, RegistryWriter};

use crate::error::Error;
use crate::host::PluginHost;
use crate::source::PluginSource;

/// What is done for each manifest of the image, for errors.
pub(super) const PUSHING_MANIFEST: &str = "pushing a manifest to";

/// Where things are pushed to, with the name that errors call it by.
pub(super) struct Target {
    writer: Arc<dyn RegistryWriter>,
    reference: Reference,
    pub(super) shown: String,
}

impl Target {
    pub(super) async fn push_blob(
        &self,
        blob: &Descriptor,
        content: &dyn BlobContent,
    ) -> Result<(), Error> {
        let repository = self.reference.repository();
        let pushed = self.writer.push_blob(repository, blob, content, None).await;
        pushed.map_err(|source| self.failed("pushing a blob to", source))
    }

    /// Pushes a manifest of the image, or another; `doing` says which, for errors.
    pub(super) async fn push_by_digest(
        &self,
        manifest: &RawManifest,
        doing: &'static str,
    ) -> Result<PinnedReference, Error> {
        let repository = self.reference.repository().clone();
        let name = Reference::new(repository, None, Some(manifest.digest().clone()));
        let pushed = self.writer.push_manifest(&name, manifest).await;
        pushed.map_err(|source| self.failed(doing, source))
    }

    pub(super) async fn push_tagged(
        &self,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, Error> {
        let pushed = self.writer.push_manifest(&self.reference, manifest).await;
        pushed.map_err(|source| self.failed(PUSHING_MANIFEST, source))
    }

    #[cfg(feature = "sigstore")]
    pub(super) fn pinned(&self, digest: &Digest) -> PinnedReference {
        self.reference.clone().with_digest(digest.clone())
    }

    fn failed(&self, doing: &'static str, source: RegistryError) -> Error {
        Error::registry(&self.shown, &self.shown, doing, source)
    }
}

impl PluginHost {
    /// Opens `destination` for writing.
    pub(super) fn publish_target(&self, destination: &PluginSource) -> Result<Target, Error> {
        let (writer, reference) = self.writer(destination)?;
        Ok(Target {
            writer,
            reference,
            shown: destination.to_string(),
        })
    }

    fn writer(
        &self,
        destination: &PluginSource,
    ) -> Result<(Arc<dyn RegistryWriter>, Reference), Error> {
        let shown = destination.to_string();
        #[cfg(any(feature = "http", feature = "layout"))]
        let opening = |source| Error::registry(destination, destination, "opening", source);
        let what = match destination {
            #[cfg(feature = "layout")]
            PluginSource::Layout { path, tag, .. } => {
                let path = crate::config::path::expand(path).map_err(|rule| {
                    let source = crate::source::SourceError::Path(rule);
                    Error::source(&shown, source)
                })?;
                let layout = qmt_registry::OciLayout::create(&path).map_err(opening)?;
                let reference = layout.reference(tag.as_ref(), None);
                return Ok((Arc::new(layout), reference));
            }
            #[cfg(not(feature = "layout"))]
            PluginSource::Layout { .. } => Error::NO_LAYOUT,
            #[cfg(feature = "http")]
            PluginSource::Registry(reference) => {
                let client = self.http_client().map_err(opening)?;
                return Ok((Arc::new(client), reference.clone()));
            }
            #[cfg(not(feature = "http"))]
            PluginSource::Registry(_) => Error::NO_HTTP,
            PluginSource::File(_) | PluginSource::Url { .. } => {
                "publishing to anything but `oci://…` and `oci-layout://…`"
            }
        };
        Err(Error::unsupported(&shown, what))
    }
}
