//! Layouts that are as they should be, and layouts made to mislead.

use std::path::PathBuf;

use futures_util::TryStreamExt;
use qmt_oci_ref::{DigestAlgorithm, MediaType};
use tempfile::TempDir;

use super::*;
use crate::writer::{BlobContent, RegistryWriter};

mod archive;
mod evidence;
mod hostile;
mod pushes;
mod referrers;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const MANIFEST_MAX: u64 = 4 << 20;

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
        let repository = &self.layout.repository;
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
    Descriptor::of(MediaType::from("application/wasm"), LAYER)
}

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
    hashed: Digester,
) -> Result<Vec<u8>, RegistryError> {
    let stream = layout.blob(&layout.repository, blob, hashed).await?;
    stream
        .try_fold(Vec::new(), async |mut all, chunk| {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

fn client(error: &RegistryError) -> &ClientError {
    error.downcast_ref().unwrap()
}

fn reason_of<T>(result: Result<T, RegistryError>) -> &'static str {
    match result {
        Err(error) => match client(&error) {
            ClientError::Layout(LayoutError::Invalid { rule, .. }) => rule,
            other => panic!("another error: {other:?}"),
        },
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
        assert_eq!(resolved, pushed);
        assert_eq!(resolved.digest(), pushed.digest());
        let by_digest = layout.reference(None, Some(pushed.digest()));
        assert_eq!(layout.resolve(&by_digest).await.unwrap(), pushed);
        let pin = by_digest.with_digest(pushed.digest().clone());
        assert_eq!(layout.manifest(&pin, MANIFEST_MAX).await.unwrap(), pushed);
        assert_eq!(read(&layout, &layer()).await.unwrap(), LAYER);
        let absent = layout.resolve(&bed.tagged("v2")).await.unwrap_err();
        assert!(absent.is_not_found());
        let absent = layout.reference(None, Some(&Digest::sha256("absent")));
        assert!(layout.resolve(&absent).await.unwrap_err().is_not_found());
        let absent = Descriptor::of(MediaType::from("a/b"), b"absent");
        assert!(read(&layout, &absent).await.unwrap_err().is_not_found());
    }
}

/// The error for a missing image has the layout's path and the names of those that exist.
#[tokio::test]
async fn an_error_for_an_absent_image_lists_those_that_exist() {
    let bed = Bed::new();
    let one = bed.push("v1", "").await;
    let path = bed.folder.path().display().to_string();
    let text = bed.refusal("v2").await.to_string();
    assert!(text.contains("`v2`") && text.contains("`v1`"), "{text}");
    assert!(text.contains(&path), "{text}");
    let hostile = bed.push("x", r#","annotations":{"n":"2"}"#).await;
    bed.set_index(&[entry(&one, None), entry(&hostile, Some("a\u{1b}[31m"))]);
    let text = bed.refusal("v2").await.to_string();
    assert!(text.contains(&format!("`@{}`", one.digest())), "{text}");
    assert!(text.contains("`a\\u{1b}[31m`"), "{text}");
    // An empty name is not one.
    bed.set_index(&[entry(&one, Some(""))]);
    let text = bed.refusal("v2").await.to_string();
    assert!(
        text.ends_with(&format!("it has `@{}`", one.digest())),
        "{text}"
    );
    let latest = bed.layout.reference(None, None);
    assert_eq!(bed.layout.resolve(&latest).await.unwrap(), one);
    let many: Vec<_> = (0..30)
        .map(|n| entry(&one, Some(&format!("t{n}"))))
        .collect();
    bed.set_index(&many);
    let text = bed.refusal("v2").await.to_string();
    assert!(text.contains("`t9` and 20 more"), "{text}");

    let absent = Digest::sha256("absent");
    let by_digest = bed.layout.reference(None, Some(&absent));
    let pin = by_digest.clone().with_digest(absent.clone());
    let blob = Descriptor::of(MediaType::from("a/b"), b"absent");
    for error in [
        bed.layout.resolve(&by_digest).await.unwrap_err(),
        bed.layout.manifest(&pin, MANIFEST_MAX).await.unwrap_err(),
        read(&bed.layout, &blob).await.unwrap_err(),
        bed.layout
            .resolve(&bed.layout.reference(None, None))
            .await
            .unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains(&path) && !text.contains("invalid"), "{text}");
        assert!(error.is_not_found());
    }
}

/// A whole reference in the index is found by its tag.
#[tokio::test]
async fn a_tag_of_any_repository_is_found() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    bed.set_index(&[entry(&one, Some("docker.io/acme/x:v1"))]);
    assert_eq!(bed.layout.resolve(&bed.tagged("v1")).await.unwrap(), one);
}

/// Podman and skopeo write whole references; what the error lists can be used as a tag.
#[tokio::test]
async fn an_error_lists_tags_and_no_whole_references() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    let two = bed.push("y", r#","annotations":{"n":"2"}"#).await;
    for (names, listed) in [
        (
            ["docker.io/acme/x:v1", "docker.io/acme/y"],
            "`v1`, `latest`".to_owned(),
        ),
        (["v1", "w2"], "`v1`, `w2`".to_owned()),
        (
            ["v1", "docker.io/acme/x:v1"],
            format!("`v1`, `@{}`", two.digest()),
        ),
        (
            ["docker.io/acme/x:v1", "docker.io/acme/y:v1"],
            format!("`@{}`, `@{}`", one.digest(), two.digest()),
        ),
    ] {
        let [first, second] = names;
        bed.set_index(&[entry(&one, Some(first)), entry(&two, Some(second))]);
        let text = bed.refusal("absent").await.to_string();
        assert!(text.ends_with(&format!("it has {listed}")), "{text}");
    }
    let whole = "docker.io/acme/z:v1".parse().unwrap();
    let text = bed.layout.resolve(&whole).await.unwrap_err().to_string();
    assert!(text.contains("`docker.io/acme/x:v1`"), "{text}");
}

#[test]
fn references_name_the_layout() {
    let bed = Bed::new();
    let reference = bed.layout.reference(None, None);
    let path = std::fs::canonicalize(bed.folder.path()).unwrap();
    assert_eq!(reference.repository().layout(), Some(&*path));
    assert_eq!(
        reference.to_string(),
        format!("oci-layout://{}:latest", path.display())
    );
}

#[tokio::test]
async fn an_image_without_a_name_is_the_latest_if_it_is_alone() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    bed.set_index(&[entry(&one, None)]);
    let latest = bed.layout.reference(None, None);
    assert_eq!(bed.layout.resolve(&latest).await.unwrap(), one);
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
    assert_eq!(bed.layout.resolve(&reference).await.unwrap(), one);
    let other = "ghcr.io/acme/other:1".parse().unwrap();
    assert!(bed.layout.resolve(&other).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_moved_tag_names_the_new_image_only() {
    let bed = Bed::new();
    let old = bed.push("v1", "").await;
    let new = bed.push("v1", r#","annotations":{"n":"2"}"#).await;
    assert_eq!(bed.layout.resolve(&bed.tagged("v1")).await.unwrap(), new);
    let index = bed.layout.access.layout().unwrap().index().unwrap();
    assert_eq!(index.images().len(), 1);
    let old = bed.layout.reference(None, Some(old.digest()));
    bed.layout.resolve(&old).await.unwrap();
}

#[tokio::test]
async fn a_large_blob_streams_in_pieces_and_goes_on_where_it_broke_off() {
    let bed = Bed::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let blob = Descriptor::of(MediaType::from("a/b"), &content);
    let repository = &bed.layout.repository;
    bed.layout
        .push_blob(repository, &blob, &Bytes::from(content.clone()), None)
        .await
        .unwrap();
    let tar = bed.to_tar();
    for layout in [bed.layout.clone(), OciLayout::open(tar.path()).unwrap()] {
        assert_eq!(read(&layout, &blob).await.unwrap(), content);
        for offset in [1, 1_000_000, 2_999_999, 3_000_000] {
            let mut hashed = Digester::new(DigestAlgorithm::Sha256);
            hashed.update(&content[..offset]);
            assert_eq!(
                read_after(&layout, &blob, hashed).await.unwrap(),
                &content[offset..]
            );
        }
        let mut wrong = Digester::new(DigestAlgorithm::Sha256);
        wrong.update(b"x");
        let error = read_after(&layout, &blob, wrong).await.unwrap_err();
        assert!(
            matches!(client(&error), ClientError::DigestMismatch { .. }),
            "{error:?}"
        );
    }
}
