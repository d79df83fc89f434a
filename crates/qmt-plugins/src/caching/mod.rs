//! Registries in front of a registry: what the cache holds is not requested again. Files
//! from URLs are cached here as well.

mod disk;
mod layers;
mod manifests;
pub(crate) mod url_cache;

pub(crate) use self::disk::{blocking, disk_stream};
pub(crate) use self::layers::ResumingLayers;
pub(crate) use self::manifests::CachedRegistry;
