//! The staging area of one artifact: what is written here has no name until it is committed.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use qmt_oci_ref::{Digest, DigestAlgorithm, Digester};
use tempfile::TempPath;

use super::commit;
use super::lock::Lock;
use super::partial::{FinishedBlob, PartialBlob};
use super::store::Store;
use super::write::Appender;
use crate::{CacheError, CachedArtifact, Record};

/// The place where one artifact is made: a writer into a temporary file of the cache, which gets
/// its name at [`Staging::commit`] and vanishes if it is dropped before.
///
/// It holds the artifact's lock: other processes that want the same artifact wait for it.
///
/// Layers are downloaded into [`PartialBlob`]s, which survive a failed download. An artifact that
/// *is* its layer (Wasm as it stands) need not be written a second time: where the committed
/// record names the digest of a finished blob, that blob's file becomes the artifact, and nothing
/// that was written here is used.
pub struct Staging {
    pub(super) store: Arc<Store>,
    pub(super) manifest: Digest,
    pub(super) out: Appender,
    pub(super) temp: TempPath,
    pub(super) digester: Digester,
    pub(super) blobs: Arc<Mutex<Vec<FinishedBlob>>>,
    pub(super) _lock: Lock,
}

impl Staging {
    pub(super) fn new(
        store: Arc<Store>,
        manifest: &Digest,
        lock: Lock,
    ) -> Result<Self, CacheError> {
        let (out, temp) = store.temp_file()?;
        Ok(Self {
            store,
            manifest: manifest.clone(),
            out,
            temp,
            digester: Digester::new(DigestAlgorithm::Sha256),
            blobs: Arc::default(),
            _lock: lock,
        })
    }

    /// Throws away what was written so far.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn restart(&mut self) -> io::Result<()> {
        self.digester = Digester::new(DigestAlgorithm::Sha256);
        self.out.restart()
    }

    /// Opens the download of `blob`, with what an earlier try left of it, or what the cache has.
    /// It may outlive the staging area, but only what is finished before the commit is kept.
    ///
    /// Blocks the thread while it hashes what is there.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub fn partial(&self, blob: &Digest) -> Result<PartialBlob, CacheError> {
        PartialBlob::open(&self.store, blob, &self.blobs)
    }

    /// Makes the artifact and its finished blobs durable and visible, the record last.
    ///
    /// Blocks the thread until the disk has everything.
    ///
    /// # Errors
    /// [`CacheError::SizeMismatch`] or [`CacheError::Mismatch`] if what was written is not what
    /// `record` says, [`CacheError::InvalidRecord`], [`CacheError::Io`] (a full disk, a failed
    /// `fsync`). An entry that was there before is untouched then.
    pub fn commit(self, record: Record) -> Result<CachedArtifact, CacheError> {
        commit::commit(self, record)
    }

    /// Takes the finished blobs out of the shared list.
    pub(super) fn take_blobs(&self) -> Vec<FinishedBlob> {
        std::mem::take(&mut *self.blobs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Staging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.digester.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging")
            .field("manifest", &self.manifest)
            .field("written", &self.out.length())
            .finish_non_exhaustive()
    }
}
