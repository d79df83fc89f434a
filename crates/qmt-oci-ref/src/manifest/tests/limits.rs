//! How much a document may hold.

use super::*;

/// LIM-01, DIG-09: each limit holds at its value and not one above it.
#[test]
fn counts_are_bounded() {
    let layers = |count: usize| manifest(&vec![descriptor(""); count], "");
    let annotated = |value: &str| {
        let annotations = format!(r#","annotations":{{"{}":"{value}"}}"#, "n");
        manifest(&[descriptor(&annotations)], "")
    };
    let limits = ManifestLimits::default().layers(2).annotation_bytes(4);
    for (text, refused) in [
        (layers(2), None),
        (layers(3), Some("layers")),
        (annotated("123"), None),
        (annotated("1234"), Some("bytes in one annotation")),
    ] {
        let read = Document::read(&MediaType::ImageManifest, text.as_bytes(), &limits);
        assert_eq!(limit_of(read).map(|(what, ..)| what), refused, "{text}");
    }
    let entries = |count: usize| index(&vec![descriptor(r#","annotations":{"n":"v"}"#); count], "");
    let limits = ManifestLimits::default;
    for (limits, what) in [
        (limits().index_entries(2), "entries"),
        (limits().annotations(2), "annotations"),
        (limits().annotations_bytes(4), "bytes in all annotations"),
        (limits().manifest_bytes(entries(2).len() as u64), "bytes"),
    ] {
        assert!(
            Index::read(entries(2).as_bytes(), &limits).is_ok(),
            "{what}"
        );
        let error = Index::read(entries(3).as_bytes(), &limits).unwrap_err();
        let ManifestError::TooMany { what: found, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(found, what);
    }
    let raised = limits().layers(1_000).annotations(3);
    assert!(raised.layers == 128 && raised.annotations == 3);
}

fn limit_of(read: Result<Document, ManifestError>) -> Option<(&'static str, u64, u64)> {
    match read {
        Ok(_) => None,
        Err(ManifestError::TooMany { what, limit, found }) => Some((what, limit, found)),
        Err(other) => panic!("{other:?}"),
    }
}

/// DIG-09, LIM-04: the default limits of layers, entries and size, each at its value and one past it.
#[test]
fn layers_entries_and_size_have_their_defaults() {
    let layers = |count: usize| read(OCI_MANIFEST, &manifest(&vec![descriptor(""); count], ""));
    assert_eq!(limit_of(layers(128)), None);
    let refused = Some(("layers", 128, 129));
    assert_eq!(limit_of(layers(129)), refused);

    let entries = |count: usize| read(OCI_INDEX, &index(&vec![descriptor(""); count], ""));
    assert_eq!(limit_of(entries(16_384)), None);
    let refused = Some(("entries", 16_384, 16_385));
    assert_eq!(limit_of(entries(16_385)), refused);

    let padded = |size: usize| {
        let text = manifest(&[], "");
        read(
            OCI_MANIFEST,
            &format!("{text}{}", " ".repeat(size - text.len())),
        )
    };
    assert_eq!(limit_of(padded(4_194_304)), None);
    let refused = Some(("bytes", 4_194_304, 4_194_305));
    assert_eq!(limit_of(padded(4_194_305)), refused);
}

/// LIM-04: the default limits of annotations, each at its value and one past it.
#[test]
fn annotations_have_their_defaults() {
    let annotated = |pairs: &[(String, String)]| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(k, v)| format!("\"{k}\":\"{v}\""))
            .collect();
        let annotations = format!(r#","annotations":{{{}}}"#, pairs.join(","));
        read(OCI_MANIFEST, &manifest(&[], &annotations))
    };
    let many = |count: usize, bytes: usize| -> Vec<(String, String)> {
        let pair = |n| (format!("{n:04}"), "x".repeat(bytes - 4));
        (0..count).map(pair).collect()
    };
    assert_eq!(limit_of(annotated(&many(1_024, 8))), None);
    let refused = Some(("annotations", 1_024, 1_025));
    assert_eq!(limit_of(annotated(&many(1_025, 8))), refused);

    assert_eq!(limit_of(annotated(&many(1, 65_536))), None);
    let refused = Some(("bytes in one annotation", 65_536, 65_537));
    assert_eq!(limit_of(annotated(&many(1, 65_537))), refused);

    assert_eq!(limit_of(annotated(&many(16, 65_536))), None);
    let mut over = many(16, 65_536);
    over.push(("k".to_owned(), String::new()));
    let refused = Some(("bytes in all annotations", 1_048_576, 1_048_577));
    assert_eq!(limit_of(annotated(&over)), refused);
}

/// Layouts list many images.
#[test]
fn layouts_have_limits_of_their_own() {
    let layouts = ManifestLimits::for_layouts();
    assert_eq!(layouts.bytes(), 33_554_432);
    let many = index(&vec![descriptor(""); 20_000], "");
    assert_eq!(
        Index::read(many.as_bytes(), &layouts)
            .unwrap()
            .manifests()
            .len(),
        20_000
    );
}
