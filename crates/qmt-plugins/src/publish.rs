//! The pipeline backwards: files → image → registry or layout, signed where a key is given.

#[cfg(feature = "sigstore")]
mod sign;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use qmt_artifact::{ArtifactError, ExtractLimits, PackRequest, PackedImage, pack};
use qmt_oci_ref::{Descriptor, Digest, PinnedReference, Platform, Reference, Tag};
use qmt_registry::{BlobContent, RawManifest, RegistryError, RegistryWriter};
#[cfg(feature = "sigstore")]
use qmt_verify::KeySigner;
use qmt_verify::SignerId;
use serde::Serialize;

use crate::adapter::PackedContent;
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
    #[cfg(feature = "sigstore")]
    signer: Option<Arc<KeySigner>>,
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
            #[cfg(feature = "sigstore")]
            signer: None,
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

    /// Names the plugin, by the annotation `org.opencontainers.image.title`.
    #[must_use]
    pub fn with_title(self, title: impl Into<String>) -> Self {
        self.with_annotation("org.opencontainers.image.title", title)
    }

    /// Names its version, by the annotation `org.opencontainers.image.version`.
    #[must_use]
    pub fn with_version(self, version: impl Into<String>) -> Self {
        self.with_annotation("org.opencontainers.image.version", version)
    }

    /// Signs the image with a key, in cosign's bundle format, and attaches the signature to it
    /// before the tag points there. It enters no transparency log.
    #[cfg(feature = "sigstore")]
    #[must_use]
    pub fn signed_by(mut self, signer: KeySigner) -> Self {
        self.signer = Some(Arc::new(signer));
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
    /// The signature, where the request named a key.
    pub signature: Option<PublishedSignature>,
}

/// A signature that was attached to what was published.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PublishedSignature {
    /// The digest of the referrer that holds it.
    pub digest: Digest,
    /// Whose it is: the key's fingerprint.
    pub signer: SignerId,
}

impl PluginHost {
    /// Packs files into an image and pushes it: blobs first, then manifests, then the signature
    /// where a key is given, the tag last. So nobody finds an image under the tag of which a part
    /// or the signature is still to come.
    ///
    /// # Errors
    ///
    /// [`Error::Pack`] where a file is not what it is given as, [`Error::Registry`] where the
    /// registry refuses, [`Error::Source`] where the destination has no tag, [`Error::Signing`]
    /// where the key does not sign.
    pub async fn publish(&self, request: &PublishRequest) -> Result<Published, Error> {
        let shown = request.destination.to_string();
        let limits = self.config().oci.extract_limits();
        let image = packed(request, limits)
            .await
            .map_err(|source| Error::Pack {
                destination: shown.clone(),
                source,
            })?;
        let (writer, reference) = self.writer(&request.destination)?;
        let target = Target {
            writer,
            reference,
            shown,
        };
        for blob in &image.blobs {
            target
                .push_blob(&blob.descriptor, &PackedContent(blob))
                .await?;
        }
        for (descriptor, bytes) in &image.manifests {
            if descriptor.digest() != image.root.digest() {
                target
                    .push_by_digest(&manifest_of(descriptor, bytes))
                    .await?;
            }
        }
        let signature = sign_and_attach(request, &image, &target).await?;
        // The last one is the root, and only it gets the tag.
        let mut pin = None;
        if let Some((descriptor, bytes)) = image.manifests.last() {
            pin = Some(target.push_tagged(&manifest_of(descriptor, bytes)).await?);
        }
        let digest = image.root.digest().clone();
        let manifests = image.manifests.iter();
        Ok(Published {
            reference: pin.unwrap_or_else(|| target.pinned(&digest)),
            destination: target.shown,
            digest,
            manifests: manifests
                .map(|(descriptor, _)| descriptor.digest().clone())
                .collect(),
            size: image
                .blobs
                .iter()
                .fold(0u64, |sum, blob| sum.saturating_add(blob.descriptor.size())),
            signature,
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

/// Where things are pushed to, with the name that errors call it by.
struct Target {
    writer: Arc<dyn RegistryWriter>,
    reference: Reference,
    shown: String,
}

impl Target {
    async fn push_blob(&self, blob: &Descriptor, content: &dyn BlobContent) -> Result<(), Error> {
        let repository = self.reference.repository();
        let pushed = self.writer.push_blob(repository, blob, content, None).await;
        pushed.map_err(|source| self.failed("pushing a blob to", source))
    }

    async fn push_by_digest(&self, manifest: &RawManifest) -> Result<PinnedReference, Error> {
        let repository = self.reference.repository().clone();
        let name = Reference::new(repository, None, Some(manifest.digest().clone()));
        self.push(&name, manifest).await
    }

    async fn push_tagged(&self, manifest: &RawManifest) -> Result<PinnedReference, Error> {
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

    fn pinned(&self, digest: &Digest) -> PinnedReference {
        self.reference.clone().with_digest(digest.clone())
    }

    fn failed(&self, doing: &'static str, source: RegistryError) -> Error {
        Error::Registry {
            plugin: self.shown.clone(),
            reference: self.shown.clone(),
            doing,
            source,
        }
    }
}

fn manifest_of(descriptor: &Descriptor, bytes: &Bytes) -> RawManifest {
    RawManifest::new(descriptor.media_type().clone(), bytes.clone())
}

/// The root goes up by digest first, so that the signature has something to refer to.
#[cfg(feature = "sigstore")]
async fn sign_and_attach(
    request: &PublishRequest,
    image: &PackedImage,
    target: &Target,
) -> Result<Option<PublishedSignature>, Error> {
    let (Some(signer), Some((descriptor, bytes))) = (&request.signer, image.manifests.last())
    else {
        return Ok(None);
    };
    let signing = |source| Error::Signing {
        plugin: target.shown.clone(),
        source,
    };
    let signature =
        sign::sign(signer, &target.pinned(descriptor.digest()), descriptor).map_err(signing)?;
    target
        .push_by_digest(&manifest_of(descriptor, bytes))
        .await?;
    for (blob, content) in &signature.blobs {
        target.push_blob(blob, content).await?;
    }
    let pushed = target.push_by_digest(&signature.manifest).await?;
    Ok(Some(PublishedSignature {
        digest: pushed.digest().clone(),
        signer: signer.signer(),
    }))
}

#[cfg(not(feature = "sigstore"))]
async fn sign_and_attach(
    _: &PublishRequest,
    _: &PackedImage,
    _: &Target,
) -> Result<Option<PublishedSignature>, Error> {
    Ok(None)
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

#[cfg(any(feature = "http", feature = "layout"))]
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

async fn packed(
    request: &PublishRequest,
    limits: ExtractLimits,
) -> Result<PackedImage, ArtifactError> {
    let mut wanted = PackRequest::new(request.created).with_limits(limits);
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
