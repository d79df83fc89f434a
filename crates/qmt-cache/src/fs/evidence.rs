//! Signature material, stored as it was discovered.

use bytes::Bytes;
use qmt_oci_ref::Digest;

use super::store::Store;
use super::{sealed, sys};
use crate::CacheError;

/// The most signature material that is stored for one subject, in bytes: 16 MiB of signatures as
/// JSON, in Base64.
pub(super) const EVIDENCE_MAX: u64 = 32 * 1024 * 1024;

/// The largest file of it that is read: the envelope takes a few hundred bytes more.
pub(crate) const FILE_MAX: u64 = EVIDENCE_MAX + 1024;

/// Stores signature material, which is JSON.
pub(crate) fn put(store: &Store, subject: &Digest, body: &[u8]) -> Result<(), CacheError> {
    let size = body.len() as u64;
    if size > EVIDENCE_MAX {
        return Err(CacheError::TooLarge {
            digest: subject.clone(),
            size,
            limit: EVIDENCE_MAX,
        });
    }
    store.write_small(&store.paths.evidence(subject), &seal(subject, body))
}

/// The signature material of `subject`, if it is complete and really the subject's.
pub(crate) fn get(store: &Store, subject: &Digest) -> Result<Option<Bytes>, CacheError> {
    let Some(bytes) = sys::read_small(&store.paths.evidence(subject), FILE_MAX)? else {
        return Ok(None);
    };
    let body = open(subject, &bytes).map(Bytes::copy_from_slice);
    if body.is_none() {
        tracing::warn!(%subject, "ignoring signature material that is damaged or not the subject's");
    }
    Ok(body)
}

/// Wraps the material of `subject` for a file.
pub(crate) fn seal(subject: &Digest, body: &[u8]) -> Vec<u8> {
    sealed::seal("evidence", &subject.to_string(), body)
}

/// The material in a file, if it is complete and the subject's.
pub(crate) fn open<'a>(subject: &Digest, file: &'a [u8]) -> Option<&'a [u8]> {
    sealed::open("evidence", &subject.to_string(), file)
}
