//! CACHE-03: caches that this user can read but not write, such as one in a container image.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Mutex;

use rustix::process::{Uid, geteuid};

use super::*;
use crate::fs::CacheEvent;

const USER: u32 = 54_321;
const OTHER: u32 = 54_322;

/// Sets the mode of everything below `path`.
fn set_modes(path: &Path, folders: u32, files: u32) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            set_modes(&entry.unwrap().path(), folders, files);
        }
    }
    let mode = if path.is_dir() { folders } else { files };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Gives everything below `path` to a user.
fn give(path: &Path, user: u32) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
    chown(path, Some(user), None).unwrap();
}

/// Runs `work` as a user without rights: another user if this one is root.
fn as_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            if geteuid().is_root() {
                // The credentials of this thread alone, which ends with `work`.
                let user = Uid::from_raw(USER);
                rustix::thread::set_thread_res_uid(user, user, user).unwrap();
            }
            work()
        });
        running.join().unwrap()
    })
}

fn open(root: &Path, events: &Arc<Mutex<Vec<CacheEvent>>>) -> Result<FsCache, CacheError> {
    let events = Arc::clone(events);
    let sink = Arc::new(move |event| events.lock().unwrap().push(event));
    FsCache::open(CacheOptions::at(root).with_events(sink))
}

#[tokio::test]
async fn cache_03_a_cache_that_can_only_be_read_is_used() {
    let bed = Bed::new();
    let key = manifest("a");
    bed.put(&key, CONTENT).await;
    let root = bed.folder.path();
    set_modes(root, 0o555, 0o444);
    let events = Arc::default();
    as_user(|| {
        let cache = open(root, &events).unwrap();
        let hit = cache.store.lookup(&key).unwrap().expect("a hit");
        assert_eq!(hit.read_proven().unwrap(), CONTENT);
        assert_eq!(cache.compiled_dir().unwrap(), None);
        let written = cache.store.write_temp(CONTENT).map(drop);
        assert!(matches!(written, Err(CacheError::Unwritable { .. })));
    });
    let events = events.lock().unwrap();
    assert!(matches!(&events[..], [CacheEvent::ReadOnly { .. }]));
    set_modes(root, 0o700, 0o600);
}

#[tokio::test]
async fn cache_03_only_root_can_make_a_cache_for_others() {
    if !geteuid().is_root() {
        return; // Only root can give files away.
    }
    let bed = Bed::new();
    let key = manifest("a");
    bed.put(&key, CONTENT).await;
    let root = bed.folder.path();
    set_modes(root, 0o755, 0o444);
    let lookup = || {
        as_user(|| {
            let cache = open(root, &Arc::default())?;
            cache.store.lookup(&key)
        })
    };
    assert!(matches!(lookup(), Ok(Some(_))));
    let file = bed.hit(&key).await.path().to_owned();
    give(&file, OTHER);
    assert!(matches!(lookup(), Ok(None)));
    give(root, OTHER);
    assert!(matches!(lookup(), Err(CacheError::Unwritable { .. })));
}

