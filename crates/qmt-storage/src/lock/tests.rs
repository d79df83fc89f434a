//! Tests of locks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn one_at_a_time_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let (inside, barrier) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(8)));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (path, inside) = (path.clone(), Arc::clone(&inside));
            let barrier = Arc::clone(&barrier);
            std::thread::spawn(move || {
                barrier.wait();
                for _ in 0..20 {
                    let _lock = FileLock::acquire(&path, LIMIT, || {}).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(!path.exists());
}

#[test]
fn a_wait_has_an_end_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = FileLock::acquire(&path, LIMIT, || {}).unwrap();
    let mut reports = 0;
    let limit = REPORT_AFTER + Duration::from_millis(300);
    let error = FileLock::acquire(&path, limit, || reports += 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(reports, 1);
    drop(held);
    FileLock::acquire(&path, limit, || panic!("it is free")).unwrap();
}

/// A file that other users can open is not waited for: they could hold it forever.
#[cfg(unix)]
#[test]
fn what_is_not_a_private_file_is_refused() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let kind = || FileLock::acquire(&path, LIMIT, || {}).unwrap_err().kind();
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(kind(), io::ErrorKind::InvalidData);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    FileLock::acquire(&path, LIMIT, || {}).unwrap();
    symlink(folder.path().join("target"), &path).unwrap();
    kind();
    assert!(!folder.path().join("target").exists());
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    kind();
}
