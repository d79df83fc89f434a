//! [`ResumingLayers`]: layers continue where an earlier download stopped.
//!
//! Each chunk of a layer is verified by the registry's stream, written to the cache's partial blob
//! by a writer thread, and read by the extraction, all at the same time. The bytes of an earlier
//! attempt are streamed from disk first; the digest is verified over the whole layer.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use qmt_cache::{PartialBlob, Staging};
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digester, PinnedReference, RawManifest, Reference, Registry,
    RegistryError, RegistryErrorKind, Repository,
};
use qmt_registry::ClientError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::disk::{blocking, disk_stream};
use crate::events::Reporter;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How many chunks of some hundred KiB may wait for the disk.
const CHUNKS_IN_FLIGHT: usize = 4;

/// A registry whose blobs are also written to a staging area, and continue what is there.
pub(crate) struct ResumingLayers<'a> {
    registry: &'a dyn Registry,
    staging: Arc<Mutex<Staging>>,
    progress: Progress,
    /// Whether a layer was wrong for a reason that another attempt avoids.
    is_tainted: Arc<AtomicBool>,
}

impl<'a> ResumingLayers<'a> {
    /// Streams from `registry` into `staging`. `total` is the size of all layers in bytes.
    pub(crate) fn new(
        registry: &'a dyn Registry,
        staging: Arc<Mutex<Staging>>,
        total: u64,
        reporter: Reporter,
    ) -> Self {
        let progress = Progress {
            done: Arc::default(),
            total,
            reporter,
        };
        Self {
            registry,
            staging,
            progress,
            is_tainted: Arc::default(),
        }
    }

    /// Reports whether another attempt from the first byte makes sense.
    pub(crate) fn is_tainted(&self) -> bool {
        self.is_tainted.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Registry for ResumingLayers<'_> {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.registry.resolve(reference).await
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        self.registry.manifest(pin, limit).await
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        resume_from: Digester,
    ) -> Result<BlobStream, RegistryError> {
        if resume_from.count() > 0 {
            // The caller has a copy of its own to continue.
            return self.registry.blob(from, blob, resume_from).await;
        }
        let (staging, digest) = (Arc::clone(&self.staging), blob.digest().clone());
        let size = blob.size();
        let opened = blocking(move || -> Result<_, BoxError> {
            let staging = staging.lock().unwrap_or_else(PoisonError::into_inner);
            let mut partial = staging.partial(&digest)?;
            if partial.digester().count() > size && !partial.is_complete() {
                partial.restart()?;
            }
            let existing = partial.existing()?;
            Ok((partial, existing))
        });
        let (partial, existing) = opened.await.map_err(storage)?;
        let stored = disk_stream(existing).map_err(storage);
        let progress = self.progress.clone();
        let rest = if partial.is_complete() {
            finish_stream(partial, size)
        } else {
            let resumed = partial.digester().count() > 0;
            let remote = self.registry.blob(from, blob, partial.digester()).await?;
            let tainted = Arc::clone(&self.is_tainted);
            tee(remote, Writer::start(partial), size, resumed, tainted)
        };
        Ok(Box::pin(stored.chain(rest).inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                progress.add(chunk.len());
            }
        })))
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        self.registry.referrers(subject).await
    }

    async fn until(&self, end: Instant, reads: BoxFuture<'_, ()>) {
        self.registry.until(end, reads).await;
    }
}

fn storage(error: impl Into<BoxError>) -> RegistryError {
    RegistryError::new(RegistryErrorKind::Storage, error)
}

/// Counts bytes over all layers.
#[derive(Clone)]
struct Progress {
    done: Arc<AtomicU64>,
    total: u64,
    reporter: Reporter,
}

impl Progress {
    fn add(&self, length: usize) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let done = self
            .done
            .fetch_add(length, Ordering::Relaxed)
            .saturating_add(length);
        // A layer whose plugin is a hard link is read twice.
        self.reporter.progress(done.min(self.total), self.total);
    }
}

/// Writes chunks to disk on a separate thread, so that the network does not wait for the disk.
struct Writer {
    chunks: mpsc::Sender<Bytes>,
    task: JoinHandle<io::Result<PartialBlob>>,
}

impl Writer {
    fn start(mut partial: PartialBlob) -> Self {
        let (chunks, mut queue) = mpsc::channel::<Bytes>(CHUNKS_IN_FLIGHT);
        let task = tokio::task::spawn_blocking(move || {
            while let Some(chunk) = queue.blocking_recv() {
                partial.write_all(&chunk)?;
            }
            partial.flush()?;
            Ok(partial)
        });
        Self { chunks, task }
    }

    /// Waits until everything is written.
    async fn end(self) -> Result<PartialBlob, BoxError> {
        drop(self.chunks);
        Ok(self.task.await??)
    }
}

/// Passes `remote` on while `writer` stores it. Ends without an error only if the blob is finished.
fn tee(
    remote: BlobStream,
    writer: Writer,
    size: u64,
    resumed: bool,
    tainted: Arc<AtomicBool>,
) -> BlobStream {
    let state = Some((remote, writer, tainted));
    Box::pin(stream::try_unfold(state, move |state| async move {
        let Some((mut remote, writer, tainted)) = state else {
            return Ok(None);
        };
        match remote.next().await {
            Some(Ok(chunk)) => {
                if writer.chunks.send(chunk.clone()).await.is_err() {
                    // The writer failed, and its error says why.
                    writer.end().await.map_err(storage)?;
                    return Err(storage("the writer of the partial blob stopped"));
                }
                Ok(Some((chunk, Some((remote, writer, tainted)))))
            }
            Some(Err(error)) => {
                let partial = writer.end().await.map_err(storage)?;
                let is_wrong = error.kind() == RegistryErrorKind::Content
                    || matches!(
                        error.downcast_ref(),
                        Some(
                            ClientError::MirrorContent { .. } | ClientError::DigestMismatch { .. }
                        )
                    );
                if is_wrong {
                    partial.discard();
                    // The bytes of an earlier attempt were wrong, or those before a connection
                    // broke, or those of a mirror that will not be asked again.
                    if resumed || error.is_retryable() {
                        tainted.store(true, Ordering::Release);
                    }
                }
                Err(error)
            }
            None => {
                let partial = writer.end().await.map_err(storage)?;
                finish(partial, size).await?;
                Ok(None)
            }
        }
    }))
}

/// Returns a stream without chunks that finishes a blob which is complete already.
fn finish_stream(partial: PartialBlob, size: u64) -> BlobStream {
    let finished = stream::once(finish(partial, size));
    Box::pin(finished.try_filter_map(|()| async { Ok(None) }))
}

async fn finish(partial: PartialBlob, size: u64) -> Result<(), RegistryError> {
    let finished = blocking(move || -> Result<_, BoxError> { Ok(partial.finish(size)?) });
    finished.await.map_err(storage)
}
