//! Verifies a blob as it streams: size and digest, hashing while the next bytes are read.
//!
//! A blob is never held: each chunk is counted, given to the hasher, and passed on. The first byte
//! beyond the descriptor's size ends the transfer.

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, Digester};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::ClientError;
use crate::redact::RedactedUrl;

/// From this many bytes on, a thread does the hashing: 1 MiB.
const THREAD_FROM: u64 = 1 << 20;
/// How many chunks may wait for the hasher. A chunk has some hundred KiB at most, so this bounds the
/// memory to a MiB whatever the blob's size.
const CHUNKS_WAITING: usize = 3;

/// Counts and hashes the bytes of one blob, and verifies them at the end.
pub(crate) struct Proof {
    blob: Descriptor,
    seen: u64,
    hasher: Hasher,
}

enum Hasher {
    Inline(Box<Digester>),
    Thread {
        chunks: mpsc::Sender<Bytes>,
        digester: JoinHandle<Digester>,
    },
}

impl Proof {
    /// Starts after the bytes that `resume_from` has hashed, which must fit the blob.
    pub(crate) fn new(blob: &Descriptor, resume_from: Digester) -> Result<Self, ClientError> {
        let refuse = |reason| {
            let digest = blob.digest().clone();
            Err(ClientError::CannotResume { digest, reason })
        };
        if resume_from.algorithm() != blob.digest().algorithm() {
            return refuse("the bytes so far were hashed with another algorithm");
        }
        let seen = resume_from.count();
        let Some(rest) = blob.size().checked_sub(seen) else {
            return refuse("there are more bytes already than the descriptor says");
        };
        let hasher = if rest < THREAD_FROM {
            Hasher::Inline(Box::new(resume_from))
        } else {
            let (chunks, mut waiting) = mpsc::channel::<Bytes>(CHUNKS_WAITING);
            let mut digester = resume_from;
            let digester = tokio::task::spawn_blocking(move || {
                while let Some(chunk) = waiting.blocking_recv() {
                    digester.update(&chunk);
                }
                digester
            });
            Hasher::Thread { chunks, digester }
        };
        Ok(Self {
            blob: blob.clone(),
            seen,
            hasher,
        })
    }

    /// The descriptor.
    #[cfg(feature = "http")]
    pub(crate) fn blob(&self) -> &Descriptor {
        &self.blob
    }

    /// Bytes seen so far: the offset at which to resume.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Bytes that are missing.
    pub(crate) fn missing(&self) -> u64 {
        self.blob.size().saturating_sub(self.seen)
    }

    /// Takes one chunk; one that goes beyond the end is refused, and nothing of it counts.
    pub(crate) async fn update(&mut self, chunk: &Bytes) -> Result<(), ClientError> {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if length > self.missing() {
            return Err(self.size_mismatch(self.seen.saturating_add(length), true));
        }
        self.seen = self.seen.saturating_add(length);
        match &mut self.hasher {
            Hasher::Inline(digester) => digester.update(chunk),
            // A send fails only when the thread is gone; `finish` then says so.
            Hasher::Thread { chunks, .. } => drop(chunks.send(chunk.clone()).await),
        }
        Ok(())
    }

    /// Verifies size and digest of the whole.
    pub(crate) async fn finish(self) -> Result<(), ClientError> {
        if self.missing() > 0 {
            return Err(self.size_mismatch(self.seen, false));
        }
        let digester = match self.hasher {
            Hasher::Inline(digester) => *digester,
            Hasher::Thread { chunks, digester } => {
                drop(chunks);
                let finished = digester.await;
                finished.map_err(|cause| ClientError::Interrupted(cause.into()))?
            }
        };
        check_digest(self.blob.digest(), &digester.finish(), None)
    }

    /// The error for a content of `actual` bytes.
    pub(crate) fn size_mismatch(&self, actual: u64, at_least: bool) -> ClientError {
        ClientError::SizeMismatch {
            digest: self.blob.digest().clone(),
            expected: self.blob.size(),
            actual,
            at_least,
            is_other_content: false,
        }
    }
}

/// Compares the digest that names some content with the one computed over it. `header` is the URL
/// whose answer names it in its head, if one does.
pub(crate) fn check_digest(
    expected: &Digest,
    actual: &Digest,
    header: Option<&RedactedUrl>,
) -> Result<(), ClientError> {
    if expected == actual {
        return Ok(());
    }
    Err(ClientError::DigestMismatch {
        expected: expected.clone(),
        header: header.cloned(),
        actual: actual.clone(),
    })
}

#[cfg(test)]
mod tests;
