//! Export: plugins with all of their images and signatures, for sites without a network.

use std::path::Path;

use qmt_cache::maintenance::TransferReport;
use qmt_oci_ref::manifest::{Document, ManifestLimits};
use qmt_oci_ref::{Registry as _, RegistryError, RegistryErrorKind};
use qmt_registry::limits;

use crate::error::Error;
use crate::host::PluginHost;
use crate::stage::cache::Cached;
use crate::target::Target;

impl PluginHost {
    /// Verifies `targets` and writes their images with the signatures into the OCI image layout
    /// `layout`: a tar archive if its name ends in `.tar`, else a new folder. Of an index, the image
    /// for this host is exported. Local files and URLs are not images and are left out.
    /// [`FsCache::import`](qmt_cache::FsCache::import) puts a layout into another cache.
    ///
    /// What the cache lacks of an image is fetched, each blob as a whole in memory.
    ///
    /// # Errors
    ///
    /// As [`Self::fetch_target`], and [`Error::Cache`] if the layout exists or can't be written.
    pub async fn export(&self, targets: &[Target], layout: &Path) -> Result<TransferReport, Error> {
        let mut roots = Vec::new();
        for target in targets {
            let artifact = self.fetch_target(target).await?;
            if let Some(image) = &artifact.image {
                let completed = self.complete(target, image).await?;
                completed.map_err(|source| Error::Registry {
                    plugin: target.name().to_owned(),
                    reference: image.pin().to_string(),
                    doing: "exporting",
                    source,
                })?;
                roots.push(image.pin().digest().clone());
            }
        }
        let exported = self.cache.export(roots, layout).await;
        exported.map_err(|source| Error::Cache {
            plugin: None,
            source,
        })
    }

    /// Fetches what the cache lacks of a verified image: its config, and layers that were unpacked
    /// while they arrived.
    async fn complete(
        &self,
        target: &Target,
        image: &Cached,
    ) -> Result<Result<(), RegistryError>, Error> {
        let (context, request) = self.prepare(target)?;
        let registry = context.registry.storing();
        let pin = request.reference.with_digest(image.manifest().clone());
        Ok(async {
            let manifest = registry.manifest(&pin, limits::MANIFEST_MAX).await?;
            let limits = ManifestLimits::default();
            let document = Document::read(manifest.media_type(), manifest.bytes(), &limits);
            let malformed = |error| RegistryError::new(RegistryErrorKind::Content, error);
            if let Document::Manifest(manifest) = document.map_err(malformed)? {
                for blob in manifest.layers().iter().chain([manifest.config()]) {
                    registry.pull_blob(pin.repository(), blob).await?;
                }
            }
            Ok(())
        }
        .await)
    }
}
