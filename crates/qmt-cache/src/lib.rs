#![doc = include_str!("../README.md")]
//!
//! Cache: the content-addressed store of plugins on disk, shared by processes.
//!
//! reference → resolve → verify → fetch → extract → **commit** → load.
//! The only writer of plugin files. It knows no registry, judges no signature and runs nothing:
//! it keeps bytes under their digests, and hands out only bytes that it has just hashed.
//!
//! The folder is at the same time an [OCI image layout], so that `oras`, `crane` and `skopeo` can
//! read what it holds.
//!
//! [OCI image layout]: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
#![forbid(unsafe_code)]

mod artifact;
mod cache; // Start here: the seam.
mod error;
mod fs;
mod record;

pub use self::artifact::{CachedArtifact, ProvenFile};
#[cfg(feature = "test-util")]
pub use self::cache::MockCache;
pub use self::cache::{Begin, Cache};
pub use self::error::CacheError;
pub use self::fs::{
    CacheEvent, CacheOptions, Entry, FsCache, PartialBlob, PruneOptions, PruneReport, Staging,
    Transferred, VerifyReport,
};
pub use self::record::Record;
