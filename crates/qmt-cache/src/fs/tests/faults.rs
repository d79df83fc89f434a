//! CACHE-03, -07, -08, -09, -11, -12, -13: disks, locks and folders that misbehave.

mod locks;

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use rustix::io::Errno;

use super::*;
use crate::fs::CacheEvent;

fn errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

/// The text of an error and all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn cache_03_unsafe_roots_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cache");
    let open = |root: &Path| FsCache::open(CacheOptions::at(root));
    open(&root).unwrap();
    let link = folder.path().join("link");
    symlink(&root, &link).unwrap();
    assert_eq!(open(&link).unwrap().path(), root.join("v1"));
    if std::os::unix::fs::lchown(&link, Some(54_321), None).is_ok() {
        assert!(matches!(open(&link), Err(CacheError::UnsafeFolder { .. })));
    }
    let inner = root.join("v1/artifacts");
    std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o777)).unwrap();
    let Err(CacheError::UnsafeFolder { path, .. }) = open(&root) else {
        panic!("accepted")
    };
    assert_eq!(path, inner);
}

#[tokio::test]
async fn cache_03_privatefolders_are_made_and_checked() {
    let bed = Bed::new();
    let compiled = bed.cache.compiled_dir().unwrap().unwrap();
    for folder in [&compiled, &bed.cache.tuf_dir().unwrap()] {
        let mode = std::fs::metadata(folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    std::fs::set_permissions(&compiled, std::fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(
        bed.cache.compiled_dir(),
        Err(CacheError::UnsafeFolder { .. })
    ));
}

#[tokio::test]
async fn cache_07_planted_links_are_not_followed() {
    let bed = Bed::new();
    let key = manifest("a");
    let victim = bed.folder.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let layer = Digest::sha256(CONTENT);
    let paths = &bed.cache.store.paths;
    symlink(&victim, paths.lock(&key)).unwrap();
    assert!(matches!(
        bed.cache.begin(&key).await,
        Err(CacheError::Io { .. })
    ));
    std::fs::remove_file(paths.lock(&key)).unwrap();
    symlink(&victim, paths.partial(&layer)).unwrap();
    symlink(&victim, paths.blob(&layer)).unwrap();
    std::fs::remove_file(paths.index()).unwrap();
    symlink(&victim, paths.index()).unwrap();

    let staging = bed.fill(&key).await;
    let mut partial = staging.partial(&layer).unwrap();
    assert_eq!(partial.digester().count(), 0);
    partial.write_all(CONTENT).unwrap();
    partial.finish(CONTENT.len() as u64).unwrap();
    let artifact = staging.commit(record(&key, CONTENT)).unwrap();
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}

#[tokio::test]
async fn cache_11_a_full_disk_names_the_file_and_harms_nothing() {
    static FULL: AtomicBool = AtomicBool::new(false);
    fn write(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        if FULL.load(Ordering::Relaxed) && bytes.len() > 4096 {
            return Err(errno(Errno::NOSPC));
        }
        file.write(bytes)
    }
    let bed = Bed::with(Sys { write, ..Sys::REAL });
    let (old, new) = (manifest("old"), manifest("new"));
    bed.put(&old, CONTENT).await;
    let large = vec![1; 600_000];
    FULL.store(true, Ordering::Relaxed);
    let mut staging = bed.fill(&new).await;
    let error = staging.write_all(&large).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(chain(&error).contains("/tmp/work-"), "{}", chain(&error));
    // What comes after a failed write would leave a gap.
    FULL.store(false, Ordering::Relaxed);
    assert!(staging.write_all(&large).is_err());
    assert!(staging.commit(record(&new, &large)).is_err());
    assert!(bed.is_miss(&new).await);
    assert!(bed.names("tmp").is_empty());
    assert_eq!(bed.hit(&old).await.read_proven().unwrap(), CONTENT);
    bed.put(&new, &large).await;
}

#[tokio::test]
async fn cache_11_a_full_disk_at_each_small_write_harms_nothing() {
    static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);
    fn write(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        let left = LEFT.load(Ordering::Relaxed);
        if left == 0 {
            return Err(errno(Errno::DQUOT));
        }
        LEFT.store(left - 1, Ordering::Relaxed);
        file.write(bytes)
    }
    let bed = Bed::with(Sys { write, ..Sys::REAL });
    let key = manifest("a");
    for budget in 0..20 {
        LEFT.store(budget, Ordering::Relaxed);
        let mut staging = bed.fill(&key).await;
        let done = staging
            .write_all(CONTENT)
            .map_err(CacheError::io("write", Path::new("x")));
        let done = done.and_then(|()| staging.commit(record(&key, CONTENT)));
        LEFT.store(usize::MAX, Ordering::Relaxed);
        assert!(bed.names("tmp").is_empty());
        if done.is_ok() {
            assert_eq!(bed.hit(&key).await.read_proven().unwrap(), CONTENT);
            assert!(
                budget >= 2,
                "the file and the record are written separately"
            );
            return;
        }
    }
    panic!("it never succeeded");
}

#[tokio::test]
async fn cache_13_a_failed_fsync_is_final() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static FAIL_AT: AtomicUsize = AtomicUsize::new(usize::MAX);
    fn sync(file: &File) -> io::Result<()> {
        if CALLS.fetch_add(1, Ordering::Relaxed) == FAIL_AT.load(Ordering::Relaxed) {
            return Err(errno(Errno::IO));
        }
        file.sync_all()
    }
    let bed = Bed::with(Sys { sync, ..Sys::REAL });
    let layer = Digest::sha256(CONTENT);
    let mut failed = 0;
    for fail_at in 0..30 {
        // Odd tries fetch a raw layer, even ones write the file themselves.
        for is_raw in [false, true] {
            let key = manifest(&format!("{fail_at} {is_raw}"));
            let mut staging = bed.fill(&key).await;
            let content = if is_raw { CONTENT } else { b"extracted" };
            if is_raw {
                let mut partial = staging.partial(&layer).unwrap();
                if !partial.is_complete() {
                    partial.write_all(content).unwrap();
                }
                partial.finish(content.len() as u64).unwrap();
            } else {
                staging.write_all(content).unwrap();
            }
            CALLS.store(0, Ordering::Relaxed);
            FAIL_AT.store(fail_at, Ordering::Relaxed);
            let done = staging.commit(record(&key, content));
            FAIL_AT.store(usize::MAX, Ordering::Relaxed);
            if let Err(error) = &done {
                failed += 1;
                assert!(chain(error).contains("cannot flush"), "{}", chain(error));
                let calls = CALLS.load(Ordering::Relaxed);
                assert_eq!(calls, fail_at + 1, "nothing is flushed after a failure");
            }
            if let Some(hit) = bed.cache.lookup(&key).await.unwrap() {
                assert_eq!(hit.read_proven().unwrap(), content);
            }
            assert!(bed.names("tmp").is_empty());
        }
    }
    assert!(
        failed >= 8,
        "each flush of a commit was made to fail once: {failed}"
    );
}

