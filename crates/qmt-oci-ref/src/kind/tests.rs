//! Tests of kinds.

use super::*;

#[test]
fn a_kind_is_written_in_lower_case() {
    for kind in [PluginKind::Wasm, PluginKind::Native] {
        assert_eq!(PluginKind::from_name(&kind.to_string()), Some(kind));
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
    }
    assert_eq!(PluginKind::from_name("Wasm"), None);
}
