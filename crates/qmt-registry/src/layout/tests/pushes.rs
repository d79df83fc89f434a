//! Publishing into a layout.

use std::path::Path;

use super::*;

#[tokio::test]
async fn only_what_was_opened_for_writing_is_written() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    for layout in [
        OciLayout::open(bed.folder.path()).unwrap(),
        OciLayout::open(bed.to_tar().path()).unwrap(),
    ] {
        let refused = layout.push_manifest(&bed.tagged("v2"), &pushed).await;
        assert_eq!(reason_of(refused), "it was opened for reading only");
        let content = Bytes::from_static(LAYER);
        let repository = &bed.layout.repository;
        let refused = layout.push_blob(repository, &layer(), &content, None).await;
        assert_eq!(reason_of(refused), "it was opened for reading only");
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
    let repository = &bed.layout.repository;
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
        matches!(client(&error), ClientError::DigestMismatch { .. }),
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
    let repository = &bed.layout.repository;
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
    assert_eq!(
        bed.layout
            .access
            .layout()
            .unwrap()
            .index()
            .unwrap()
            .images()
            .len(),
        8
    );
}

fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}
