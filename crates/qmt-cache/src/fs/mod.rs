//! `FsCache`: the cache as a folder, shared by processes.
//!
//! ```text
//! <root>/v1/oci-layout index.json blobs/   an OCI image layout
//!           artifacts/<digest>/            the extracted file and record.json, the record last
//!           refs/ signatures/              tags, and signature material as discovered
//!           partial/ tmp/ locks/           downloads to resume, work in progress, locks
//!           compiled/ tuf/                 for other stages
//! ```

mod blobs;
mod cache_impl;
mod commit;
mod evidence;
pub(crate) mod folder;
mod gc;
mod index;
mod inspect;
mod lock;
mod lookup;
mod options;
mod partial;
mod paths;
mod refs;
mod sealed;
mod staging;
mod store;
pub(crate) mod sys;
mod transfer;
mod write;

#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::gc::{PruneOptions, PruneReport};
pub use self::inspect::{CacheEntry, VerifyReport};
pub use self::options::{CacheEvent, CacheOptions};
pub use self::partial::PartialBlob;
pub use self::staging::Staging;
pub(crate) use self::store::Store;
pub use self::transfer::TransferReport;
use crate::CacheError;
use sys::Sys;

/// A cache in a folder. Any number of processes may share it; cloning shares the handle.
#[derive(Clone, Debug)]
pub struct FsCache {
    store: Arc<Store>,
}

impl FsCache {
    /// Opens the cache, creating its folders (mode 0700) where they are absent.
    ///
    /// Only the sub-folder `v1` of the root is touched: other versions, and caches of other
    /// programs in the same root, are left alone. An existing cache on a read-only file system can
    /// be read.
    ///
    /// # Errors
    /// [`CacheError::UnsafeFolder`] if another user owns a folder of it or may write to it, or if
    /// the root is a symbolic link; nothing is repaired. [`CacheError::NoFolder`] if no root is
    /// given and the platform has none. [`CacheError::Io`].
    pub fn open(options: CacheOptions) -> Result<Self, CacheError> {
        Self::open_with(options, Sys::REAL)
    }

    pub(crate) fn open_with(options: CacheOptions, sys: Sys) -> Result<Self, CacheError> {
        Ok(Self {
            store: Arc::new(Store::open(options, sys)?),
        })
    }

    /// Returns the versioned folder: an OCI image layout that other tools can read.
    pub fn path(&self) -> &Path {
        self.store.paths.root()
    }

    /// Returns a private folder for wasmtime's compilation cache, creating it if absent.
    ///
    /// # Errors
    /// [`CacheError::UnsafeFolder`], [`CacheError::Io`].
    pub fn compiled_dir(&self) -> Result<PathBuf, CacheError> {
        private(self.store.paths.compiled())
    }

    /// Returns a private folder for TUF metadata, creating it if absent.
    ///
    /// # Errors
    /// [`CacheError::UnsafeFolder`], [`CacheError::Io`].
    pub fn tuf_dir(&self) -> Result<PathBuf, CacheError> {
        private(self.store.paths.tuf())
    }
}

fn private(path: PathBuf) -> Result<PathBuf, CacheError> {
    folder::make(&path)?;
    Ok(path)
}
