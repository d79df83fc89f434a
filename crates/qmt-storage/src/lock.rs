//! A lock between the processes of one user, which no other user can hold.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The wait is reported to the caller once it takes this long.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// The rights of other users in the mode of a file.
#[cfg(unix)]
const FOREIGN_RIGHTS: u32 = 0o077;

/// A held lock. Dropping it removes its file and releases it.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock `path`, a file that exists only while the lock is used.
    ///
    /// It is created with mode 0600, so that other users can't open it and hold it. If another
    /// process holds it, this blocks the thread for at most `limit`, and calls `waiting` once after
    /// a second.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if it was held for all of `limit`,
    /// [`io::ErrorKind::InvalidData`] if something else has its name or another user could open it,
    /// and the error of the operating system if the folder can't be written or has no locks.
    pub fn acquire(path: &Path, limit: Duration, waiting: impl FnOnce()) -> io::Result<Self> {
        let mut wait = Wait::new(limit, waiting);
        loop {
            let file = open(path)?;
            match file.try_lock() {
                // One that was removed meanwhile locks nothing that other processes see.
                Ok(()) if !is_named(path, &file) => {}
                Ok(()) => {
                    let path = path.to_owned();
                    return Ok(Self { file, path });
                }
                Err(error) => wait.after(error)?,
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // While it is locked, so that the name is not that of another process's lock.
        if is_named(&self.path, &self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

/// Locks `file`, which other users may be able to open, and waits for at most `limit`.
#[cfg(feature = "layout")]
pub(crate) fn lock_open(file: &File, limit: Duration) -> io::Result<()> {
    let mut wait = Wait::new(limit, || {});
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(error) => wait.after(error)?,
        }
    }
}

/// One wait for a lock.
struct Wait<F> {
    started: Instant,
    limit: Duration,
    pause: Duration,
    waiting: Option<F>,
}

impl<F: FnOnce()> Wait<F> {
    fn new(limit: Duration, waiting: F) -> Self {
        Self {
            started: Instant::now(),
            limit,
            pause: PAUSES.0,
            waiting: Some(waiting),
        }
    }

    /// Pauses before the next try, unless the error is another one or the limit is reached.
    fn after(&mut self, error: TryLockError) -> io::Result<()> {
        match error {
            TryLockError::WouldBlock => {}
            TryLockError::Error(error) if error.kind() == io::ErrorKind::Interrupted => {}
            TryLockError::Error(error) => return Err(error),
        }
        let waited = self.started.elapsed();
        if waited >= self.limit {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if waited >= REPORT_AFTER
            && let Some(waiting) = self.waiting.take()
        {
            waiting();
        }
        std::thread::sleep(self.pause.min(self.limit.saturating_sub(waited)));
        self.pause = self.pause.saturating_mul(2).min(PAUSES.1);
        Ok(())
    }
}

/// Opens the file of a lock, or creates it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Read and write: NFS emulates `flock` by locks that require both.
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    #[cfg(unix)]
    let is_private = {
        use std::os::unix::fs::MetadataExt as _;
        let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
        is_own && metadata.mode() & FOREIGN_RIGHTS == 0
    };
    #[cfg(not(unix))]
    let is_private = true;
    if metadata.is_file() && is_private {
        return Ok(file);
    }
    let rule = "it is not a regular file that only this user can open";
    Err(io::Error::new(io::ErrorKind::InvalidData, rule))
}

/// Reports whether `path` still names the open file.
fn is_named(path: &Path, file: &File) -> bool {
    match (std::fs::symlink_metadata(path), file.metadata()) {
        #[cfg(unix)]
        (Ok(named), Ok(open)) => {
            use std::os::unix::fs::MetadataExt as _;
            (named.dev(), named.ino()) == (open.dev(), open.ino())
        }
        // A file that is open can't be removed there.
        #[cfg(not(unix))]
        (Ok(_), Ok(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
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
}
