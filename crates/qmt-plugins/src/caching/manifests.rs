//! [`CachedRegistry`]: manifests and configs are read from the cache before the registry is asked.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use qmt_cache::{Cache, CacheError};
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, PinnedReference, RawManifest, Reference, Registry,
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

    /// Reads a blob of at most `limit` bytes from the cache; a larger one counts as missing.
    async fn cached(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, RegistryError> {
        match self.cache.bytes(digest, limit).await {
            Err(CacheError::TooLarge { .. }) => Ok(None),
            cached => cached.map_err(storage),
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

    async fn resolve_all(&self, reference: &Reference) -> Vec<Result<RawManifest, RegistryError>> {
        self.registry.resolve_all(reference).await
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        // A cached blob that is not a manifest counts as missing: the registry answers for it.
        if let Some(bytes) = self.cached(pin.digest(), limit).await?
            && let Ok(manifest) = RawManifest::read(bytes, None, pin.digest().algorithm())
        {
            return Ok(manifest);
        }
        let manifest = self.registry.manifest(pin, limit).await?;
        // Another manifest than the requested one is refused by the caller, and not stored.
        if manifest.digest() == pin.digest() {
            self.store(&manifest.descriptor(), manifest.bytes()).await?;
        }
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

    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        self.registry.referrers(subject).await
    }

    async fn pull_blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
    ) -> Result<Bytes, RegistryError> {
        if let Some(bytes) = self.cached(blob.digest(), blob.size()).await? {
            return Ok(bytes);
        }
        let bytes = self.registry.pull_blob(from, blob).await?;
        self.store(blob, &bytes).await?;
        Ok(bytes)
    }

    async fn until(&self, end: Instant, reads: BoxFuture<'_, ()>) {
        self.registry.until(end, reads).await;
    }
}

fn storage(error: CacheError) -> RegistryError {
    RegistryError::new(RegistryErrorKind::Storage, error)
}
