//! Export: plugins with all of their images and signatures, for sites without a network.

use std::path::Path;

use qmt_artifact::problem::Limit;
use qmt_artifact::{ArtifactError, ExtractLimits, HostPlatform};
use qmt_cache::CacheError;
use qmt_cache::maintenance::TransferReport;
use qmt_oci_ref::manifest::{Document, ManifestLimits};
use qmt_oci_ref::{Digest, PinnedReference, Registry};
use qmt_registry::limits;
use qmt_storage::LayoutExport;

use crate::error::Error;
use crate::host::PluginHost;
use crate::pipeline;
use crate::source::PluginSource;
use crate::target::Target;

impl PluginHost {
    /// Verifies `targets` and writes their images with the signatures into the OCI image layout
    /// `layout`: a tar archive if its name ends in `.tar`, else a new folder. Of an index, the images
    /// for `platforms` are exported; without any, the one for this host. Local files and URLs are not
    /// images and are left out.
    /// [`FsCache::import`](qmt_cache::FsCache::import) puts a layout into another cache.
    ///
    /// What the cache lacks of an image is fetched, each blob as a whole in memory. None may be larger
    /// than a layer, which `max_artifact_size` limits.
    ///
    /// # Errors
    ///
    /// As [`Self::fetch_target`], [`Error::Artifact`] if nothing in an image is for a platform, or if a
    /// blob is too large or can't be fetched, and [`Error::Cache`] if the folder exists or can't be
    /// written.
    pub async fn export(
        &self,
        targets: &[Target],
        platforms: &[HostPlatform],
        layout: &Path,
    ) -> Result<TransferReport, Error> {
        // What can't be written is found before anything is fetched.
        drop(LayoutExport::create(layout).map_err(CacheError::from)?);
        let own = std::slice::from_ref(&self.platform);
        let platforms = if platforms.is_empty() { own } else { platforms };
        let mut roots = Vec::new();
        for target in targets.iter().filter(|target| target.source().is_image()) {
            let mut root = None;
            for platform in platforms {
                root = Some(self.store(target, platform).await?);
            }
            // The cache knows no tag of an image that was locked before.
            let name = match target.source() {
                PluginSource::Registry(reference) if reference.digest().is_none() => {
                    Some(reference.clone())
                }
                _ => None,
            };
            roots.extend(root.map(|root| (root, name)));
        }
        Ok(self.cache.export(roots, layout).await?)
    }

    /// Verifies the image of `target` and brings into the cache what it has for `platform`. Returns the
    /// digest of the image.
    async fn store(&self, target: &Target, platform: &HostPlatform) -> Result<Digest, Error> {
        if *platform == self.platform {
            // As a load: the lockfile is written, and the config must allow the plugin.
            self.fetch_target(target).await?;
        }
        let mut context = self.prepare_verified(target).await?;
        context.host = platform.clone();
        let image = pipeline::run(&context).await?;
        let manifest = context
            .request
            .reference
            .with_digest(image.manifest().clone());
        let registry = context.registry.storing();
        let completed = complete(&registry, &manifest, &context.limits).await;
        completed.map_err(|source| Error::Artifact {
            plugin: target.name().to_owned(),
            reference: image.pin().to_string(),
            source,
        })?;
        Ok(image.pin().digest().clone())
    }
}

/// Fetches what the cache lacks of a verified image: its config, and layers that were unpacked while
/// they arrived or hold no plugin. `registry` writes to the cache what it fetches.
async fn complete(
    registry: &dyn Registry,
    image: &PinnedReference,
    allowed: &ExtractLimits,
) -> Result<(), ArtifactError> {
    let failed = |what, digest: &Digest| {
        let digest = digest.clone();
        move |source| ArtifactError::Registry {
            what,
            digest,
            platform: None,
            source,
        }
    };
    let manifest = registry.manifest(image, limits::MANIFEST_MAX).await;
    let manifest = manifest.map_err(failed("manifest", image.digest()))?;
    let bounds = ManifestLimits::default();
    let document = Document::read(manifest.media_type(), manifest.bytes(), &bounds);
    let document = document.map_err(|source| ArtifactError::Manifest {
        digest: image.digest().clone(),
        source,
    })?;
    let Document::Manifest(manifest) = document else {
        return Ok(());
    };
    for blob in manifest.layers().iter().chain([manifest.config()]) {
        let (limit, found) = (allowed.largest_layer(), blob.size());
        if found > limit {
            let what = Limit::ArchiveBytes;
            return Err(ArtifactError::LimitExceeded { what, limit, found });
        }
        let pulled = registry.pull_blob(image.repository(), blob).await;
        pulled.map_err(failed("blob", blob.digest()))?;
    }
    Ok(())
}
