//! The pipeline backwards: files → image → registry or layout.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qmt_artifact::{ArtifactError, PackRequest, PackedImage, pack};
use qmt_oci_ref::{Digest, PinnedReference, Platform, Reference, Tag};
use qmt_registry::{RawManifest, RegistryError, RegistryWriter};
use serde::Serialize;

use crate::error::Error;
use crate::host::PluginHost;
use crate::source::PluginSource;

/// What to publish, and where.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    destination: PluginSource,
    wasm: Option<PathBuf>,
    native: Vec<(Platform, PathBuf)>,
    annotations: Vec<(String, String)>,
    created: SystemTime,
}

impl PublishRequest {
    /// Publishes to `destination`: a tag in a registry or in an OCI layout.
    pub fn new(destination: PluginSource) -> Self {
        Self {
            destination,
            wasm: None,
            native: Vec::new(),
            annotations: Vec::new(),
            created: SystemTime::UNIX_EPOCH,
        }
    }

    /// Adds the Wasm module.
    #[must_use]
    pub fn with_wasm(mut self, file: impl Into<PathBuf>) -> Self {
        self.wasm = Some(file.into());
        self
    }

    /// Adds a shared library for a platform.
    #[must_use]
    pub fn with_native(mut self, platform: Platform, file: impl Into<PathBuf>) -> Self {
        self.native.push((platform, file.into()));
        self
    }

    /// Adds an annotation of the image.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.push((name.into(), value.into()));
        self
    }

    /// Says when the content was made: `SOURCE_DATE_EPOCH` in seconds. Unset means 1970, so that
    /// the same files make the same digest.
    #[must_use]
    pub fn created_at(mut self, seconds: u64) -> Self {
        self.created = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        self
    }
}

/// What was published.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Published {
    /// The name, with the digest that stands for the image.
    pub reference: PinnedReference,
    /// Where it was published to, as it was written.
    pub destination: String,
    /// The digest of the image: what to sign.
    pub digest: Digest,
    /// The manifests that it holds, one for each platform.
    pub manifests: Vec<Digest>,
    /// The size of all its blobs in bytes.
    pub size: u64,
}

impl PluginHost {
    /// Packs files into an image and pushes it: blobs first, the tag last.
    ///
    /// # Errors
    ///
    /// [`Error::Artifact`] where a file is not what it is given as, [`Error::Registry`] where the
    /// registry refuses, [`Error::Source`] where the destination has no tag.
    pub async fn publish(&self, request: &PublishRequest) -> Result<Published, Error> {
        let shown = request.destination.to_string();
        let image = packed(request).await.map_err(|source| Error::Artifact {
            plugin: shown.clone(),
            reference: shown.clone(),
            source,
        })?;
        let failed = |doing| {
            let shown = shown.clone();
            move |source: RegistryError| Error::Registry {
                plugin: shown.clone(),
                reference: shown,
                doing,
                source,
            }
        };
        let (registry, reference) = self.writer(&request.destination)?;
        for blob in &image.blobs {
            let pushed = registry.push_blob(
                reference.repository(),
                &blob.descriptor,
                &blob.content,
                None,
            );
            pushed.await.map_err(failed("pushing a blob to"))?;
        }
        let mut manifests = Vec::new();
        let mut pin = None;
        for (descriptor, bytes) in &image.manifests {
            let manifest = RawManifest::new(descriptor.media_type().clone(), bytes.clone());
            // The last one is the root, and only it gets the tag.
            let name = if descriptor.digest() == image.root.digest() {
                reference.clone()
            } else {
                Reference::new(
                    reference.repository().clone(),
                    None,
                    Some(descriptor.digest().clone()),
                )
            };
            let pushed = registry.push_manifest(&name, &manifest).await;
            pin = Some(pushed.map_err(failed("pushing a manifest to"))?);
            manifests.push(descriptor.digest().clone());
        }
        let digest = image.root.digest().clone();
        let reference = pin.unwrap_or_else(|| reference.with_digest(digest.clone()));
        let size = image
            .blobs
            .iter()
            .fold(0u64, |sum, blob| sum.saturating_add(blob.descriptor.size()));
        Ok(Published {
            reference,
            destination: shown,
            digest,
            manifests,
            size,
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
        Err(unsupported(
            destination,
            "registries over HTTP (feature `http`)",
        ))
    }
}

#[cfg(feature = "layout")]
fn layout_writer(
    destination: &PluginSource,
    path: &Path,
    tag: Option<&Tag>,
) -> Result<(Arc<dyn RegistryWriter>, Reference), Error> {
    let layout =
        qmt_registry::OciLayout::create(path).map_err(|source| opening(destination, source))?;
    let reference = layout.reference(tag, None);
    Ok((Arc::new(layout), reference))
}

#[cfg(not(feature = "layout"))]
fn layout_writer(
    destination: &PluginSource,
    _: &Path,
    _: Option<&Tag>,
) -> Result<(Arc<dyn RegistryWriter>, Reference), Error> {
    Err(unsupported(destination, "OCI layouts (feature `layout`)"))
}

fn opening(destination: &PluginSource, source: RegistryError) -> Error {
    let (plugin, reference) = (destination.to_string(), destination.to_string());
    Error::Registry {
        plugin,
        reference,
        doing: "opening",
        source,
    }
}

fn unsupported(destination: &PluginSource, what: &'static str) -> Error {
    Error::Unsupported {
        plugin: destination.to_string(),
        what,
    }
}

async fn packed(request: &PublishRequest) -> Result<PackedImage, ArtifactError> {
    let mut wanted = PackRequest::new(request.created);
    if let Some(file) = &request.wasm {
        wanted = wanted.with_wasm(file);
    }
    for (platform, file) in &request.native {
        wanted = wanted.with_native(platform.clone(), file);
    }
    for (name, value) in &request.annotations {
        wanted = wanted.with_annotation(name.clone(), value.clone());
    }
    // Reading and compressing block the thread.
    let packing = tokio::task::spawn_blocking(move || pack(&wanted));
    packing.await.unwrap_or_else(|cause| {
        Err(ArtifactError::ReadFile {
            path: PathBuf::new(),
            source: cause.into(),
        })
    })
}
