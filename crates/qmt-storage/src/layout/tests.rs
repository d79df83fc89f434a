//! Layouts as they should be, and layouts that break the rules.

use std::io::Read;

use qmt_oci_ref::manifest::Index;
use qmt_oci_ref::{MediaType, Tag};
use tempfile::TempDir;

use super::*;

/// The annotation that names an image.
const NAME: &str = "org.opencontainers.image.ref.name";
const LAYER: &[u8] = b"\0asm\x01\0\0\0";

fn layer() -> Descriptor {
    Descriptor::of(MediaType::from("application/wasm"), LAYER)
}

/// A manifest with one layer; `extra` is more JSON.
fn image(extra: &str) -> RawManifest {
    let config = Descriptor::of(MediaType::EmptyJSON, b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]{extra}}}"#,
        MediaType::ImageManifest,
        serde_json::to_string(&config).unwrap(),
        serde_json::to_string(&layer()).unwrap(),
    );
    RawManifest::new(MediaType::ImageManifest, text.into())
}

fn push(writer: &LayoutWriter, tag: Option<&str>, manifest: &RawManifest) {
    let mut staged = writer.stage(&layer()).unwrap();
    staged.write(LAYER).unwrap();
    writer.commit(staged).unwrap();
    let tag: Option<Tag> = tag.map(|tag| tag.parse().unwrap());
    writer.push_manifest(manifest, tag.as_ref()).unwrap();
}

fn reference(tag: &str) -> Reference {
    format!("example.com/echo:{tag}").parse().unwrap()
}

fn rule_of<T>(result: Result<T, LayoutError>) -> &'static str {
    match result {
        Err(LayoutError::Invalid { rule, .. }) => rule,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

fn blob_path(folder: &TempDir, digest: &Digest) -> PathBuf {
    folder.path().join(blob_name(digest))
}

#[test]
fn a_pushed_image_is_found_in_folders_and_archives() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["layout", "layout.tar"] {
        let path = folder.path().join(name);
        let writer = LayoutWriter::open(&path).unwrap();
        let pushed = image("");
        push(&writer, Some("v1"), &pushed);
        let read = Layout::open(&path).unwrap();
        for layout in [writer.layout(), &read] {
            let found = layout.resolve(&reference("v1")).unwrap().unwrap();
            assert_eq!(found, pushed);
            assert!(layout.resolve(&reference("v2")).unwrap().is_none());
            assert!(layout.has(&layer()).unwrap());
            let mut blobs = [layer().digest().clone(), pushed.digest().clone()];
            blobs.sort();
            assert_eq!(layout.blobs().unwrap(), blobs);
        }
    }
}

#[test]
fn wrong_content_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::open(folder.path()).unwrap();
    let mut long = writer.stage(&layer()).unwrap();
    long.write(LAYER).unwrap();
    assert!(matches!(long.write(b"x"), Err(LayoutError::Size { .. })));
    let short = writer.stage(&layer()).unwrap();
    assert!(matches!(
        writer.commit(short),
        Err(LayoutError::Size { .. })
    ));
    let mut other = writer.stage(&layer()).unwrap();
    other.write(b"\0asm\x02\0\0\0").unwrap();
    let refused = writer.commit(other);
    assert!(
        matches!(refused, Err(LayoutError::Digest { .. })),
        "{refused:?}"
    );
    assert_eq!(writer.layout().blobs().unwrap(), []);
}

