//! Looking at the whole cache: what it holds, and whether that is still what it was.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use qmt_oci_ref::{Digest, Digester};

use super::paths::unflat;
use super::store::Store;
use super::{FsCache, blobs, sys};
use crate::{CacheError, Record};

/// How much is read between two steps of the hash, in bytes.
const CHUNK: usize = 256 * 1024;

/// One artifact in a list of the cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// What is known about it.
    pub record: Record,
    /// Where its file is.
    pub path: PathBuf,
    /// When it was last used, to the hour; absent if the file system can't say.
    pub last_used: Option<SystemTime>,
}

/// What [`FsCache::verify_all`] found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// How many artifacts and blobs hash to their names.
    pub good: usize,
    /// The files that did not, and were dropped.
    pub damaged: Vec<PathBuf>,
}

impl FsCache {
    /// Lists the artifacts in good form, in the order of their manifest digests. Reads the whole
    /// folder.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub async fn list(&self) -> Result<Vec<Entry>, CacheError> {
        self.blocking(|store| list(store)).await
    }

    /// Hashes every artifact and blob, and drops those that are damaged.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub async fn verify_all(&self) -> Result<VerifyReport, CacheError> {
        self.blocking(|store| {
            let mut report = VerifyReport::default();
            verify_artifacts(store, &mut report)?;
            verify_blobs(store, &mut report)?;
            Ok(report)
        })
        .await
    }
}

pub(super) fn list(store: &Store) -> Result<Vec<Entry>, CacheError> {
    let mut entries = Vec::new();
    for manifest in manifests(store)? {
        let Some(record) = store.read_record(&manifest)? else {
            continue;
        };
        let path = store.paths().entry(&manifest).join(record.file_name());
        let noted = std::fs::metadata(store.paths().record(&manifest));
        let last_used = noted.and_then(|metadata| metadata.modified()).ok();
        entries.push(Entry {
            record,
            path,
            last_used,
        });
    }
    Ok(entries)
}

/// The digests of all entries, sorted.
pub(super) fn manifests(store: &Store) -> Result<Vec<Digest>, CacheError> {
    let names = names(&store.paths().artifacts())?;
    let mut digests: Vec<_> = names.iter().filter_map(|name| unflat(name)).collect();
    digests.sort();
    Ok(digests)
}

/// The digests of all blobs, sorted.
pub(super) fn blob_digests(store: &Store) -> Result<Vec<Digest>, CacheError> {
    let mut digests = Vec::new();
    for algorithm in names(&store.paths().blobs())? {
        for hex in names(&store.paths().blobs().join(&algorithm))? {
            digests.extend(format!("{algorithm}:{hex}").parse::<Digest>());
        }
    }
    digests.sort();
    Ok(digests)
}

/// The names in a folder; none if it is absent.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, CacheError> {
    let files = match std::fs::read_dir(folder) {
        Err(error) if sys::is_absent(&error) => return Ok(Vec::new()),
        files => files.map_err(CacheError::io("list", folder))?,
    };
    let mut names = Vec::new();
    for file in files {
        let file = file.map_err(CacheError::io("list", folder))?;
        names.extend(file.file_name().into_string());
    }
    Ok(names)
}

fn verify_artifacts(
    store: &std::sync::Arc<Store>,
    report: &mut VerifyReport,
) -> Result<(), CacheError> {
    for manifest in manifests(store)? {
        let entry = store.paths().entry(&manifest);
        let Some(artifact) = store.lookup(&manifest)? else {
            // Being filled or evicted, never finished, or damaged in form: the lock tells which.
            let lock = super::lock::try_acquire(store.sys(), &store.paths().lock(&manifest))?;
            let was_finished = std::fs::symlink_metadata(store.paths().record(&manifest)).is_ok();
            if lock.is_some() && was_finished && store.lookup(&manifest)?.is_none() {
                store.remove_entry(&manifest)?;
                report.damaged.push(entry);
            }
            continue;
        };
        let path = artifact.path();
        let record = artifact.record();
        let Some(file) = sys::open_file(path, 2)? else {
            continue;
        };
        if hash(&file, record.file_digest(), path)? {
            report.good = report.good.saturating_add(1);
        } else {
            store.drop_damaged(record, &file);
            report.damaged.push(path.to_owned());
        }
    }
    Ok(())
}

fn verify_blobs(store: &Store, report: &mut VerifyReport) -> Result<(), CacheError> {
    for digest in blob_digests(store)? {
        let path = store.paths().blob(&digest);
        let is_good = match sys::open_file(&path, 2)? {
            Some(file) => hash(&file, &digest, &path)?,
            None if std::fs::symlink_metadata(&path).is_err() => continue,
            None => false,
        };
        if is_good {
            report.good = report.good.saturating_add(1);
        } else {
            blobs::remove(&path)?;
            report.damaged.push(path);
        }
    }
    Ok(())
}

fn hash(file: &std::fs::File, digest: &Digest, path: &Path) -> Result<bool, CacheError> {
    let mut digester = Digester::new(digest.algorithm());
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = sys::read_at(file, &mut buffer, digester.count())
            .map_err(CacheError::io("read", path))?;
        if count == 0 {
            return Ok(digester.finish() == *digest);
        }
        digester.update(buffer.get(..count).unwrap_or_default());
    }
}
