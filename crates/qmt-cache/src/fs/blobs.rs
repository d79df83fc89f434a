//! Blobs: manifests, indexes, configs and layers under their digests.

use bytes::Bytes;
use qmt_oci_ref::manifest::{Document, ManifestLimits, is_index, is_manifest};
use qmt_oci_ref::{Descriptor, Digest, RawManifest};
use qmt_storage::Layout;

use super::gc::BLOB_USE_GRAIN;
use super::store::Store;
use super::sys;
use crate::CacheError;

/// The largest manifest that is read, in bytes.
pub(crate) const MANIFEST_MAX: u64 = 4 * 1024 * 1024;
/// The largest blob that is imported: 4 GiB.
const BLOB_MAX: u64 = 4 << 30;

/// Stores a blob whose bytes are in memory.
pub(crate) fn put(store: &Store, blob: &Descriptor, bytes: &[u8]) -> Result<(), CacheError> {
    let digest = blob.digest();
    CacheError::check_digest(digest, Digest::of(digest.algorithm(), bytes))?;
    CacheError::check_size(digest, blob.size(), bytes.len() as u64)?;
    let path = store.paths.blob(digest);
    if let Some(file) = sys::open_file(&path, 2)? {
        let stored = qmt_storage::files::read_at_most(&file, blob.size());
        let stored = stored.map_err(CacheError::io("read", &path))?;
        if stored.is_some_and(|stored| stored == bytes) {
            sys::touch(&file, BLOB_USE_GRAIN);
            return Ok(());
        }
    }
    store.write_small(&path, bytes)
}

/// Reads a blob; `None` if it is absent, or damaged, in which case it is removed.
pub(crate) fn get(store: &Store, digest: &Digest, limit: u64) -> Result<Option<Bytes>, CacheError> {
    let path = store.paths.blob(digest);
    let Some(file) = sys::open_file(&path, 2)? else {
        return Ok(None);
    };
    let size = sys::length(&file, &path)?;
    let bytes =
        qmt_storage::files::read_at_most(file, limit).map_err(CacheError::io("read", &path))?;
    let bytes = bytes.ok_or_else(|| CacheError::TooLarge {
        digest: digest.clone(),
        size,
        limit,
    })?;
    if Digest::of(digest.algorithm(), &bytes) != *digest {
        tracing::warn!(%digest, "dropping a damaged blob of the cache");
        sys::remove(&path)?;
        return Ok(None);
    }
    Ok(Some(bytes.into()))
}

/// Reads a blob that is a manifest or index; `None` for any other.
pub(crate) fn manifest(store: &Store, digest: &Digest) -> Result<Option<RawManifest>, CacheError> {
    let bytes = match get(store, digest, MANIFEST_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(CacheError::TooLarge { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(RawManifest::read(bytes, None, digest.algorithm()).ok())
}

/// The blobs that a manifest or index points to, and none for other blobs. `None` for a manifest or
/// index that is malformed or above the default limits.
pub(crate) fn children(
    store: &Store,
    digest: &Digest,
) -> Result<Option<Vec<Descriptor>>, CacheError> {
    let raw = manifest(store, digest)?;
    Ok(raw.map_or_else(|| Some(Vec::new()), |raw| listed(&raw)))
}

/// What a manifest or index points to. `None` if it is malformed or above the default limits.
pub(crate) fn listed(raw: &RawManifest) -> Option<Vec<Descriptor>> {
    let limits = ManifestLimits::default();
    let document = Document::read(raw.media_type(), raw.bytes(), &limits);
    Some(match document.ok()? {
        Document::Manifest(manifest) => [manifest.layers(), &[manifest.config().clone()]].concat(),
        Document::Index(index) => index.into_manifests(),
    })
}

/// Reports whether a descriptor is of an image, by its media type.
pub(crate) fn is_image(blob: &Descriptor) -> bool {
    let media_type = blob.media_type();
    is_index(media_type) || is_manifest(media_type)
}

/// Reports whether the layout has a blob, of the size that its descriptor says.
pub(super) fn is_in_layout(layout: &Layout, blob: &Descriptor) -> Result<bool, CacheError> {
    let Some(file) = layout.blob(blob.digest())? else {
        return Ok(false);
    };
    CacheError::check_size(blob.digest(), blob.size(), file.size())?;
    if file.size() > BLOB_MAX {
        return Err(CacheError::TooLarge {
            digest: blob.digest().clone(),
            size: file.size(),
            limit: BLOB_MAX,
        });
    }
    Ok(true)
}
