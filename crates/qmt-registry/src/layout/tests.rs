//! Layouts that are as they should be, and layouts made to mislead.

use std::io::Write;
use std::path::Path;

use futures_util::TryStreamExt;
use qmt_oci_ref::{DigestAlgorithm, MediaType};
use tempfile::TempDir;

use super::index::REF_NAME;
use super::*;
use crate::limits::REFERRERS_MAX;
use crate::registry::{BlobContent, RegistryWriter};

const LAYER: &[u8] = b"\0asm\x01\0\0\0";

/// A layout in a folder that goes with it.
struct Bed {
    folder: TempDir,
    layout: OciLayout,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = OciLayout::create(folder.path()).unwrap();
        Self { folder, layout }
    }

    /// Pushes an image of one layer under `tag`.
    async fn push(&self, tag: &str, extra: &str) -> RawManifest {
        let layer = layer();
        let repository = &self.layout.inner.repository;
        let content = Bytes::from_static(LAYER);
        self.layout
            .push_blob(repository, &layer, &content, None)
            .await
            .unwrap();
        let manifest = image(extra);
        self.layout
            .push_manifest(&self.tagged(tag), &manifest)
            .await
            .unwrap();
        manifest
    }

    fn tagged(&self, tag: &str) -> Reference {
        self.layout.reference(Some(&tag.parse().unwrap()), None)
    }

    /// Why `tag` does not resolve.
    async fn refusal(&self, tag: &str) -> RegistryError {
        self.layout.resolve(&self.tagged(tag)).await.unwrap_err()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path("blobs/sha256").join(digest.hex())
    }

    /// Packs the folder into a tar archive.
    fn to_tar(&self) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tar = tar::Builder::new(&file);
        tar.append_dir_all(".", self.folder.path()).unwrap();
        tar.finish().unwrap();
        drop(tar);
        file
    }

    /// Lists `entries` in `index.json`, whatever they are.
    fn set_index(&self, entries: &[String]) {
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            entries.join(",")
        );
        std::fs::write(self.path("index.json"), index).unwrap();
    }
}

fn layer() -> Descriptor {
    Descriptor::of(MediaType::new("application/wasm"), LAYER)
}

fn image(extra: &str) -> RawManifest {
    let config = Descriptor::of(MediaType::new(MediaType::OCI_EMPTY), b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]{extra}}}"#,
        MediaType::OCI_MANIFEST,
        serde_json::to_string(&config).unwrap(),
        serde_json::to_string(&layer()).unwrap(),
    );
    RawManifest::new(MediaType::new(MediaType::OCI_MANIFEST), text.into())
}

fn entry(manifest: &RawManifest, name: Option<&str>) -> String {
    let descriptor = manifest.descriptor();
    let named = name.map(|name| descriptor.clone().with_annotation(REF_NAME, name));
    serde_json::to_string(&named.unwrap_or(descriptor)).unwrap()
}

async fn read(layout: &OciLayout, blob: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    read_after(layout, blob, Digester::new(blob.digest().algorithm())).await
}

