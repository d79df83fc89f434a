//! Lets `qmt-artifact` read manifests and configs: from the cache, else from the registry.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_artifact::ManifestSource;
use qmt_cache::Cache;
use qmt_oci_ref::{Descriptor, Repository};
use qmt_registry::Registry;

use super::evidence::read_blob;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Manifests and configs of one repository. What came from the registry is remembered, and is
/// written to the cache by the stage that commits: nothing gets there before it is verified.
pub(crate) struct CachedManifests<'a> {
    registry: Option<&'a dyn Registry>,
    cache: &'a dyn Cache,
    repository: &'a Repository,
    fetched: Mutex<Vec<(Descriptor, Bytes)>>,
}

impl<'a> CachedManifests<'a> {
    /// Reads from the cache alone where `registry` is missing.
    pub(crate) fn new(
        registry: Option<&'a dyn Registry>,
        cache: &'a dyn Cache,
        repository: &'a Repository,
    ) -> Self {
        Self {
            registry,
            cache,
            repository,
            fetched: Mutex::default(),
        }
    }

    /// Returns what came from the registry.
    pub(crate) fn into_fetched(self) -> Vec<(Descriptor, Bytes)> {
        self.fetched
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self, what: &Descriptor) -> Result<&'a dyn Registry, BoxError> {
        self.registry.ok_or_else(|| {
            format!(
                "{} is not in the cache, and the network may not be used",
                what.digest()
            )
            .into()
        })
    }

    fn remember(&self, descriptor: &Descriptor, bytes: &Bytes) {
        let entry = (descriptor.clone(), bytes.clone());
        self.fetched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(entry);
    }
}

#[async_trait]
impl ManifestSource for CachedManifests<'_> {
    async fn manifest(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, BoxError> {
        if let Some(bytes) = self.cache.bytes(descriptor.digest(), limit).await? {
            return Ok(bytes);
        }
        let pin =
            qmt_oci_ref::PinnedReference::new(self.repository.clone(), descriptor.digest().clone());
        let manifest = self.registry(descriptor)?.manifest(&pin, limit).await?;
        self.remember(&manifest.descriptor(), manifest.bytes());
        Ok(manifest.bytes().clone())
    }

    async fn config(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, BoxError> {
        if let Some(bytes) = self.cache.bytes(descriptor.digest(), limit).await? {
            return Ok(bytes);
        }
        let bytes = read_blob(
            self.registry(descriptor)?,
            self.repository,
            descriptor,
            limit,
        )
        .await?;
        self.remember(descriptor, &bytes);
        Ok(bytes)
    }
}
