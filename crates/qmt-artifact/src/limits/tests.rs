//! Tests of the default limits and their setters.

use super::*;

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
