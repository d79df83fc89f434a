//! Eviction: by age and by size, never what is in use.
//!
//! In use is what a `keep` set names (the digests of a lockfile), what a process has open, and what
//! a process is filling. Age counts from the last recorded use; a clock that was set back makes
//! everything young, never negative.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime};

use qmt_oci_ref::{Descriptor, Digest};

use super::imported::{self, Imported};
use super::inspect::{self, CacheEntry};
use super::paths::parse_file_name;
use super::store::Store;
use super::{FsCache, blobs, index, lock, refs, sys, temp_folder};
use crate::CacheError;

/// How old work in progress must be where locks don't show whether it is in use.
const LITTER_AGE: Duration = Duration::from_hours(24);

/// How old a blob must be that belongs to no artifact: its artifact may be in progress.
const ORPHAN_AGE: Duration = Duration::from_hours(1);

/// The use of a blob is recorded again only if the last recorded one is this old. Shorter than
/// [`ORPHAN_AGE`], so that pruning keeps a blob that a new artifact uses.
pub(super) const BLOB_USE_GRAIN: Duration = Duration::from_mins(30);

/// What [`FsCache::prune`] may evict.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use]
pub struct PruneOptions {
    /// Evict artifacts that were not used for this long.
    pub max_age: Option<Duration>,
    /// Evict the artifacts that were not used for the longest time until the cache has at most
    /// this many bytes; the cache's own limit if absent.
    pub max_size: Option<u64>,
    /// Digests that are never evicted: of manifests, of indexes, of files or blobs.
    pub keep: BTreeSet<Digest>,
}

impl PruneOptions {
    /// Sets the age from which artifacts are evicted.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the size to shrink the cache to, in bytes.
    pub fn with_max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// Adds digests that are never evicted.
    pub fn with_keep(mut self, digests: impl IntoIterator<Item = Digest>) -> Self {
        self.keep.extend(digests);
        self
    }
}

/// The result of [`FsCache::prune`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// The manifests whose artifacts were evicted.
    pub evicted: Vec<Digest>,
    /// The manifests whose artifacts could not be evicted because they are in use.
    pub in_use: Vec<Digest>,
    /// The imported images that were evicted before a plugin was extracted from them.
    pub imported: Vec<Digest>,
    /// The number of removed blobs that no artifact needs.
    pub blobs: usize,
    /// The number of removed temporary files and partial downloads of dead processes.
    pub litter: usize,
    /// The number of freed bytes.
    pub freed: u64,
}

impl FsCache {
    /// Evicts what `options` allow, and removes unfinished work of dead processes. Other processes
    /// may read and fill the cache meanwhile.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub async fn prune(
        &self,
        options: PruneOptions,
        now: SystemTime,
    ) -> Result<PruneReport, CacheError> {
        self.blocking(move |store| prune(store, &options, now))
            .await
    }
}

