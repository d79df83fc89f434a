//! Tags: the digest that a reference named, and when it was resolved.

use std::path::Path;
use std::time::{Duration, SystemTime};

use qmt_oci_ref::{Digest, Reference};
use serde::{Deserialize, Serialize};

use super::store::{Store, to_json};
use super::{index, sealed, sys};
use crate::CacheError;

/// The largest file of a tag that is read, in bytes.
const REF_MAX: u64 = 16 * 1024;

/// The content of a tag's file. Older files have one more key, `indexed`, which is ignored.
#[derive(Debug, Serialize, Deserialize)]
struct TagFile {
    digest: Digest,
    resolved_at_ms: u64,
}

/// Stores what `reference` named, and lists it in the layout's index once its blob is there.
pub(crate) fn set(
    store: &Store,
    reference: &Reference,
    digest: &Digest,
    now: SystemTime,
) -> Result<(), CacheError> {
    index::add(store, digest, Some(&reference.to_string()))?;
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    let body = to_json(&TagFile {
        digest: digest.clone(),
        resolved_at_ms: u64::try_from(millis).unwrap_or(u64::MAX),
    });
    let sealed = sealed::seal("ref", &reference.to_string(), &body);
    store.write_small(&store.paths.reference(reference), &sealed)
}

/// What `reference` named, and when it was resolved.
pub(crate) fn get(
    store: &Store,
    reference: &Reference,
) -> Result<Option<(Digest, SystemTime)>, CacheError> {
    let path = store.paths.reference(reference);
    let bytes = sys::read_small(&path, REF_MAX)?.unwrap_or_default();
    let body = sealed::open("ref", &reference.to_string(), &bytes);
    let file = body.and_then(|body| serde_json::from_slice::<TagFile>(body).ok());
    Ok(file.and_then(|file| {
        let since = Duration::from_millis(file.resolved_at_ms);
        let at = SystemTime::UNIX_EPOCH.checked_add(since)?;
        Some((file.digest, at))
    }))
}

/// The digest in a tag's file, whatever reference it is for; only for removal.
pub(crate) fn digest_in(path: &Path) -> Result<Option<Digest>, CacheError> {
    #[derive(Deserialize)]
    struct Sealed {
        body: TagFile,
    }
    let bytes = sys::read_small(path, REF_MAX)?.unwrap_or_default();
    let sealed = serde_json::from_slice::<Sealed>(&bytes);
    Ok(sealed.ok().map(|sealed| sealed.body.digest))
}
