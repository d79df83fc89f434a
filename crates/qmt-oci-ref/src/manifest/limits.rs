//! What a manifest or an index may hold.

use super::ManifestError;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How much of a document is accepted. Each setter lowers one limit and never raises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestLimits {
    pub(super) manifest_bytes: u64,
    pub(super) layers: u64,
    pub(super) index_entries: u64,
    pub(super) annotations: u64,
    pub(super) annotation_bytes: u64,
    pub(super) annotations_bytes: u64,
}

impl Default for ManifestLimits {
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
    pub const fn for_layouts() -> Self {
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
    pub const fn bytes(&self) -> u64 {
        self.manifest_bytes
    }
}

/// Makes setters that lower a limit and never raise it.
macro_rules! lower {
    ($($(#[$doc:meta])* $field:ident;)*) => {
        impl ManifestLimits {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(mut self, most: u64) -> Self {
                    self.$field = self.$field.min(most);
                    self
                }
            )*
        }
    };
}

lower! {
    /// Lowers the size of a manifest or index, in bytes (default: 4 MiB).
    manifest_bytes;
    /// Lowers the number of layers of a manifest (default: 128).
    layers;
    /// Lowers the number of entries of an index (default: 16,384).
    index_entries;
    /// Lowers the number of annotations of a document, those of its descriptors included (default:
    /// 1,024).
    annotations;
    /// Lowers the size of one annotation, name and value, in bytes (default: 64 KiB).
    annotation_bytes;
    /// Lowers the size of all annotations of a document, in bytes (default: 1 MiB).
    annotations_bytes;
}

pub(super) fn at_most(what: &'static str, limit: u64, found: usize) -> Result<(), ManifestError> {
    let found = u64::try_from(found).unwrap_or(u64::MAX);
    if found > limit {
        return Err(ManifestError::TooMany { what, limit, found });
    }
    Ok(())
}
