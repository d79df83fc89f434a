//! A cached artifact: an open file and its record, and the only access to its bytes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use qmt_oci_ref::Digester;

use crate::fs::{Store, shown, sys};
use crate::{CacheError, Record};

/// An artifact in the cache. As long as this value exists, eviction leaves its file in place.
///
/// The file is open already, so later changes of its name have no effect.
#[derive(Clone, Debug)]
pub struct CachedArtifact {
    record: Arc<Record>,
    path: PathBuf,
    file: Arc<File>,
    store: Arc<Store>,
}

impl CachedArtifact {
    pub(crate) fn new(record: Record, path: &Path, file: File, store: Arc<Store>) -> Self {
        Self {
            record: Arc::new(record),
            path: shown(path),
            file: Arc::new(file),
            store,
        }
    }

    /// Returns the record of the artifact.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the path of the file. A caller that opens it by this name must hash it again: use
    /// [`CachedArtifact::read_proven`] wherever bytes are enough.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file once into memory while hashing it, and returns exactly these bytes.
    /// Later writes to the file do not change them.
    ///
    /// Blocks the thread while it reads, and, if the entry is damaged and another process holds its
    /// lock, for up to the lock timeout. Takes as much memory as the file has bytes.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if the bytes are not the recorded ones; the entry is removed then if
    /// the cache can be written. [`CacheError::LockTimeout`] if another process holds a damaged
    /// entry for too long. [`CacheError::Io`] if reading fails.
    pub fn read_proven(&self) -> Result<Bytes, CacheError> {
        let too_large =
            || CacheError::io("read", &self.path)(std::io::ErrorKind::OutOfMemory.into());
        let size = usize::try_from(self.record.size()).map_err(|_| too_large())?;
        let mut content = Vec::new();
        content.try_reserve_exact(size).map_err(|_| too_large())?;
        self.hashed(|chunk| content.extend_from_slice(chunk))?;
        self.store.note_use(&self.record);
        Ok(content.into())
    }

    /// Reads the whole file once while hashing it, without holding it in memory. The result is about
    /// this moment: to run the bytes, use [`CachedArtifact::read_proven`].
    ///
    /// Blocks the thread; takes a buffer of memory whatever the file's size.
    ///
    /// # Errors
    /// As [`CachedArtifact::read_proven`].
    pub fn prove(&self) -> Result<(), CacheError> {
        self.hashed(|_| {})?;
        self.store.note_use(&self.record);
        Ok(())
    }

    /// Passes the file's content to `take` in chunks, and checks its size and digest.
    pub(crate) fn hashed(&self, mut take: impl FnMut(&[u8])) -> Result<(), CacheError> {
        let damaged = |reason| match self.store.drop_damaged(&self.record, &self.file) {
            Ok(removed) => CacheError::Damaged {
                path: self.path.clone(),
                reason,
                removed,
            },
            Err(timeout) => timeout,
        };
        let size = self.record.size();
        if sys::length(&self.file, &self.path)? != size {
            return Err(damaged("its size differs from the record"));
        }
        let mut digester = Digester::new(self.record.file_digest().algorithm());
        // Bytes that were appended meanwhile are not read.
        sys::read_chunks(&self.file, &self.path, size, |chunk| {
            digester.update(chunk);
            take(chunk);
        })?;
        if digester.count() < size {
            return Err(damaged("it was cut short while it was read"));
        }
        if digester.finish() != *self.record.file_digest() {
            return Err(damaged("its digest differs from the record"));
        }
        Ok(())
    }
}