#[tokio::test]
async fn a_file_system_without_hard_links_gets_a_copy() {
    let sys = Sys {
        link: |_, _| Err(errno(Errno::PERM)),
        ..Sys::REAL
    };
    let bed = Bed::with(sys);
    let layer = Digest::sha256(CONTENT);
    let staging = bed.fill(&manifest("a")).await;
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(CONTENT).unwrap();
    partial.finish(CONTENT.len() as u64).unwrap();
    let artifact = staging.commit(record(&manifest("a"), CONTENT)).unwrap();
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    assert_eq!(bed.cache.bytes(&layer, 99).await.unwrap().unwrap(), CONTENT);
    assert!(bed.names("tmp").is_empty());
}

#[tokio::test]
async fn cache_12_other_layouts_and_other_programs_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let others = [
        "v0/artifacts/x",
        "v2/blobs/y",
        "querymt/oci/manifest.json",
        "stray",
    ];
    for other in others {
        let path = folder.path().join(other);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, other).unwrap();
    }
    let cache = FsCache::open(CacheOptions::at(folder.path())).unwrap();
    let Begin::Fill(mut staging) = cache.begin(&manifest("a")).await.unwrap() else {
        panic!()
    };
    staging.write_all(CONTENT).unwrap();
    drop(staging.commit(record(&manifest("a"), CONTENT)).unwrap());
    let all = crate::maintenance::PruneOptions::default().with_max_size(0);
    assert_eq!(
        cache
            .prune(all, SystemTime::now())
            .await
            .unwrap()
            .evicted
            .len(),
        1
    );
    cache.verify_all().await.unwrap();
    for other in others {
        assert_eq!(
            std::fs::read_to_string(folder.path().join(other)).unwrap(),
            other
        );
    }
}

#[tokio::test]
async fn cache_12_the_longest_names_fit() {
    let bed = Bed::new();
    let key = manifest("a");
    let name = "n".repeat(255);
    let mut staging = bed.fill(&key).await;
    staging.write_all(CONTENT).unwrap();
    let file = Digest::sha256(CONTENT);
    let long = Record::new(
        key.clone(),
        key.clone(),
        PluginKind::Wasm,
        name,
        file,
        CONTENT.len() as u64,
    );
    assert_eq!(
        staging.commit(long).unwrap().read_proven().unwrap(),
        CONTENT
    );
    let path = "a/".repeat(100) + "b";
    let reference = format!("registry.example.com/{path}:{}", "t".repeat(128))
        .parse()
        .unwrap();
    bed.cache
        .set_ref(&reference, &key, SystemTime::now())
        .await
        .unwrap();
    assert!(bed.cache.ref_(&reference).await.unwrap().is_some());
}
