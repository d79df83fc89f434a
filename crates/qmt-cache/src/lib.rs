#![doc = include_str!("../README.md")]
//!
//! Cache: the content-addressed store of plugins on disk, shared by processes.
//!
//! reference → resolve → verify → select → fetch → extract → **cache** → load.
//! The only writer of plugin files. It knows no registry, verifies no signature and runs nothing:
//! it stores bytes under their digests, and returns only bytes that it has just hashed.
//!
//! The folder is an [OCI image layout], so that `oras`, `crane` and `skopeo` can read it.
//!
//! [OCI image layout]: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
#![forbid(unsafe_code)]

mod artifact;
mod cache; // Start here: the trait.
mod error;
mod fs;
mod record;

pub use self::artifact::CachedArtifact;
#[cfg(feature = "test-util")]
pub use self::cache::MockCache;
pub use self::cache::{Begin, Cache};
pub use self::error::CacheError;
pub use self::fs::{CacheEvent, CacheOptions, FsCache, PartialBlob, Staging};
pub use self::record::Record;

/// Listing, verifying, pruning and transferring a cache: arguments and results of methods of
/// [`FsCache`].
pub mod maintenance {
    pub use crate::fs::{
        CacheEntry, IncompleteImage, MergeEvidence, MergedEvidence, PruneOptions, PruneReport,
        TransferReport, VerifyReport,
    };
}
