//! Every number that bounds what an image may ask of us, in one place.
//!
//! The constants are the defaults. [`SelectLimits`] and [`ExtractLimits`] lower them; what may be
//! raised, and by whom, is the facade's business: only the operator's own file may.

use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Size of a manifest or index, in bytes.
pub(crate) const MANIFEST_BYTES: u64 = 4 * MIB;
/// Size of an image config, in bytes.
pub(crate) const CONFIG_BYTES: u64 = 4 * MIB;
/// Manifests and indexes read for one selection, the first one included.
pub(crate) const MANIFEST_REQUESTS: u64 = 8;
/// Indexes within one another: an index in an index is depth 2.
pub(crate) const INDEX_DEPTH: u64 = 2;
/// Entries of one index.
pub(crate) const INDEX_ENTRIES: u64 = 16_384;
/// Layers of one manifest.
pub(crate) const LAYERS: u64 = 128;
/// Annotations of one manifest or index, its descriptors' included.
pub(crate) const ANNOTATIONS: u64 = 1_024;
/// Size of one annotation, name and value, in bytes.
pub(crate) const ANNOTATION_BYTES: u64 = 64 * KIB;
/// Size of all annotations of one manifest or index, in bytes.
pub(crate) const ANNOTATIONS_BYTES: u64 = MIB;

/// Size of a raw Wasm layer, in bytes.
pub(crate) const WASM_BYTES: u64 = 64 * MIB;
/// Size of an archive layer as it is transferred, in bytes.
pub(crate) const ARCHIVE_BYTES: u64 = 256 * MIB;
/// Bytes that all layers of an image may unpack to.
pub(crate) const UNPACKED_BYTES: u64 = 512 * MIB;
/// Times that a layer may grow by decompression, beyond [`RATIO_SLACK_BYTES`].
pub(crate) const RATIO: u64 = 20;
/// Bytes that a layer may unpack to whatever its ratio.
pub(crate) const RATIO_SLACK_BYTES: u64 = 16 * MIB;
/// Entries of all archives of an image, headers that only describe other entries included.
pub(crate) const ENTRIES: u64 = 65_536;
/// Length of an entry's name, in bytes.
pub(crate) const NAME_BYTES: u64 = 4 * KIB;
/// Size of one PAX header, in bytes.
pub(crate) const PAX_BYTES: u64 = 64 * KIB;
/// Gzip members of one layer; eStargz makes one or more for each file.
pub(crate) const GZIP_MEMBERS: u64 = 131_072;
/// Base-2 logarithm of the zstd window: 32 MiB, which is what the decoder then needs in memory.
/// `zstd -19` needs 8 MiB of it; `--ultra -21` and `--long=27` are refused.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 25;
/// How long one extraction may take, download included.
pub(crate) const EXTRACT_TIME: Duration = Duration::from_mins(15);

/// What selection may read. The default is the project's table of limits.
#[derive(Clone, Debug)]
pub struct SelectLimits {
    pub(crate) manifest_bytes: u64,
    pub(crate) config_bytes: u64,
    pub(crate) manifest_requests: u64,
    pub(crate) index_depth: u64,
    pub(crate) index_entries: u64,
    pub(crate) layers: u64,
    pub(crate) annotations: u64,
    pub(crate) annotation_bytes: u64,
    pub(crate) annotations_bytes: u64,
}

impl Default for SelectLimits {
    fn default() -> Self {
        Self {
            manifest_bytes: MANIFEST_BYTES,
            config_bytes: CONFIG_BYTES,
            manifest_requests: MANIFEST_REQUESTS,
            index_depth: INDEX_DEPTH,
            index_entries: INDEX_ENTRIES,
            layers: LAYERS,
            annotations: ANNOTATIONS,
            annotation_bytes: ANNOTATION_BYTES,
            annotations_bytes: ANNOTATIONS_BYTES,
        }
    }
}

