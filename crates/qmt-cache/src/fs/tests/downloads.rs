//! Raw layers: downloaded once, continued, and stored under both names.

use super::*;

#[tokio::test]
async fn a_raw_layer_is_written_once_under_both_names() {
    let bed = Bed::new();
    let key = manifest("a");
    let layer = Digest::sha256(CONTENT);
    let staging = bed.fill(&key).await;
    let mut partial = staging.partial(&layer).unwrap();
    assert_eq!(partial.digester().count(), 0);
    partial.write_all(CONTENT).unwrap();
    partial.finish(CONTENT.len() as u64).unwrap();
    let artifact = staging.commit(record(&key, CONTENT)).unwrap();
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    assert_eq!(artifact.record().layers(), std::slice::from_ref(&layer));
    let limit = CONTENT.len() as u64;
    assert_eq!(
        bed.cache.bytes(&layer, limit).await.unwrap().unwrap(),
        CONTENT
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(artifact.path()).unwrap().nlink(), 2);
    }
    assert!(bed.names("partial").is_empty());
    assert!(bed.names("tmp").is_empty());
}

#[tokio::test]
async fn a_layer_of_two_manifests_is_downloaded_once() {
    let bed = Bed::new();
    let layer = Digest::sha256(CONTENT);
    for name in ["a", "b", "c"] {
        let key = manifest(name);
        let staging = bed.fill(&key).await;
        let mut partial = staging.partial(&layer).unwrap();
        assert_eq!(partial.is_complete(), name != "a");
        if partial.is_complete() {
            assert_eq!(partial.digester().finish(), layer);
            assert_eq!(read_all(partial.existing().unwrap()), CONTENT);
            assert!(partial.write_all(b"more").is_err());
        } else {
            partial.write_all(CONTENT).unwrap();
        }
        partial.finish(CONTENT.len() as u64).unwrap();
        let artifact = staging.commit(record(&key, CONTENT)).unwrap();
        assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    }
    assert_eq!(bed.cache.list().await.unwrap().len(), 3);
    let report = bed.cache.verify_all().await.unwrap();
    assert_eq!((report.good, report.damaged.len()), (4, 0));
}

/// Builders write a layer that changes nothing without any bytes.
#[tokio::test]
async fn a_layer_without_bytes_is_stored_next_to_another() {
    let bed = Bed::new();
    let (key, empty, layer) = (manifest("a"), Digest::sha256(b""), Digest::sha256(CONTENT));
    let staging = bed.fill(&key).await;
    let partial = staging.partial(&empty).unwrap();
    assert!(partial.is_complete());
    partial.finish(0).unwrap();
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(CONTENT).unwrap();
    partial.finish(CONTENT.len() as u64).unwrap();
    let artifact = staging.commit(record(&key, CONTENT)).unwrap();
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    assert_eq!(bed.cache.bytes(&empty, 0).await.unwrap().unwrap(), b""[..]);
}

/// A layer whose plugin is a hard link is read twice.
#[tokio::test]
async fn a_layer_that_is_opened_again_is_complete_and_counts_once() {
    let bed = Bed::new();
    let key = manifest("a");
    let layer = Digest::sha256(CONTENT);
    let size = CONTENT.len() as u64;
    let staging = bed.fill(&key).await;
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(CONTENT).unwrap();
    partial.finish(size).unwrap();
    for _ in 0..2 {
        let mut again = staging.partial(&layer).unwrap();
        assert!(again.is_complete());
        assert_eq!(read_all(again.existing().unwrap()), CONTENT);
        assert!(again.write_all(b"more").is_err());
        again.finish(size).unwrap();
    }
    let artifact = staging.commit(record(&key, CONTENT)).unwrap();
    assert_eq!(artifact.record().layers(), std::slice::from_ref(&layer));
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    assert!(bed.names("partial").is_empty() && bed.names("tmp").is_empty());
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let bed = Bed::new();
    let key = manifest("a");
    let content = vec![42; 3_000_000];
    let layer = Digest::sha256(&content);
    let staging = bed.fill(&key).await;
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(&content[..1_234_567]).unwrap();
    drop((partial, staging));
    assert!(bed.is_miss(&key).await);

    let staging = bed.fill(&key).await;
    let mut partial = staging.partial(&layer).unwrap();
    assert_eq!(partial.digester().count(), 1_234_567);
    assert_eq!(read_all(partial.existing().unwrap()), &content[..1_234_567]);
    partial.write_all(&content[1_234_567..]).unwrap();
    partial.finish(content.len() as u64).unwrap();
    let artifact = staging.commit(record(&key, &content)).unwrap();
    assert_eq!(artifact.read_proven().unwrap(), content);
}

