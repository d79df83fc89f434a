//! Publishing: files → image → registry or layout, signed if a key is given.

mod content;
mod preflight;
#[cfg(feature = "sigstore")]
mod sign;
mod target;

use std::path::PathBuf;
#[cfg(feature = "sigstore")]
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qmt_artifact::pack::{PackRequest, PackedImage, pack};
use qmt_artifact::problem::PackProblem;
use qmt_artifact::{ArtifactError, ExtractLimits};
#[cfg(feature = "sigstore")]
use qmt_oci_ref::RawManifest;
use qmt_oci_ref::{Digest, PinnedReference, Platform};
#[cfg(feature = "sigstore")]
use qmt_verify::KeySigner;
use qmt_verify::SignerId;
use serde::Serialize;

use self::content::PackedContent;
use self::target::PUSHING_MANIFEST;
#[cfg(feature = "sigstore")]
use self::target::Target;
use crate::error::Error;
use crate::events::Reporter;
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

    /// Signs the image with a key, in cosign's bundle format, and attaches the signature before the
    /// tag names the image. There is no entry in a transparency log.
    #[cfg(feature = "sigstore")]
    #[must_use]
    pub fn signed_by(mut self, signer: KeySigner) -> Self {
        self.signer = Some(Arc::new(signer));
        self
    }

    /// Sets when the content was made, in seconds since 1970 (`SOURCE_DATE_EPOCH`). Default: 1970,
    /// so that the same files give the same digest. [`PluginHost::publish`] refuses times after the
    /// year 9999.
    #[must_use]
    pub fn created_at(mut self, seconds: u64) -> Self {
        self.created = seconds;
        self
    }

    fn not_packed(&self, source: ArtifactError) -> Error {
        Error::Pack {
            destination: self.destination.to_string(),
            source,
        }
    }
}

/// What was published.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Published {
    /// The reference, with the digest of the image.
    pub reference: PinnedReference,
    /// The destination, as it was given.
    pub destination: String,
    /// The digest of the image, which signatures are for.
    pub digest: Digest,
    /// The digests of its manifests, one for each platform.
    pub manifests: Vec<Digest>,
    /// The size of all its blobs in bytes.
    pub size: u64,
    /// The signature, if the request has a key.
    pub signature: Option<PublishedSignature>,
    /// What hosts will refuse of it, one line each.
    pub warnings: Vec<String>,
}

/// A signature that was attached to what was published.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PublishedSignature {
    /// The digest of the referrer that holds it.
    pub digest: Digest,
    /// The signer: the fingerprint of the key.
    pub signer: SignerId,
}

impl PluginHost {
    /// Packs files into an image and pushes it: blobs first, then manifests, then the signature if
    /// a key is given, the tag last. So the tag never names an image that is incomplete or
    /// unsigned. What the loaders of this build would refuse is reported as a warning.
    ///
    /// # Errors
    ///
    /// [`Error::Pack`] if a file is not what it is given as or the destination has a digest,
    /// [`Error::Load`] if a module is not valid, [`Error::Registry`] if the registry refuses, [`Error::Signing`] if the key can't be used, [`Error::NetworkForbidden`] if the
    /// destination is a registry and the host is offline or frozen.
    pub async fn publish(&self, request: &PublishRequest) -> Result<Published, Error> {
        if let PluginSource::Registry(_) = &request.destination {
            self.require_network(&request.destination, "publishing")?;
        }
        // A digest can't be known before the image is packed.
        if request.destination.is_image() && !request.destination.is_mutable() {
            let reason = PackProblem::Pinned;
            return Err(request.not_packed(ArtifactError::Pack { reason }));
        }
        preflight::check_regular(request)?;
        let limits = self.config().oci.extract_limits();
        let image = packed(request, limits).await?;
        let warnings = self.preflight_files(request).await?;
        let reporter = Reporter::new(request.destination.to_string(), self.events.clone());
        for warning in &warnings {
            reporter.warning(warning);
        }
        let target = self.publish_target(&request.destination)?;
        for blob in &image.blobs {
            let content = PackedContent(blob);
            target.push_blob(&blob.descriptor, &content).await?;
        }
        for manifest in &image.manifests {
            if manifest.digest() != image.root.digest() {
                target.push_by_digest(manifest, PUSHING_MANIFEST).await?;
            }
        }
        #[cfg(feature = "sigstore")]
        let signature = match &request.signer {
            Some(signer) => Some(sign_and_attach(signer, &image.root, &target).await?),
            None => None,
        };
        #[cfg(not(feature = "sigstore"))]
        let signature = None;
        let reference = target.push_tagged(&image.root).await?;
        let manifests = image.manifests.iter();
        let sizes = image.blobs.iter().map(|blob| blob.descriptor.size());
        Ok(Published {
            reference,
            destination: target.shown,
            digest: image.root.digest().clone(),
            manifests: manifests
                .map(|manifest| manifest.digest().clone())
                .collect(),
            size: sizes.fold(0, u64::saturating_add),
            signature,
            warnings,
        })
    }
}

/// Pushes the root by its digest, signs it and pushes the signature, which refers to it.
#[cfg(feature = "sigstore")]
async fn sign_and_attach(
    signer: &KeySigner,
    root: &RawManifest,
    target: &Target,
) -> Result<PublishedSignature, Error> {
    let signature = sign::sign(signer, &target.pinned(root.digest()), &root.descriptor());
    let signature = signature.map_err(|source| Error::Signing {
        plugin: target.shown.clone(),
        source,
    })?;
    target.push_by_digest(root, PUSHING_MANIFEST).await?;
    for (blob, content) in &signature.blobs {
        target.push_blob(blob, content).await?;
    }
    let pushed = target.push_by_digest(&signature.manifest, "attaching the signature to");
    let pushed = pushed.await?;
    Ok(PublishedSignature {
        digest: pushed.digest().clone(),
        signer: signer.signer(),
    })
}

async fn packed(request: &PublishRequest, limits: ExtractLimits) -> Result<PackedImage, Error> {
    let created = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(request.created));
    let created = created.ok_or_else(|| {
        let reason = PackProblem::Created;
        request.not_packed(ArtifactError::Pack { reason })
    })?;
    let mut packing = PackRequest::new(created).with_limits(limits);
    if let Some(file) = &request.wasm {
        packing = packing.with_wasm(file);
    }
    for (platform, file) in &request.native {
        packing = packing.with_native(platform.clone(), file);
    }
    for (name, value) in &request.annotations {
        packing = packing.with_annotation(name.clone(), value.clone());
    }
    blocking(&request.destination, move || pack(&packing))
        .await?
        .map_err(|source| request.not_packed(source))
}

/// Runs work that reads and compresses on a thread that may block.
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

    /// A panic of the packer is not reported as a file that can't be read.
    #[tokio::test]
    async fn a_panic_of_the_packer_is_reported_as_such() {
        let destination = PluginSource::parse_reference("ghcr.io/acme/echo:1").unwrap();
        let broken = blocking(&destination, || -> u8 { panic!("on purpose") }).await;
        let error = broken.unwrap_err();
        assert!(matches!(error, Error::Stopped { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "`oci://ghcr.io/acme/echo:1`: packing did not complete"
        );
        assert_eq!(blocking(&destination, || 1).await.unwrap(), 1);
    }
}