fn prune(
    store: &Store,
    options: &PruneOptions,
    now: SystemTime,
) -> Result<PruneReport, CacheError> {
    let mut report = PruneReport::default();
    let mut entries = inspect::list(store)?;
    let used = entries.iter().map(|entry| entry.record.root().clone());
    let Imported { mut kept, evicted } = imported::prune(store, &used.collect(), options, now)?;
    kept.extend(options.keep.iter().cloned());
    entries.sort_by_key(|entry| entry.last_used.map(|used| used.min(now)));
    let mut total = total_size(store, &entries)?;
    let mut users = BTreeMap::<Digest, usize>::new();
    for layer in entries.iter().flat_map(|entry| entry.record.layers()) {
        *users.entry(layer.clone()).or_default() += 1;
    }
    let max_size = options.max_size.or(store.options.max_size);
    let mut left = Vec::new();
    for entry in entries {
        let age = age(entry.last_used, now);
        let is_old = options.max_age.is_some_and(|max| age > max);
        let is_too_much = max_size.is_some_and(|max| total > max);
        let record = &entry.record;
        let names = [record.manifest(), record.root(), record.file_digest()];
        let is_kept = names.iter().any(|digest| options.keep.contains(digest));
        if is_kept || !(is_old || is_too_much) {
            left.push(entry);
            continue;
        }
        let manifest = entry.record.manifest().clone();
        let size = own_size(&entry);
        if evict(store, &entry)? {
            total = total.saturating_sub(size);
            for layer in entry.record.layers() {
                let users = users.entry(layer.clone()).or_default();
                *users = users.saturating_sub(1);
                if *users == 0 {
                    total = total.saturating_sub(sys::length_of(&store.paths.blob(layer)));
                }
            }
            report.freed = report.freed.saturating_add(size);
            report.evicted.push(manifest);
        } else {
            report.in_use.push(manifest);
            left.push(entry);
        }
    }
    let orphans = Orphans {
        needed: needed_blobs(store, &left, &kept)?,
        evicted: needed_blobs(store, &[], &evicted)?,
        now,
    };
    report.imported = evicted.into_iter().collect();
    orphans.drop(store, &mut report)?;
    drop_litter(store, now, &mut report)?;
    drop_unfinished(store, now, &mut report)?;
    Ok(report)
}

/// Removes an entry unless a process fills it or has it open.
fn evict(store: &Store, entry: &CacheEntry) -> Result<bool, CacheError> {
    let manifest = entry.record.manifest();
    let Some(_filling) = lock::try_acquire(store.sys, &store.paths.lock(manifest))? else {
        return Ok(false);
    };
    // Users of the artifact share the lock on its file. A lookup waits for this one, for a moment,
    // and sees a miss.
    let file = sys::open_file(&entry.path, 2)?;
    if let Some(file) = &file
        && let Err(TryLockError::WouldBlock) = (store.sys.lock)(file)
    {
        return Ok(false);
    }
    store.remove_entry(manifest)?;
    Ok(true)
}

/// What no artifact needs.
struct Orphans {
    /// The blobs that artifacts and kept images need.
    needed: BTreeSet<Digest>,
    /// The blobs of the imported images that are evicted: they belong to no artifact in progress.
    evicted: BTreeSet<Digest>,
    now: SystemTime,
}

impl Orphans {
    fn has(&self, digest: &Digest, path: &Path) -> bool {
        !self.needed.contains(digest)
            && (self.evicted.contains(digest) || is_older(path, ORPHAN_AGE, self.now))
    }

    /// Removes blobs, tags and signature material that no artifact needs.
    fn drop(&self, store: &Store, report: &mut PruneReport) -> Result<(), CacheError> {
        for digest in inspect::blob_digests(store)? {
            let path = store.paths.blob(&digest);
            if self.has(&digest, &path) {
                let size = sys::length_of(&path);
                sys::remove(&path)?;
                report.blobs += 1;
                report.freed = report.freed.saturating_add(size);
            }
        }
        for name in sys::names(&store.paths.signatures())? {
            let path = store.paths.signatures().join(&name);
            let is_orphan = match name.strip_suffix(".json").and_then(parse_file_name) {
                Some(subject) => self.has(&subject, &path),
                None => is_older(&path, ORPHAN_AGE, self.now),
            };
            if is_orphan {
                sys::remove(&path)?;
            }
        }
        drop_tags(store)?;
        let is_there = |image: &Descriptor| store.paths.blob(image.digest()).exists();
        index::retain(store, is_there)
    }
}

/// Removes tags whose image was removed.
fn drop_tags(store: &Store) -> Result<(), CacheError> {
    for name in sys::names(&store.paths.refs())? {
        let path = store.paths.refs().join(name);
        let is_there =
            refs::digest_in(&path)?.is_some_and(|digest| store.paths.blob(&digest).exists());
        if !is_there {
            sys::remove(&path)?;
        }
    }
    Ok(())
}

