//! Export and import: images with their signature material, as an OCI image layout that carries
//! the proof of itself. For sites without network, and for moving a cache.
//!
//! `signatures/` beside `blobs/` holds what was found for each image, as in the cache.

mod export;
mod import;

use std::path::Path;
use std::time::SystemTime;

use qmt_oci_ref::Digest;

use super::FsCache;
use crate::CacheError;

/// How much is read between two steps of the hash, in bytes.
const CHUNK: usize = 256 * 1024;

/// What an export or import moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// The digests of the images: of their indexes, or manifests where there is none.
    pub images: Vec<Digest>,
    /// How many blobs were moved.
    pub blobs: usize,
    /// How many bytes these have.
    pub bytes: u64,
    /// For how many images signature material was moved.
    pub signatures: usize,
}

impl FsCache {
    /// Writes the images `roots` with everything that they need into the OCI image layout
    /// `target`: a tar archive if its name ends in `.tar`, else a new folder. It appears as a
    /// whole or not at all. Of an index, the platforms that the cache has are exported.
    ///
    /// # Errors
    /// [`CacheError::Incomplete`] if a blob is absent or damaged, [`CacheError::InvalidLayout`] if
    /// the folder exists, [`CacheError::Io`].
    pub async fn export(
        &self,
        roots: Vec<Digest>,
        target: &Path,
    ) -> Result<Transferred, CacheError> {
        let target = target.to_owned();
        self.blocking(move |store| export::export(store, &roots, &target))
            .await
    }

    /// Takes over everything from an OCI image layout (folder or uncompressed tar archive): blobs,
    /// each proven by its name, names, and signature material. Artifacts are extracted from the
    /// blobs when they are next asked for, and judged then like any other.
    ///
    /// # Errors
    /// [`CacheError::InvalidLayout`], [`CacheError::Mismatch`] if a blob is not what its name says
    /// (nothing after it is imported), [`CacheError::Io`].
    pub async fn import(&self, source: &Path, now: SystemTime) -> Result<Transferred, CacheError> {
        let source = source.to_owned();
        self.blocking(move |store| import::import(store, &source, now))
            .await
    }
}

fn invalid(path: &Path, rule: &'static str) -> CacheError {
    CacheError::InvalidLayout {
        path: path.to_owned(),
        rule,
    }
}
