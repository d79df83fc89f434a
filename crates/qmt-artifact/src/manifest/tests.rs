//! What is refused in manifests, indexes and configs, each beside its good twin.

use std::fmt::Write as _;

use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn descriptor(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{EMPTY}","size":0}}"#)
}

fn manifest(extra: &str) -> String {
    let (config, layer) = (descriptor("a/config"), descriptor("a/layer"));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{layer}]{extra}}}"#,
        MediaType::OCI_MANIFEST
    )
}

fn index(extra: &str) -> String {
    let entry = descriptor(MediaType::OCI_MANIFEST);
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{entry}]{extra}}}"#,
        MediaType::OCI_INDEX
    )
}

fn parse_as(media_type: &str, text: &str) -> Result<Document, ArtifactError> {
    let descriptor = Descriptor::of(MediaType::new(media_type), text.as_bytes());
    Document::parse(&descriptor, text.as_bytes(), &SelectLimits::default())
}

fn parse_manifest(text: &str) -> Result<Document, ArtifactError> {
    parse_as(MediaType::OCI_MANIFEST, text)
}

fn parse_index(text: &str) -> Result<Document, ArtifactError> {
    parse_as(MediaType::OCI_INDEX, text)
}

/// DIG-04 (CVE-2021-41190): nothing can be read as a manifest and as an index.
#[test]
fn dig_04_mixed_documents_are_refused() {
    assert!(parse_manifest(&manifest("")).is_ok());
    assert!(parse_index(&index("")).is_ok());
    let config = format!(r#","config":{}"#, descriptor("a/config"));
    for (result, expected) in [
        (parse_manifest(&manifest(r#","manifests":[]"#)), "manifests"),
        (parse_index(&index(r#","layers":[]"#)), "layers"),
        (parse_index(&index(&config)), "config"),
        (parse_manifest(&manifest(r#","fsLayers":[]"#)), "fsLayers"),
        (parse_manifest(&manifest(r#","blobs":[]"#)), "blobs"),
    ] {
        match result {
            Err(ArtifactError::MixedDocument { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

/// DIG-04: the media type that was announced and the one in the document are one.
#[test]
fn dig_04_two_media_types_for_one_document_are_refused() {
    assert!(parse_manifest(&manifest("")).is_ok());
    for announced in [MediaType::DOCKER_MANIFEST, MediaType::OCI_INDEX] {
        let error = parse_as(announced, &manifest("")).unwrap_err();
        assert!(
            matches!(error, ArtifactError::MediaTypeMismatch { .. }),
            "{error:?}"
        );
    }
    // OCI lets the field be left out.
    let silent = manifest("").replace(
        &format!(r#""mediaType":"{}","#, MediaType::OCI_MANIFEST),
        "",
    );
    assert!(!silent.contains(MediaType::OCI_MANIFEST));
    assert!(parse_manifest(&silent).is_ok());
}

/// DIG-05: ambiguous JSON is refused at every depth, also in fields that we skip.
#[test]
fn dig_05_duplicate_keys_are_refused() {
    let bad = [
        manifest(r#","layers":[]"#),
        manifest(r#","\u006cayers":[]"#),
        manifest(r#","subject":{"x":1,"x":2}"#),
        manifest(r#","annotations":{"a":"1","a":"2"}"#),
        manifest(r#","annotations":{"a":"\ud800"}"#),
        manifest("") + "{}",
        "\u{feff}".to_owned() + &manifest(""),
        manifest(r#","x":1e400"#),
        manifest(r#","x":NaN"#),
    ];
    for text in bad {
        let error = parse_manifest(&text).unwrap_err();
        assert!(
            matches!(error, ArtifactError::Json { .. }),
            "{text}: {error:?}"
        );
    }
    let good = manifest(r#","subject":{"x":1,"y":2},"annotations":{"a":"1","b":"2"}"#);
    assert!(parse_manifest(&good).is_ok());
}

#[test]
fn schema_1_is_refused() {
    let as_schema_2 = manifest("").replace(r#""schemaVersion":2"#, r#""schemaVersion":1"#);
    for result in [
        parse_manifest(&as_schema_2),
        parse_as("application/vnd.docker.distribution.manifest.v1+json", "{}"),
        parse_as(
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "{}",
        ),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(error, ArtifactError::SchemaVersion { found: 1, .. }),
            "{error:?}"
        );
    }
    let error = parse_as("text/html", "<html>").unwrap_err();
    assert!(
        matches!(error, ArtifactError::NotAnImage { .. }),
        "{error:?}"
    );
}

#[test]
fn missing_fields_are_refused() {
    for field in ["config", "layers", "schemaVersion"] {
        let text = manifest("").replace(&format!("\"{field}\""), "\"elsewhere\"");
        let error = parse_manifest(&text).unwrap_err();
        assert!(
            matches!(error, ArtifactError::Json { .. }),
            "{field}: {error:?}"
        );
    }
    let text = index("").replace("\"manifests\"", "\"elsewhere\"");
    assert!(matches!(
        parse_index(&text),
        Err(ArtifactError::Json { .. })
    ));
}

/// DIG-02, DIG-08: the bytes are the descriptor's, in digest and in size.
#[test]
fn dig_08_other_content_than_the_descriptor_names_is_refused() {
    let text = manifest("");
    let media_type = || MediaType::new(MediaType::OCI_MANIFEST);
    let good = Descriptor::of(media_type(), text.as_bytes());
    let limits = SelectLimits::default();
    assert!(Document::parse(&good, text.as_bytes(), &limits).is_ok());
    let longer = Descriptor::new(media_type(), good.digest().clone(), good.size() + 1);
    let other = Descriptor::of(media_type(), b"other");
    for wrong in [longer, other] {
        let error = Document::parse(&wrong, text.as_bytes(), &limits).unwrap_err();
        assert!(
            matches!(error, ArtifactError::DigestMismatch { .. }),
            "{error:?}"
        );
    }
}

fn too_much(result: Result<Document, ArtifactError>) -> (Limit, u64, u64) {
    match result {
        Err(ArtifactError::TooMuch { what, limit, found }) => (what, limit, found),
        other => panic!("{other:?}"),
    }
}

/// DIG-09, LIM-01: 4 MiB are read, one byte more is not.
#[test]
fn dig_09_manifest_size_at_the_limit_and_past_it() {
    let padded = |size: usize| {
        let text = manifest("");
        let padding = " ".repeat(size - text.len());
        text + &padding
    };
    assert!(parse_manifest(&padded(4_194_304)).is_ok());
    let past = too_much(parse_manifest(&padded(4_194_305)));
    assert_eq!(past, (Limit::ManifestBytes, 4_194_304, 4_194_305));
}

/// DIG-09, LIM-04: the number of layers and of entries.
#[test]
fn dig_09_layers_and_entries_at_the_limit_and_past_it() {
    let layers = |count: usize| {
        let list = vec![descriptor("a/layer"); count].join(",");
        manifest("").replace(
            &format!("[{}]", descriptor("a/layer")),
            &format!("[{list}]"),
        )
    };
    assert!(parse_manifest(&layers(128)).is_ok());
    assert_eq!(
        too_much(parse_manifest(&layers(129))),
        (Limit::Layers, 128, 129)
    );
    assert_eq!(
        too_much(parse_manifest(&layers(10_000))),
        (Limit::Layers, 128, 10_000)
    );
    let entries = |count: usize| {
        let entry = descriptor(MediaType::OCI_MANIFEST);
        let list = vec![entry.clone(); count].join(",");
        index("").replace(&format!("[{entry}]"), &format!("[{list}]"))
    };
    assert!(parse_index(&entries(16_384)).is_ok());
    assert_eq!(
        too_much(parse_index(&entries(16_385))),
        (Limit::IndexEntries, 16_384, 16_385)
    );
}

/// DIG-09, LIM-04 (CVE-2024-29902): number, size and sum of annotations.
#[test]
fn dig_09_annotations_at_the_limit_and_past_it() {
    let annotated = |count: usize, size: usize| {
        let mut list = String::new();
        for nth in 0..count {
            let comma = if nth == 0 { "" } else { "," };
            let value = "v".repeat(size - 8);
            write!(list, r#"{comma}"{nth:08}":"{value}""#).unwrap();
        }
        manifest(&format!(r#","annotations":{{{list}}}"#))
    };
    assert!(parse_manifest(&annotated(1_024, 8)).is_ok());
    assert_eq!(
        too_much(parse_manifest(&annotated(1_025, 8))),
        (Limit::Annotations, 1_024, 1_025)
    );
    assert!(parse_manifest(&annotated(1, 65_536)).is_ok());
    let past = too_much(parse_manifest(&annotated(1, 65_537)));
    assert_eq!(past, (Limit::AnnotationBytes, 65_536, 65_537));
    assert!(parse_manifest(&annotated(16, 65_536)).is_ok());
    let past = too_much(parse_manifest(&annotated(17, 65_536)));
    assert_eq!(past, (Limit::AnnotationsBytes, 1_048_576, 17 * 65_536));
}

/// DIG-13: `data` and `urls` change nothing; the empty descriptor is fine.
#[test]
fn dig_13_data_and_urls_are_ignored() {
    let with = manifest("").replace(
        r#""size":0}]"#,
        r#""size":0,"urls":["http://169.254.169.254/"],"data":"bm90IHRoZSBsYXllcg=="}]"#,
    );
    assert!(with.contains("urls"));
    let Ok(Document::Manifest(read)) = parse_manifest(&with) else {
        panic!("the manifest was refused");
    };
    assert_eq!(
        read.layers,
        [Descriptor::of(MediaType::new("a/layer"), b"")]
    );
}

#[test]
fn configs_say_platform_and_layers_or_nothing() {
    let parse = |text: &str| {
        let descriptor = Descriptor::of(MediaType::new("a/config"), text.as_bytes());
        ImageConfig::parse(&descriptor, text.as_bytes(), &SelectLimits::default())
    };
    let read = parse(&format!(
        r#"{{"os":"linux","architecture":"arm","variant":"v7","rootfs":{{"diff_ids":["{EMPTY}"]}}}}"#
    ))
    .unwrap();
    assert_eq!(
        read.platform,
        Some(Platform::new("linux", "arm").with_variant("v7"))
    );
    assert_eq!(read.diff_ids.len(), 1);
    let read = parse(r#"{"os":"","architecture":"amd64","rootfs":null}"#).unwrap();
    assert_eq!((read.platform, read.diff_ids.len()), (None, 0));
    for bad in [
        "[]",
        r#"{"os":1}"#,
        r#"{"os":"a","os":"b"}"#,
        r#"{"rootfs":{"diff_ids":["x"]}}"#,
    ] {
        assert!(parse(bad).is_err(), "{bad} was accepted");
    }
}

/// LIM-01: 4 MiB of image config, and one byte more.
#[test]
fn lim_01_config_bytes_at_the_limit_and_past_it() {
    let parse = |text: &str| {
        let descriptor = Descriptor::of(MediaType::new("a/config"), text.as_bytes());
        ImageConfig::parse(&descriptor, text.as_bytes(), &SelectLimits::default())
    };
    let padded = |size: usize| format!("{{}}{}", " ".repeat(size - 2));
    assert!(parse(&padded(4_194_304)).is_ok());
    let error = parse(&padded(4_194_305)).unwrap_err();
    assert!(
        matches!(
            error,
            ArtifactError::TooMuch {
                what: Limit::ConfigBytes,
                ..
            }
        ),
        "{error:?}"
    );
}
