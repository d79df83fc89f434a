//! Registries in front of a registry: what the cache holds is not requested again.

mod disk;
mod layers;
mod manifests;

pub(crate) use self::disk::{blocking, disk_stream};
pub(crate) use self::layers::ResumingLayers;
pub(crate) use self::manifests::CachedRegistry;
