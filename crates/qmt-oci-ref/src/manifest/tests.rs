//! Tests of manifests and indexes.

mod limits;

use super::*;

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn detected(content: &str, header: &str) -> Result<MediaType, ManifestError> {
    detect(content.as_bytes(), Some(&MediaType::from(header)))
}

fn typed(content: &str, media_type: &str) -> String {
    content.replacen('{', &format!(r#"{{"mediaType":"{media_type}","#), 1)
}

fn descriptor(extra: &str) -> String {
    format!(r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":3{extra}}}"#)
}

fn manifest(layers: &[String], extra: &str) -> String {
    let (config, layers) = (descriptor(""), layers.join(","));
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]{extra}}}"#)
}

fn index(entries: &[String], extra: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"manifests":[{}]{extra}}}"#,
        entries.join(",")
    )
}

fn read(media_type: &str, text: &str) -> Result<Document, ManifestError> {
    let limits = ManifestLimits::default();
    Document::read(&MediaType::from(media_type), text.as_bytes(), &limits)
}

/// Docker's documents have a `mediaType`, as docker and skopeo require.
#[test]
fn a_docker_document_without_media_type_is_called_that() {
    for (body, header) in [
        (manifest(&[], ""), DOCKER_MANIFEST),
        (
            r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(),
            DOCKER_INDEX,
        ),
    ] {
        let header = MediaType::from(header);
        let error = detect(body.as_bytes(), Some(&header)).unwrap_err();
        assert!(
            matches!(error, ManifestError::MissingMediaType { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("has no `mediaType`"), "{error}");
    }
}

#[test]
fn header_and_content_that_agree_are_accepted() {
    for (content, media_type) in [
        (MANIFEST, OCI_MANIFEST),
        (MANIFEST, DOCKER_MANIFEST),
        (INDEX, OCI_INDEX),
        (INDEX, DOCKER_INDEX),
    ] {
        let content = typed(content, media_type);
        for header in [media_type, "application/octet-stream"] {
            assert_eq!(detected(&content, header).unwrap().as_ref(), media_type);
        }
        let without_header = detect(content.as_bytes(), None).unwrap();
        assert_eq!(without_header.as_ref(), media_type);
    }
    // OCI documents need not name their type; the fields decide.
    assert_eq!(
        detected(MANIFEST, OCI_MANIFEST).unwrap(),
        MediaType::ImageManifest
    );
    assert_eq!(
        detected(INDEX, "application/json").unwrap(),
        MediaType::ImageIndex
    );
}

/// DIG-04: one digest, two meanings: none of these is accepted.
#[test]
fn ambiguous_documents_are_refused() {
    for both in [
        r#"{"manifests":[],"layers":[]}"#,
        r#"{"manifests":[],"config":{}}"#,
        r#"{"manifests":[],"fsLayers":[]}"#,
    ] {
        for header in [OCI_INDEX, OCI_MANIFEST] {
            let error = detected(both, header).unwrap_err();
            assert!(
                matches!(error, ManifestError::Mixed { .. }),
                "{both}: {error:?}"
            );
        }
    }
    for (content, header) in [
        (typed(MANIFEST, OCI_MANIFEST), DOCKER_MANIFEST),
        (typed(MANIFEST, OCI_MANIFEST), OCI_INDEX),
        (typed(INDEX, OCI_MANIFEST), OCI_MANIFEST),
        (MANIFEST.to_owned(), OCI_INDEX),
        (INDEX.to_owned(), OCI_MANIFEST),
    ] {
        let error = detected(&content, header).unwrap_err();
        assert!(
            matches!(error, ManifestError::MediaTypeMismatch { .. }),
            "{content}: {error:?}"
        );
    }
}

/// DIG-05: what two readers could read differently is not read.
#[test]
fn odd_json_is_refused() {
    for odd in [
        r#"{"config":{},"layers":[],"layers":[]}"#,
        r#"{"config":{},"layers":[],"\u006cayers":[]}"#,
        r#"{"config":{},"layers":[{"digest":1,"digest":2}]}"#,
        r#"{"config":{},"layers":[],"n":1e400}"#,
        "{\"config\":{},\"layers\":[]} x",
        "\u{feff}\u{feff}{\"config\":{},\"layers\":[]}",
        r#"{"config":{},"layers":[],"n":NaN}"#,
        r#"{"config":{},"layers":[],"s":"\ud800"}"#,
        "[null,{},[],null,null]",
        "[]",
        "{}",
        "",
    ] {
        assert!(detected(odd, OCI_MANIFEST).is_err(), "{odd}");
    }
    let deep = format!(r#"{{"config":{},"layers":[]}}"#, "[".repeat(100_000));
    assert!(detected(&deep, OCI_MANIFEST).is_err());
}

#[test]
fn schema_1_and_other_types_are_refused() {
    let error = detected(r#"{"schemaVersion":1,"fsLayers":[]}"#, "application/json").unwrap_err();
    assert!(matches!(error, ManifestError::Schema1), "{error:?}");
    for artifact in [
        format!(r#"{{"mediaType":"{ARTIFACT_MANIFEST}","artifactType":"a/b"}}"#),
        format!(r#"{{"mediaType":"{ARTIFACT_MANIFEST}","blobs":[]}}"#),
        r#"{"artifactType":"a/b","blobs":[{}]}"#.to_owned(),
    ] {
        for header in [ARTIFACT_MANIFEST, OCI_MANIFEST, "application/json"] {
            let error = detected(&artifact, header).unwrap_err();
            assert!(
                matches!(error, ManifestError::ArtifactManifest),
                "{error:?}"
            );
        }
    }
    assert!(matches!(
        read(ARTIFACT_MANIFEST, "{}").unwrap_err(),
        ManifestError::ArtifactManifest
    ));
    assert!(detected(&typed(MANIFEST, "text/html"), "text/html").is_err());
    assert!(matches!(
        read(SCHEMA_1[0], "{}").unwrap_err(),
        ManifestError::Schema1
    ));
    assert!(matches!(
        read("text/html", "{}").unwrap_err(),
        ManifestError::NotAnImage { .. }
    ));
}

#[test]
fn documents_are_read_whole() {
    let layer = descriptor(r#","annotations":{"a":"1"}"#);
    let subject = format!(
        r#","artifactType":"x/y","subject":{},"annotations":{{"k":"v"}}"#,
        descriptor("")
    );
    let text = manifest(&[layer.clone(), layer.clone()], &subject);
    let manifest = read(OCI_MANIFEST, &text).unwrap().into_manifest().unwrap();
    assert_eq!(manifest.layers().len(), 2);
    assert_eq!(manifest.layers()[0].annotation("a"), Some("1"));
    assert_eq!(manifest.artifact_type().as_ref(), "x/y");
    assert_eq!(manifest.annotations()["k"], "v");
    assert_eq!(manifest.subject().unwrap().size(), 3);

    let Document::Index(index) = read(OCI_INDEX, &index(&[layer], &subject)).unwrap() else {
        panic!("not an index");
    };
    assert_eq!(index.manifests().len(), 1);
    assert_eq!(index.artifact_type().unwrap().as_ref(), "x/y");
    let written = serde_json::to_vec(&index).unwrap();
    assert_eq!(
        Index::read(&written, &ManifestLimits::default())
            .unwrap()
            .manifests(),
        index.manifests()
    );
}

/// DIG-04: a document of one kind has no field of the other.
#[test]
fn documents_with_foreign_fields_are_refused() {
    let mixed = |media_type: &str, text: &str| match read(media_type, text) {
        Err(ManifestError::Mixed { field }) => field,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(
        mixed(OCI_MANIFEST, &manifest(&[], r#","manifests":[]"#)),
        "manifests"
    );
    assert_eq!(
        mixed(OCI_MANIFEST, &manifest(&[], r#","fsLayers":[]"#)),
        "fsLayers"
    );
    assert_eq!(
        mixed(OCI_MANIFEST, &manifest(&[], r#","blobs":[]"#)),
        "blobs"
    );
    assert_eq!(mixed(OCI_INDEX, &index(&[], r#","layers":[]"#)), "layers");
    let with_config = index(&[], &format!(r#","config":{}"#, descriptor("")));
    assert_eq!(mixed(OCI_INDEX, &with_config), "config");
    let version = manifest(&[], "").replace("\":2", "\":1");
    assert!(matches!(
        read(OCI_MANIFEST, &version).unwrap_err(),
        ManifestError::SchemaVersion { found: 1 }
    ));
    let other = manifest(&[], &format!(r#","mediaType":"{DOCKER_MANIFEST}""#));
    assert!(matches!(
        read(OCI_MANIFEST, &other).unwrap_err(),
        ManifestError::MediaTypeMismatch { .. }
    ));
    assert!(matches!(
        read(OCI_MANIFEST, r#"{"schemaVersion":2}"#).unwrap_err(),
        ManifestError::Missing { field: "config" }
    ));
}

/// DIG-05, DIG-13: the whole of a document is read strictly, what is skipped included.
#[test]
fn ambiguous_parts_of_documents_are_refused() {
    for (extra, accepted) in [
        (r#","annotations":{"a":"1","b":"2"}"#, true),
        (r#","annotations":{"a":"1","a":"2"}"#, false),
        (r#","annotations":null"#, true),
        (r#","unknown":{"x":[{"y":1}]}"#, true),
        (r#","unknown":{"x":[{"y":1,"y":2}]}"#, false),
        (r#","urls":["http://evil.example/x"],"data":"AAAA""#, true),
    ] {
        let read = read(OCI_MANIFEST, &manifest(&[], extra));
        assert_eq!(read.is_ok(), accepted, "{extra}: {read:?}");
    }
    for version in ["", r#""schemaVersion":null,"#] {
        let without_version = manifest(&[], "").replace(r#""schemaVersion":2,"#, version);
        read(OCI_MANIFEST, &without_version).unwrap();
        let index = index(&[descriptor("")], "").replace(r#""schemaVersion":2,"#, version);
        read(OCI_INDEX, &index).unwrap();
    }
    for version in ["0", "1", "3", "\"2\"", "-2"] {
        let version = format!(r#""schemaVersion":{version},"#);
        let text = manifest(&[], "").replace(r#""schemaVersion":2,"#, &version);
        assert!(read(OCI_MANIFEST, &text).is_err(), "{version}");
    }
    assert!(matches!(
        read(SCHEMA_1[1], "{}").unwrap_err(),
        ManifestError::Schema1
    ));
}

#[test]
fn every_architecture_keeps_its_name() {
    for name in [
        "386", "amd64", "arm", "armbe", "arm64", "arm64be", "riscv64", "wasm", "made-up",
    ] {
        assert_eq!(platform("linux", name).architecture().to_string(), name);
        let text = descriptor(&format!(
            r#","platform":{{"os":"linux","architecture":"{name}"}}"#
        ));
        let read: Descriptor = serde_json::from_str(&text).unwrap();
        assert_eq!(read.platform().unwrap().architecture().to_string(), name);
    }
}

/// DIG-14: a list of referrers is an index, with or without its media type.
#[test]
fn only_an_index_is_a_list() {
    let read = |text: &str| Index::read(text.as_bytes(), &ManifestLimits::default()).map(|_| ());
    read(&typed(INDEX, OCI_INDEX)).unwrap();
    read(INDEX).unwrap();
    for wrong in [
        typed(INDEX, "text/plain"),
        r#"{"schemaVersion":2}"#.to_owned(),
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#.to_owned(),
        "[]".to_owned(),
        "<html>".to_owned(),
    ] {
        assert!(read(&wrong).is_err(), "{wrong}");
    }
}

/// DIG-07: an entry that is no usable descriptor, such as one with an unknown algorithm, is left out,
/// and the others are read.
#[test]
fn an_entry_that_cannot_be_read_is_left_out() {
    for odd in [
        descriptor("").replace("sha256:", "blake3:"),
        r#"{"digest":"sha256:00","size":1}"#.to_owned(),
        r#"{"digest":"md5:00"}"#.to_owned(),
        descriptor(r#","platform":"linux""#),
        "null".to_owned(),
        "[1]".to_owned(),
    ] {
        for entries in [[odd.clone(), descriptor("")], [descriptor(""), odd.clone()]] {
            let text = index(&entries, "");
            let index = Index::read(text.as_bytes(), &ManifestLimits::default()).unwrap();
            assert_eq!(
                (index.manifests().len(), index.unreadable()),
                (1, 1),
                "{odd}"
            );
            assert!(read(OCI_INDEX, &text).is_ok());
        }
        // A layer is needed, so its manifest is refused.
        assert!(read(OCI_MANIFEST, &manifest(&[odd], "")).is_err());
    }
    // Keys that two readers could read differently refuse the whole.
    let twice = descriptor(r#","size":1"#);
    assert!(read(OCI_INDEX, &index(&[descriptor(""), twice], "")).is_err());
}

/// Go programs write `null` or `""` for absent values.
#[test]
fn null_and_empty_are_absence() {
    let whole = read(OCI_MANIFEST, &manifest(&[descriptor("")], "")).unwrap();
    for extra in [
        r#","mediaType":null"#,
        r#","mediaType":"""#,
        r#","artifactType":null"#,
        r#","artifactType":"""#,
        r#","subject":null"#,
        r#","subject":{}"#,
        r#","subject":{"mediaType":"","digest":"","size":0}"#,
        r#","annotations":null"#,
        r#","annotations":{}"#,
        r#","manifests":null"#,
        r#","fsLayers":null,"blobs":null"#,
    ] {
        let text = manifest(&[descriptor("")], extra);
        assert_eq!(read(OCI_MANIFEST, &text).unwrap(), whole, "{extra}");
        assert_eq!(
            detected(&text, OCI_MANIFEST).unwrap().as_ref(),
            OCI_MANIFEST
        );
        let text = manifest(&[descriptor(&extra.replace("mediaType", "unknown"))], "");
        assert_eq!(
            read(OCI_MANIFEST, &text).unwrap(),
            whole,
            "{extra} in a layer"
        );
    }
    for extra in [
        r#","layers":null"#,
        r#","config":null"#,
        r#","mediaType":"""#,
    ] {
        let text = index(&[descriptor("")], extra);
        assert!(read(OCI_INDEX, &text).is_ok(), "{extra}");
        assert_eq!(detected(&text, OCI_INDEX).unwrap().as_ref(), OCI_INDEX);
    }
    let named = manifest(&[], r#","annotations":{"a":null}"#);
    let named = read(OCI_MANIFEST, &named).unwrap().into_manifest().unwrap();
    assert_eq!(named.annotations()["a"], "");
}

#[test]
fn null_is_an_empty_list() {
    let empty = r#"{"schemaVersion":2,"manifests":null}"#;
    assert_eq!(
        detected(empty, "application/json").unwrap().as_ref(),
        OCI_INDEX
    );
    let list = Index::read(empty.as_bytes(), &ManifestLimits::default()).unwrap();
    assert!(list.manifests().is_empty());
    let without = manifest(&[], "").replace("[]", "null");
    let without = read(OCI_MANIFEST, &without)
        .unwrap()
        .into_manifest()
        .unwrap();
    assert!(without.layers().is_empty());
    for neither in [
        r#"{"schemaVersion":2,"manifests":null,"layers":null}"#,
        r#"{"schemaVersion":2,"layers":null}"#,
    ] {
        assert!(detected(neither, "application/json").is_err(), "{neither}");
    }
}

/// An artifact without a config counts as one with the empty config.
#[test]
fn a_config_may_be_null_where_there_are_layers() {
    for config in ["null", "absent"] {
        let text = manifest(&[descriptor("")], "");
        let field = format!(r#""config":{},"#, descriptor(""));
        let text = match config {
            "null" => text.replace(&field, r#""config":null,"#),
            _ => text.replace(&field, ""),
        };
        assert_eq!(
            detected(&text, OCI_MANIFEST).unwrap().as_ref(),
            OCI_MANIFEST
        );
        let manifest = read(OCI_MANIFEST, &text).unwrap().into_manifest().unwrap();
        assert_eq!(manifest.config().media_type(), &MediaType::EmptyJSON);
        assert_eq!(manifest.config().size(), 2);
    }
}

/// A byte order mark is part of the bytes that are hashed, and of nothing else.
#[test]
fn a_byte_order_mark_is_skipped() {
    let text = format!("\u{feff}{}", manifest(&[], ""));
    assert!(read(OCI_MANIFEST, &text).is_ok());
    assert_eq!(
        detected(&text, "text/plain").unwrap().as_ref(),
        OCI_MANIFEST
    );
    let list = format!("\u{feff}{INDEX}");
    assert!(Index::read(list.as_bytes(), &ManifestLimits::default()).is_ok());
}

/// The error names the field in the words of JSON, not those of the types that it is read into.
#[test]
fn a_missing_field_or_wrong_type_is_named_by_its_field() {
    const DIGEST: &str =
        r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a""#;
    let config = format!(r#""config":{{{DIGEST},"size":2}}"#);
    let layer = |fields: &str| format!(r#"{{{config},"layers":[{{{fields}}}]}}"#);
    let with = |field: &str| format!(r#"{{{field},{config},"layers":[]}}"#);
    for (document, expected) in [
        (
            with(r#""schemaVersion":"2""#),
            "`schemaVersion` is a string, but has to be a whole number",
        ),
        (
            with(r#""schemaVersion":-2"#),
            "`schemaVersion` is a negative number, but has to be a whole number",
        ),
        (
            with(r#""schemaVersion":2.5"#),
            "`schemaVersion` is a number with a fraction, but has to be a whole number",
        ),
        (
            with(r#""mediaType":[]"#),
            "`mediaType` is a list, but has to be a string",
        ),
        (
            with(r#""artifactType":1"#),
            "`artifactType` is a number, but has to be a string",
        ),
        (
            with(r#""subject":"x""#),
            "`subject` is a string, but has to be an object",
        ),
        (
            with(r#""subject":{"digest":5,"size":2}"#),
            "`subject.digest` is a number, but has to be a string",
        ),
        (
            with(r#""annotations":[]"#),
            "`annotations` is a list, but has to be an object",
        ),
        (
            with(r#""annotations":{"a":true}"#),
            "`annotations.a` is a boolean, but has to be a string",
        ),
        (
            format!(r#"{{{config},"layers":{{}}}}"#),
            "`layers` is an object, but has to be a list",
        ),
        (
            format!(r#"{{{config},"layers":[null]}}"#),
            "`layers[0]` is `null`, but has to be an object",
        ),
        (
            format!(r#"{{{config},"layers":[[]]}}"#),
            "`layers[0]` is a list, but has to be an object",
        ),
        (
            r#"{"config":5,"layers":[]}"#.to_owned(),
            "`config` is a number, but has to be an object",
        ),
        (
            r#"{"config":[],"layers":[]}"#.to_owned(),
            "`config` is a list, but has to be an object",
        ),
        (
            r#"{"manifests":{}}"#.to_owned(),
            "`manifests` is an object, but has to be a list",
        ),
        (
            layer(&format!(r#"{DIGEST},"size":"12""#)),
            "`layers[0].size` is a string, but has to be a whole number",
        ),
        (
            layer(r#""digest":5,"size":12"#),
            "`layers[0].digest` is a number, but has to be a string",
        ),
        (
            layer(&format!(r#"{DIGEST},"size":null"#)),
            "`layers[0].size` is missing",
        ),
        (layer(r#""size":12"#), "`layers[0].digest` is missing"),
        (
            format!(r#"{{"config":{{{DIGEST}}},"layers":[]}}"#),
            "`config.size` is missing",
        ),
        (
            layer(&format!(
                r#"{DIGEST},"size":1,"platform":{{"os.features":"x"}}"#
            )),
            "`layers[0].platform.os.features` is a string, but has to be a list",
        ),
    ] {
        let is_index = document.contains("manifests");
        let media_type = if is_index { OCI_INDEX } else { OCI_MANIFEST };
        let error = read(media_type, &document).unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), expected, "{document}");
    }
}
