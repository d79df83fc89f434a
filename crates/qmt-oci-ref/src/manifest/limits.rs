//! What a manifest or an index may hold.

use super::ManifestError;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How much of a document is accepted: sizes in bytes, and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestLimits {
    pub(super) manifest_bytes: u64,
    pub(super) layers: u64,
    pub(super) index_entries: u64,
    /// Annotations of a document, those of its descriptors included.
    pub(super) annotations: u64,
    /// Of one annotation, name and value.
    pub(super) annotation_bytes: u64,
    pub(super) annotations_bytes: u64,
}

impl Default for ManifestLimits {
    /// Returns limits for manifests and indexes: 4 MiB, 128 layers or 16,384 entries, 1,024
    /// annotations of 64 KiB each and 1 MiB in all.
    fn default() -> Self {
        Self {
            manifest_bytes: 4 * MIB,
            layers: 128,
            index_entries: 16_384,
            annotations: 1_024,
            annotation_bytes: 64 * KIB,
            annotations_bytes: MIB,
        }
    }
}

impl ManifestLimits {
    /// Returns limits for the index of an image layout: 32 MiB and as many entries and annotations
    /// as fit.
    pub fn for_layouts() -> Self {
        Self {
            manifest_bytes: 32 * MIB,
            layers: 0,
            index_entries: u64::MAX,
            annotations: u64::MAX,
            annotation_bytes: 64 * KIB,
            annotations_bytes: u64::MAX,
        }
    }

    /// Returns the bytes that a manifest or index may have.
    pub fn bytes(&self) -> u64 {
        self.manifest_bytes
    }
}

pub(super) fn at_most(what: &'static str, limit: u64, found: usize) -> Result<(), ManifestError> {
    let found = u64::try_from(found).unwrap_or(u64::MAX);
    if found > limit {
        return Err(ManifestError::TooMany { what, limit, found });
    }
    Ok(())
}
