//! The trait of a cache.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, Reference};

use crate::{CacheError, CachedArtifact, Staging};

/// The result of [`Cache::begin`].
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "callers handle both cases")]
#[expect(clippy::large_enum_variant, reason = "one per artifact, moved once")]
pub enum Begin {
    /// The artifact is in the cache; another process may just have finished it.
    Hit(CachedArtifact),
    /// It is not, and this caller is the only one of all processes that fills it.
    Fill(Staging),
}

/// Stores artifacts by the digest of the manifest that they were extracted from, or by one that the caller
/// derives from it where more than the manifest decides which file that is; and blobs, tags and signature
/// material next to them.
///
/// A hit is not trusted: the caller verifies the stored signature material again at every load.
#[cfg_attr(feature = "test-util", mockall::automock)] // Must stand above `#[async_trait]`.
#[async_trait]
pub trait Cache: Send + Sync {
    /// Opens the artifact of `manifest`. Its record is well formed and its file is open, but not yet
    /// hashed: [`CachedArtifact::read_proven`] does that.
    ///
    /// An entry that is damaged, copied from another digest or of another schema is a miss.
    ///
    /// # Errors
    /// [`CacheError::Io`] if the disk fails; never for a damaged entry.
    async fn lookup(&self, manifest: &Digest) -> Result<Option<CachedArtifact>, CacheError>;

    /// Opens the artifact of `manifest`, or begins to fill it under a lock: of all processes on this
    /// machine, one caller at a time gets [`Begin::Fill`], the others wait and get [`Begin::Hit`].
    ///
    /// # Errors
    /// [`CacheError::LockTimeout`] if the holder takes too long, [`CacheError::Io`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait and has no other effect.
    async fn begin(&self, manifest: &Digest) -> Result<Begin, CacheError>;

    /// Stores a small blob (manifest, index, config) under its digest.
    ///
    /// # Errors
    /// [`CacheError::Mismatch`] if `bytes` are not what `blob` names; [`CacheError::Io`].
    async fn put_bytes(&self, blob: &Descriptor, bytes: Bytes) -> Result<(), CacheError>;

    /// Reads a small blob of at most `limit` bytes and hashes it. A damaged one is removed and counts
    /// as absent.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`] if it is larger than `limit`; [`CacheError::Io`].
    async fn bytes(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, CacheError>;

    /// Records that `reference` named `digest` at the time `now`.
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

    /// Returns what `reference` named when it was last resolved, and the time of that.
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

    /// Stores the signature material discovered for `subject` unchanged, replacing older material.
    ///
    /// # Errors
    /// [`CacheError::TooLarge`] above 16 MiB, [`CacheError::Io`].
    async fn put_evidence(&self, subject: &Digest, evidence: &[u8]) -> Result<(), CacheError> {
        let _ = (subject, evidence);
        Ok(())
    }

    /// Returns the signature material stored for `subject`. Truncated, damaged or foreign material
    /// (copied from another subject) counts as absent.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    async fn evidence(&self, subject: &Digest) -> Result<Option<Bytes>, CacheError> {
        let _ = subject;
        Ok(None)
    }

    /// Removes the artifact of `manifest`, so that the next [`Cache::begin`] fills it again. Callers
    /// that have it open keep it.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    async fn discard(&self, manifest: &Digest) -> Result<(), CacheError> {
        let _ = manifest;
        Ok(())
    }
}
