//! The adapters between stages: each implements a stage's port over another stage's trait.

mod disk;
mod evidence;
mod layers;
mod manifests;

pub(crate) use self::disk::PackedContent;
pub(crate) use self::evidence::RegistryEvidence;
pub(crate) use self::layers::RegistryLayers;
pub(crate) use self::manifests::CachedManifests;