async fn read_after(
    layout: &OciLayout,
    blob: &Descriptor,
    eaten: Digester,
) -> Result<Vec<u8>, RegistryError> {
    let stream = layout.blob(&layout.inner.repository, blob, eaten).await?;
    stream
        .try_fold(Vec::new(), async |mut all, chunk| {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

fn fault_of<T>(result: Result<T, RegistryError>) -> &'static str {
    match result {
        Err(RegistryError::Layout { fault, .. }) => fault,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn what_was_pushed_is_found_by_tag_and_digest() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    for layout in [
        bed.layout.clone(),
        OciLayout::open(bed.folder.path()).unwrap(),
        OciLayout::open(bed.to_tar().path()).unwrap(),
    ] {
        let resolved = layout.resolve(&bed.tagged("v1")).await.unwrap();
        assert_eq!(*resolved.manifest(), pushed);
        assert_eq!(resolved.pin().digest(), pushed.digest());
        let by_digest = layout.reference(None, Some(pushed.digest()));
        assert_eq!(
            *layout.resolve(&by_digest).await.unwrap().manifest(),
            pushed
        );
        let pin = by_digest.with_digest(pushed.digest().clone());
        assert_eq!(layout.manifest(&pin, MANIFEST_MAX).await.unwrap(), pushed);
        assert_eq!(read(&layout, &layer()).await.unwrap(), LAYER);
        let absent = layout.resolve(&bed.tagged("v2")).await.unwrap_err();
        assert!(absent.is_not_found());
        let absent = layout.reference(None, Some(&Digest::sha256("absent")));
        assert!(layout.resolve(&absent).await.unwrap_err().is_not_found());
        let absent = Descriptor::of(MediaType::new("a/b"), b"absent");
        assert!(read(&layout, &absent).await.unwrap_err().is_not_found());
    }
}

#[test]
fn references_name_the_layout() {
    let bed = Bed::new();
    assert_eq!(
        bed.layout.reference(None, None).to_string(),
        "oci-layout.invalid/layout:latest"
    );
}

#[tokio::test]
async fn an_image_without_a_name_is_the_latest_if_it_is_alone() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    bed.set_index(&[entry(&one, None)]);
    let latest = bed.layout.reference(None, None);
    assert_eq!(*bed.layout.resolve(&latest).await.unwrap().manifest(), one);
    assert!(
        bed.layout
            .resolve(&bed.tagged("v1"))
            .await
            .unwrap_err()
            .is_not_found()
    );
    let two = bed.push("y", r#","annotations":{"n":"2"}"#).await;
    bed.set_index(&[entry(&one, None), entry(&two, None)]);
    assert!(
        bed.layout
            .resolve(&latest)
            .await
            .unwrap_err()
            .is_not_found()
    );
}

#[tokio::test]
async fn a_whole_reference_is_a_name_too() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    bed.set_index(&[entry(&one, Some("ghcr.io/acme/echo:1"))]);
    let reference = "ghcr.io/acme/echo:1".parse().unwrap();
    assert_eq!(
        *bed.layout.resolve(&reference).await.unwrap().manifest(),
        one
    );
    let other = "ghcr.io/acme/other:1".parse().unwrap();
    assert!(bed.layout.resolve(&other).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn two_images_of_one_name_are_refused() {
    let bed = Bed::new();
    let one = bed.push("v1", "").await;
    let two = bed.push("v2", r#","annotations":{"n":"2"}"#).await;
    bed.set_index(&[entry(&one, Some("v1")), entry(&two, Some("v1"))]);
    let refused = bed.layout.resolve(&bed.tagged("v1")).await;
    assert_eq!(fault_of(refused), "two of its images have the same name");
    bed.set_index(&[entry(&one, Some("v1")), entry(&one, Some("v1"))]);
    bed.layout.resolve(&bed.tagged("v1")).await.unwrap();
}

#[tokio::test]
async fn a_moved_tag_names_the_new_image_only() {
    let bed = Bed::new();
    let old = bed.push("v1", "").await;
    let new = bed.push("v1", r#","annotations":{"n":"2"}"#).await;
    assert_eq!(
        *bed.layout
            .resolve(&bed.tagged("v1"))
            .await
            .unwrap()
            .manifest(),
        new
    );
    let index = bed.layout.inner.index().unwrap();
    assert_eq!(index.manifests.len(), 1);
    let old = bed.layout.reference(None, Some(old.digest()));
    bed.layout.resolve(&old).await.unwrap();
}

/// DIG-02: content that is not its name's is refused, manifest and blob.
#[tokio::test]
async fn dig_02_other_content_is_refused() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    std::fs::write(bed.blob_path(layer().digest()), b"\0asm\x02\0\0\0").unwrap();
    let error = read(&bed.layout, &layer()).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::DigestMismatch { .. }),
        "{error:?}"
    );
    let other = String::from_utf8(pushed.bytes().to_vec())
        .unwrap()
        .replace("\":2", "\":3");
    std::fs::write(bed.blob_path(pushed.digest()), other).unwrap();
    let error = bed.refusal("v1").await;
    assert!(
        matches!(error, RegistryError::DigestMismatch { .. }),
        "{error:?}"
    );
}

/// DIG-08: sizes that differ from the descriptor's are refused before a byte is streamed.
#[tokio::test]
async fn dig_08_wrong_sizes_are_refused() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    for size in [LAYER.len() as u64 - 1, LAYER.len() as u64 + 1] {
        let wrong = Descriptor::new(layer().media_type().clone(), layer().digest().clone(), size);
        let error = read(&bed.layout, &wrong).await.unwrap_err();
        assert!(
            matches!(error, RegistryError::SizeMismatch { .. }),
            "{error:?}"
        );
    }
    let wrong = Descriptor::new(pushed.media_type().clone(), pushed.digest().clone(), 1)
        .with_annotation(REF_NAME, "v1");
    bed.set_index(&[serde_json::to_string(&wrong).unwrap()]);
    let error = bed.refusal("v1").await;
    assert!(
        matches!(error, RegistryError::SizeMismatch { .. }),
        "{error:?}"
    );
}

/// DIG-04: an index that calls a manifest something else.
#[tokio::test]
async fn dig_04_a_media_type_that_differs_is_refused() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    let lie = entry(&pushed, Some("v1")).replacen("image.manifest", "image.index", 1);
    bed.set_index(&[lie]);
    let error = bed.refusal("v1").await;
    assert!(
        matches!(error, RegistryError::MediaTypeMismatch { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_large_blob_streams_in_pieces_and_goes_on_where_it_broke_off() {
    let bed = Bed::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let blob = Descriptor::of(MediaType::new("a/b"), &content);
    let repository = &bed.layout.inner.repository;
    bed.layout
        .push_blob(repository, &blob, &Bytes::from(content.clone()), None)
        .await
        .unwrap();
    let tar = bed.to_tar();
    for layout in [bed.layout.clone(), OciLayout::open(tar.path()).unwrap()] {
        assert_eq!(read(&layout, &blob).await.unwrap(), content);
        for offset in [1, 1_000_000, 2_999_999, 3_000_000] {
            let mut eaten = Digester::new(DigestAlgorithm::Sha256);
            eaten.update(&content[..offset]);
            assert_eq!(
                read_after(&layout, &blob, eaten).await.unwrap(),
                &content[offset..]
            );
        }
        let mut wrong = Digester::new(DigestAlgorithm::Sha256);
        wrong.update(b"x");
        let error = read_after(&layout, &blob, wrong).await.unwrap_err();
        assert!(
            matches!(error, RegistryError::DigestMismatch { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn manifests_have_a_limit() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    let length = pushed.bytes().len() as u64;
    let pin = bed.tagged("v1").with_digest(pushed.digest().clone());
    bed.layout.manifest(&pin, length).await.unwrap();
    let refused = bed.layout.manifest(&pin, length - 1).await;
    assert_eq!(
        fault_of(refused),
        "it is larger than what is accepted there"
    );
}

#[tokio::test]
async fn an_index_has_a_limit() {
    let bed = Bed::new();
    let latest = bed.layout.reference(None, None);
    let limit = usize::try_from(LAYOUT_INDEX_MAX).unwrap();
    let mut index = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    index.resize(limit, b' ');
    std::fs::write(bed.path("index.json"), &index).unwrap();
    assert!(
        bed.layout
            .resolve(&latest)
            .await
            .unwrap_err()
            .is_not_found()
    );
    index.push(b' ');
    std::fs::write(bed.path("index.json"), &index).unwrap();
    let refused = bed.layout.resolve(&latest).await;
    assert_eq!(
        fault_of(refused),
        "it is larger than what is accepted there"
    );
}

#[tokio::test]
async fn indexes_that_are_none_are_refused() {
    let bed = Bed::new();
    let latest = bed.layout.reference(None, None);
    for bad in [
        "",
        "[]",
        r#"[2,"application/vnd.oci.image.index.v1+json",[]]"#,
        "{}",
        r#"{"schemaVersion":1}"#,
        r#"{"schemaVersion":2,"manifests":7}"#,
    ] {
        std::fs::write(bed.path("index.json"), bad).unwrap();
        fault_of(bed.layout.resolve(&latest).await);
    }
    let traversal = entry(&image(""), Some("latest")).replacen("sha256:", "../../sha256:", 1);
    bed.set_index(&[traversal]);
    fault_of(bed.layout.resolve(&latest).await);
}

#[test]
fn what_is_no_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        fault_of(OciLayout::open(&folder.path().join("absent"))),
        "it can't be opened"
    );
    assert_eq!(
        fault_of(OciLayout::open(folder.path())),
        "it has no file `oci-layout`"
    );
    for (marker, fault) in [
        (
            r#"{"imageLayoutVersion":"2.0.0"}"#,
            "its version is not 1.0.0",
        ),
        ("{}", "its file `oci-layout` is not what it should be"),
    ] {
        std::fs::write(folder.path().join("oci-layout"), marker).unwrap();
        assert_eq!(fault_of(OciLayout::open(folder.path())), fault);
    }
    std::fs::write(
        folder.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    assert_eq!(
        fault_of(OciLayout::open(folder.path())),
        "it has no file `index.json`"
    );
    let refused = tempfile::tempdir().unwrap();
    std::fs::write(refused.path().join("thesis.tex"), "x").unwrap();
    assert!(fault_of(OciLayout::create(refused.path())).contains("something else"));
    let file = folder.path().join("not.tar");
    std::fs::write(&file, vec![1; 2048]).unwrap();
    assert!(fault_of(OciLayout::open(&file)).contains("tar archive"));
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    let link = "it is a symbolic link, which is not followed";

    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    let blob = bed.blob_path(layer().digest());
    std::fs::rename(&blob, outside.path().join("blob")).unwrap();
    symlink(outside.path().join("blob"), &blob).unwrap();
    assert_eq!(fault_of(read(&bed.layout, &layer()).await), link);
    let (blob, content) = (layer(), Bytes::from_static(LAYER));
    let again = bed
        .layout
        .push_blob(&bed.layout.inner.repository, &blob, &content, None);
    assert_eq!(fault_of(again.await), link);

    std::fs::rename(bed.path("blobs/sha256"), outside.path().join("sha256")).unwrap();
    symlink(outside.path().join("sha256"), bed.path("blobs/sha256")).unwrap();
    assert_eq!(fault_of(bed.layout.resolve(&bed.tagged("v1")).await), link);
    assert_eq!(
        fault_of(bed.layout.push_manifest(&bed.tagged("v3"), &pushed).await),
        link
    );

    let bed = Bed::new();
    bed.push("v1", "").await;
    std::fs::rename(bed.path("index.json"), outside.path().join("index.json")).unwrap();
    symlink(outside.path().join("index.json"), bed.path("index.json")).unwrap();
    assert_eq!(fault_of(bed.layout.resolve(&bed.tagged("v1")).await), link);

    let bed = Bed::new();
    bed.push("v1", "").await;
    std::fs::remove_file(bed.blob_path(layer().digest())).unwrap();
    std::fs::create_dir(bed.blob_path(layer().digest())).unwrap();
    assert_eq!(
        fault_of(read(&bed.layout, &layer()).await),
        "it is not a regular file"
    );
}

/// A tar archive of a layout with `name` in it as an entry of the given kind.
fn hostile_tar(name: &[u8], kind: tar::EntryType) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut tar = tar::Builder::new(&mut file);
    let mut append = |name: &[u8], kind, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    append(
        b"oci-layout",
        tar::EntryType::Regular,
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    append(
        b"./index.json",
        tar::EntryType::Regular,
        br#"{"schemaVersion":2,"manifests":[]}"#,
    );
    let is_file = kind == tar::EntryType::Regular;
    append(name, kind, if is_file { b"x" } else { b"" });
    tar.finish().unwrap();
    drop(tar);
    file.flush().unwrap();
    file
}

#[tokio::test]
async fn archives_with_misleading_names_are_refused() {
    let file = tar::EntryType::Regular;
    OciLayout::open(hostile_tar(b"./blobs/x", file).path()).unwrap();
    let out = "it has names that lead out of it";
    for name in [
        &b"../x"[..],
        b"/etc/passwd",
        b"blobs/../../x",
        b"blobs/\xff",
    ] {
        assert_eq!(
            fault_of(OciLayout::open(hostile_tar(name, file).path())),
            out
        );
    }
    for name in [&b"index.json"[..], b"./index.json", b"././oci-layout"] {
        let refused = OciLayout::open(hostile_tar(name, file).path());
        assert_eq!(fault_of(refused), "a name stands twice in it");
    }
    // Links and devices are passed over: nothing is read through them.
    let digest = Digest::sha256("x");
    let name = format!("blobs/sha256/{}", digest.hex());
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Fifo,
    ] {
        let archive = hostile_tar(name.as_bytes(), kind);
        let layout = OciLayout::open(archive.path()).unwrap();
        let blob = Descriptor::of(MediaType::new("a/b"), b"x");
        assert!(read(&layout, &blob).await.unwrap_err().is_not_found());
    }
}

#[test]
fn an_archive_that_is_cut_short_is_refused() {
    let archive = hostile_tar(b"blobs/x", tar::EntryType::Regular);
    let whole = std::fs::read(archive.path()).unwrap();
    for length in [0, 100, 512, 700, 1024, 1536] {
        std::fs::write(archive.path(), &whole[..length]).unwrap();
        fault_of(OciLayout::open(archive.path()));
    }
    std::fs::write(archive.path(), &whole).unwrap();
    OciLayout::open(archive.path()).unwrap();
}

#[test]
fn an_archive_has_a_limit_of_entries() {
    let many = |count: usize| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tar = tar::Builder::new(std::io::BufWriter::new(&file));
        for number in 0..count {
            let mut header = tar::Header::new_gnu();
            let (name, content): (_, &[u8]) = match number {
                0 => (
                    "oci-layout".to_owned(),
                    br#"{"imageLayoutVersion":"1.0.0"}"#,
                ),
                1 => ("index.json".to_owned(), br#"{"schemaVersion":2}"#),
                _ => (number.to_string(), b""),
            };
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        }
        tar.into_inner().unwrap().flush().unwrap();
        file
    };
    OciLayout::open(many(crate::limits::LAYOUT_ENTRIES_MAX).path()).unwrap();
    let refused = OciLayout::open(many(crate::limits::LAYOUT_ENTRIES_MAX + 1).path());
    assert_eq!(fault_of(refused), "it has more than 65,536 files");
}

#[tokio::test]
async fn referrers_come_from_the_index_and_from_the_tag_schema() {
    let bed = Bed::new();
    let subject = bed.push("v1", "").await;
    bed.push("unrelated", r#","annotations":{"n":"2"}"#).await;
    let claim = serde_json::to_string(&subject.descriptor()).unwrap();
    let listed = image(&format!(
        r#","artifactType":"a/sig","subject":{claim},"annotations":{{"k":"v"}}"#
    ));
    let by_digest = bed.layout.reference(None, Some(listed.digest()));
    bed.layout.push_manifest(&by_digest, &listed).await.unwrap();
    let in_list = Descriptor::of(MediaType::new(MediaType::OCI_MANIFEST), b"elsewhere");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}}"#,
        MediaType::OCI_INDEX,
        serde_json::to_string(&in_list).unwrap(),
        serde_json::to_string(&listed.descriptor()).unwrap(),
    );
    let index = RawManifest::new(MediaType::new(MediaType::OCI_INDEX), index.into());
    let tag = format!("sha256-{}", subject.digest().hex());
    bed.layout
        .push_manifest(&bed.tagged(&tag), &index)
        .await
        .unwrap();

    let pin = bed.tagged("v1").with_digest(subject.digest().clone());
    let found = bed.layout.referrers(&pin).await.unwrap();
    assert_eq!(found.len(), 2, "each digest once: {found:?}");
    assert_eq!(found[0].digest(), listed.digest());
    assert_eq!(found[0].artifact_type().unwrap(), &"a/sig");
    assert_eq!(found[0].annotations()["k"], "v");
    assert_eq!(found[1].digest(), in_list.digest());
    let other = bed.tagged("v1").with_digest(Digest::sha256("other"));
    assert_eq!(bed.layout.referrers(&other).await.unwrap(), []);
}

#[tokio::test]
async fn referrers_have_a_limit() {
    let bed = Bed::new();
    let subject = bed.push("v1", "").await;
    let list = |count: usize| {
        let entries: Vec<_> = (0..count)
            .map(|n| Descriptor::of(MediaType::new(MediaType::OCI_MANIFEST), &n.to_le_bytes()))
            .collect();
        let entries = serde_json::to_string(&entries).unwrap();
        let text = format!(r#"{{"schemaVersion":2,"manifests":{entries}}}"#);
        RawManifest::new(MediaType::new(MediaType::OCI_INDEX), text.into())
    };
    let tag = bed.tagged(&format!("sha256-{}", subject.digest().hex()));
    let pin = bed.tagged("v1").with_digest(subject.digest().clone());
    bed.layout
        .push_manifest(&tag, &list(REFERRERS_MAX))
        .await
        .unwrap();
    assert_eq!(
        bed.layout.referrers(&pin).await.unwrap().len(),
        REFERRERS_MAX
    );
    bed.layout
        .push_manifest(&tag, &list(REFERRERS_MAX + 1))
        .await
        .unwrap();
    let error = bed.layout.referrers(&pin).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooMany { .. }), "{error:?}");
}

#[tokio::test]
async fn only_what_was_opened_for_writing_is_written() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    for layout in [
        OciLayout::open(bed.folder.path()).unwrap(),
        OciLayout::open(bed.to_tar().path()).unwrap(),
    ] {
        let refused = layout.push_manifest(&bed.tagged("v2"), &pushed).await;
        assert_eq!(fault_of(refused), "it was opened for reading only");
        let content = Bytes::from_static(LAYER);
        let repository = &bed.layout.inner.repository;
        let refused = layout.push_blob(repository, &layer(), &content, None).await;
        assert_eq!(fault_of(refused), "it was opened for reading only");
    }
    let again = OciLayout::create(bed.folder.path()).unwrap();
    again
        .push_manifest(&bed.tagged("v2"), &pushed)
        .await
        .unwrap();
    bed.layout.resolve(&bed.tagged("v2")).await.unwrap();
}

#[tokio::test]
async fn wrong_content_is_not_kept() {
    let bed = Bed::new();
    let repository = &bed.layout.inner.repository;
    for content in [
        &b"\0asm\x02\0\0\0"[..],
        b"\0asm",
        b"\0asm\x01\0\0\0 and more",
    ] {
        let content = Bytes::from_static(content);
        bed.layout
            .push_blob(repository, &layer(), &content, None)
            .await
            .unwrap_err();
    }
    let pushed = image("");
    let wrong = bed.layout.reference(None, Some(layer().digest()));
    let error = bed.layout.push_manifest(&wrong, &pushed).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::DigestMismatch { .. }),
        "{error:?}"
    );
    assert_eq!(names(&bed.path("blobs/sha256")), [] as [String; 0]);
    let mut left = names(bed.folder.path());
    left.sort();
    assert_eq!(left, ["blobs", "index.json", "oci-layout"]);
    // A damaged blob is replaced by a good one.
    std::fs::write(bed.blob_path(layer().digest()), b"\0asm\x02\0\0\0").unwrap();
    let content = Bytes::from_static(LAYER);
    bed.layout
        .push_blob(repository, &layer(), &content, None)
        .await
        .unwrap();
    assert_eq!(read(&bed.layout, &layer()).await.unwrap(), LAYER);
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_read_again() {
    struct Never;
    #[async_trait]
    impl BlobContent for Never {
        async fn open(&self, _offset: u64) -> Result<BlobStream, RegistryError> {
            panic!("opened")
        }
    }
    let bed = Bed::new();
    bed.push("v1", "").await;
    let repository = &bed.layout.inner.repository;
    bed.layout
        .push_blob(repository, &layer(), &Never, None)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_at_the_same_time_are_all_listed() {
    let bed = Arc::new(Bed::new());
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move {
                let other_handle = OciLayout::create(bed.folder.path()).unwrap();
                let manifest = image(&format!(r#","annotations":{{"n":"{n}"}}"#));
                other_handle
                    .push_manifest(&bed.tagged(&format!("t{n}")), &manifest)
                    .await
                    .unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(bed.layout.inner.index().unwrap().manifests.len(), 8);
}

fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}
