//! Opening the artifact of a manifest.

use std::fs::{File, TryLockError};
use std::sync::Arc;

use qmt_oci_ref::Digest;

use super::store::Store;
use super::sys;
use crate::{CacheError, CachedArtifact, Record};

/// Opens the artifact of `manifest` if its entry is well formed.
pub(crate) fn lookup(
    store: &Arc<Store>,
    manifest: &Digest,
) -> Result<Option<CachedArtifact>, CacheError> {
    let Some(record) = store.read_record(manifest)? else {
        return Ok(None);
    };
    let path = store.paths.entry(manifest).join(record.file_name());
    let Some(file) = sys::open_file(&path, 2)? else {
        return Ok(None);
    };
    if sys::name_count(&file) > 1 && !is_own_blob(store, &record, &file) {
        tracing::warn!(path = %path.display(), "cached file has a name outside the cache");
        return Ok(None);
    }
    if sys::length(&file, &path)? != record.size() {
        tracing::warn!(path = %path.display(), "cached file differs in size from its record");
        return Ok(None);
    }
    // Eviction takes the exclusive lock first: if sharing fails, the entry is being evicted.
    if let Err(TryLockError::WouldBlock) = (store.sys.lock_shared)(&file) {
        return Ok(None);
    }
    // It may also have been evicted between the opening and the lock.
    if !sys::is_named(&path, &file) {
        return Ok(None);
    }
    let store = Arc::clone(store);
    Ok(Some(CachedArtifact::new(record, &path, file, store)))
}

/// Whether the second name of an artifact's file is the blob of the same digest.
fn is_own_blob(store: &Store, record: &Record, file: &File) -> bool {
    sys::open_own(&store.paths.blob(record.file_digest()), 2)
        .is_ok_and(|blob| sys::is_same_file(&blob, file))
}
