//! [`CachedRegistry`]: manifests and configs are read from the cache before the registry is asked.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_cache::{Cache, CacheError};
use qmt_oci_ref::{
    BlobStream, Descriptor, Digester, PinnedReference, RawManifest, Reference, Registry,
    RegistryError, RegistryErrorKind, Repository,
};

/// A registry whose manifests and small blobs are read from the cache where it has them.
///
/// Only [`CachedRegistry::storing`] writes, because nothing may get into the cache before its root
/// was verified. Tags and referrers are never cached: they can change.
#[derive(Clone)]
pub(crate) struct CachedRegistry {
    registry: Arc<dyn Registry>,
    cache: Arc<dyn Cache>,
    stores: bool,
}

impl CachedRegistry {
    /// Puts `cache` in front of `registry`.
    pub(crate) fn new(registry: Arc<dyn Registry>, cache: Arc<dyn Cache>) -> Self {
        Self {
            registry,
            cache,
            stores: false,
        }
    }

    /// Returns the same registry, which also writes to the cache what it had to request.
    pub(crate) fn storing(&self) -> Self {
        Self {
            stores: true,
            ..self.clone()
        }
    }

    async fn store(&self, content: &Descriptor, bytes: &Bytes) -> Result<(), RegistryError> {
        if self.stores {
            let put = self.cache.put_bytes(content, bytes.clone()).await;
            put.map_err(storage)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Registry for CachedRegistry {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.registry.resolve(reference).await
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        let cached = self.cache.bytes(pin.digest(), limit).await;
        if let Some(bytes) = cached.map_err(storage)? {
            let read = RawManifest::read(bytes, None, pin.digest().algorithm());
            return read.map_err(|error| RegistryError::new(RegistryErrorKind::Content, error));
        }
        let manifest = self.registry.manifest(pin, limit).await?;
        self.store(&manifest.descriptor(), manifest.bytes()).await?;
        Ok(manifest)
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        resume_from: Digester,
    ) -> Result<BlobStream, RegistryError> {
        self.registry.blob(from, blob, resume_from).await
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, RegistryError> {
        self.registry.referrers(subject).await
    }

    async fn pull_blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
    ) -> Result<Bytes, RegistryError> {
        let cached = self.cache.bytes(blob.digest(), blob.size()).await;
        if let Some(bytes) = cached.map_err(storage)? {
            return Ok(bytes);
        }
        let bytes = self.registry.pull_blob(from, blob).await?;
        self.store(blob, &bytes).await?;
        Ok(bytes)
    }
}

fn storage(error: CacheError) -> RegistryError {
    RegistryError::new(RegistryErrorKind::Storage, error)
}
