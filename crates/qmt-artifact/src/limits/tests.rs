//! Tests of the default limits.

use super::*;

/// LIM-01, LIM-04, LIM-05, LIM-06: the default values, and the one way to change them.
#[test]
fn limits_have_their_defaults() {
    let limits = ExtractLimits::default();
    assert_eq!(limits.wasm_bytes, 67_108_864);
    assert_eq!(limits.archive_bytes, 268_435_456);
    assert_eq!(limits.unpacked_bytes, 536_870_912);
    assert_eq!((limits.ratio, limits.ratio_slack_bytes), (20, 16_777_216));
    assert_eq!(
        (limits.entries, limits.name_bytes, limits.pax_bytes),
        (65_536, 4_096, 65_536)
    );
    let limits = limits.with_artifact_bytes(7);
    assert_eq!((limits.wasm_bytes, limits.entries), (7, 65_536));
    let select = SelectLimits::default();
    assert_eq!((select.index_depth, select.config_bytes), (2, 4_194_304));
    assert_eq!(select.manifest.bytes(), 4_194_304);
    assert_eq!(select.manifest_requests, 8);
}
