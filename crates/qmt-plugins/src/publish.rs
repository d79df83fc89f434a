//! The pipeline backwards: files → image → registry or layout, signed where a key is given.

#[cfg(feature = "sigstore")]
mod sign;
mod target;

use std::path::PathBuf;
#[cfg(feature = "sigstore")]
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use qmt_artifact::{ArtifactError, ExtractLimits, PackProblem, PackRequest, PackedImage, pack};
use qmt_oci_ref::{Descriptor, Digest, PinnedReference, Platform};
use qmt_registry::RawManifest;
#[cfg(feature = "sigstore")]
use qmt_verify::KeySigner;
use qmt_verify::SignerId;
use serde::Serialize;

use self::target::Target;
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
    created: u64,
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
            created: 0,
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
    /// the same files make the same digest. [`PluginHost::publish`] refuses what lies behind the
    /// year 9999.
    #[must_use]
    pub fn created_at(mut self, seconds: u64) -> Self {
        self.created = seconds;
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
    /// where the key does not sign, [`Error::NetworkForbidden`] where the destination is a registry
    /// and the host is offline or frozen.
    pub async fn publish(&self, request: &PublishRequest) -> Result<Published, Error> {
        if let PluginSource::Registry(_) = &request.destination {
            self.needs_network(&request.destination, "publishing")?;
        }
        let limits = self.config().oci.extract_limits();
        let image = packed(request, limits).await?;
        let target = self.publish_target(&request.destination)?;
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

async fn packed(request: &PublishRequest, limits: ExtractLimits) -> Result<PackedImage, Error> {
    let failed = |source| Error::Pack {
        destination: request.destination.to_string(),
        source,
    };
    let created = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(request.created));
    let created = created.ok_or_else(|| {
        failed(ArtifactError::Pack {
            reason: PackProblem::Created,
        })
    })?;
    let mut wanted = PackRequest::new(created).with_limits(limits);
    if let Some(file) = &request.wasm {
        wanted = wanted.with_wasm(file);
    }
    for (platform, file) in &request.native {
        wanted = wanted.with_native(platform.clone(), file);
    }
    for (name, value) in &request.annotations {
        wanted = wanted.with_annotation(name.clone(), value.clone());
    }
    blocking(&request.destination, move || pack(&wanted))
        .await?
        .map_err(failed)
}

/// Reading and compressing block the thread, so they get one of their own.
async fn blocking<T: Send + 'static>(
    destination: &PluginSource,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| Error::Stopped {
        plugin: destination.to_string(),
        doing: "packing",
        source: cause.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic of the packer is called what it is, and not a file that can't be read.
    #[tokio::test]
    async fn work_that_stops_says_so() {
        let destination = PluginSource::parse_reference("ghcr.io/acme/echo:1").unwrap();
        let broken = blocking(&destination, || -> u8 { panic!("on purpose") }).await;
        let error = broken.unwrap_err();
        assert!(matches!(error, Error::Stopped { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "`oci://ghcr.io/acme/echo:1`: packing stopped before its end"
        );
        assert_eq!(blocking(&destination, || 1).await.unwrap(), 1);
    }
}
