//! Layouts that are not imported.

use super::*;
use crate::fs::sys::Sys;

/// A sparse file takes no space on disk, so sizes are limited.
#[tokio::test]
async fn import_has_limits() {
    const TOO_LARGE: u64 = (4 << 30) + 1;
    let bed = Bed::new();
    let (_out, layout, _) = layout().await;
    let sparse = Digest::sha256("sparse");
    let file = std::fs::File::create(layout.join("blobs/sha256").join(sparse.hex())).unwrap();
    let image = |size: u64| {
        let layer = Descriptor::new(MediaType::from("a/layer"), sparse.clone(), size);
        let image = serde_json::json!({
            "schemaVersion": 2, "mediaType": oci::OCI_MANIFEST, "config": layer, "layers": [layer],
        });
        let image = image.to_string();
        let descriptor = blob(oci::OCI_MANIFEST, image.as_bytes());
        std::fs::write(
            layout.join("blobs/sha256").join(descriptor.digest().hex()),
            image,
        )
        .unwrap();
        relist(&layout, |images| {
            *images = vec![serde_json::to_value(&descriptor).unwrap()];
        });
    };
    file.set_len(TOO_LARGE).unwrap();
    image(TOO_LARGE);
    let refused = import(&bed, &layout).await;
    assert!(
        matches!(refused, Err(CacheError::TooLarge { .. })),
        "{refused:?}"
    );
    image(7);
    let refused = import(&bed, &layout).await;
    assert!(
        matches!(refused, Err(CacheError::SizeMismatch { .. })),
        "{refused:?}"
    );
    let listed = |count: usize| {
        let entry = |nth: usize| blob(oci::OCI_MANIFEST, nth.to_string().as_bytes());
        let entries = (0..count).map(|nth| serde_json::to_value(entry(nth)).unwrap());
        relist(&layout, |images| *images = entries.collect());
    };
    listed(4_096);
    assert_eq!(left_out(import(&bed, &layout).await), 4_096);
    listed(4_097);
    let refused = import(&bed, &layout).await;
    assert!(
        matches!(refused, Err(CacheError::Import { .. })),
        "{refused:?}"
    );
}

/// A sparse blob within the limits takes no more space in the cache than in the layout.
#[cfg(unix)]
#[tokio::test]
async fn a_sparse_blob_stays_sparse() {
    use std::io::{Seek as _, SeekFrom, Write as _};
    use std::os::unix::fs::MetadataExt as _;

    const SIZE: usize = 16 << 20;
    for (ending, at) in [("", 0), ("end", SIZE - 3)] {
        let (_out, layout, _) = layout().await;
        let mut content = vec![0; SIZE];
        content[at..at + ending.len()].copy_from_slice(ending.as_bytes());
        let layer = blob("a/layer", &content);
        let path = layout.join("blobs/sha256").join(layer.digest().hex());
        let mut file = std::fs::File::create(path).unwrap();
        file.set_len(SIZE as u64).unwrap();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(ending.as_bytes()).unwrap();
        let image = serde_json::json!({
            "schemaVersion": 2, "mediaType": oci::OCI_MANIFEST, "config": layer, "layers": [layer],
        });
        let image = image.to_string();
        let descriptor = blob(oci::OCI_MANIFEST, image.as_bytes());
        let path = layout.join("blobs/sha256").join(descriptor.digest().hex());
        std::fs::write(path, image).unwrap();
        relist(&layout, |images| {
            *images = vec![serde_json::to_value(&descriptor).unwrap()];
        });
        let bed = Bed::new();
        assert_eq!(import(&bed, &layout).await.unwrap().blobs, 2);
        let stored = bed
            .cache
            .path()
            .join("blobs/sha256")
            .join(layer.digest().hex());
        let metadata = std::fs::metadata(&stored).unwrap();
        assert_eq!(metadata.len(), SIZE as u64);
        assert!(metadata.blocks() * 512 < 1 << 20, "{metadata:?}");
        assert!(std::fs::read(&stored).unwrap() == content);
    }
}

