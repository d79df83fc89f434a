//! A cached artifact: an open file and its record, and the only way to its bytes.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use qmt_oci_ref::{Digest, Digester};

use crate::fs::{Store, sys};
use crate::{CacheError, Record};

/// How much is read between two steps of the hash, in bytes: small enough to stay in the CPU's
/// cache, large enough for few system calls.
const CHUNK: usize = 512 * 1024;

/// An artifact in the cache. While it lives, eviction leaves its file in place.
///
/// The file is open already, so that nothing that happens to the name later matters.
#[derive(Clone)]
pub struct CachedArtifact {
    record: Arc<Record>,
    path: PathBuf,
    file: Arc<File>,
    store: Arc<Store>,
}

impl CachedArtifact {
    pub(crate) fn new(record: Record, path: PathBuf, file: File, store: Arc<Store>) -> Self {
        Self {
            record: Arc::new(record),
            path,
            file: Arc::new(file),
            store,
        }
    }

    /// What is known about the artifact.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Where the file is. Whoever opens it by this name must hash it again: use
    /// [`CachedArtifact::read_proven`] wherever bytes will do.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file once into memory of our own while hashing it, and gives these very
    /// bytes. What others write into the file later does not reach them.
    ///
    /// Blocks the thread; takes as much memory as the file has bytes.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if the bytes are not the recorded ones; the entry has been dropped
    /// then, and [`crate::Cache::begin`] will fill it again. [`CacheError::Io`] if reading fails.
    pub fn read_proven(&self) -> Result<ProvenFile, CacheError> {
        let too_large =
            || CacheError::io("read", &self.path)(std::io::ErrorKind::OutOfMemory.into());
        let size = usize::try_from(self.record.size()).map_err(|_| too_large())?;
        let mut content = Vec::new();
        content.try_reserve_exact(size).map_err(|_| too_large())?;
        let digest = self.hashed(|piece| content.extend_from_slice(piece))?;
        Ok(ProvenFile {
            bytes: content.into(),
            digest,
        })
    }

    /// Reads the whole file once while hashing it, and keeps nothing of it: for who leaves the
    /// bytes where they are. It says what the file was a moment ago; whoever runs the bytes needs
    /// [`CachedArtifact::read_proven`].
    ///
    /// Blocks the thread; takes a buffer of memory whatever the file's size.
    ///
    /// # Errors
    /// As [`CachedArtifact::read_proven`].
    pub fn prove(&self) -> Result<(), CacheError> {
        self.hashed(|_| {}).map(drop)
    }

    /// Passes the file's content to `take`, piece by piece, and judges its size and digest.
    fn hashed(&self, mut take: impl FnMut(&[u8])) -> Result<Digest, CacheError> {
        let damaged = |reason| {
            self.store.drop_damaged(&self.record, &self.file);
            CacheError::Damaged {
                path: self.path.clone(),
                reason,
            }
        };
        let size = self.record.size();
        let found = self
            .file
            .metadata()
            .map_err(CacheError::io("examine", &self.path))?
            .len();
        if found != size {
            return Err(damaged("its size differs from the record"));
        }
        let mut digester = Digester::new(self.record.file_digest().algorithm());
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(CHUNK);
        let mut buffer = vec![0; length];
        while digester.count() < size {
            // What was appended since is not read.
            let left = usize::try_from(size.saturating_sub(digester.count())).unwrap_or(usize::MAX);
            let window = buffer.get_mut(..length.min(left)).unwrap_or_default();
            let read = sys::read_at(&self.file, window, digester.count())
                .map_err(CacheError::io("read", &self.path))?;
            if read == 0 {
                return Err(damaged("it was cut short while it was read"));
            }
            let piece = window.get(..read).unwrap_or_default();
            digester.update(piece);
            take(piece);
        }
        let digest = digester.finish();
        if digest != *self.record.file_digest() {
            return Err(damaged("its digest differs from the record"));
        }
        self.store.note_use(&self.record);
        Ok(digest)
    }
}

impl fmt::Debug for CachedArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedArtifact")
            .field("record", &self.record)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The bytes of a cached file, hashed as they were read and equal to the record.
#[derive(Clone)]
pub struct ProvenFile {
    bytes: Bytes,
    digest: Digest,
}

impl ProvenFile {
    /// The bytes. Cloning shares them.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The digest that was computed over exactly these bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl fmt::Debug for ProvenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenFile")
            .field("digest", &self.digest)
            .field("size", &self.bytes.len())
            .finish()
    }
}
