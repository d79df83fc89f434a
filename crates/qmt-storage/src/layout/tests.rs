//! Layouts as they should be, and layouts that break the rules.

mod archives;

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
        assert!(found.missing.is_none());
        let found = found
            .listed
            .iter()
            .map(Descriptor::digest)
            .collect::<Vec<_>>();
        assert_eq!(found, referrers.iter().collect::<Vec<_>>());
    }
}

/// The tag of the list has 64 digits of the digest, and a claim of a wrong size hides nothing.
#[test]
fn a_list_of_referrers_is_found_for_both_algorithms() {
    for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
        let folder = tempfile::tempdir().unwrap();
        let writer = LayoutWriter::open(folder.path()).unwrap();
        let subject = Digest::of(algorithm, b"subject");
        let referrer = image("").descriptor();
        let claim = |size| {
            let (media_type, digest) = (MediaType::ImageManifest, referrer.digest().clone());
            Descriptor::new(media_type, digest, size)
        };
        let sizes = [referrer.size() + 1, referrer.size(), referrer.size() + 2];
        let list = Index::new(sizes.map(claim).to_vec());
        let list = serde_json::to_vec(&list).unwrap();
        let list = RawManifest::new(MediaType::ImageIndex, list.into());
        let hex = subject.hex().get(..64).unwrap();
        let tag: Tag = format!("{}-{hex}", algorithm.as_str()).parse().unwrap();
        writer.push_manifest(&list, Some(&tag)).unwrap();
        let found = writer.layout().referrers(&subject, 10).unwrap();
        assert!(found.missing.is_none(), "{:?}", found.missing);
        assert_eq!(found.listed, [claim(referrer.size())]);
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

/// The name of what is not finished means nothing to a user.
#[test]
fn an_error_of_an_export_names_no_temporary_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["absent/export", "absent/export.tar"] {
        let error = LayoutExport::create(&folder.path().join(name)).map(drop);
        let text = text::messages(&error.unwrap_err()).join(": ");
        assert!(text.contains(name) && !text.contains(".export-"), "{text}");
    }
}

/// Layouts are shared: their files have the mode that the umask gives to every file.
#[cfg(unix)]
#[test]
fn layouts_are_readable_as_far_as_the_umask_allows() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    for name in ["export", "export.tar"] {
        let export = LayoutExport::create(&at(name)).unwrap();
        export.finish(&LayoutIndex::default()).unwrap();
    }
    for name in ["layout", "layout.tar"] {
        push(&LayoutWriter::open(&at(name)).unwrap(), None, &image(""));
    }
    for name in [
        "export.tar",
        "export/index.json",
        "layout.tar",
        "layout/index.json",
    ] {
        assert_eq!(mode(&at(name)), mode(&at("file")) & 0o644, "{name}");
    }
    assert_eq!(mode(&at("export")), mode(&at("folder")) & 0o755);
}

/// Another process may create the same layout now, or was stopped while it did.
#[test]
fn a_layout_that_is_not_finished_is_completed_and_not_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layout");
    std::fs::create_dir_all(path.join("blobs")).unwrap();
    std::fs::write(path.join(".tmp-x"), "{").unwrap();
    push(&LayoutWriter::open(&path).unwrap(), Some("1"), &image(""));
    std::fs::remove_file(path.join(MARKER_NAME)).unwrap();
    let writer = LayoutWriter::open(&path).unwrap();
    let found = writer.layout().resolve(&reference("1")).unwrap().unwrap();
    assert_eq!(found.digest(), image("").digest());

    // The other process lists an image between two steps of this one.
    let (index, before) = (path.join(INDEX_NAME), LayoutIndex::default().to_json());
    let temp = tempfile::NamedTempFile::new_in(&path).unwrap();
    std::fs::write(&temp, before).unwrap();
    let listed = std::fs::read(&index).unwrap();
    crate::replace::persist_new(temp, &index).unwrap();
    assert_eq!(std::fs::read(&index).unwrap(), listed);

    std::fs::remove_file(path.join(MARKER_NAME)).unwrap();
    std::fs::write(index, "[]").unwrap();
    let refused = rule_of(LayoutWriter::open(&path));
    assert_eq!(refused, "its `index.json` is malformed");
    assert!(!path.join(MARKER_NAME).exists());
}

/// Without the rule, a folder would have the name of a compressed archive.
#[test]
fn a_layout_is_not_named_as_a_compressed_archive() {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_good) in [
        ("a.tar.gz", false),
        ("a.TGZ", false),
        ("a.tar.zst", false),
        ("a.gz", true),
        ("a.tar", true),
    ] {
        let path = folder.path().join(name);
        let created = LayoutExport::create(&path).map(drop);
        assert_eq!(created.is_ok(), is_good, "{name}");
        let opened = LayoutWriter::open(&path).map(drop);
        assert_eq!(opened.is_ok(), is_good, "{name}");
        for error in [created.err(), opened.err()].into_iter().flatten() {
            assert!(error.to_string().contains("ends in `.tar`"), "{error}");
        }
    }
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
    let link = "it is a symbolic link, which is not followed; copy the layout with `cp -rL`";
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

