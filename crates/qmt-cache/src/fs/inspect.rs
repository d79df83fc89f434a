//! Listing and verifying the whole cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use qmt_oci_ref::Digest;

use super::paths::parse_file_name;
use super::store::Store;
use super::{FsCache, lock, shown, sys};
use crate::{CacheError, Record};

/// One artifact of the cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheEntry {
    /// Its record.
    pub record: Record,
    /// The path of its file.
    pub path: PathBuf,
    /// The time of its last use, to the hour; absent if the file system does not store it.
    pub last_used: Option<SystemTime>,
}

/// The result of [`FsCache::verify_all`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The number of artifacts and blobs that hash to their names.
    pub good: usize,
    /// The files that did not, and were removed.
    pub damaged: Vec<PathBuf>,
    /// The files that did not, and could not be removed.
    pub not_removed: Vec<PathBuf>,
}

impl VerifyReport {
    /// Adds a damaged file, and whether it was removed.
    fn add(&mut self, path: PathBuf, removed: Result<bool, CacheError>) {
        let list = match removed {
            Ok(true) => &mut self.damaged,
            Ok(false) => &mut self.not_removed,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a damaged file could not be removed");
                &mut self.not_removed
            }
        };
        list.push(path);
    }
}

impl FsCache {
    /// Lists the well-formed artifacts, in the order of their manifest digests. Reads the whole
    /// folder.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub async fn list(&self) -> Result<Vec<CacheEntry>, CacheError> {
        let mut entries = self.blocking(|store| list(store)).await?;
        for entry in &mut entries {
            entry.path = shown(&entry.path);
        }
        Ok(entries)
    }

    /// Hashes every artifact and blob, and removes those that are damaged, where that is possible.
    ///
    /// # Errors
    /// [`CacheError::Io`] if one can't be read.
    pub async fn verify_all(&self) -> Result<VerifyReport, CacheError> {
        self.blocking(|store| {
            let mut report = VerifyReport::default();
            verify_artifacts(store, &mut report)?;
            verify_blobs(store, &mut report)?;
            let paths = report.damaged.iter_mut().chain(&mut report.not_removed);
            paths.for_each(|path| *path = shown(path));
            Ok(report)
        })
        .await
    }
}

pub(super) fn list(store: &Store) -> Result<Vec<CacheEntry>, CacheError> {
    let mut entries = Vec::new();
    for manifest in manifests(store)? {
        let Some(record) = store.read_record(&manifest)? else {
            continue;
        };
        let path = store.paths.entry(&manifest).join(record.file_name());
        let noted = std::fs::metadata(store.paths.record(&manifest));
        let last_used = noted.and_then(|metadata| metadata.modified()).ok();
        entries.push(CacheEntry {
            record,
            path,
            last_used,
        });
    }
    Ok(entries)
}

/// The digests of all entries, sorted.
pub(super) fn manifests(store: &Store) -> Result<Vec<Digest>, CacheError> {
    digests_in(&store.paths.artifacts())
}

/// The digests by which the names in a folder are made, sorted.
pub(super) fn digests_in(folder: &Path) -> Result<Vec<Digest>, CacheError> {
    let names = sys::names(folder)?;
    let digests = names.iter().filter_map(|name| parse_file_name(name));
    let mut digests: Vec<_> = digests.collect();
    digests.sort();
    Ok(digests)
}

/// The digests of all blobs, sorted.
pub(super) fn blob_digests(store: &Store) -> Result<Vec<Digest>, CacheError> {
    let mut digests = Vec::new();
    for algorithm in sys::names(&store.paths.blobs())? {
        for hex in sys::names(&store.paths.blobs().join(&algorithm))? {
            digests.extend(format!("{algorithm}:{hex}").parse::<Digest>());
        }
    }
    digests.sort();
    Ok(digests)
}

fn verify_artifacts(store: &Arc<Store>, report: &mut VerifyReport) -> Result<(), CacheError> {
    for manifest in manifests(store)? {
        let entry = store.paths.entry(&manifest);
        let Some(artifact) = store.lookup(&manifest)? else {
            // Being filled or evicted, never finished, or damaged in form: the lock tells which.
            let lock = match lock::try_acquire(store.sys, &store.paths.lock(&manifest)) {
                Ok(None) => continue,
                lock => lock,
            };
            let was_finished = std::fs::symlink_metadata(store.paths.record(&manifest)).is_ok();
            if was_finished && store.lookup(&manifest)?.is_none() {
                let removed = lock.and_then(|_lock| store.remove_entry(&manifest));
                report.add(entry, removed.map(|()| true));
            }
            continue;
        };
        match artifact.hashed(|_| {}) {
            Ok(()) => report.good += 1,
            Err(CacheError::Damaged { path, removed, .. }) => report.add(path, Ok(removed)),
            Err(error @ CacheError::LockTimeout { .. }) => {
                report.add(artifact.path().to_owned(), Err(error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn verify_blobs(store: &Store, report: &mut VerifyReport) -> Result<(), CacheError> {
    for digest in blob_digests(store)? {
        let path = store.paths.blob(&digest);
        let is_good = match sys::open_file(&path, 2)? {
            Some(file) => sys::hash(&file, digest.algorithm(), &path)?.finish() == digest,
            None if std::fs::symlink_metadata(&path).is_err() => continue,
            None => false,
        };
        if is_good {
            report.good += 1;
        } else {
            let removed = sys::remove(&path);
            report.add(path, removed.map(|()| true));
        }
    }
    Ok(())
}