/// CACHE-11: the error names the file of the cache, and not the layout, whose disk has room.
#[tokio::test]
async fn a_full_disk_at_an_import_is_that_of_the_cache() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static FULL: AtomicBool = AtomicBool::new(false);
    fn write(mut file: &std::fs::File, bytes: &[u8]) -> std::io::Result<usize> {
        if FULL.load(Ordering::Relaxed) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        file.write(bytes)
    }
    let (_out, layout, _) = layout().await;
    let content = vec![7; 600_000];
    let layer = blob("a/layer", &content);
    let path = |of: &Descriptor| layout.join("blobs/sha256").join(of.digest().hex());
    std::fs::write(path(&layer), &content).unwrap();
    let image = serde_json::json!({
        "schemaVersion": 2, "mediaType": oci::OCI_MANIFEST, "config": layer, "layers": [layer],
    });
    let image = image.to_string();
    let descriptor = blob(oci::OCI_MANIFEST, image.as_bytes());
    std::fs::write(path(&descriptor), image).unwrap();
    relist(&layout, |images| {
        *images = vec![serde_json::to_value(&descriptor).unwrap()];
    });
    let bed = Bed::with(Sys { write, ..Sys::REAL });
    FULL.store(true, Ordering::Relaxed);
    let refused = import(&bed, &layout).await.unwrap_err();
    FULL.store(false, Ordering::Relaxed);
    let CacheError::Io { path, source, .. } = refused else {
        panic!("{refused}");
    };
    assert!(path.starts_with(bed.cache.path()), "{}", path.display());
    assert!(source.get_ref().is_none(), "{source:?}");
    assert_eq!(import(&bed, &layout).await.unwrap().blobs, 2);
}

#[tokio::test]
async fn import_refuses_what_is_no_layout() {
    let bed = Bed::new();
    for spoil in [
        |layout: &Path| std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"9"}"#),
        |layout: &Path| std::fs::write(layout.join("oci-layout"), "x"),
        |layout: &Path| {
            std::fs::write(
                layout.join("index.json"),
                r#"[2,"application/vnd.oci.image.index.v1+json",[]]"#,
            )
        },
    ] {
        let (_out, layout, _) = layout().await;
        spoil(&layout).unwrap();
        rule_of(import(&bed, &layout).await);
    }
    assert_eq!(index_names(&bed).len(), 0);
    let file = scratch();
    let path = file.path().join("x.tar");
    std::fs::write(&path, [7; 2048]).unwrap();
    assert!(rule_of(import(&bed, &path).await).contains("tar"));
}

#[tokio::test]
async fn import_follows_no_links() {
    let bed = Bed::new();
    let (out, layout, _) = layout().await;
    let blob = layout
        .join("blobs/sha256")
        .join(Digest::sha256(CONTENT).hex());
    std::fs::rename(&blob, out.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(out.path().join("elsewhere"), &blob).unwrap();
    assert!(rule_of(import(&bed, &layout).await).contains("symbolic link"));
    std::fs::rename(layout.join("blobs/sha256"), out.path().join("sha256")).unwrap();
    std::os::unix::fs::symlink(out.path().join("sha256"), layout.join("blobs/sha256")).unwrap();
    assert!(rule_of(import(&bed, &layout).await).contains("symbolic link"));
}

#[tokio::test]
async fn import_refuses_names_that_lead_out() {
    let bed = Bed::new();
    let folder = scratch();
    let path = folder.path().join("x.tar");
    for (name, is_good) in [
        ("blobs/x", true),
        ("../x", false),
        ("/etc/x", true),
        ("/../x", false),
    ] {
        let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content).unwrap();
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        add("index.json", br#"{"schemaVersion":2,"manifests":[]}"#);
        add(name, b"x");
        tar.finish().unwrap();
        let imported = import(&bed, &path).await;
        if is_good {
            assert_eq!(imported.unwrap(), TransferReport::default());
        } else {
            assert!(rule_of(imported).contains("lead out"));
        }
    }
}
