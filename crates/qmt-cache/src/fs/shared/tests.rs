//! CACHE-03: a cache in a folder that other users may write to, and what they can do there.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType, PluginKind};
use tempfile::TempDir;

use crate::maintenance::PruneOptions;
use crate::{Cache, CacheError, CacheEvent, CacheOptions, FsCache};

const CONTENT: &[u8] = b"\0asm\x01\0\0\0 a plugin";

/// Folders of a cache, as they are in another place.
const FOLDERS: [&str; 6] = [
    "tmp",
    "partial",
    "blobs/sha256",
    "artifacts",
    "signatures",
    "refs",
];

fn shared_folder(mode: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    chmod(folder.path(), mode);
    folder
}

fn chmod(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn open(root: &std::path::Path) -> FsCache {
    FsCache::open(CacheOptions::at(root)).unwrap()
}

async fn store(cache: &FsCache, name: &str) -> std::path::PathBuf {
    let manifest = Digest::sha256(name);
    let stored = cache.store(&manifest, PluginKind::Wasm, "plugin.wasm", CONTENT);
    let artifact = stored.await.unwrap();
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    artifact.path().to_owned()
}

#[tokio::test]
async fn cache_03_a_shared_root_is_used_by_way_of_a_private_folder() {
    for (mode, sub) in [
        (0o777, ""),
        (0o2777, ""),
        (0o1777, ""),
        (0o770, ""),
        (0o777, "a/b"),
    ] {
        let folder = shared_folder(mode);
        let root = folder.path().join(sub);
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        let sink = Arc::new(move |event| sink.lock().unwrap().push(event));
        let cache = FsCache::open(CacheOptions::at(&root).with_events(sink)).unwrap();
        assert!(matches!(
            events.lock().unwrap()[..],
            [CacheEvent::Shared { .. }]
        ));
        let path = store(&cache, "a").await;
        assert!(path.starts_with(&root), "{}", path.display());
        assert!(path.starts_with(cache.path()) && path.is_file());
        let private = cache.path().parent().unwrap().to_owned();
        let private_mode = std::fs::metadata(private).unwrap().permissions().mode();
        assert_eq!(private_mode & 0o777, 0o700);
        assert_eq!(cache.compiled_dir().unwrap(), None);
        // The second start finds what the first one left.
        let again = open(&root);
        assert_eq!(again.list().await.unwrap()[0].path, path);
    }
}

/// Whatever another user makes of the names above the cache, nothing outside is read or changed.
#[tokio::test]
async fn cache_03_a_cache_that_was_replaced_by_a_link_redirects_nothing() {
    let (folder, outside) = (shared_folder(0o777), tempfile::tempdir().unwrap());
    let cache = open(folder.path());
    store(&cache, "a").await;
    let user = cache.path().parent().unwrap().to_owned();
    for name in FOLDERS {
        let path = outside.path().join("v1").join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("mine"), "x").unwrap();
    }
    let old = SystemTime::now() + Duration::from_hours(1_000);
    std::fs::rename(&user, folder.path().join("elsewhere")).unwrap();
    symlink(outside.path(), &user).unwrap();
    store(&cache, "b").await;
    let blob = Descriptor::of(MediaType::from("a/b"), b"blob");
    cache
        .put_bytes(&blob, Bytes::from_static(b"blob"))
        .await
        .unwrap();
    cache.prune(PruneOptions::default(), old).await.unwrap();
    let mut left = 0;
    for name in FOLDERS {
        let files = std::fs::read_dir(outside.path().join("v1").join(name)).unwrap();
        left += files.count();
    }
    assert_eq!(left, FOLDERS.len(), "files outside were removed or added");
    // A new process does not follow the link either, and has a folder under another name.
    let fresh = open(folder.path());
    assert!(fresh.path().starts_with(folder.path()));
    assert!(fresh.lookup(&Digest::sha256("a")).await.unwrap().is_none());
    store(&fresh, "c").await;
}

