//! CACHE-01, CACHE-02, CACHE-10: what is handed out while others change the files.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::maintenance::PruneOptions;

/// Loads while an attacker of the same user swaps the file; the short form of F14.
#[tokio::test]
async fn cache_01_swapped_files_are_never_loaded() {
    let bed = Bed::new();
    let key = manifest("a");
    let path = bed.put(&key, CONTENT).await.path().to_owned();
    let evil: Vec<u8> = CONTENT.iter().rev().copied().collect();
    let stop = Arc::new(AtomicBool::new(false));
    let attacker = std::thread::spawn({
        let (stop, path) = (Arc::clone(&stop), path.clone());
        let aside = bed.cache.path().join("aside");
        move || {
            let mut round = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                // Each step may fail, because the cache drops and refills the entry meanwhile.
                let content = if round.is_multiple_of(2) {
                    CONTENT
                } else {
                    &evil
                };
                let _ = std::fs::remove_file(&aside);
                let _ = std::fs::write(&aside, content);
                let _ = std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600));
                match round % 5 {
                    0 => drop(std::fs::rename(&aside, &path)),
                    1 => {
                        if let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) {
                            let _ = file.write_all_at(content, 0);
                        }
                    }
                    2 => {
                        if let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) {
                            let _ = file.set_len(7);
                        }
                    }
                    3 => {
                        let _ = std::fs::remove_file(&path);
                        let _ = symlink(&aside, &path);
                    }
                    _ => {
                        let _ = std::fs::remove_file(&path);
                        let _ = std::fs::hard_link(&aside, &path);
                    }
                }
            }
        }
    });
    let (mut good, mut caught) = (0, 0);
    for _ in 0..400 {
        match bed.cache.begin(&key).await.unwrap() {
            Begin::Hit(hit) => match hit.read_proven() {
                Ok(proven) => {
                    assert_eq!(proven, CONTENT);
                    good += 1;
                }
                Err(error) => {
                    assert!(is_damaged(&error), "{error}");
                    caught += 1;
                }
            },
            Begin::Fill(mut staging) => {
                staging.write_all(CONTENT).unwrap();
                // The attacker may have swapped the file before it was opened again.
                if let Err(error) = staging.commit(record(&key, CONTENT)) {
                    assert!(matches!(
                        error,
                        CacheError::Damaged { .. } | CacheError::Io { .. }
                    ));
                }
                caught += 1;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    attacker.join().unwrap();
    assert!(
        good > 0 && caught > 0,
        "both happened: {good} good, {caught} caught"
    );
}

#[tokio::test]
async fn cache_02_bytes_handed_out_do_not_change_with_the_file() {
    let bed = Bed::new();
    let artifact = bed.put(&manifest("a"), CONTENT).await;
    let proven = artifact.read_proven().unwrap();
    damage::overwrite(artifact.path(), &[0xff; CONTENT.len()]);
    assert_eq!(proven, CONTENT);
}

/// The moment between opening the file and sharing its lock, in which eviction takes the entry.
#[tokio::test]
async fn cache_10_an_entry_that_goes_while_it_is_looked_up_is_a_miss() {
    static GOING: Mutex<Option<PathBuf>> = Mutex::new(None);
    fn evicted_before(file: &File) -> Result<(), TryLockError> {
        if let Some(entry) = GOING.lock().unwrap().take() {
            std::fs::remove_dir_all(entry).unwrap();
        }
        file.try_lock_shared()
    }
    let bed = Bed::with(Sys {
        lock_shared: evicted_before,
        ..Sys::REAL
    });
    let key = manifest("a");
    let path = bed.put(&key, CONTENT).await.path().to_owned();
    *GOING.lock().unwrap() = path.parent().map(Into::into);
    assert!(bed.is_miss(&key).await);
    let again = bed.put(&key, CONTENT).await;
    assert!(again.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn cache_10_eviction_next_to_pullers_and_loaders_fails_no_one() {
    let bed = Bed::new();
    let cache = shared(&bed);
    let stop = Arc::new(AtomicBool::new(false));
    let evictor = tokio::spawn({
        let (cache, stop) = (Arc::clone(&cache), Arc::clone(&stop));
        async move {
            let mut evicted = 0;
            while !stop.load(Ordering::Relaxed) {
                let all = PruneOptions::default().with_max_size(0);
                evicted += cache
                    .prune(all, SystemTime::now())
                    .await
                    .unwrap()
                    .evicted
                    .len();
                tokio::task::yield_now().await;
            }
            evicted
        }
    });
    let users: Vec<_> = (0..4)
        .map(|user| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                for turn in 0..40 {
                    let key = manifest(&((user + turn) % 3).to_string());
                    let artifact = match cache.begin(&key).await.unwrap() {
                        Begin::Hit(hit) => hit,
                        Begin::Fill(mut staging) => {
                            staging.write_all(CONTENT).unwrap();
                            staging.commit(record(&key, CONTENT)).unwrap()
                        }
                    };
                    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
                    assert!(artifact.path().exists(), "a user's file stays in place");
                }
            })
        })
        .collect();
    for user in users {
        user.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(evictor.await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_that_want_one_digest_fill_it_once() {
    let bed = Bed::new();
    let cache = shared(&bed);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                let key = manifest("a");
                match cache.begin(&key).await.unwrap() {
                    Begin::Hit(hit) => {
                        assert_eq!(hit.read_proven().unwrap(), CONTENT);
                        0
                    }
                    Begin::Fill(mut staging) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        staging.write_all(CONTENT).unwrap();
                        staging.commit(record(&key, CONTENT)).unwrap();
                        1
                    }
                }
            })
        })
        .collect();
    let mut fills = 0;
    for task in tasks {
        fills += task.await.unwrap();
    }
    assert_eq!(fills, 1);
}
