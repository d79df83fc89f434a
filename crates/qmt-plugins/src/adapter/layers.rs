//! Lets `qmt-artifact` stream layers from a registry, while each byte is kept for the next try.
//!
//! A layer goes three ways at once: the registry's stream proves it, a thread of its own writes it
//! into the cache's partial blob, and the extraction reads it. What an earlier try left is streamed
//! from disk first, and the digest is proven over the whole.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use qmt_artifact::{LayerSource, LayerStream};
use qmt_cache::{PartialBlob, Staging};
use qmt_oci_ref::{Descriptor, Repository};
use qmt_registry::{BlobStream, Registry, RegistryError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::disk::{blocking, disk_stream};
use crate::events::Reporter;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How many chunks of some hundred KiB may wait for the disk: few, so that memory stays flat.
const CHUNKS_IN_FLIGHT: usize = 4;

/// The layers of one image.
pub(crate) struct RegistryLayers<'a> {
    registry: &'a dyn Registry,
    repository: &'a Repository,
    staging: Arc<Mutex<Staging>>,
    progress: Progress,
    /// Whether a layer turned out wrong for a reason that another try does without.
    is_tainted: Arc<AtomicBool>,
}

impl<'a> RegistryLayers<'a> {
    pub(crate) fn new(
        registry: &'a dyn Registry,
        repository: &'a Repository,
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
            repository,
            staging,
            progress,
            is_tainted: Arc::default(),
        }
    }

    /// Reports whether another try from the start makes sense.
    pub(crate) fn is_tainted(&self) -> bool {
        self.is_tainted.load(Ordering::Acquire)
    }
}

#[async_trait]
impl LayerSource for RegistryLayers<'_> {
    async fn layer(&self, layer: &Descriptor) -> Result<LayerStream, BoxError> {
        let (staging, digest) = (Arc::clone(&self.staging), layer.digest().clone());
        let size = layer.size();
        let opened = blocking(move || -> Result<_, BoxError> {
            let staging = staging.lock().unwrap_or_else(PoisonError::into_inner);
            let mut partial = staging.partial(&digest)?;
            if partial.digester().count() > size && !partial.is_complete() {
                partial.restart()?;
            }
            let existing = partial.existing()?;
            Ok((partial, existing))
        });
        let (partial, existing) = opened.await?;
        let kept = disk_stream(existing).map_err(BoxError::from);
        let progress = self.progress.clone();
        let rest: LayerStream = if partial.is_complete() {
            finish_stream(partial, size)
        } else {
            let resumed = partial.digester().count() > 0;
            let remote = self
                .registry
                .blob(self.repository, layer, partial.digester())
                .await?;
            tee(
                remote,
                Writer::start(partial),
                size,
                resumed,
                Arc::clone(&self.is_tainted),
            )
        };
        Ok(Box::pin(kept.chain(rest).inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                progress.add(chunk.len());
            }
        })))
    }
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
        self.reporter.progress(done, self.total);
    }
}

/// Writes chunks to disk on a thread of its own, so that the network does not wait for it.
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

/// Passes `remote` on while `writer` keeps it; ends well only when the blob is finished.
fn tee(
    remote: BlobStream,
    writer: Writer,
    size: u64,
    resumed: bool,
    tainted: Arc<AtomicBool>,
) -> LayerStream {
    let state = Some((remote, writer, tainted));
    Box::pin(stream::try_unfold(state, move |state| async move {
        let Some((mut remote, writer, tainted)) = state else {
            return Ok(None);
        };
        match remote.next().await {
            Some(Ok(chunk)) => {
                if writer.chunks.send(chunk.clone()).await.is_err() {
                    // The writer gave up: its reason is the one to tell.
                    writer.end().await?;
                    return Err(BoxError::from(
                        "the disk stopped taking what the registry sent",
                    ));
                }
                Ok(Some((chunk, Some((remote, writer, tainted)))))
            }
            Some(Err(error)) => {
                let partial = writer.end().await?;
                let is_wrong = matches!(
                    error,
                    RegistryError::DigestMismatch { .. } | RegistryError::SizeMismatch { .. }
                );
                let has_lied = matches!(error, RegistryError::MirrorLied { .. });
                if is_wrong || has_lied {
                    partial.discard();
                    // What an earlier try left, or a mirror that is not asked again, was at fault.
                    if resumed || has_lied {
                        tainted.store(true, Ordering::Release);
                    }
                }
                Err(error.into())
            }
            None => {
                let partial = writer.end().await?;
                blocking(move || -> Result<_, BoxError> { Ok(partial.finish(size)?) }).await?;
                Ok(None)
            }
        }
    }))
}

/// A stream of nothing that finishes a blob which was whole already.
fn finish_stream(partial: PartialBlob, size: u64) -> LayerStream {
    Box::pin(stream::try_unfold(
        Some(partial),
        move |partial| async move {
            if let Some(partial) = partial {
                blocking(move || -> Result<_, BoxError> { Ok(partial.finish(size)?) }).await?;
            }
            Ok(None)
        },
    ))
}
