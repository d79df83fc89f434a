//! The staging area of one artifact: its content has no name until it is committed.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use qmt_oci_ref::{Digest, DigestAlgorithm, Digester};
use tempfile::TempPath;

use super::lock::Lock;
use super::partial::{FinishedBlob, PartialBlob};
use super::store::Store;
use super::write::Appender;
use crate::CacheError;

/// A writer into a temporary file of the cache, which gets its name at [`Staging::commit`] and is
/// removed if it is dropped before.
///
/// It holds the artifact's lock: other processes that request the same artifact wait for it.
///
/// Layers are downloaded into [`PartialBlob`]s, which survive a failed download. An artifact that
/// is its layer (a Wasm layer) need not be written a second time: if the committed record names the
/// digest of a finished blob, that blob's file becomes the artifact, and the content written here
/// is not used.
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

    /// Discards the content written so far.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn restart(&mut self) -> io::Result<()> {
        self.digester = Digester::new(DigestAlgorithm::Sha256);
        self.out.restart()
    }

    /// Opens the download of `blob`, with what an earlier try left of it, or what the cache has.
    /// It may outlive the staging area, but only blobs that are finished before the commit are
    /// stored.
    ///
    /// Blocks the thread while it hashes the existing bytes.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub fn partial(&self, blob: &Digest) -> Result<PartialBlob, CacheError> {
        PartialBlob::open(&self.store, blob, &self.blobs)
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
