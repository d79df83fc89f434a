//! Small blobs, tags and signature material.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, Reference};
use serde::{Deserialize, Serialize};

use super::store::Store;
use super::{folder, index, sealed, sys};
use crate::CacheError;

/// The most signature material that is kept for one subject, in bytes.
pub(crate) const EVIDENCE_MAX: u64 = 16 * 1024 * 1024;

/// The largest file of a tag that is read, in bytes.
const REF_MAX: u64 = 16 * 1024;

/// Keeps a blob whose bytes are at hand.
pub(crate) fn put(store: &Store, blob: &Descriptor, bytes: &[u8]) -> Result<(), CacheError> {
    let digest = blob.digest();
    let actual = Digest::of(digest.algorithm(), bytes);
    if actual != *digest {
        return Err(CacheError::Mismatch {
            expected: digest.clone(),
            actual,
        });
    }
    if bytes.len() as u64 != blob.size() {
        return Err(CacheError::SizeMismatch {
            digest: digest.clone(),
            expected: blob.size(),
            actual: bytes.len() as u64,
        });
    }
    let path = store.paths().blob(digest);
    let kept = sys::read_small(&path, blob.size())?;
    if kept.is_some_and(|kept| kept == bytes) {
        return Ok(());
    }
    store.write_small(&path, bytes)
}

/// Reads a blob back; `None` if it is absent, or damaged, in which case it is dropped.
pub(crate) fn get(store: &Store, digest: &Digest, limit: u64) -> Result<Option<Bytes>, CacheError> {
    let path = store.paths().blob(digest);
    let Some(file) = sys::open_file(&path, 2)? else {
        return Ok(None);
    };
    let size = file
        .metadata()
        .map_err(CacheError::io("examine", &path))?
        .len();
    if size > limit {
        return Err(CacheError::TooLarge {
            digest: digest.clone(),
            size,
            limit,
        });
    }
    let Some(bytes) = sys::read_small(&path, limit)? else {
        return Ok(None);
    };
    if Digest::of(digest.algorithm(), &bytes) != *digest {
        tracing::warn!(%digest, "dropping a damaged blob of the cache");
        remove(&path)?;
        return Ok(None);
    }
    Ok(Some(bytes.into()))
}

/// What a tag's file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TagFile {
    digest: Digest,
    resolved_at_ms: u64,
    /// Whether the layout's index lists it under this reference.
    indexed: bool,
}

/// Remembers what `reference` named, and lists it in the layout's index once its blob is there.
pub(crate) fn set_ref(
    store: &Store,
    reference: &Reference,
    digest: &Digest,
    now: SystemTime,
) -> Result<(), CacheError> {
    let known = read_ref(store, reference)?;
    let is_indexed = known.is_some_and(|known| known.indexed && known.digest == *digest);
    let indexed = is_indexed || index::add(store, digest, Some(&reference.to_string()))?;
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let resolved_at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let file = TagFile {
        digest: digest.clone(),
        resolved_at_ms,
        indexed,
    };
    let body = to_json(&file);
    let sealed = sealed::seal("ref", &reference.to_string(), &body);
    store.write_small(&store.paths().reference(reference), &sealed)
}

/// What `reference` named and when that was found out.
pub(crate) fn get_ref(
    store: &Store,
    reference: &Reference,
) -> Result<Option<(Digest, SystemTime)>, CacheError> {
    let Some(file) = read_ref(store, reference)? else {
        return Ok(None);
    };
    let since = Duration::from_millis(file.resolved_at_ms);
    Ok(SystemTime::UNIX_EPOCH
        .checked_add(since)
        .map(|at| (file.digest, at)))
}

fn read_ref(store: &Store, reference: &Reference) -> Result<Option<TagFile>, CacheError> {
    let path = store.paths().reference(reference);
    let Some(bytes) = sys::read_small(&path, REF_MAX)? else {
        return Ok(None);
    };
    Ok(sealed::open("ref", &reference.to_string(), &bytes)
        .and_then(|body| serde_json::from_slice(body).ok()))
}

/// The digest in a tag's file, whatever reference it is for; only for clearing away.
pub(crate) fn digest_of_ref(path: &Path) -> Result<Option<Digest>, CacheError> {
    #[derive(Deserialize)]
    struct Sealed {
        body: TagFile,
    }
    let bytes = sys::read_small(path, REF_MAX)?.unwrap_or_default();
    Ok(serde_json::from_slice::<Sealed>(&bytes)
        .ok()
        .map(|sealed| sealed.body.digest))
}

/// Keeps signature material, which is JSON.
pub(crate) fn put_evidence(store: &Store, subject: &Digest, body: &[u8]) -> Result<(), CacheError> {
    let size = body.len() as u64;
    if size > EVIDENCE_MAX {
        return Err(CacheError::TooLarge {
            digest: subject.clone(),
            size,
            limit: EVIDENCE_MAX,
        });
    }
    let path = store.paths().evidence(subject);
    store.write_small(&path, &sealed::seal("evidence", &subject.to_string(), body))
}

/// The signature material of `subject`, if it is whole and really the subject's.
pub(crate) fn get_evidence(store: &Store, subject: &Digest) -> Result<Option<Bytes>, CacheError> {
    let path = store.paths().evidence(subject);
    // The envelope takes a few hundred bytes.
    let Some(bytes) = sys::read_small(&path, EVIDENCE_MAX.saturating_add(1024))? else {
        return Ok(None);
    };
    let body = sealed::open("evidence", &subject.to_string(), &bytes).map(Bytes::copy_from_slice);
    if body.is_none() {
        tracing::warn!(%subject, "ignoring signature material that is damaged or not the subject's");
    }
    Ok(body)
}

/// Removes a file, or the folder or link that has taken its place; one that is absent is fine.
pub(crate) fn remove(path: &Path) -> Result<(), CacheError> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        _ => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if sys::is_absent(&error) => Ok(()),
        removed => removed.map_err(CacheError::io("remove", path)),
    }
}

/// Makes earlier changes to the blobs' folders durable.
pub(crate) fn sync_folder(store: &Store, digest: &Digest) -> Result<(), CacheError> {
    folder::sync(store.sys(), &store.paths().blob_folder(digest))
}

/// Types of ours always serialise: their maps have string keys.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
