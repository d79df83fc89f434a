//! Tests of the default limits and their setters.

use super::*;

/// Makes setters for tests that lower a limit and never raise it.
macro_rules! lower {
    ($($(#[$doc:meta])* $field:ident: $type:ty;)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $field(mut self, most: $type) -> Self {
                self.$field = self.$field.min(most);
                self
            }
        )*
    };
}

impl SelectLimits {
    lower! {
        /// Lowers the size of an image config, in bytes (default: 4 MiB).
        config_bytes: u64;
        /// Lowers the nesting of indexes (default: 2, an index in an index).
        index_depth: u64;
    }
}

impl ExtractLimits {
    lower! {
        /// Lowers the size of a raw Wasm layer, in bytes (default: 64 MiB).
        wasm_bytes: u64;
        /// Lowers the size of an archive layer as transferred, in bytes (default: 256 MiB).
        archive_bytes: u64;
        /// Lowers what all layers together unpack to, in bytes (default: 512 MiB).
        unpacked_bytes: u64;
        /// Lowers how many times a layer may grow by decompression, beyond the slack (default: 20).
        ratio: u64;
        /// Lowers what a layer may unpack to whatever its ratio, in bytes (default: 16 MiB).
        ratio_slack_bytes: u64;
        /// Lowers the number of entries of all archives, extension headers included (default:
        /// 65,536).
        entries: u64;
        /// Lowers the number of gzip members of one layer (default: 131,072).
        gzip_members: u64;
        /// Lowers the base-2 logarithm of the zstd window in bytes (default: 27, 128 MiB, or less if
        /// layers may not unpack to so much; then 25, 32 MiB, or more).
        zstd_window_log: u32;
        /// Lowers how long one extraction takes, download included (default: 15 minutes).
        time: Duration;
    }
}

/// LIM-01, LIM-04, LIM-05, LIM-06: the default values, and that setters only lower.
#[test]
fn limits_have_their_defaults_and_are_only_lowered() {
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
    let select = SelectLimits::default().index_depth(9).config_bytes(3);
    assert_eq!((select.index_depth, select.config_bytes), (2, 3));
    assert_eq!(select.manifest.bytes(), 4_194_304);
    assert_eq!(select.manifest_requests, 8);
}
