//! A lock between the processes of one user, which no other user can hold.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::files::is_named;

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
        let (mut wait, mut waiting) = (LockWait::new(limit), Some(waiting));
        loop {
            let file = open(path)?;
            match file.try_lock() {
                // One that was removed meanwhile locks nothing that other processes see.
                Ok(()) if !is_named(path, &file) => {}
                Ok(()) => {
                    let path = path.to_owned();
                    return Ok(Self { file, path });
                }
                Err(error) => wait.after(error, || {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                })?,
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
    let mut wait = LockWait::new(limit);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(error) => wait.after(error, || {})?,
        }
    }
}

/// The pauses between the tries of one wait for a lock.
#[derive(Debug)]
pub struct LockWait {
    started: Instant,
    limit: Duration,
    pause: Duration,
    is_reported: bool,
}

impl LockWait {
    /// Begins to wait for at most `limit`.
    pub fn new(limit: Duration) -> Self {
        Self {
            started: Instant::now(),
            limit,
            pause: PAUSES.0,
            is_reported: false,
        }
    }

    /// Returns the pause before the next try; `None` once the limit is reached. Calls `report` once,
    /// after a second.
    pub fn pause(&mut self, report: impl FnOnce()) -> Option<Duration> {
        let left = self.limit.checked_sub(self.started.elapsed());
        let left = left.filter(|left| !left.is_zero())?;
        if !self.is_reported && self.started.elapsed() >= REPORT_AFTER {
            self.is_reported = true;
            report();
        }
        let pause = self.pause.min(left);
        self.pause = self.pause.saturating_mul(2).min(PAUSES.1);
        Some(pause)
    }

    /// Pauses after a try that failed, unless the error is another one or the limit is reached.
    fn after(&mut self, error: TryLockError, report: impl FnOnce()) -> io::Result<()> {
        match error {
            TryLockError::WouldBlock => {}
            TryLockError::Error(error) if error.kind() == io::ErrorKind::Interrupted => {}
            TryLockError::Error(error) => return Err(error),
        }
        let pause = self.pause(report).ok_or(io::ErrorKind::TimedOut)?;
        std::thread::sleep(pause);
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

#[cfg(test)]
mod tests;
