//! The cache between processes: one download, and nothing torn when they are killed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests: the helpers fail the test, too")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use qmt_cache::maintenance::PruneOptions;
use qmt_cache::{Begin, Cache, CacheOptions, FsCache};
use qmt_oci_ref::Digest;

/// The example `fill`, which `cargo test` builds with the tests.
fn fill(root: &Path, name: &str, size: usize) -> Child {
    let deps = std::env::current_exe().unwrap();
    let program = deps
        .parent()
        .unwrap()
        .with_file_name("examples")
        .join("fill");
    Command::new(&program)
        .args([
            root,
            Path::new(name),
            Path::new(&size.to_string()),
            &log(root),
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{} ({error}): build the examples", program.display()))
}

/// Where each download leaves a byte.
fn log(root: &Path) -> PathBuf {
    root.with_extension("log")
}

fn downloads(root: &Path) -> usize {
    std::fs::read(log(root)).map_or(0, |log| log.len())
}

/// A folder in memory where there is one: what a disk makes of `fsync` is not the question here.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// F10, short form: 16 processes want one digest, one of them downloads it, all get it.
#[test]
fn f10_many_processes_download_once() {
    let folder = scratch();
    let root = folder.path().join("cache");
    for (round, name) in ["one", "two", "three"].iter().enumerate() {
        let processes: Vec<_> = (0..16).map(|_| fill(&root, name, 1 << 20)).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success());
        }
        assert_eq!(downloads(&root), round + 1);
    }
    assert!(names(&root.join("v1/tmp")).is_empty());
}

/// F1, short form: processes are killed at any time; what is visible is whole, what was begun goes
/// on, and litter goes with the next pruning. CACHE-08: a dead holder's lock is free at once.
#[tokio::test]
async fn f1_killed_processes_leave_no_torn_entry() {
    let folder = scratch();
    let root = folder.path().join("cache");
    let cache = FsCache::open(CacheOptions::at(&root)).unwrap();
    let names_used: Vec<_> = (0..6).map(|n| format!("plugin-{n}")).collect();
    let mut killed = 0;
    for round in 0..48_u64 {
        let name = &names_used[usize::try_from(round % 6).unwrap()];
        let mut process = fill(&root, name, 3 << 20);
        std::thread::sleep(Duration::from_millis(round * 7 % 45));
        let _ = process.kill();
        killed += usize::from(!process.wait().unwrap().success());
        let manifest = Digest::sha256(name);
        if let Some(hit) = cache.lookup(&manifest).await.unwrap() {
            hit.read_proven().unwrap();
            // Begin anew, so that every round has work to be killed in.
            drop(hit);
            let everything = PruneOptions::default().with_max_size(0);
            cache.prune(everything, SystemTime::now()).await.unwrap();
            std::fs::remove_dir_all(root.join("v1/blobs/sha256")).unwrap();
            std::fs::create_dir(root.join("v1/blobs/sha256")).unwrap();
        } else {
            let started = Instant::now();
            assert!(matches!(
                cache.begin(&manifest).await.unwrap(),
                Begin::Fill(_)
            ));
            assert!(
                started.elapsed() < Duration::from_secs(1),
                "the dead holder's lock is free"
            );
        }
        assert_eq!(
            cache.verify_all().await.unwrap().damaged,
            [] as [PathBuf; 0]
        );
    }
    assert!(killed > 0, "no process was killed at work");
    for name in &names_used {
        assert!(fill(&root, name, 3 << 20).wait().unwrap().success());
    }
    cache
        .prune(PruneOptions::default(), SystemTime::now())
        .await
        .unwrap();
    assert_eq!(names(&root.join("v1/tmp")), [] as [String; 0]);
    assert_eq!(names(&root.join("v1/partial")), [] as [String; 0]);
    assert_eq!(cache.list().await.unwrap().len(), 6);
}

/// Lookups open files by name: how many others there are does not matter. A scan of the folder
/// would take several milliseconds.
#[tokio::test]
async fn a_lookup_takes_the_same_time_among_10_000_others() {
    let folder = scratch();
    let root = folder.path().join("cache");
    assert!(fill(&root, "one", 1000).wait().unwrap().success());
    let cache = FsCache::open(CacheOptions::at(&root)).unwrap();
    let artifacts = root.join("v1/artifacts");
    // The quickest of many: the others tell how busy the machine is.
    let quickest = async || {
        let mut quickest = Duration::MAX;
        for _ in 0..500 {
            let started = Instant::now();
            assert!(
                cache
                    .lookup(&Digest::sha256("one"))
                    .await
                    .unwrap()
                    .is_some()
            );
            quickest = quickest.min(started.elapsed());
        }
        quickest
    };
    let few = quickest().await;
    for number in 0..10_000_u32 {
        let digest = Digest::sha256(number.to_le_bytes());
        std::fs::create_dir(artifacts.join(format!("sha256-{}", digest.hex()))).unwrap();
    }
    let many = quickest().await;
    assert!(
        many < few * 2 + Duration::from_micros(200),
        "{few:?} with few, {many:?} with many"
    );
}