#[tokio::test]
async fn a_download_of_the_wrong_size_is_removed() {
    let bed = Bed::new();
    let staging = bed.fill(&manifest("a")).await;
    let layer = Digest::sha256(CONTENT);
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(CONTENT).unwrap();
    let size = CONTENT.len() as u64 + 1;
    assert!(matches!(
        partial.finish(size),
        Err(CacheError::SizeMismatch { .. })
    ));
    assert_eq!(staging.partial(&layer).unwrap().digester().count(), 0);
}

#[tokio::test]
async fn a_download_can_start_over_or_be_given_up() {
    let bed = Bed::new();
    let staging = bed.fill(&manifest("a")).await;
    let layer = Digest::sha256(CONTENT);
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(b"wrong").unwrap();
    partial.restart().unwrap();
    assert_eq!(partial.digester().count(), 0);
    partial.write_all(CONTENT).unwrap();
    partial.discard();
    assert!(bed.names("partial").is_empty());
}

#[tokio::test]
async fn two_artifacts_that_download_one_layer_do_not_disturb_each_other() {
    let bed = Bed::new();
    let layer = Digest::sha256(CONTENT);
    let (one, two) = (
        bed.fill(&manifest("a")).await,
        bed.fill(&manifest("b")).await,
    );
    let mut first = one.partial(&layer).unwrap();
    let mut second = two.partial(&layer).unwrap();
    for byte in CONTENT {
        first.write_all(&[*byte]).unwrap();
        second.write_all(&[*byte]).unwrap();
    }
    first.finish(CONTENT.len() as u64).unwrap();
    second.finish(CONTENT.len() as u64).unwrap();
    let two = two.commit(record(&manifest("b"), CONTENT)).unwrap();
    let one = one.commit(record(&manifest("a"), CONTENT)).unwrap();
    assert_eq!(one.read_proven().unwrap(), CONTENT);
    assert_eq!(two.read_proven().unwrap(), CONTENT);
    assert!(!bed.is_miss(&manifest("b")).await);
}

#[tokio::test]
async fn a_commit_in_place_of_another_leaves_one_file() {
    let bed = Bed::new();
    let key = manifest("a");
    let old = bed.put(&key, CONTENT).await;
    bed.cache.discard(&key).await.unwrap();
    assert_eq!(
        old.read_proven().unwrap(),
        CONTENT,
        "an open artifact stays readable"
    );
    let mut staging = bed.fill(&key).await;
    staging.write_all(b"library").unwrap();
    let file = Digest::sha256("library");
    let new = Record::new(
        key.clone(),
        key.clone(),
        PluginKind::Native,
        "lib.so",
        file,
        7,
    );
    staging.commit(new).unwrap();
    let mut names = bed.names(&format!("artifacts/{}", crate::fs::paths::file_name(&key)));
    names.sort();
    assert_eq!(names, ["lib.so", "record.json"]);
}

/// A file in progress that another pull renames between two looks at it is no error.
#[tokio::test]
async fn a_download_that_gets_its_name_meanwhile_is_no_error() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let bed = Bed::new();
    let staging = bed.fill(&manifest("a")).await;
    let layer = Digest::sha256(CONTENT);
    let path = bed.cache.store.paths.partial(&layer);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = std::fs::File::create_new(&path);
                let _ = std::fs::remove_file(&path);
            }
        });
        let opened: Result<Vec<_>, _> = (0..20_000)
            .map(|_| staging.partial(&layer).map(drop))
            .collect();
        stop.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}
