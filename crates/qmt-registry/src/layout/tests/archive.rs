//! Layouts in tar archives.

use super::*;

fn manifest(extra: &str) -> RawManifest {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}},"layers":[]{extra}}}"#,
        MediaType::ImageManifest
    );
    RawManifest::new(MediaType::ImageManifest, Bytes::from(text))
}

async fn push(layout: &OciLayout, tag: &str, extra: &str) -> RawManifest {
    let empty = Bytes::from_static(b"{}");
    let blob = Descriptor::of(MediaType::EmptyJSON, &empty);
    let to = layout.reference(Some(&tag.parse().unwrap()), None);
    let pushed = layout.push_blob(to.repository(), &blob, &empty, None).await;
    pushed.unwrap();
    let manifest = manifest(extra);
    layout.push_manifest(&to, &manifest).await.unwrap();
    manifest
}

async fn has(layout: &OciLayout, tag: &str, manifest: &RawManifest) -> bool {
    let name = layout.reference(Some(&tag.parse().unwrap()), None);
    let found = layout.resolve(&name).await;
    found.is_ok_and(|found| found == *manifest)
}

#[tokio::test]
async fn what_is_pushed_is_in_the_archive_and_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub/plugins.tar");
    let layout = OciLayout::create(&path).unwrap();
    assert!(!path.exists(), "nothing was pushed yet");
    let one = push(&layout, "1", "").await;
    assert!(has(&layout, "1", &one).await);
    assert!(has(&OciLayout::open(&path).unwrap(), "1", &one).await);
    drop(layout);
    let layout = OciLayout::create(&path).unwrap();
    let two = push(&layout, "2", r#","annotations":{"a":"b"}"#).await;
    drop(layout);
    let read = OciLayout::open(&path).unwrap();
    assert!(has(&read, "1", &one).await && has(&read, "2", &two).await);
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // What is opened for reading is not written.
    let to = read.reference(Some(&"3".parse().unwrap()), None);
    assert!(read.push_manifest(&to, &two).await.is_err());
}

#[tokio::test]
async fn equal_content_makes_equal_archives() {
    let folder = tempfile::tempdir().unwrap();
    let mut archives = Vec::new();
    for name in ["a.tar", "b.TAR"] {
        let path = folder.path().join(name);
        let layout = OciLayout::create(&path).unwrap();
        push(&layout, "1", "").await;
        push(&layout, "2", r#","annotations":{"a":"b"}"#).await;
        archives.push(std::fs::read(path).unwrap());
    }
    assert!(archives[0] == archives[1]);
    let mut read = tar::Archive::new(archives[0].as_slice());
    let names: Vec<String> = read
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names[..2], ["oci-layout", "index.json"]);
    assert_eq!(names.len(), 2 + 3);
}

/// Of two writers at once the later one fails, and the content of the earlier one stays.
#[tokio::test]
async fn an_archive_that_another_process_changed_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.tar");
    let (one, two) = (
        OciLayout::create(&path).unwrap(),
        OciLayout::create(&path).unwrap(),
    );
    let first = push(&one, "1", "").await;
    let to = two.reference(Some(&"2".parse().unwrap()), None);
    let error = two.push_manifest(&to, &manifest("")).await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    let read = OciLayout::open(&path).unwrap();
    assert!(has(&read, "1", &first).await);
    assert!(read.resolve(&to).await.is_err());
    // The first writer goes on.
    push(&one, "3", "").await;
}

#[test]
fn a_file_that_is_no_archive_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["plugins.tar", "plugins"] {
        let path = folder.path().join(name);
        std::fs::write(
            &path,
            "something else, and long enough to be looked at".repeat(99),
        )
        .unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(OciLayout::create(&path).is_err(), "{name}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
