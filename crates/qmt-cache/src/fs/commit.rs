//! The commit: content first, names next, the record last, and `fsync` between.
//!
//! A reader that comes at any moment in between finds the old entry, the new one or none; a power
//! cut likewise, because each entry is hashed when it is opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qmt_oci_ref::Digest;
use tempfile::TempPath;

use super::partial::{FinishedBlob, FinishedState, Place};
use super::staging::Staging;
use super::store::Store;
use super::{blobs, folder, index, sealed, sys};
use crate::{CacheError, CachedArtifact, Record};

pub(super) fn commit(staging: Staging, mut record: Record) -> Result<CachedArtifact, CacheError> {
    check(&staging, &record)?;
    let finished = staging.take_blobs();
    record.set_layers(finished.iter().map(|blob| blob.digest.clone()).collect());
    let is_blob = finished
        .iter()
        .any(|blob| blob.digest == *record.file_digest());
    let Staging {
        store,
        mut out,
        temp,
        digester,
        _lock,
        ..
    } = staging;
    if !is_blob {
        check_content(&record, out.length(), digester.finish())?;
    }
    let manifest = record.manifest();
    let entry = store.paths().entry(manifest);
    let path = entry.join(record.file_name());
    make_way(&entry, false)?;
    folder::make(&entry)?;
    folder::check(&entry)?;
    make_way(&path, true)?;

    let mut blob_folders = Vec::new();
    for blob in finished {
        let artifact = (blob.digest == *record.file_digest()).then_some(path.as_path());
        if let Some(digest) = keep_blob(&store, blob, &record, artifact)? {
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
        blobs::sync_folder(&store, digest)?;
    }

    let body = blobs::to_json(&record);
    let sealed = sealed::seal("record", &manifest.to_string(), &body);
    let note = store.write_temp(&sealed)?;
    folder::sync(store.sys(), &entry)?;
    note.place(&store.paths().record(manifest))?;
    folder::sync(store.sys(), &entry)?;
    folder::sync(store.sys(), &store.paths().artifacts())?;

    tidy(&entry, record.file_name());
    index::add(&store, record.root(), None)?;
    store.lookup(manifest)?.ok_or(CacheError::Damaged {
        path,
        reason: "it changed while it was committed",
    })
}

/// Removes what stands where a folder (or, with `for_file`, a file) has to be and is none. It is
/// not looked into, and what a link points to stays.
fn make_way(path: &Path, for_file: bool) -> Result<(), CacheError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let is_in_the_way = if for_file {
        metadata.is_dir()
    } else {
        !metadata.is_dir()
    };
    if is_in_the_way {
        blobs::remove(path)
    } else {
        Ok(())
    }
}

fn check(staging: &Staging, record: &Record) -> Result<(), CacheError> {
    let rule = if *record.manifest() == staging.manifest {
        record.broken_rule()
    } else {
        Some("is about another manifest than the staging area")
    };
    match rule {
        Some(rule) => Err(CacheError::InvalidRecord {
            manifest: staging.manifest.clone(),
            rule,
        }),
        None => Ok(()),
    }
}

fn check_content(record: &Record, length: u64, actual: Digest) -> Result<(), CacheError> {
    let expected = record.file_digest();
    if length != record.size() {
        let digest = expected.clone();
        return Err(CacheError::SizeMismatch {
            digest,
            expected: record.size(),
            actual: length,
        });
    }
    if actual != *expected {
        return Err(CacheError::Mismatch {
            expected: expected.clone(),
            actual,
        });
    }
    Ok(())
}

/// Gives a finished blob its name among the blobs, and the artifact's name too where it is the
/// artifact. Returns its digest if a name among the blobs is new.
fn keep_blob(
    store: &Arc<Store>,
    blob: FinishedBlob,
    record: &Record,
    artifact: Option<&Path>,
) -> Result<Option<Digest>, CacheError> {
    let FinishedBlob { digest, state } = blob;
    let name = store.paths().blob(&digest);
    let (mut out, place) = match state {
        FinishedState::Fresh { out, place } => (out, place),
        FinishedState::Kept => {
            if let Some(artifact) = artifact {
                second_name(store, &name, artifact)?;
            }
            return Ok(None);
        }
    };
    if artifact.is_some() && out.length() != record.size() {
        return Err(CacheError::SizeMismatch {
            digest,
            expected: record.size(),
            actual: out.length(),
        });
    }
    let from = out.path().to_owned();
    if let Err(error) = out.seal() {
        // What the kernel still shows of it may not be on the disk: the next try begins anew.
        let _ = std::fs::remove_file(&from);
        return Err(error);
    }
    match place {
        Place::Resumable => {
            std::fs::rename(&from, &name).map_err(CacheError::io("rename to", &name))?;
        }
        Place::Temporary(temp) => sys::place(temp, &name)?,
    }
    drop(out); // Frees the lock that marked it as work in progress.
    if let Some(artifact) = artifact {
        second_name(store, &name, artifact)?;
    }
    Ok(Some(digest))
}

/// Gives the blob's file the artifact's name as well, or a copy of it where that is impossible
/// (the file system has no hard links, or the blob is another artifact already).
fn second_name(store: &Arc<Store>, blob: &Path, artifact: &Path) -> Result<(), CacheError> {
    if let Some(single) = sys::open_file(blob, 1).ok().flatten() {
        // Held until the name is there: an unlocked temporary name would pass for litter.
        let _ = (store.sys().lock_shared)(&single);
        if let Ok(temp) = link(store, blob) {
            return sys::place(temp, artifact);
        }
    }
    let (mut out, temp) = store.temp_file()?;
    let source = sys::open_file(blob, 2)?
        .ok_or_else(|| CacheError::io("read", blob)(io::ErrorKind::NotFound.into()))?;
    io::copy(&mut &source, &mut out).map_err(CacheError::io("copy", blob))?;
    out.seal()?;
    sys::place(temp, artifact)
}

/// A temporary second name: renaming it replaces an old artifact at once, which linking can't.
fn link(store: &Store, blob: &Path) -> io::Result<TempPath> {
    let made = tempfile::Builder::new()
        .prefix("link-")
        .make_in(store.paths().tmp(), |path: &Path| {
            (store.sys().link)(blob, path)
        })?;
    Ok(made.into_temp_path())
}

/// Removes what an entry held before, under other names.
fn tidy(entry: &Path, file_name: &str) {
    let Ok(files) = std::fs::read_dir(entry) else {
        return;
    };
    let is_ours = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name == file_name || name == "record.json")
    };
    for path in files
        .flatten()
        .map(|file| file.path())
        .filter(|path| !is_ours(path))
    {
        let _ = std::fs::remove_file(path);
    }
}
