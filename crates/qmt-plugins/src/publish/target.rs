//! Where an image is pushed to: a registry or a layout.

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "sigstore")]
use qmt_oci_ref::Digest;
use qmt_oci_ref::{Descriptor, PinnedReference, RawManifest, Reference, RegistryError, Tag};
use qmt_registry::{BlobContent, RegistryWriter};

use crate::error::Error;
use crate::host::PluginHost;
use crate::source::PluginSource;

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

    pub(super) async fn push_by_digest(
        &self,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, Error> {
        let repository = self.reference.repository().clone();
        let name = Reference::new(repository, None, Some(manifest.digest().clone()));
        self.push(&name, manifest).await
    }

    pub(super) async fn push_tagged(
        &self,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, Error> {
        self.push(&self.reference, manifest).await
    }

    async fn push(
        &self,
        name: &Reference,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, Error> {
        let pushed = self.writer.push_manifest(name, manifest).await;
        pushed.map_err(|source| self.failed("pushing a manifest to", source))
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
        match destination {
            PluginSource::Layout { path, tag, .. } => {
                layout_writer(destination, path, tag.as_ref())
            }
            PluginSource::Registry(reference) => self.http_writer(destination, reference),
            PluginSource::File(_) | PluginSource::Url { .. } => Err(unsupported(
                destination,
                "publishing to anything but `oci://…` and `oci-layout://…`",
            )),
        }
    }

    #[cfg(feature = "http")]
    fn http_writer(
        &self,
        destination: &PluginSource,
        reference: &Reference,
    ) -> Result<(Arc<dyn RegistryWriter>, Reference), Error> {
        let client = self
            .http_client()
            .map_err(|source| opening(destination, source))?;
        Ok((Arc::new(client), reference.clone()))
    }

    #[cfg(not(feature = "http"))]
    fn http_writer(
        &self,
        destination: &PluginSource,
        _: &Reference,
    ) -> Result<(Arc<dyn RegistryWriter>, Reference), Error> {
        Err(unsupported(destination, Error::NO_HTTP))
    }
}

#[cfg(feature = "layout")]
fn layout_writer(
    destination: &PluginSource,
    path: &Path,
    tag: Option<&Tag>,
) -> Result<(Arc<dyn RegistryWriter>, Reference), Error> {
    let path = crate::config::path::expand(path).map_err(|rule| {
        let source = crate::source::SourceError::Path(rule);
        Error::source(&destination.to_string(), source)
    })?;
    let layout =
        qmt_registry::OciLayout::create(&path).map_err(|source| opening(destination, source))?;
    let reference = layout.reference(tag, None);
    Ok((Arc::new(layout), reference))
}

#[cfg(not(feature = "layout"))]
fn layout_writer(
    destination: &PluginSource,
    _: &Path,
    _: Option<&Tag>,
) -> Result<(Arc<dyn RegistryWriter>, Reference), Error> {
    Err(unsupported(destination, Error::NO_LAYOUT))
}

#[cfg(any(feature = "http", feature = "layout"))]
fn opening(destination: &PluginSource, source: RegistryError) -> Error {
    Error::registry(destination, destination, "opening", source)
}

fn unsupported(destination: &PluginSource, what: &'static str) -> Error {
    Error::unsupported(&destination.to_string(), what)
}
