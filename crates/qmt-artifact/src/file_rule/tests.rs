//! Tests of the annotation that names the kind.

use super::*;

#[test]
fn the_annotation_has_three_values_and_no_more() {
    let read = |value: &str| {
        let annotations = [(PLUGIN_TYPE_ANNOTATION.to_owned(), value.to_owned())];
        annotated_kind(&Digest::sha256(b""), &annotations.into())
    };
    assert_eq!(read("extism").unwrap(), Some(PluginKind::Wasm));
    assert_eq!(read("wasm").unwrap(), Some(PluginKind::Wasm));
    assert_eq!(read("native").unwrap(), Some(PluginKind::Native));
    for value in ["", "Native", "EXTISM", "wasm ", "component"] {
        assert!(read(value).is_err(), "{value}");
    }
    for kind in [PluginKind::Wasm, PluginKind::Native] {
        assert_eq!(read(annotation_of(kind)).unwrap(), Some(kind));
    }
}