#[tokio::test]
async fn cache_03_names_that_others_took_are_not_used() {
    let folder = shared_folder(0o777);
    let own = format!("user-{}", crate::fs::sys::own_uid());
    std::fs::write(folder.path().join(&own), "a file").unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        folder.path().join(format!("{own}-1")),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    let foreign = folder.path().join(format!("{own}-2"));
    std::fs::create_dir(&foreign).unwrap();
    let is_foreign = std::os::unix::fs::chown(&foreign, Some(54_321), None).is_ok();
    let cache = open(folder.path());
    let name = if is_foreign { "-3" } else { "-2" };
    assert!(
        cache.path().ends_with(format!("{own}{name}/v1")),
        "{:?}",
        cache.path()
    );
    store(&cache, "a").await;
}

#[test]
fn cache_03_a_link_below_a_shared_folder_is_refused() {
    let (folder, outside) = (shared_folder(0o777), tempfile::tempdir().unwrap());
    symlink(outside.path(), folder.path().join("link")).unwrap();
    let error = FsCache::open(CacheOptions::at(folder.path().join("link/cache"))).unwrap_err();
    assert!(matches!(error, CacheError::UnsafeFolder { .. }), "{error}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// A file system that gives the folder to a group, as Kubernetes does at each mount.
#[tokio::test]
async fn cache_03_what_others_could_change_is_only_kept_where_it_is_proven() {
    let folder = shared_folder(0o2777);
    let cache = open(folder.path());
    store(&cache, "a").await;
    let blob = Descriptor::of(MediaType::from("a/b"), b"blob");
    cache
        .put_bytes(&blob, Bytes::from_static(b"blob"))
        .await
        .unwrap();
    cache.put_evidence(blob.digest(), b"[]").await.unwrap();
    open_to_all(cache.path().parent().unwrap());
    // What can't be removed, such as a folder of another user, does not keep the rest in place.
    let stuck = cache.path().join("artifacts/stuck");
    std::fs::create_dir(&stuck).unwrap();
    std::fs::write(stuck.join("file"), "x").unwrap();
    chmod(&stuck, 0o500);
    let again = open(folder.path());
    assert_eq!(again.path(), cache.path());
    assert!(!stuck.exists());
    for entry in std::fs::read_dir(cache.path()).unwrap() {
        let stuck = entry.unwrap().path().join("stuck");
        if stuck.is_dir() {
            chmod(&stuck, 0o700); // So that the test can remove its folder.
        }
    }
    assert!(again.lookup(&Digest::sha256("a")).await.unwrap().is_none());
    let kept = again.bytes(blob.digest(), 4).await.unwrap();
    assert_eq!(kept.unwrap(), "blob");
    assert!(again.evidence(blob.digest()).await.unwrap().is_some());
    store(&again, "b").await;
    let private = again.path().parent().unwrap().to_owned();
    let mode = std::fs::metadata(private).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

fn open_to_all(path: &std::path::Path) {
    let is_folder = path.is_dir();
    chmod(path, if is_folder { 0o2770 } else { 0o660 });
    if is_folder {
        for entry in std::fs::read_dir(path).unwrap() {
            open_to_all(&entry.unwrap().path());
        }
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_the_key() {
    let error = FsCache::open(CacheOptions::at("/proc/no/such/cache")).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, CacheError::Unwritable { .. }), "{error:?}");
    assert!(
        text.contains("/proc/no/such/cache") && text.contains("cache_dir"),
        "{text}"
    );
}

/// A home folder that is a device, as accounts of daemons have, is not called a link.
#[test]
fn cache_03_a_device_is_no_folder() {
    let refused = FsCache::open(CacheOptions::at("/dev/null/.cache"));
    let Err(CacheError::UnsafeFolder { rule, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(rule, "is not a folder");
}

/// A machine without `/proc`, such as a small container: the path of a descriptor leads nowhere.
#[test]
fn without_proc_a_shared_folder_is_refused_with_the_next_step() {
    let folder = shared_folder(0o777);
    let (root, cause) = (folder.path(), super::NotPrivate::Writable);
    super::check_leads_there(root, root, cause).unwrap();
    let refused = super::check_leads_there(&root.join("absent/fd/3"), root, cause).unwrap_err();
    let CacheError::UnsafeFolder { path, hint, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(path, root);
    assert!(
        hint.contains("mount `/proc`") && hint.contains("`cache_dir`"),
        "{hint}"
    );
}
