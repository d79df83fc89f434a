//! The commit: content first, names next, the record last, and `fsync` between.
//!
//! A reader sees the old entry, the new one or none at every moment, also after a power failure,
//! because each entry is hashed when it is opened.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use qmt_oci_ref::Digest;
use tempfile::TempPath;

use super::gc::BLOB_USE_GRAIN;
use super::partial::{Content, FinishedBlob};
use super::staging::Staging;
use super::store::{Store, to_json};
use super::{folder, index, sealed, sys};
use crate::{CacheError, CachedArtifact, Record};

impl Staging {
    /// Makes the artifact and its finished blobs durable and visible, the record last.
    ///
    /// Blocks the thread until the disk has everything.
    ///
    /// # Errors
    /// [`CacheError::SizeMismatch`] or [`CacheError::Mismatch`] if what was written is not what
    /// `record` says, [`CacheError::InvalidRecord`], [`CacheError::Io`] (a full disk, a failed
    /// `fsync`). An entry that existed before is unchanged then.
    pub fn commit(self, mut record: Record) -> Result<CachedArtifact, CacheError> {
        check(&self, &record)?;
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let finished = std::mem::take(&mut *blobs);
        drop(blobs);
        record.set_layers(finished.iter().map(|blob| blob.digest.clone()).collect());
        let is_blob = finished
            .iter()
            .any(|blob| blob.digest == *record.file_digest());
        let Self {
            store,
            mut out,
            temp,
            digester,
            _lock,
            ..
        } = self;
        if !is_blob {
            let expected = record.file_digest();
            CacheError::check_size(expected, record.size(), out.length())?;
            CacheError::check_digest(expected, digester.finish())?;
        }
        let manifest = record.manifest();
        let entry = store.paths.entry(manifest);
        let path = entry.join(record.file_name());
        clear_path(&entry, false)?;
        folder::make(&entry)?;
        clear_path(&path, true)?;

        let mut blob_folders = Vec::new();
        for blob in finished {
            let artifact = (blob.digest == *record.file_digest()).then_some(path.as_path());
            if let Some(digest) = persist_blob(&store, blob, &record, artifact)? {
                blob_folders.push(digest);
            }
        }
        if !is_blob {
            out.seal()?;
            sys::place(temp, &path)?;
            drop(out); // Frees the lock that marked it as work in progress.
        }
        blob_folders.dedup_by_key(|digest| digest.algorithm());
        for digest in &blob_folders {
            folder::sync(store.sys, &store.paths.blob_folder(digest))?;
        }

        let body = to_json(&record);
        let sealed = sealed::seal("record", &manifest.to_string(), &body);
        let (written, temp) = store.write_temp(&sealed)?;
        folder::sync(store.sys, &entry)?;
        sys::place(temp, &store.paths.record(manifest))?;
        drop(written);
        folder::sync(store.sys, &entry)?;
        folder::sync(store.sys, &store.paths.artifacts())?;

        tidy(&entry, record.file_name());
        index::add(&store, record.root(), None)?;
        store.lookup(manifest)?.ok_or(CacheError::Damaged {
            path,
            reason: "it changed while it was committed",
            removed: true,
        })
    }
}

/// Removes anything else than a folder (or, with `for_file`, a file) at `path`. The target of a link
/// is not changed.
fn clear_path(path: &Path, for_file: bool) -> Result<(), CacheError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if metadata.is_dir() == for_file {
        sys::remove(path)?;
    }
    Ok(())
}

fn check(staging: &Staging, record: &Record) -> Result<(), CacheError> {
    let is_other = *record.manifest() != staging.manifest;
    let other = is_other.then_some("is about another manifest than the staging area");
    let Some(rule) = other.or(record.broken_rule()) else {
        return Ok(());
    };
    Err(CacheError::InvalidRecord {
        manifest: staging.manifest.clone(),
        rule,
    })
}

/// Gives a finished blob its name among the blobs, and the artifact's name too where it is the
/// artifact. Returns its digest if a name among the blobs is new.
fn persist_blob(
    store: &Arc<Store>,
    blob: FinishedBlob,
    record: &Record,
    artifact: Option<&Path>,
) -> Result<Option<Digest>, CacheError> {
    let FinishedBlob { digest, content } = blob;
    let name = store.paths.blob(&digest);
    let mut stored = None;
    match content {
        Content::Stored(file) => stored = Some(file),
        Content::Growing { mut out, temp } => {
            if artifact.is_some() {
                CacheError::check_size(&digest, record.size(), out.length())?;
            }
            let from = out.path.clone();
            if let Err(error) = out.seal() {
                // The kernel's view of it may not be on the disk: the next try starts from the
                // beginning.
                let _ = std::fs::remove_file(&from);
                return Err(error);
            }
            // It may have been complete for hours.
            sys::touch(&out.file, BLOB_USE_GRAIN);
            match temp {
                Some(temp) => sys::place(temp, &name)?,
                None => {
                    std::fs::rename(&from, &name).map_err(CacheError::io("rename to", &name))?;
                }
            }
            // Closing the file here frees the lock that marked it as work in progress.
        }
    }
    let is_new = stored.is_none();
    if let Some(artifact) = artifact {
        second_name(store, &name, stored, artifact)?;
    }
    Ok(is_new.then_some(digest))
}

/// Gives the blob's file the artifact's name as well, or a copy of it where that is impossible
/// (the file system has no hard links, or the blob is another artifact already). `stored` is the
/// blob's file if it was in the cache before: it may have lost its name since.
fn second_name(
    store: &Arc<Store>,
    blob: &Path,
    stored: Option<File>,
    artifact: &Path,
) -> Result<(), CacheError> {
    if let Ok(single) = sys::open_own(blob, 1) {
        // Locked until the name exists: eviction removes unlocked temporary files.
        let _ = (store.sys.lock_shared)(&single);
        if let Ok(temp) = link(store, blob) {
            return sys::place(temp, artifact);
        }
    }
    let (mut out, temp) = store.temp_file()?;
    let mut source = match stored {
        Some(file) => file,
        None => sys::open_own(blob, 2).map_err(CacheError::io("read", blob))?,
    };
    let copied = source
        .rewind()
        .and_then(|()| io::copy(&mut source, &mut out));
    copied.map_err(CacheError::io("copy", blob))?;
    out.seal()?;
    sys::place(temp, artifact)
}

/// A temporary second name: renaming it replaces an old artifact atomically, linking does not.
fn link(store: &Store, blob: &Path) -> io::Result<TempPath> {
    let made = tempfile::Builder::new()
        .prefix("link-")
        .make_in(store.paths.tmp(), |path| (store.sys.link)(blob, path))?;
    Ok(made.into_temp_path())
}

/// Removes the previous files of an entry that have other names.
fn tidy(entry: &Path, file_name: &str) {
    for name in sys::names(entry).unwrap_or_default() {
        if name != file_name && name != "record.json" {
            let _ = std::fs::remove_file(entry.join(name));
        }
    }
}