/// Makes one setter that lowers a limit and never raises it.
macro_rules! lower {
    ($($(#[$doc:meta])* $field:ident: $type:ty;)*) => {
        $(
            $(#[$doc])*
            ///
            /// A value above the one in force changes nothing.
            #[must_use]
            pub fn $field(mut self, most: $type) -> Self {
                self.$field = self.$field.min(most);
                self
            }
        )*
    };
}

impl SelectLimits {
    lower! {
        /// Lowers the size of a manifest or index, in bytes (default 4 MiB).
        manifest_bytes: u64;
        /// Lowers the size of an image config, in bytes (default 4 MiB).
        config_bytes: u64;
        /// Lowers the number of manifests read for one selection, the first included (default 8).
        manifest_requests: u64;
        /// Lowers how deep indexes may nest (default 2: an index in an index).
        index_depth: u64;
        /// Lowers the number of entries of an index (default 16,384).
        index_entries: u64;
        /// Lowers the number of layers of a manifest (default 128).
        layers: u64;
        /// Lowers the number of annotations of a manifest (default 1,024).
        annotations: u64;
        /// Lowers the size of one annotation, in bytes (default 64 KiB).
        annotation_bytes: u64;
        /// Lowers the size of all annotations of a manifest, in bytes (default 1 MiB).
        annotations_bytes: u64;
    }
}

/// What extraction may read, write and take. The default is the project's table of limits.
#[derive(Clone, Debug)]
pub struct ExtractLimits {
    pub(crate) wasm_bytes: u64,
    pub(crate) archive_bytes: u64,
    pub(crate) unpacked_bytes: u64,
    pub(crate) ratio: u64,
    pub(crate) ratio_slack_bytes: u64,
    pub(crate) entries: u64,
    pub(crate) name_bytes: u64,
    pub(crate) pax_bytes: u64,
    pub(crate) gzip_members: u64,
    pub(crate) zstd_window_log: u32,
    pub(crate) time: Duration,
}

impl Default for ExtractLimits {
    fn default() -> Self {
        Self {
            wasm_bytes: WASM_BYTES,
            archive_bytes: ARCHIVE_BYTES,
            unpacked_bytes: UNPACKED_BYTES,
            ratio: RATIO,
            ratio_slack_bytes: RATIO_SLACK_BYTES,
            entries: ENTRIES,
            name_bytes: NAME_BYTES,
            pax_bytes: PAX_BYTES,
            gzip_members: GZIP_MEMBERS,
            zstd_window_log: ZSTD_WINDOW_LOG,
            time: EXTRACT_TIME,
        }
    }
}

impl ExtractLimits {
    /// Sets the three sizes at once, up or down: of a raw Wasm layer, of an archive and of what
    /// it unpacks to.
    ///
    /// It is the one way to raise a limit, meant for `max_artifact_size` of the operator's file.
    #[must_use]
    pub fn with_artifact_bytes(mut self, most: u64) -> Self {
        self.wasm_bytes = most;
        self.archive_bytes = most;
        self.unpacked_bytes = most;
        self
    }

    lower! {
        /// Lowers the size of a raw Wasm layer, in bytes (default 64 MiB).
        wasm_bytes: u64;
        /// Lowers the size of an archive layer as transferred, in bytes (default 256 MiB).
        archive_bytes: u64;
        /// Lowers what all layers together may unpack to, in bytes (default 512 MiB).
        unpacked_bytes: u64;
        /// Lowers how many times a layer may grow, beyond the slack (default 20).
        ratio: u64;
        /// Lowers what a layer may unpack to whatever its ratio, in bytes (default 16 MiB).
        ratio_slack_bytes: u64;
        /// Lowers the number of entries of all archives (default 65,536).
        entries: u64;
        /// Lowers the length of an entry's name, in bytes (default 4 KiB).
        name_bytes: u64;
        /// Lowers the size of one PAX header, in bytes (default 64 KiB).
        pax_bytes: u64;
        /// Lowers the number of gzip members of one layer (default 131,072).
        gzip_members: u64;
        /// Lowers the base-2 logarithm of the zstd window (default 25, 32 MiB).
        zstd_window_log: u32;
        /// Lowers how long one extraction may take, download included (default 15 minutes).
        time: Duration;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LIM-01, LIM-04, LIM-05, LIM-06: the values of the table, and that setters only lower.
    #[test]
    fn limits_are_the_tables_and_only_go_down() {
        let limits = ExtractLimits::default();
        assert_eq!(limits.wasm_bytes, 67_108_864);
        assert_eq!(limits.archive_bytes, 268_435_456);
        assert_eq!(limits.unpacked_bytes, 536_870_912);
        assert_eq!((limits.ratio, limits.ratio_slack_bytes), (20, 16_777_216));
        assert_eq!(
            (limits.entries, limits.name_bytes, limits.pax_bytes),
            (65_536, 4_096, 65_536)
        );
        let limits = limits.entries(5).entries(9).ratio(40);
        assert_eq!((limits.entries, limits.ratio), (5, 20));
        assert_eq!(limits.with_artifact_bytes(7).wasm_bytes, 7);
        let select = SelectLimits::default().layers(1_000).annotations(3);
        assert_eq!((select.layers, select.annotations), (128, 3));
        assert_eq!(select.manifest_bytes, 4_194_304);
        assert_eq!((select.manifest_requests, select.index_depth), (8, 2));
    }
}