/// Everything that the entries and the kept digests point to.
fn needed_blobs(
    store: &Store,
    entries: &[CacheEntry],
    keep: &BTreeSet<Digest>,
) -> Result<BTreeSet<Digest>, CacheError> {
    let mut needed = BTreeSet::new();
    let records = entries.iter().map(|entry| &entry.record);
    let mut queue: Vec<Digest> = records
        .flat_map(|record| {
            [record.root(), record.manifest()]
                .into_iter()
                .chain(record.layers())
        })
        .chain(keep)
        .cloned()
        .collect();
    while let Some(digest) = queue.pop() {
        if needed.insert(digest.clone()) {
            let children = blobs::children(store, &digest)?.unwrap_or_default();
            queue.extend(children.iter().map(|child| child.digest().clone()));
        }
    }
    Ok(needed)
}

/// Removes temporary files that no living process holds.
fn drop_litter(store: &Store, now: SystemTime, report: &mut PruneReport) -> Result<(), CacheError> {
    for folder in [store.paths.tmp(), store.paths.partials()] {
        for name in sys::names(&folder)? {
            let path = folder.join(name);
            let is_partial = folder == store.paths.partials();
            if is_litter(store, &path, is_partial, now) {
                let size = sys::length_of_all(&path);
                sys::remove(&path)?;
                report.litter += 1;
                report.freed = report.freed.saturating_add(size);
            }
        }
    }
    Ok(())
}

fn is_litter(store: &Store, path: &Path, is_partial: bool, now: SystemTime) -> bool {
    let is_old = is_older(path, LITTER_AGE, now);
    if path.is_dir() {
        return temp_folder::is_abandoned(store.sys, path).unwrap_or(is_old);
    }
    if is_partial && !is_old {
        // It can be resumed for a day.
        return false;
    }
    let mut options = OpenOptions::new();
    sys::follow_no_link(options.read(true));
    match options.open(path).map(|file| (store.sys.lock)(&file)) {
        Ok(Ok(())) => true,
        Ok(Err(TryLockError::WouldBlock)) => false,
        Ok(Err(TryLockError::Error(_))) | Err(_) => is_old,
    }
}

/// Removes entries without a record, which a process did not finish.
fn drop_unfinished(
    store: &Store,
    now: SystemTime,
    report: &mut PruneReport,
) -> Result<(), CacheError> {
    for manifest in inspect::manifests(store)? {
        if store.read_record(&manifest)?.is_some() {
            continue;
        }
        let is_old = is_older(&store.paths.entry(&manifest), LITTER_AGE, now);
        let lock = lock::try_acquire(store.sys, &store.paths.lock(&manifest))?;
        let is_free = lock.as_ref().is_some_and(|lock| lock.is_real() || is_old);
        if is_free && store.read_record(&manifest)?.is_none() {
            store.remove_entry(&manifest)?;
            report.litter += 1;
        }
    }
    Ok(())
}

/// The bytes of all artifacts and blobs, a file with two names counted once.
fn total_size(store: &Store, entries: &[CacheEntry]) -> Result<u64, CacheError> {
    let blobs = inspect::blob_digests(store)?;
    let blobs = blobs
        .iter()
        .map(|digest| sys::length_of(&store.paths.blob(digest)));
    let sizes = entries.iter().map(own_size).chain(blobs);
    Ok(sizes.fold(0, u64::saturating_add))
}

/// The bytes of an entry's file; 0 if it is a blob too, which is counted as such.
fn own_size(entry: &CacheEntry) -> u64 {
    let is_blob = entry.record.layers().contains(entry.record.file_digest())
        && sys::open_own(&entry.path, 2).is_ok_and(|file| sys::name_count(&file) == 2);
    if is_blob { 0 } else { entry.record.size() }
}

/// Zero for uses in the future.
fn age(used: Option<SystemTime>, now: SystemTime) -> Duration {
    used.and_then(|used| now.duration_since(used).ok())
        .unwrap_or_default()
}

pub(super) fn is_older(path: &Path, limit: Duration, now: SystemTime) -> bool {
    let modified = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    age(modified.ok(), now) >= limit
}

#[cfg(test)]
mod tests;