/// Commands that need nothing of the cache work without one.
#[tokio::test]
async fn cache_03_a_temporary_cache_serves_where_none_can_be_made() {
    let folder = scratch();
    set_modes(folder.path(), 0o555, 0o444);
    let root = folder.path().join("cache");
    let events = Arc::<Mutex<Vec<CacheEvent>>>::default();
    let (sink, key) = (Arc::clone(&events), manifest("a"));
    let options = CacheOptions::at(&root)
        .with_events(Arc::new(move |event| sink.lock().unwrap().push(event)));
    let used = as_user(|| {
        let refused = FsCache::open(options.clone());
        assert!(matches!(refused, Err(CacheError::Unwritable { .. })));
        let cache = FsCache::open(options.or_temporary(true)).unwrap();
        assert!(cache.store.lookup(&key).unwrap().is_none());
        cache.compiled_dir().unwrap().unwrap()
    });
    assert!(!used.exists(), "{}", used.display());
    let events = events.lock().unwrap();
    let [CacheEvent::Temporary { reason }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(reason.contains(root.to_str().unwrap()), "{reason}");
}

/// A cache that can only be read says so where something is to be added to it.
#[tokio::test]
async fn cache_03_what_cannot_be_added_names_the_cache() {
    let bed = Bed::new();
    bed.put(&manifest("a"), CONTENT).await;
    let root = bed.folder.path();
    open(root, &Arc::default())
        .unwrap()
        .check_writable()
        .unwrap();
    set_modes(root, 0o555, 0o444);
    let refused = as_user(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let cache = open(root, &Arc::default()).unwrap();
        let begun = runtime.block_on(cache.begin(&manifest("b"))).err();
        (begun, cache.check_writable().err())
    });
    for error in [refused.0, refused.1] {
        let Some(CacheError::Unwritable { path, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(path, root.join("v1"));
    }
    set_modes(root, 0o700, 0o600);
}

/// What is damaged stays where it can't be removed, and the error does not say otherwise.
#[tokio::test]
async fn cache_03_a_damaged_entry_that_cannot_be_removed_is_named() {
    let bed = Bed::new();
    let key = manifest("a");
    let file = bed.put(&key, CONTENT).await.path().to_owned();
    damage::overwrite(&file, &[0; CONTENT.len()]);
    let root = bed.folder.path();
    set_modes(root, 0o555, 0o444);
    let error = as_user(|| {
        let artifact = open(root, &Arc::default())?.store.lookup(&key)?;
        artifact.expect("a hit").read_proven()
    });
    let error = error.unwrap_err();
    let expected = matches!(&error, CacheError::Damaged { removed: false, .. });
    assert!(expected && !error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("set `cache_dir`"), "{error}");
    set_modes(root, 0o700, 0o600);
    let error = bed.hit(&key).await.read_proven().unwrap_err();
    assert!(error.to_string().contains("it was removed"), "{error}");
    assert!(bed.is_miss(&key).await);
}

/// The report does not name a file as removed that is still there.
#[tokio::test]
async fn cache_03_verify_all_reports_what_cannot_be_removed() {
    let bed = Bed::new();
    bed.put(&manifest("good"), b"good").await;
    let bad = bed.put(&manifest("bad"), CONTENT).await.path().to_owned();
    damage::overwrite(&bad, &[0; CONTENT.len()]);
    let short = bed.put(&manifest("short"), b"0123456789").await;
    let short = short.path().to_owned();
    damage::overwrite(&short, b"0");
    let blob = blob("a/b", b"[]");
    let content = Bytes::from_static(b"[]");
    bed.cache.put_bytes(&blob, content).await.unwrap();
    let blob = bed.cache.store.paths.blob(blob.digest());
    damage::overwrite(&blob, b"{]");
    let root = bed.folder.path();
    set_modes(root, 0o555, 0o444);
    let report = as_user(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        // Blocking tasks run on threads of the runtime, which have the rights of this one.
        runtime.block_on(open(root, &Arc::default()).unwrap().verify_all())
    });
    let report = report.unwrap();
    assert_eq!((report.good, report.damaged.len()), (1, 0), "{report:?}");
    let short = short.parent().unwrap().to_owned();
    assert_eq!(report.not_removed.len(), 3, "{report:?}");
    for path in [bad, short, blob] {
        assert!(report.not_removed.contains(&path), "{report:?}");
        assert!(path.exists());
    }
    set_modes(root, 0o700, 0o600);
}

/// A lock that is held for too long does not mean that the entry can't be removed.
#[tokio::test]
async fn a_damaged_entry_whose_lock_is_held_can_be_read_again_later() {
    let bed = Bed::new();
    let key = manifest("a");
    let path = bed.put(&key, CONTENT).await.path().to_owned();
    damage::overwrite(&path, &[0; CONTENT.len()]);
    let options = CacheOptions::at(bed.folder.path());
    let options = options.with_lock_timeout(Duration::from_millis(10));
    let cache = FsCache::open(options).unwrap();
    let artifact = cache.store.lookup(&key).unwrap().expect("a hit");
    let lock = cache.store.paths.lock(&key);
    let held = super::super::lock::try_acquire(Sys::REAL, &lock).unwrap();
    let error = artifact.read_proven().unwrap_err();
    let is_timeout = matches!(error, CacheError::LockTimeout { .. });
    assert!(is_timeout && error.is_retryable(), "{error:?}");
    let report = cache.verify_all().await.unwrap();
    assert_eq!((report.damaged.len(), report.not_removed), (0, vec![path]));
    drop(held);
    assert!(is_damaged(&artifact.read_proven().unwrap_err()));
    assert!(bed.is_miss(&key).await);
}

/// Another process that fills the entry lets go of the lock, and then it can be removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_is_removed_when_its_lock_is_free() {
    let bed = Bed::new();
    let key = manifest("a");
    let artifact = bed.put(&key, CONTENT).await;
    damage::overwrite(artifact.path(), &[0; CONTENT.len()]);
    let lock = bed.cache.store.paths.lock(&key);
    let held = super::super::lock::try_acquire(Sys::REAL, &lock).unwrap();
    let reading = tokio::task::spawn_blocking(move || artifact.read_proven());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!reading.is_finished());
    drop(held);
    let error = reading.await.unwrap().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(bed.is_miss(&key).await);
}
