//! The seam: what the pipeline asks of a cache.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, Reference};

use crate::{CacheError, CachedArtifact, Staging};

/// What [`Cache::begin`] found.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one per artifact, moved once")]
pub enum Begin {
    /// The artifact is there; perhaps another process has just finished it.
    Hit(CachedArtifact),
    /// It is not, and this caller is the one that fills it, over all processes.
    Fill(Staging),
}

/// Keeps artifacts by the digest of the manifest that they were extracted from, and blobs, tags
/// and signature material beside them.
///
/// A hit is not trust: the caller judges the kept signature material again at every load.
#[cfg_attr(feature = "test-util", mockall::automock)] // Must stand above `#[async_trait]`.
#[async_trait]
pub trait Cache: Send + Sync {
    /// Looks for the artifact of `manifest`. Its record was read and checked for form and its file
    /// is open, but not yet hashed: [`CachedArtifact::read_proven`] does that.
    ///
    /// An entry that is damaged, copied from another digest or of another schema is no hit.
    ///
    /// # Errors
    /// [`CacheError::Io`] if the disk fails; never for an entry that is merely bad.
    async fn lookup(&self, manifest: &Digest) -> Result<Option<CachedArtifact>, CacheError>;

    /// Looks again with the lock of `manifest` held: over all processes on this machine, one
    /// caller at a time gets [`Begin::Fill`], the others wait and get [`Begin::Hit`].
    ///
    /// # Errors
    /// [`CacheError::LockTimeout`] if the holder takes too long, [`CacheError::Io`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue and nothing else behind.
    async fn begin(&self, manifest: &Digest) -> Result<Begin, CacheError>;

    /// Keeps a small blob (manifest, index, config) under its digest.
    ///
    /// # Errors
    /// [`CacheError::Mismatch`] if `bytes` are not what `blob` names; [`CacheError::Io`].
    async fn put_bytes(&self, blob: &Descriptor, bytes: Bytes) -> Result<(), CacheError>;

    /// Reads a small blob of at most `limit` bytes back and hashes it. A damaged one is dropped
    /// and counts as absent.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`] if it is larger than `limit`; [`CacheError::Io`].
    async fn bytes(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, CacheError>;

    /// Remembers that `reference` named `digest` at the time `now`.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    async fn set_ref(
        &self,
        reference: &Reference,
        digest: &Digest,
        now: SystemTime,
    ) -> Result<(), CacheError> {
        let _ = (reference, digest, now);
        Ok(())
    }

    /// What `reference` named when it was last resolved, and when that was.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    async fn ref_(
        &self,
        reference: &Reference,
    ) -> Result<Option<(Digest, SystemTime)>, CacheError> {
        let _ = reference;
        Ok(None)
    }

    /// Keeps the signature material found for `subject`, as found, in place of what was there.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`] above 16 MiB, [`CacheError::Io`].
    async fn put_evidence(&self, subject: &Digest, evidence: &[u8]) -> Result<(), CacheError> {
        let _ = (subject, evidence);
        Ok(())
    }

    /// The signature material kept for `subject`. Truncated, damaged or foreign material (copied
    /// from another subject) counts as absent.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    async fn evidence(&self, subject: &Digest) -> Result<Option<Bytes>, CacheError> {
        let _ = subject;
        Ok(None)
    }

    /// Forgets the artifact of `manifest`, so that the next [`Cache::begin`] fills it again. Who
    /// has it open keeps it.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    async fn discard(&self, manifest: &Digest) -> Result<(), CacheError> {
        let _ = manifest;
        Ok(())
    }
}
