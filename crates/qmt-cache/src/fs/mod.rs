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
mod import;
mod imported;
mod index;
mod inspect;
mod lock;
mod options;
mod partial;
mod paths;
mod refs;
mod sealed;
#[cfg(target_os = "linux")]
pub(crate) mod shared;
mod staging;
mod store;
pub(crate) mod sys;
mod temp_folder;
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
pub use self::transfer::{IncompleteImage, MergeEvidence, MergedEvidence, TransferReport};
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
    /// programs in the same root, are left alone. An existing cache on a read-only file system, or
    /// one of root that this user can read, is used without writing to it.
    ///
    /// If other users may write to the root, [`CacheEvent::Shared`] is reported, and the cache is in
    /// the folder `user-<id>` of this user in it, unless the root is private itself. On Linux it is
    /// used through an open descriptor, so that no other user can redirect it. Elsewhere such a
    /// root is refused. If the root is a symbolic link which only this user or root can have made, the
    /// cache is in the folder that it points to.
    ///
    /// # Errors
    /// [`CacheError::UnsafeFolder`] if the root is a symbolic link that another user can have made, or
    /// another user, except root, owns a folder of the cache or may write to it.
    /// [`CacheError::Unwritable`] if it can't be created. [`CacheError::NoFolder`] if no root is given
    /// and the platform has none. [`CacheError::Io`].
    pub fn open(options: CacheOptions) -> Result<Self, CacheError> {
        Self::open_with(options, Sys::REAL)
    }

    pub(crate) fn open_with(options: CacheOptions, sys: Sys) -> Result<Self, CacheError> {
        let store = match Store::open(options.clone(), sys) {
            Err(
                reason @ (CacheError::Unwritable { .. }
                | CacheError::UnsafeFolder { .. }
                | CacheError::Io { .. }
                | CacheError::NoFolder),
            ) if options.or_temporary => Store::temporary(options, sys, &reason)?,
            opened => opened?,
        };
        let store = Arc::new(store);
        Ok(Self { store })
    }

    /// Returns the versioned folder: an OCI image layout that other tools can read.
    pub fn path(&self) -> PathBuf {
        shown(self.store.paths.root())
    }

    /// Checks that something can be added to the cache, by a file that is removed again.
    ///
    /// # Errors
    /// [`CacheError::Unwritable`].
    pub fn check_writable(&self) -> Result<(), CacheError> {
        let unwritable = CacheError::unwritable(self.store.paths.root());
        qmt_storage::files::check_writable(&self.store.paths.tmp()).map_err(unwritable)
    }

    /// Returns a private folder for compiled code, creating it if absent. `None` if other users may
    /// write to the root, because compiled code is run unchecked, and if the cache can only be read,
    /// which is reported as [`CacheEvent::ReadOnly`].
    ///
    /// # Errors
    /// [`CacheError::UnsafeFolder`], [`CacheError::Io`].
    pub fn compiled_dir(&self) -> Result<Option<PathBuf>, CacheError> {
        if self.store.is_shared {
            return Ok(None);
        }
        match self.private_folder("compiled") {
            Err(CacheError::Unwritable { source, .. }) => {
                let root = self.path();
                tracing::warn!(path = %root.display(), error = %source, "compiled code is not kept");
                self.store.options.report(CacheEvent::ReadOnly { root });
                Ok(None)
            }
            folder => folder.map(Some),
        }
    }

    /// Returns a private folder for TUF metadata, creating it if absent.
    ///
    /// # Errors
    /// [`CacheError::UnsafeFolder`], [`CacheError::Io`].
    pub fn tuf_dir(&self) -> Result<PathBuf, CacheError> {
        self.private_folder("tuf")
    }

    /// Returns a folder of another stage.
    fn private_folder(&self, name: &str) -> Result<PathBuf, CacheError> {
        let path = self.store.paths.root().join(name);
        folder::make(&path)?;
        Ok(path)
    }
}

/// Returns the path that is shown to users for `path`.
pub(crate) fn shown(path: &Path) -> PathBuf {
    #[cfg(target_os = "linux")]
    return shared::shown(path);
    #[cfg(not(target_os = "linux"))]
    path.to_owned()
}
