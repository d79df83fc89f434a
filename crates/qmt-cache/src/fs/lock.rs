//! Locks between processes: advisory, held by an open file, so that a dead holder frees them.
//!
//! Lock files hold nothing (no process ids) and are never removed: removing one would split it
//! into two locks. They are polled, because a blocked lock call could not be cancelled.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::CacheError;
use crate::fs::sys::{self, Sys};

/// After this wait the user is told what is being waited for.
const MESSAGE_AFTER: Duration = Duration::from_secs(1);

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// A held lock; dropping it frees it. The file is closed on `exec`, so children don't inherit it.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Absent on file systems that have no locks.
    file: Option<File>,
}

impl Lock {
    /// Whether it keeps others out, which it can't where the file system has no locks.
    pub(crate) fn is_real(&self) -> bool {
        self.file.is_some()
    }
}

/// One process's wait for one lock.
pub(crate) struct Waiter<'a> {
    sys: Sys,
    path: &'a Path,
    timeout: Duration,
    started: Instant,
    pause: Duration,
    told: bool,
    on_wait: Box<dyn Fn(&Path) + Send + Sync + 'a>,
}

/// What one try came to.
pub(crate) enum Try {
    Held(Lock),
    Wait(Duration),
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(
        sys: Sys,
        path: &'a Path,
        timeout: Duration,
        on_wait: Box<dyn Fn(&Path) + Send + Sync + 'a>,
    ) -> Self {
        let started = Instant::now();
        Self {
            sys,
            path,
            timeout,
            started,
            pause: PAUSES.0,
            told: false,
            on_wait,
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

    /// Tries once, and says how long to wait if somebody else holds the lock.
    pub(crate) fn attempt(&mut self) -> Result<Try, CacheError> {
        if let Some(lock) = try_acquire(self.sys, self.path)? {
            return Ok(Try::Held(lock));
        }
        let waited = self.started.elapsed();
        if waited >= self.timeout {
            return Err(CacheError::LockTimeout {
                path: self.path.to_owned(),
                waited,
            });
        }
        if waited >= MESSAGE_AFTER && !self.told {
            self.told = true;
            tracing::info!(path = %self.path.display(), "waiting for another process");
            (self.on_wait)(self.path);
        }
        let pause = self.pause.min(self.timeout.saturating_sub(waited));
        self.pause = self.pause.saturating_mul(2).min(PAUSES.1);
        Ok(Try::Wait(pause))
    }
}

/// Takes the lock if it is free; `None` if somebody holds it.
pub(crate) fn try_acquire(sys: Sys, path: &Path) -> Result<Option<Lock>, CacheError> {
    loop {
        let file = open(path)?;
        match (sys.lock)(&file) {
            // A file that was replaced in between locks nothing that others see.
            Ok(()) if !sys::is_named(path, &file) => {}
            Ok(()) => return Ok(Some(Lock { file: Some(file) })),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
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
    // Read and write: NFS emulates `flock` by locks that want both.
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
    options
        .open(path)
        .map_err(CacheError::io("open the lock", path))
}
