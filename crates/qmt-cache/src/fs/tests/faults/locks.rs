//! CACHE-08, -09: locks that are held, slow or missing.

use super::*;

/// LIM-13: a lock is waited for as long as is granted, and no longer.
#[tokio::test]
async fn cache_08_a_holder_that_does_not_let_go_is_named() {
    let events: Arc<Mutex<Vec<CacheEvent>>> = Arc::default();
    let seen = Arc::clone(&events);
    let folder = tempfile::tempdir().unwrap();
    let options = CacheOptions::at(folder.path())
        .with_lock_timeout(Duration::from_millis(1_400))
        .with_events(Arc::new(move |event| seen.lock().unwrap().push(event)));
    let cache = FsCache::open(options).unwrap();
    let key = manifest("a");
    let holder = cache.begin(&key).await.unwrap();
    let started = Instant::now();
    let Err(CacheError::LockTimeout { path, .. }) = cache.begin(&key).await else {
        panic!("two fillers at once")
    };
    assert!(started.elapsed() >= Duration::from_millis(1_400));
    assert_eq!(path, cache.store.paths.lock(&key));
    assert_eq!(
        *events.lock().unwrap(),
        [CacheEvent::Waiting { lock: path.clone() }]
    );
    drop(holder);
    assert!(matches!(cache.begin(&key).await.unwrap(), Begin::Fill(_)));
    assert!(path.exists(), "lock files are never removed");
}

/// LIM-13: a second of waiting goes without a word, more does not.
#[tokio::test]
async fn cache_08_a_short_wait_is_not_worth_a_message() {
    let events = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&events);
    let folder = tempfile::tempdir().unwrap();
    let count = Arc::new(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
    });
    let cache = FsCache::open(CacheOptions::at(folder.path()).with_events(count)).unwrap();
    let holder = cache.begin(&manifest("a")).await.unwrap();
    let waiter = tokio::spawn({
        let cache = cache.clone();
        async move { cache.begin(&manifest("a")).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(holder);
    assert!(matches!(waiter.await.unwrap().unwrap(), Begin::Fill(_)));
    assert_eq!(events.load(Ordering::Relaxed), 0);
}

/// A user who can read a file can lock it, so that no lock of others delays or hides an entry that is
/// complete.
#[tokio::test]
async fn cache_08_a_complete_entry_is_read_whatever_others_lock() {
    let bed = Bed::new();
    let key = manifest("a");
    let artifact = bed.put(&key, CONTENT).await.path().to_owned();
    let filling = bed.cache.store.paths.lock(&key);
    let locks = [&artifact, &filling].map(|path| File::open(path).unwrap());
    for lock in &locks {
        lock.try_lock().unwrap();
    }
    let started = Instant::now();
    let hit = bed.cache.lookup(&key).await.unwrap().expect("a hit");
    assert_eq!(hit.read_proven().unwrap(), CONTENT);
    assert!(matches!(
        bed.cache.begin(&key).await.unwrap(),
        Begin::Hit(_)
    ));
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Eviction locks an artifact and removes it at once. Until then, its lock is waited for.
#[tokio::test]
async fn cache_08_an_entry_that_is_being_evicted_is_a_miss() {
    let bed = Bed::new();
    let key = manifest("a");
    let artifact = bed.put(&key, CONTENT).await.path().to_owned();
    let lock = File::open(&artifact).unwrap();
    lock.try_lock().unwrap();
    let store = Arc::clone(&bed.cache.store);
    let evicted = key.clone();
    let eviction = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        store.remove_entry(&evicted).unwrap();
        drop(lock);
    });
    assert!(bed.is_miss(&key).await);
    eviction.join().unwrap();
}

#[tokio::test]
async fn cache_08_a_child_process_does_not_inherit_the_lock() {
    let bed = Bed::new();
    let key = manifest("a");
    let holder = bed.fill(&key).await;
    let mut child = std::process::Command::new("sleep")
        .arg("5")
        .spawn()
        .unwrap();
    drop(holder);
    let again = bed.cache.begin(&key).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(again.unwrap(), Begin::Fill(_)));
}

#[tokio::test]
async fn cache_08_a_waiter_that_gives_up_leaves_the_queue() {
    let bed = Bed::new();
    let key = manifest("a");
    let holder = bed.fill(&key).await;
    let wait = tokio::time::timeout(Duration::from_millis(30), bed.cache.begin(&key)).await;
    assert!(wait.is_err());
    drop(holder);
    bed.put(&key, CONTENT).await;
}

#[tokio::test]
async fn cache_09_without_locks_the_cache_is_still_correct() {
    fn none(_: &File) -> Result<(), TryLockError> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let kinds = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::BADF];
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        Err(TryLockError::Error(errno(kinds[turn % kinds.len()])))
    }
    let bed = Bed::with(Sys {
        lock: none,
        lock_shared: none,
        ..Sys::REAL
    });
    let key = manifest("a");
    let layer = Digest::sha256(CONTENT);
    let (one, two) = (bed.fill(&key).await, bed.fill(&key).await);
    for staging in [one, two] {
        let mut partial = staging.partial(&layer).unwrap();
        if !partial.is_complete() {
            partial.write_all(CONTENT).unwrap();
        }
        partial.finish(CONTENT.len() as u64).unwrap();
        let artifact = staging.commit(record(&key, CONTENT)).unwrap();
        assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    }
    let report = bed
        .cache
        .prune(
            crate::maintenance::PruneOptions::default(),
            SystemTime::now(),
        )
        .await
        .unwrap();
    assert_eq!(report, crate::maintenance::PruneReport::default());
    assert!(!bed.is_miss(&key).await);
}

#[tokio::test]
async fn cache_09_a_lock_that_fails_otherwise_is_an_error() {
    let sys = Sys {
        lock: |_| Err(TryLockError::Error(errno(Errno::IO))),
        ..Sys::REAL
    };
    let folder = tempfile::tempdir().unwrap();
    FsCache::open(CacheOptions::at(folder.path())).unwrap();
    let cache = FsCache::open_with(CacheOptions::at(folder.path()), sys).unwrap();
    let error = cache.begin(&manifest("a")).await.unwrap_err();
    assert!(
        matches!(error, CacheError::Io { action: "lock", .. }),
        "{error:?}"
    );
}