#[test]
fn sizes_and_media_types_must_agree_with_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::open(folder.path()).unwrap();
    let pushed = image("");
    push(&writer, None, &pushed);
    let digest = pushed.digest().clone();
    let mut index = LayoutIndex::default();
    index.list(
        Descriptor::new(MediaType::ImageManifest, digest.clone(), 1),
        None,
    );
    std::fs::write(folder.path().join(INDEX_NAME), index.to_json()).unwrap();
    let refused = writer.layout().manifest(&digest, MANIFEST_MAX);
    assert!(
        matches!(refused, Err(LayoutError::Size { .. })),
        "{refused:?}"
    );
    let mut index = LayoutIndex::default();
    let size = pushed.bytes().len() as u64;
    index.list(
        Descriptor::new(MediaType::ImageIndex, digest.clone(), size),
        None,
    );
    std::fs::write(folder.path().join(INDEX_NAME), index.to_json()).unwrap();
    let refused = writer.layout().manifest(&digest, MANIFEST_MAX);
    assert!(
        matches!(refused, Err(LayoutError::Manifest { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_name_moves_to_the_new_image() {
    let (one, two) = (
        image("").descriptor(),
        image(r#","annotations":{"n":"2"}"#).descriptor(),
    );
    let mut index = LayoutIndex::default();
    assert!(index.list(one.clone(), Some("a")));
    assert!(!index.list(one.clone(), Some("a")));
    assert!(!index.list(one.clone(), None), "listed already");
    assert!(index.list(one.clone(), Some("b")));
    assert!(index.list(two.clone(), Some("a")));
    let names = index.images().iter().map(LayoutIndex::name_of);
    assert_eq!(names.collect::<Vec<_>>(), [Some("b"), Some("a")]);
    assert_eq!(LayoutIndex::read(&index.to_json()).unwrap(), index);
    assert!(index.retain(|image| image.digest() == two.digest()));
    assert_eq!(index.images().len(), 1);
}

#[test]
fn publishing_again_repairs_the_entry_of_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::open(folder.path()).unwrap();
    let (one, two) = (image(""), image(r#","annotations":{"n":"2"}"#));
    for pushed in [&one, &two] {
        push(&writer, None, pushed);
    }
    let named = |manifest: &RawManifest| manifest.descriptor().with_annotation(NAME, "v1");
    let wrong_size = {
        let digest = one.digest().clone();
        Descriptor::new(MediaType::ImageManifest, digest, 1).with_annotation(NAME, "v1")
    };
    for entries in [vec![named(&one), named(&two)], vec![wrong_size]] {
        let index = serde_json::to_vec(&Index::new(entries)).unwrap();
        std::fs::write(folder.path().join(INDEX_NAME), index).unwrap();
        writer.layout().resolve(&reference("v1")).unwrap_err();
        push(&writer, Some("v1"), &one);
        let found = writer.layout().resolve(&reference("v1")).unwrap();
        assert_eq!(found, Some(one.clone()));
        let index = writer.layout().index().unwrap();
        assert_eq!(index.images(), [named(&one)]);
    }
}

/// A signature manifest holds certificates and log entries in annotations, so it may be larger than
/// the manifest of an image.
#[test]
fn a_large_signature_manifest_is_a_referrer() {
    let folder = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::open(folder.path()).unwrap();
    let subject = image("");
    let config = Descriptor::of(MediaType::EmptyJSON, b"{}");
    let mut referrers = Vec::new();
    for (layers, annotation_bytes) in [(129, 1), (100, 12_000)] {
        let annotation = "x".repeat(annotation_bytes);
        let layer = layer().with_annotation("dev.cosignproject.cosign/signature", annotation);
        let signatures = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest,
            "config": config,
            "layers": vec![layer; layers],
            "subject": subject.descriptor(),
        });
        let signatures = RawManifest::new(
            MediaType::ImageManifest,
            serde_json::to_vec(&signatures).unwrap().into(),
        );
        push(&writer, None, &signatures);
        referrers.push(signatures.digest().clone());
        let found = writer.layout().referrers(subject.digest(), 10).unwrap();
        let found = found.iter().map(Descriptor::digest).collect::<Vec<_>>();
        assert_eq!(found, referrers.iter().collect::<Vec<_>>());
    }
}

#[test]
fn an_export_is_a_layout_and_holds_only_proven_blobs() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["layout", "layout.tar"] {
        let path = folder.path().join(name);
        let mut export = LayoutExport::create(&path).unwrap();
        let (digest, size) = (layer().digest().clone(), LAYER.len() as u64);
        export.add_blob(&digest, size, LAYER).unwrap();
        export.add("signatures/x.json", b"[]").unwrap();
        assert!(!path.exists());
        export.finish(&LayoutIndex::default()).unwrap();
        let layout = Layout::open(&path).unwrap();
        assert_eq!(layout.names("signatures").unwrap(), ["x.json"]);
        let mut content = Vec::new();
        let mut file = layout.blob(&digest).unwrap().unwrap();
        file.skip_to(4);
        file.read_to_end(&mut content).unwrap();
        assert_eq!(content, &LAYER[4..]);

        std::fs::remove_dir_all(&path)
            .or_else(|_| std::fs::remove_file(&path))
            .unwrap();
        for content in [&b"\0asm"[..], b"\0asm\x02\0\0\0"] {
            let mut export = LayoutExport::create(&path).unwrap();
            let refused = export.add_blob(&digest, size, content);
            assert!(
                matches!(refused, Err(LayoutError::Digest { .. })),
                "{refused:?}"
            );
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let exists = LayoutExport::create(folder.path());
    assert!(exists.is_err_and(|error| error.to_string().contains("exists")));
}

#[test]
fn names_do_not_lead_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layout");
    let writer = LayoutWriter::open(&path).unwrap();
    std::fs::write(folder.path().join("secret"), "x").unwrap();
    for name in [
        "../secret",
        "blobs/../../secret",
        "/etc/passwd",
        "",
        "./oci-layout",
    ] {
        assert!(writer.layout().file(name).unwrap().is_none(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn links_and_folders_are_not_read_as_files() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::open(folder.path()).unwrap();
    push(&writer, Some("v1"), &image(""));
    let blob = blob_path(&folder, layer().digest());
    std::fs::rename(&blob, folder.path().join("elsewhere")).unwrap();
    symlink(folder.path().join("elsewhere"), &blob).unwrap();
    let link = "it is a symbolic link, which is not followed";
    assert_eq!(rule_of(writer.layout().blob(layer().digest())), link);
    assert_eq!(rule_of(writer.layout().blobs()), link);
    std::fs::remove_file(&blob).unwrap();
    std::fs::create_dir(&blob).unwrap();
    assert_eq!(
        rule_of(writer.layout().blob(layer().digest())),
        "it is not a regular file"
    );
    assert_eq!(rule_of(writer.layout().blobs()), "it is not a regular file");
}

#[test]
fn an_archive_names_each_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let index = LayoutIndex::default().to_json();
    for (name, rule) in [
        (INDEX_NAME, "it has two files of the same name"),
        ("./oci-layout", "it has two files of the same name"),
        ("../x", "it has names that lead out of it"),
    ] {
        let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
        for (name, content) in [
            (MARKER_NAME, LAYOUT_MARKER),
            (INDEX_NAME, &*index),
            (name, b"x"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content).unwrap();
        }
        tar.finish().unwrap();
        assert_eq!(rule_of(Layout::open(&path)), rule, "{name}");
    }
}