/// The error for a file that is not a layout says what it is.
#[test]
fn what_is_not_a_layout_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    for (content, word) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0"[..], "`gunzip < FILE > NEW.tar`"),
        (b"\x28\xb5\x2f\xfd\0\0", "`unzstd < FILE > NEW.tar`"),
        (b"\xfd7zXZ\0", "`unxz < FILE > NEW.tar`"),
        (b"BZh91AY", "`bunzip2 < FILE > NEW.tar`"),
        (b"PK\x03\x04\0\0", "zip archive"),
        (b"{}", "neither a folder nor"),
        (b"", "it is empty"),
    ] {
        std::fs::write(&path, content).unwrap();
        let rule = rule_of(Layout::open(&path));
        assert!(rule.contains(word), "{rule}");
    }
    let docker = folder.path().join("docker");
    std::fs::create_dir(&docker).unwrap();
    assert_eq!(
        rule_of(Layout::open(&docker)),
        "it has no file `oci-layout`"
    );
    std::fs::write(docker.join(DOCKER_NAME), "[]").unwrap();
    let rule = rule_of(Layout::open(&docker));
    assert!(
        rule.contains("docker save") && rule.contains("skopeo copy"),
        "{rule}"
    );
    std::fs::write(
        docker.join(SKOPEO_NAME),
        "Directory Transport Version: 1.1\n",
    )
    .unwrap();
    let rule = rule_of(Layout::open(&docker));
    assert!(rule.contains("skopeo copy dir:FOLDER"), "{rule}");
    assert_eq!(Layout::other_form(&docker), Some(rule));
    // Since version 25, docker saves a layout with that file in it.
    std::fs::write(docker.join(MARKER_NAME), LAYOUT_MARKER).unwrap();
    assert_eq!(Layout::other_form(&docker), None);

    // An archive of which the end is missing.
    let whole = folder.path().join("whole.tar");
    let export = LayoutExport::create(&whole).unwrap();
    export.finish(&LayoutIndex::default()).unwrap();
    Layout::open(&whole).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&path, bytes.get(..1200).unwrap()).unwrap();
    assert_eq!(rule_of(Layout::open(&path)), "it is cut short");
}

/// Writing would remove what this version can't read.
#[test]
fn entries_of_unknown_algorithms_are_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::open(folder.path()).unwrap();
    push(&writer, Some("v1"), &image(""));
    let path = folder.path().join(INDEX_NAME);
    let index = std::fs::read_to_string(&path).unwrap();
    let odd = format!(
        r#"[{{"mediaType":"a/b","digest":"blake3:{}","size":1}},"#,
        "0".repeat(64)
    );
    let index = index.replacen('[', &odd, 1);
    std::fs::write(&path, &index).unwrap();
    assert!(writer.layout().resolve(&reference("v1")).unwrap().is_some());
    let refused = writer.push_manifest(&image(r#","annotations":{"n":"2"}"#), None);
    assert!(rule_of(refused).contains("unknown algorithms"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), index);
}

/// Tools write a whole reference where a tag could be.
#[test]
fn a_tag_is_found_in_whole_references() {
    let folder = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::open(folder.path()).unwrap();
    let (one, two) = (image(""), image(r#","annotations":{"n":"2"}"#));
    push(&writer, None, &one);
    push(&writer, None, &two);
    let tag = |tag: &str| writer.layout().resolve_tag(&tag.parse().unwrap());
    let name = |names: &[(&RawManifest, Option<&str>)]| {
        let mut index = LayoutIndex::default();
        for (image, name) in names {
            index.list(image.descriptor(), *name);
        }
        std::fs::write(folder.path().join(INDEX_NAME), index.to_json()).unwrap();
    };
    name(&[
        (&one, Some("docker.io/acme/x:v1")),
        (&two, Some("r.example:5000/acme/y")),
    ]);
    assert_eq!(tag("v1").unwrap().unwrap(), one);
    assert_eq!(tag("latest").unwrap().unwrap(), two);
    assert_eq!(tag("v2").unwrap(), None);
    assert_eq!(tag("5000").unwrap(), None);
    assert_eq!(writer.layout().resolve(&reference("v1")).unwrap(), None);
    // The tag alone comes first, and no guess is made between two.
    name(&[(&one, Some("docker.io/acme/x:v1")), (&two, Some("v1"))]);
    assert_eq!(tag("v1").unwrap().unwrap(), two);
    name(&[
        (&one, Some("a.example/x:v1")),
        (&two, Some("b.example/x:v1")),
    ]);
    assert!(rule_of(tag("v1")).contains("same name"));
    name(&[(&one, None)]);
    assert_eq!(tag("latest").unwrap().unwrap(), one);
    assert_eq!(tag("v1").unwrap(), None);
    std::fs::remove_file(blob_path(&folder, one.digest())).unwrap();
    assert!(rule_of(tag("latest")).contains("is missing"));
}
