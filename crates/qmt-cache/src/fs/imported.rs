//! Images that were imported and not used yet. Nothing else says that their blobs are needed, and on
//! a machine without a network they can't be fetched again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use qmt_oci_ref::{Descriptor, Digest, Reference};
use qmt_storage::LayoutIndex;

use super::gc::{self, PruneOptions};
use super::paths::file_name;
use super::store::Store;
use super::{FsCache, inspect, sys};
use crate::CacheError;

impl FsCache {
    /// Lists the images that were imported and from which no plugin was extracted yet.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub async fn imported(&self) -> Result<Vec<Digest>, CacheError> {
        self.blocking(|store| {
            let entries = inspect::list(store)?;
            let used: BTreeSet<_> = entries.iter().map(|entry| entry.record.root()).collect();
            let mut images = inspect::digests_in(&store.paths.imported())?;
            images.retain(|image| !used.contains(image) && store.paths.blob(image).exists());
            Ok(images)
        })
        .await
    }
}

/// Records that an image was imported.
pub(crate) fn note(store: &Store, image: &Digest) -> Result<(), CacheError> {
    let path = marker(store, image);
    let folder = store.paths.imported();
    let created = qmt_storage::files::create_private_folder(&folder);
    created.map_err(CacheError::io("create", &folder))?;
    store.write_small(&path, &[])
}

/// The imported images that eviction keeps, and those that it evicts.
pub(crate) struct Imported {
    pub(crate) kept: BTreeSet<Digest>,
    pub(crate) evicted: BTreeSet<Digest>,
}

/// Decides about the imported images, and forgets those that are not kept: those from which a plugin
/// was extracted, which is evicted on its own, and those that `options` evict.
pub(crate) fn prune(
    store: &Store,
    used: &BTreeSet<Digest>,
    options: &PruneOptions,
    now: SystemTime,
) -> Result<Imported, CacheError> {
    let (mut kept, mut evicted) = (BTreeSet::new(), BTreeSet::new());
    for image in inspect::digests_in(&store.paths.imported())? {
        let path = marker(store, &image);
        let is_old = options
            .max_age
            .is_some_and(|age| gc::is_older(&path, age, now));
        let is_evicted = is_old || options.max_size == Some(0);
        if used.contains(&image) {
            sys::remove(&path)?;
        } else if is_evicted && !options.keep.contains(&image) {
            sys::remove(&path)?;
            evicted.insert(image);
        } else {
            kept.insert(image);
        }
    }
    Ok(Imported { kept, evicted })
}

fn marker(store: &Store, image: &Digest) -> PathBuf {
    store.paths.imported().join(file_name(image))
}

/// The whole reference that names an image, else its tag.
pub(super) fn name_of(image: &Descriptor) -> Option<&str> {
    LayoutIndex::reference_of(image).or_else(|| LayoutIndex::name_of(image))
}

/// The tag of this cache that an image has: its whole reference. A tag alone says nothing about a
/// registry.
pub(super) fn tag_of(image: &Descriptor) -> Option<Reference> {
    let whole = name_of(image).filter(|name| name.contains('/'));
    whole?.parse().ok()
}
