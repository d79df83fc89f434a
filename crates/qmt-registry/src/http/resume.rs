//! A blob's transfer: goes on where it broke off, at the same source or the next one, and is
//! proven over the whole.
//!
//! A task of its own reads from the network, gathers what comes in buffers of one size, hands each to
//! the hasher and passes it on, so reading, hashing and whatever the consumer does run beside one
//! another. The channel to the consumer is short: memory does not depend on the blob's size.

mod blame;
mod connect;
mod copy;
mod receiver;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use qmt_oci_ref::{Descriptor, Digester, Repository};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) use self::blame::skip_mirror;
use self::receiver::Receiver;
use super::body::Body;
use super::endpoint::Endpoint;
use super::pool::Pool;
use super::retry::Attempts;
use super::sources::Inner;
use crate::blob::Proof;
use crate::error::RegistryError;
use crate::redact::RedactedUrl;
use crate::registry::BlobStream;

/// Chunks that may wait for the consumer. They are the same memory that waits for the hasher.
const CHUNKS_WAITING: usize = 2;

/// Up to this size, a blob that may come from a mirror is proven before its first byte is handed
/// out, so that a lie costs nothing: 1 MiB.
const HELD_BACK_MAX: u64 = 1 << 20;

/// Opens `blob` at the first of the sources that gives it; a small one from the first that gives
/// it right.
///
/// # Errors
///
/// As the trait's `blob`.
pub(crate) async fn open_at(
    inner: &Arc<Inner>,
    sources: impl Fn() -> Vec<Arc<Endpoint>>,
    from: &Repository,
    blob: &Descriptor,
    eaten: Digester,
    deadline: Instant,
) -> Result<BlobStream, RegistryError> {
    loop {
        let asked = sources();
        let held_back = asked.len() > 1 && blob.size() <= HELD_BACK_MAX;
        let opening = open(
            Arc::clone(inner),
            asked,
            from,
            blob,
            eaten.clone(),
            deadline,
        );
        if !held_back {
            return opening.await;
        }
        // A mirror that lied is not among the sources the next time, so this ends.
        match opening.await?.try_collect::<Vec<Bytes>>().await {
            Err(RegistryError::MirrorLied { .. }) => {}
            Err(error) => return Err(error),
            Ok(chunks) => {
                return Ok(Box::pin(futures_util::stream::iter(
                    chunks.into_iter().map(Ok),
                )));
            }
        }
    }
}

/// Opens `blob` after what `eaten` has consumed, at the first of `sources` that gives it.
///
/// # Errors
///
/// As the trait's `blob`.
async fn open(
    inner: Arc<Inner>,
    sources: Vec<Arc<Endpoint>>,
    from: &Repository,
    blob: &Descriptor,
    eaten: Digester,
    deadline: Instant,
) -> Result<BlobStream, RegistryError> {
    let proof = Proof::new(blob, eaten)?;
    if proof.missing() == 0 {
        // Nothing to fetch; the empty stream still has to be right.
        return Ok(match proof.finish().await {
            Ok(()) => Box::pin(futures_util::stream::empty()),
            Err(error) => Box::pin(futures_util::stream::iter([Err(error)])),
        });
    }
    let permit = Arc::clone(&inner.streams)
        .acquire_owned()
        .await
        .map_err(|cause| RegistryError::Client {
            source: cause.into(),
        })?;
    let attempts = Attempts::new(&inner.context.limits, deadline);
    let url = RedactedUrl::from_text("about:blank");
    let mut transfer = Transfer {
        inner,
        sources,
        at: 0,
        from: from.clone(),
        mark: proof.seen(),
        proof,
        attempts,
        contributors: Vec::new(),
        pool: Pool::default(),
        url,
    };
    let body = transfer.connect().await?;
    let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING);
    let task = tokio::spawn(transfer.run(body, chunks, deadline, permit));
    Ok(Box::pin(Receiver {
        waiting,
        task: Some(task),
    }))
}

struct Transfer {
    inner: Arc<Inner>,
    sources: Vec<Arc<Endpoint>>,
    /// Which source is asked.
    at: usize,
    from: Repository,
    proof: Proof,
    attempts: Attempts,
    /// Where the last counted progress ended.
    mark: u64,
    /// Mirrors whose bytes are part of what was handed out.
    contributors: Vec<Arc<Endpoint>>,
    pool: Pool,
    url: RedactedUrl,
}

/// A body, and how many of its first bytes we have already.
struct Opened {
    body: Body,
    skip: u64,
}

impl Transfer {
    fn what(&self) -> String {
        format!("{}@{}", self.from, self.proof.blob().digest())
    }
}

#[cfg(test)]
mod tests;
