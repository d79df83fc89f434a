//! Proving a blob while it passes: size and digest, with the hashing beside the reading.
//!
//! A blob is never held: each chunk is counted, handed to the hasher, and passed on. The first
//! byte beyond the descriptor's size ends the transfer.

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, Digester};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::RegistryError;

/// From this many bytes on, hashing has a thread of its own: 1 MiB.
const THREAD_FROM: u64 = 1 << 20;
/// How many chunks may wait for the hasher. A chunk has some hundred KiB at most, so this bounds the
/// memory to a MiB whatever the blob's size.
const CHUNKS_WAITING: usize = 3;

/// Counts and hashes the bytes of one blob, and judges them at the end.
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
    /// Starts after the bytes that `eaten` has consumed.
    ///
    /// # Errors
    ///
    /// [`RegistryError::CannotResume`] where `eaten` is of another algorithm or beyond the end.
    pub(crate) fn new(blob: &Descriptor, eaten: Digester) -> Result<Self, RegistryError> {
        let refuse = |fault| {
            Err(RegistryError::CannotResume {
                digest: blob.digest().clone(),
                fault,
            })
        };
        if eaten.algorithm() != blob.digest().algorithm() {
            return refuse("the bytes so far were hashed with another algorithm");
        }
        let seen = eaten.count();
        let Some(rest) = blob.size().checked_sub(seen) else {
            return refuse("there are more bytes already than its descriptor says");
        };
        let hasher = if rest < THREAD_FROM {
            Hasher::Inline(Box::new(eaten))
        } else {
            Hasher::beside(eaten)
        };
        Ok(Self {
            blob: blob.clone(),
            seen,
            hasher,
        })
    }

    /// The descriptor that is to be proven.
    #[cfg(feature = "http")]
    pub(crate) fn blob(&self) -> &Descriptor {
        &self.blob
    }

    /// Bytes seen so far: the offset at which to go on.
    #[cfg(feature = "http")]
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Bytes that are missing.
    pub(crate) fn missing(&self) -> u64 {
        self.blob.size().saturating_sub(self.seen)
    }

    /// Takes one chunk.
    ///
    /// # Errors
    ///
    /// [`RegistryError::SizeMismatch`] where it goes beyond the end; nothing of it counts then.
    pub(crate) async fn update(&mut self, chunk: &Bytes) -> Result<(), RegistryError> {
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

    /// Judges the whole.
    ///
    /// # Errors
    ///
    /// [`RegistryError::SizeMismatch`] and [`RegistryError::DigestMismatch`].
    pub(crate) async fn finish(self) -> Result<(), RegistryError> {
        if self.missing() > 0 {
            return Err(self.size_mismatch(self.seen, false));
        }
        let expected = self.blob.digest().clone();
        let digester = match self.hasher {
            Hasher::Inline(digester) => *digester,
            Hasher::Thread { chunks, digester } => {
                drop(chunks);
                digester.await.map_err(|cause| RegistryError::Client {
                    source: cause.into(),
                })?
            }
        };
        judge(expected, digester.finish())
    }

    /// The error for a content of `actual` bytes.
    pub(crate) fn size_mismatch(&self, actual: u64, at_least: bool) -> RegistryError {
        RegistryError::SizeMismatch {
            digest: self.blob.digest().clone(),
            expected: self.blob.size(),
            actual,
            at_least,
        }
    }
}

impl Hasher {
    fn beside(mut digester: Digester) -> Self {
        let (chunks, mut waiting) = mpsc::channel::<Bytes>(CHUNKS_WAITING);
        let digester = tokio::task::spawn_blocking(move || {
            while let Some(chunk) = waiting.blocking_recv() {
                digester.update(&chunk);
            }
            digester
        });
        Self::Thread { chunks, digester }
    }
}

fn judge(expected: Digest, actual: Digest) -> Result<(), RegistryError> {
    if expected == actual {
        Ok(())
    } else {
        Err(RegistryError::DigestMismatch { expected, actual })
    }
}

#[cfg(test)]
mod tests {
    use qmt_oci_ref::{DigestAlgorithm, MediaType};

    use super::*;

    fn blob(content: &[u8], algorithm: DigestAlgorithm) -> Descriptor {
        let digest = Digest::of(algorithm, content);
        Descriptor::new(
            MediaType::new("application/wasm"),
            digest,
            content.len() as u64,
        )
    }

    async fn prove(
        blob: &Descriptor,
        eaten: Digester,
        chunks: &[&[u8]],
    ) -> Result<(), RegistryError> {
        let mut proof = Proof::new(blob, eaten)?;
        for chunk in chunks {
            proof.update(&Bytes::copy_from_slice(chunk)).await?;
        }
        proof.finish().await
    }

    /// DIG-07: SHA-256 and SHA-512 are proven, inline and on the thread, whole and continued.
    #[tokio::test]
    async fn what_fits_is_proven() {
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
            for length in [0, 1, 1000, (2 << 20) + 7] {
                let content = vec![7_u8; length];
                let blob = blob(&content, algorithm);
                let (head, tail) = content.split_at(length / 3);
                prove(&blob, Digester::new(algorithm), &[head, tail])
                    .await
                    .unwrap();
                let mut eaten = Digester::new(algorithm);
                eaten.update(head);
                prove(&blob, eaten, &[tail]).await.unwrap();
            }
        }
    }

    /// DIG-02: another content of the right size is refused, inline and on the thread.
    #[tokio::test]
    async fn another_content_is_refused() {
        for length in [10, 2 << 20] {
            let blob = blob(&vec![7; length], DigestAlgorithm::Sha256);
            let fresh = || Digester::new(DigestAlgorithm::Sha256);
            prove(&blob, fresh(), &[&vec![7; length]]).await.unwrap();
            let error = prove(&blob, fresh(), &[&vec![8; length]])
                .await
                .unwrap_err();
            assert!(
                matches!(error, RegistryError::DigestMismatch { .. }),
                "{error:?}"
            );
        }
    }

    /// DIG-08: the byte at size + 1 ends it, a missing byte is noticed.
    #[tokio::test]
    async fn the_size_is_exact() {
        let blob = blob(b"12345", DigestAlgorithm::Sha256);
        let fresh = || Digester::new(DigestAlgorithm::Sha256);
        prove(&blob, fresh(), &[b"123", b"45"]).await.unwrap();
        let error = prove(&blob, fresh(), &[b"123", b"456"]).await.unwrap_err();
        assert!(
            matches!(
                error,
                RegistryError::SizeMismatch {
                    expected: 5,
                    actual: 6,
                    at_least: true,
                    ..
                }
            ),
            "{error:?}"
        );
        let error = prove(&blob, fresh(), &[b"1234"]).await.unwrap_err();
        assert!(
            matches!(
                error,
                RegistryError::SizeMismatch {
                    expected: 5,
                    actual: 4,
                    ..
                }
            ),
            "{error:?}"
        );
    }

    /// A digester of another algorithm, or one that ate too much, can't be continued.
    #[test]
    fn what_does_not_fit_is_not_continued() {
        let blob = blob(b"12345", DigestAlgorithm::Sha256);
        let mut eaten = Digester::new(DigestAlgorithm::Sha256);
        eaten.update(b"12345");
        assert!(Proof::new(&blob, eaten.clone()).is_ok());
        eaten.update(b"6");
        for wrong in [eaten, Digester::new(DigestAlgorithm::Sha512)] {
            let refused = Proof::new(&blob, wrong).map(|_| ());
            assert!(
                matches!(refused, Err(RegistryError::CannotResume { .. })),
                "{refused:?}"
            );
        }
    }
}
