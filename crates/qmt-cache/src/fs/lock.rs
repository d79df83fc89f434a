//! Locks between processes: advisory, held by an open file, so that a dead holder releases them.
//!
//! Lock files hold nothing (no process ids) and are never removed: removing one would split it
//! into two locks. They are polled, because a blocked lock call could not be cancelled.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use qmt_storage::LockWait;

use super::store::Store;
use super::{CacheEvent, shown};
use crate::CacheError;
use crate::fs::sys::{self, Sys};

/// A held lock; dropping it releases it. The file is closed on `exec`, so children don't inherit it.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Absent on file systems without locks.
    file: Option<File>,
}

impl Lock {
    /// Whether it excludes other processes; false on file systems without locks.
    pub(crate) fn is_real(&self) -> bool {
        self.file.is_some()
    }
}

/// One process's wait for one lock.
pub(crate) struct Waiter<'a> {
    store: &'a Store,
    path: &'a Path,
    wait: LockWait,
}

/// The result of one try.
pub(crate) enum Try {
    Held(Lock),
    Wait(Duration),
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(store: &'a Store, path: &'a Path) -> Self {
        Self {
            store,
            path,
            wait: LockWait::new(store.options.lock_timeout),
        }
    }

    /// Waits without blocking the thread.
    pub(crate) async fn acquire(mut self) -> Result<Lock, CacheError> {
        loop {
            match self.attempt()? {
                Try::Held(lock) => return Ok(lock),
                Try::Wait(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    /// Waits on this thread.
    pub(crate) fn acquire_blocking(mut self) -> Result<Lock, CacheError> {
        loop {
            match self.attempt()? {
                Try::Held(lock) => return Ok(lock),
                Try::Wait(pause) => std::thread::sleep(pause),
            }
        }
    }

    /// Tries once. If another process holds the lock, returns how long to wait.
    pub(crate) fn attempt(&mut self) -> Result<Try, CacheError> {
        if let Some(lock) = try_acquire(self.store.sys, self.path)? {
            return Ok(Try::Held(lock));
        }
        let pause = self.wait.pause(|| {
            tracing::info!(path = %self.path.display(), "waiting for another process");
            let lock = shown(self.path);
            self.store.options.report(CacheEvent::Waiting { lock });
        });
        let waited = self.store.options.lock_timeout;
        pause.map(Try::Wait).ok_or_else(|| CacheError::LockTimeout {
            path: shown(self.path),
            waited,
        })
    }
}

/// Takes the lock if it is free; `None` if another process holds it.
pub(crate) fn try_acquire(sys: Sys, path: &Path) -> Result<Option<Lock>, CacheError> {
    loop {
        let file = open(path)?;
        match (sys.lock)(&file) {
            // A file that was replaced meanwhile locks nothing that other processes see.
            Ok(()) if !sys::is_named(path, &file) => {}
            Ok(()) => return Ok(Some(Lock { file: Some(file) })),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) if sys::is_lock_unsupported(&error) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "this file system has no locks: the cache stays correct, but two processes \
                     may download the same content"
                );
                return Ok(Some(Lock { file: None }));
            }
            Err(TryLockError::Error(error)) => return Err(CacheError::io("lock", path)(error)),
        }
    }
}

fn open(path: &Path) -> Result<File, CacheError> {
    let mut options = OpenOptions::new();
    // Read and write: NFS emulates `flock` by locks that require both.
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    sys::follow_no_link(&mut options);
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            let root = path.parent().and_then(Path::parent);
            CacheError::unwritable(root.unwrap_or(path))(error)
        }
        _ => CacheError::io("open the lock", path)(error),
    })
}
