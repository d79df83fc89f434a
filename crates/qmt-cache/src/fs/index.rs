//! `index.json`: the images of the cache, for other tools. This crate decides nothing by it.

use qmt_oci_ref::{Descriptor, Digest, RawManifest};
use qmt_storage::LayoutIndex;

use super::lock::Waiter;
use super::store::Store;
use super::{blobs, sys};
use crate::CacheError;

/// Lists `root`, under `name` if there is one, once its blob is in the cache.
pub(crate) fn add(store: &Store, root: &Digest, name: Option<&str>) -> Result<(), CacheError> {
    match describe(store, root)? {
        // Most are listed already, which needs no lock.
        Some(descriptor) if read(store)?.list(descriptor.clone(), name) => {
            change(store, |index| index.list(descriptor, name))
        }
        Some(_) | None => Ok(()),
    }
}

/// Removes the images for which `is_kept` is false.
pub(crate) fn retain(
    store: &Store,
    is_kept: impl Fn(&Descriptor) -> bool,
) -> Result<(), CacheError> {
    change(store, |index| index.retain(is_kept))
}

/// Reads the index; an empty one if the file is absent or damaged.
pub(crate) fn read(store: &Store) -> Result<LayoutIndex, CacheError> {
    let bytes = sys::read_small(&store.paths.index(), LayoutIndex::BYTES_MAX)?;
    Ok(LayoutIndex::read(&bytes.unwrap_or_default()).unwrap_or_default())
}

/// The descriptor of a manifest or index that is in the cache.
pub(crate) fn describe(store: &Store, digest: &Digest) -> Result<Option<Descriptor>, CacheError> {
    Ok(blobs::manifest(store, digest)?.map(|manifest| RawManifest::descriptor(&manifest)))
}

/// Writes the index if `edit` says that it changed, while other processes wait.
fn change(store: &Store, edit: impl FnOnce(&mut LayoutIndex) -> bool) -> Result<(), CacheError> {
    let path = store.paths.index_lock();
    let _lock = Waiter::new(store, &path).acquire_blocking()?;
    let mut index = read(store)?;
    if edit(&mut index) {
        store.write_small(&store.paths.index(), &index.to_json())?;
    }
    Ok(())
}
