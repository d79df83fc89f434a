//! Tests of documents that are read as far as they can be read.

use super::*;

const LIMITS: ClaimLimits = ClaimLimits {
    entries: 4,
    both_ends: false,
    annotations_each: 400,
    annotations_all: 600,
    annotation_names: None,
};

fn read(text: &str) -> Result<Claims, ManifestError> {
    Claims::read(text.as_bytes(), LIMITS)
}

fn digest() -> Digest {
    Digest::sha256("x")
}

/// The only entry of a list.
fn entry(text: &str) -> Result<ClaimedEntry, &'static str> {
    let claims = read(&format!(r#"{{"manifests":[{text}]}}"#)).unwrap();
    let mut entries = claims.manifests.unwrap();
    assert_eq!(entries.count, 1);
    entries.read.pop().unwrap()
}

/// DIG-14: `null`, a missing list, a byte order mark, and fields of other forms.
#[test]
fn a_document_is_read_as_far_as_it_can_be() {
    for empty in [
        r#"{"manifests":null}"#,
        r#"{"manifests":[]}"#,
        "\u{feff}{\"manifests\":[],\"annotations\":null}",
        r#"{"manifests":[],"mediaType":null,"artifactType":7,"subject":[],"config":null}"#,
        r#"{"manifests":[],"mediaType":"","schemaVersion":"2"}"#,
    ] {
        let claims = read(empty).unwrap();
        assert_eq!(claims.manifests.as_ref().unwrap().count, 0, "{empty}");
        assert!(claims.is_index() && claims.subject.is_none(), "{empty}");
    }
    for other in [
        "{}",
        r#"{"manifests":{}}"#,
        r#"{"manifests":"x"}"#,
        r#"{"manifests":3}"#,
    ] {
        assert!(read(other).unwrap().manifests.is_none(), "{other}");
    }
    for broken in [
        "",
        "[]",
        "<html>",
        "{",
        "{} {}",
        r#"{"manifests":[],"manifests":[]}"#,
    ] {
        read(broken).unwrap_err();
    }
}

/// DIG-14: one odd entry does not hide the others.
#[test]
fn an_unreadable_entry_hides_no_other_entry() {
    let good = format!(r#"{{"digest":"{}","size":3}}"#, digest());
    let hex = "0".repeat(64);
    let odd = [
        r#"{"digest":"md5:00","size":1}"#.to_owned(),
        format!(r#"{{"digest":"blake3:{hex}"}}"#),
        format!(r#"{{"digest":"sha256:{}"}}"#, "F".repeat(64)),
        r#"{"digest":null}"#.to_owned(),
        r#"{"digest":["a"]}"#.to_owned(),
        "{}".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "7".to_owned(),
        "true".to_owned(),
        r#""text""#.to_owned(),
        format!(r#"{{"digest":"{0}","digest":"{0}"}}"#, digest()),
        format!(
            r#"{{"digest":"{}","annotations":{{"a":"1","a":"2"}}}}"#,
            digest()
        ),
    ];
    for one in odd {
        let claims = read(&format!(r#"{{"manifests":[{one},{good}]}}"#)).unwrap();
        let entries = claims.manifests.unwrap().read;
        let [Err(_), Ok(read)] = entries.as_slice() else {
            panic!("{one}: {entries:?}");
        };
        assert_eq!(
            (read.descriptor.digest(), read.descriptor.size()),
            (&digest(), 3)
        );
    }
}

/// DIG-14: a field that is `null`, missing or of another form counts as missing.
#[test]
fn odd_fields_count_as_missing() {
    for fields in [
        r#""size":null,"mediaType":null,"artifactType":null,"annotations":null"#,
        r#""size":"7","mediaType":7,"artifactType":{},"annotations":[]"#,
        r#""size":-1,"mediaType":[],"artifactType":"","annotations":"x","platform":null"#,
        r#""size":1.5,"urls":null,"data":null,"platform":{"os":null},"annotations":{"a":null}"#,
        r#""size":1e99,"annotations":{"a":{"b":["c"]}}"#,
    ] {
        let entry = entry(&format!(r#"{{"digest":"{}",{fields}}}"#, digest())).unwrap();
        let descriptor = entry.descriptor;
        assert_eq!(descriptor.size(), 0, "{fields}");
        assert_eq!(descriptor.media_type().as_ref(), "", "{fields}");
        assert!(descriptor.artifact_type().is_none(), "{fields}");
        assert!(descriptor.annotations().is_empty(), "{fields}");
    }
    let long = "a".repeat(TYPE_BYTES_MAX + 1);
    let text = format!(r#"{{"digest":"{}","artifactType":"{long}"}}"#, digest());
    assert!(entry(&text).unwrap().descriptor.artifact_type().is_none());
}

/// LIM: entries and annotations at their limits, and one past each.
#[test]
fn what_is_held_is_bounded() {
    let good = format!(r#"{{"digest":"{}"}}"#, digest());
    let list = |count: usize| {
        let entries = vec![good.clone(); count].join(",");
        read(&format!(r#"{{"layers":[{entries}]}}"#))
            .unwrap()
            .layers
            .unwrap()
    };
    assert_eq!((list(4).read.len(), list(4).count), (4, 4));
    assert_eq!((list(5).read.len(), list(5).count), (4, 5));
    // Signatures are appended, so the last layers are read, and the first entries of an index.
    let sized = |size: u32| format!(r#"{{"digest":"{}","size":{size}}}"#, digest());
    let entries = (1..=6).map(sized).collect::<Vec<_>>().join(",");
    let claims = read(&format!(
        r#"{{"layers":[{entries}],"manifests":[{entries}]}}"#
    ))
    .unwrap();
    for (list, skipped, expected) in [
        (claims.layers.unwrap(), 2, [3, 4, 5, 6]),
        (claims.manifests.unwrap(), 0, [1, 2, 3, 4]),
    ] {
        let sizes = list
            .read
            .iter()
            .map(|one| one.as_ref().unwrap().descriptor.size());
        assert_eq!(sizes.collect::<Vec<_>>(), expected);
        assert_eq!((list.skipped, list.count), (skipped, 6));
    }
    // A flood at one end of an index pushes nothing out at the other one.
    for (most, expected) in [(0, &[][..]), (1, &[1]), (3, &[1, 2, 6]), (4, &[1, 2, 5, 6])] {
        let limits = ClaimLimits {
            entries: most,
            both_ends: true,
            ..LIMITS
        };
        let index = format!(r#"{{"manifests":[{entries}]}}"#);
        let claims = Claims::read(index.as_bytes(), limits).unwrap();
        let list = claims.manifests.unwrap();
        let read = list.read.iter().flatten();
        let sizes: Vec<_> = read.map(|one| one.descriptor.size()).collect();
        assert_eq!((&sizes[..], list.count), (expected, 6));
    }
    let annotated = |length: usize| {
        format!(
            r#"{{"digest":"{}","annotations":{{"n":"{}"}}}}"#,
            digest(),
            "x".repeat(length)
        )
    };
    let fits = 400 - ANNOTATION_OVERHEAD - 1;
    assert!(
        entry(&annotated(fits))
            .unwrap()
            .descriptor
            .annotation("n")
            .is_some()
    );
    let over = entry(&annotated(fits + 1)).unwrap();
    assert!(over.lacks_annotations && over.descriptor.annotations().is_empty());
    // The second one would be over the limit of all, the third one fits.
    let texts = [annotated(fits), annotated(fits), annotated(10)].join(",");
    let claims = read(&format!(r#"{{"manifests":[{texts}]}}"#)).unwrap();
    let lack: Vec<bool> = claims
        .manifests
        .unwrap()
        .read
        .into_iter()
        .map(|one| one.unwrap().lacks_annotations)
        .collect();
    assert_eq!(lack, [false, true, false]);
}

/// LIM: annotations that the caller does not use take no memory.
#[test]
fn only_named_annotations_are_held() {
    let many: Vec<String> = (0..1_000).map(|n| format!(r#""a{n}":"x""#)).collect();
    let entry = format!(
        r#"{{"digest":"{}","annotations":{{{},"n":"v"}}}}"#,
        digest(),
        many.join(",")
    );
    let document = format!(r#"{{"layers":[{entry}]}}"#);
    let named = ClaimLimits {
        annotation_names: Some(&["n"]),
        ..LIMITS
    };
    for (limits, held) in [(named, 1), (LIMITS, 0), (ClaimLimits::nothing(), 0)] {
        let claims = Claims::read(document.as_bytes(), limits).unwrap();
        let layers = claims.layers.unwrap();
        let annotations = layers
            .read
            .first()
            .map(|one| one.as_ref().unwrap().descriptor.annotations().len());
        assert_eq!(annotations.unwrap_or_default(), held);
        assert_eq!(layers.count, 1);
    }
}

/// What a manifest of signatures claims.
#[test]
fn a_manifest_names_types_and_subject() {
    let claims = read(&format!(
        r#"{{"mediaType":"{manifest}","artifactType":"a/b",
        "config":{{"mediaType":"c/d","digest":"{digest}","size":2}},
        "subject":{{"mediaType":"{manifest}","digest":"{digest}","size":2}},
        "layers":[{{"mediaType":"e/f","digest":"{digest}","size":2,"annotations":{{"n":"v"}}}}],
        "annotations":{{"m":"w"}}}}"#,
        manifest = crate::manifest::OCI_MANIFEST,
        digest = digest(),
    ))
    .unwrap();
    assert!(!claims.is_index());
    assert_eq!(claims.artifact_type, Some(MediaType::from("a/b")));
    assert_eq!(claims.config_type, Some(MediaType::from("c/d")));
    assert_eq!(claims.subject, Some(digest()));
    assert_eq!(claims.annotations["m"], "w");
    let layer = claims.layers.unwrap().read.pop().unwrap().unwrap();
    assert_eq!(layer.descriptor.annotation("n"), Some("v"));
}
