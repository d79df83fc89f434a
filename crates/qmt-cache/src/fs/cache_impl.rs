//! [`Cache`] for the folder: each call does its disk work on a thread that may block.

use std::io::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, PluginKind, Reference};

use super::lock::{Try, Waiter};
use super::store::Store;
use super::{FsCache, Staging, blobs, evidence, refs};
use crate::{Begin, Cache, CacheError, CachedArtifact, Record};

impl FsCache {
    /// Runs blocking work off the async threads.
    pub(crate) async fn blocking<T, F>(&self, work: F) -> Result<T, CacheError>
    where
        T: Send + 'static,
        F: FnOnce(&Arc<Store>) -> Result<T, CacheError> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        let root = store.paths.root().to_owned();
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or_else(|stopped| {
                // The runtime is shutting down, or the work panicked.
                Err(CacheError::io("finish work in", &root)(
                    std::io::Error::other(stopped),
                ))
            })
    }

    /// Stores `content` as the artifact of `manifest`, under the plain file name `file_name`, unless
    /// there is one already, and opens it. Only one caller at a time does so, over all processes.
    ///
    /// # Errors
    /// Those of [`Cache::begin`] and [`Staging::commit`].
    pub async fn store(
        &self,
        manifest: &Digest,
        kind: PluginKind,
        file_name: &str,
        content: &[u8],
    ) -> Result<CachedArtifact, CacheError> {
        let mut staging = match self.begin(manifest).await? {
            Begin::Hit(hit) => return Ok(hit),
            Begin::Fill(staging) => staging,
        };
        let (digest, size) = (Digest::sha256(content), content.len() as u64);
        let root = manifest.clone();
        let record = Record::new(manifest.clone(), root, kind, file_name, digest, size);
        let content = Bytes::copy_from_slice(content);
        self.blocking(move |store| {
            let written = staging.write_all(&content);
            written.map_err(CacheError::written(store.paths.root()))?;
            staging.commit(record)
        })
        .await
    }
}

#[async_trait]
impl Cache for FsCache {
    async fn lookup(&self, manifest: &Digest) -> Result<Option<CachedArtifact>, CacheError> {
        let manifest = manifest.clone();
        self.blocking(move |store| store.lookup(&manifest)).await
    }

    async fn begin(&self, manifest: &Digest) -> Result<Begin, CacheError> {
        let path = self.store.paths.lock(manifest);
        let mut waiter = Waiter::new(&self.store, &path);
        loop {
            // Also between tries: many waiters need not queue for the lock.
            if let Some(hit) = self.lookup(manifest).await? {
                return Ok(Begin::Hit(hit));
            }
            let lock = match waiter.attempt()? {
                Try::Held(lock) => lock,
                Try::Wait(pause) => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            let manifest = manifest.clone();
            let begin = self.blocking(move |store| match store.lookup(&manifest)? {
                Some(hit) => Ok(Begin::Hit(hit)),
                None => Staging::new(Arc::clone(store), &manifest, lock).map(Begin::Fill),
            });
            return begin.await;
        }
    }

    async fn put_bytes(&self, blob: &Descriptor, bytes: Bytes) -> Result<(), CacheError> {
        let blob = blob.clone();
        self.blocking(move |store| blobs::put(store, &blob, &bytes))
            .await
    }

    async fn bytes(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, CacheError> {
        let digest = digest.clone();
        self.blocking(move |store| blobs::get(store, &digest, limit))
            .await
    }

    async fn set_ref(
        &self,
        reference: &Reference,
        digest: &Digest,
        now: SystemTime,
    ) -> Result<(), CacheError> {
        let (reference, digest) = (reference.clone(), digest.clone());
        self.blocking(move |store| refs::set(store, &reference, &digest, now))
            .await
    }

    async fn ref_(
        &self,
        reference: &Reference,
    ) -> Result<Option<(Digest, SystemTime)>, CacheError> {
        let reference = reference.clone();
        self.blocking(move |store| refs::get(store, &reference))
            .await
    }

    async fn put_evidence(&self, subject: &Digest, evidence: &[u8]) -> Result<(), CacheError> {
        let (subject, evidence) = (subject.clone(), Bytes::copy_from_slice(evidence));
        self.blocking(move |store| evidence::put(store, &subject, &evidence))
            .await
    }

    async fn evidence(&self, subject: &Digest) -> Result<Option<Bytes>, CacheError> {
        let subject = subject.clone();
        self.blocking(move |store| evidence::get(store, &subject))
            .await
    }

    async fn discard(&self, manifest: &Digest) -> Result<(), CacheError> {
        let path = self.store.paths.lock(manifest);
        let lock = Waiter::new(&self.store, &path).acquire().await?;
        let manifest = manifest.clone();
        self.blocking(move |store| {
            let _lock = lock;
            store.remove_entry(&manifest)
        })
        .await
    }
}
