//! The lockfile of a host: read by its tasks, and changed by one process at a time.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qmt_storage::FileLock;

use super::{LockEntry, Lockfile, LockfileError, reread};
use crate::caching::blocking;
use crate::error::Error;
use crate::events::Reporter;

/// How long another process may change the file.
const LOCK_LIMIT: Duration = Duration::from_secs(30);
/// The file that is locked, next to the lockfile. It exists only while the lockfile is changed.
const LOCK_NAME: &str = ".plugins.lock.busy";

/// A lockfile that tasks share.
#[derive(Clone, Debug)]
pub(crate) struct SharedLockfile {
    lockfile: Arc<Mutex<Lockfile>>,
    /// Held by a change, also where the file system has no locks between processes.
    changing: Arc<Mutex<()>>,
}

impl SharedLockfile {
    pub(crate) fn new(lockfile: Lockfile) -> Self {
        Self {
            lockfile: Arc::new(Mutex::new(lockfile)),
            changing: Arc::default(),
        }
    }

    /// Returns the entries.
    pub(crate) fn read(&self) -> MutexGuard<'_, Lockfile> {
        self.lockfile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file again if another process has changed it. `is_current`: whether an entry is
    /// for the reference that the config names.
    pub(crate) async fn refresh(
        &self,
        is_current: impl Fn(&LockEntry) -> bool,
    ) -> Result<(), LockfileError> {
        let (path, before) = {
            let lockfile = self.read();
            if !lockfile.is_read {
                return Ok(());
            }
            (lockfile.path.clone(), lockfile.fingerprint.clone())
        };
        let (file, known) = (path.clone(), before.clone());
        let reading = blocking(move || Ok::<_, io::Error>(reread(&file, known.as_ref())));
        let read = reading.await;
        let read = read.map_err(|source| LockfileError::Read { path, source })?;
        let mut lockfile = self.read();
        // A change by another task is newer than what was read here.
        if let Some(read) = read?
            && lockfile.fingerprint == before
        {
            lockfile.follow(read, is_current);
        }
        Ok(())
    }

    /// Reads, changes and writes the file on a thread that may block, while other processes wait.
    pub(crate) async fn change<T, F>(&self, reporter: Reporter, change: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Lockfile) -> Result<T, LockfileError> + Send + 'static,
    {
        let (shared, plugin) = (self.clone(), reporter.plugin().to_owned());
        let changed = tokio::task::spawn_blocking(move || shared.change_here(&reporter, change));
        let changed = changed.await.map_err(|error| Error::Stopped {
            plugin,
            doing: "writing the lockfile",
            source: error.into(),
        })?;
        Ok(changed?)
    }

    fn change_here<T>(
        &self,
        reporter: &Reporter,
        change: impl FnOnce(&mut Lockfile) -> Result<T, LockfileError>,
    ) -> Result<T, LockfileError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lockfile = self.read().clone();
        let path = lockfile.path.with_file_name(LOCK_NAME);
        let _lock = lock(&path, LOCK_LIMIT, || {
            let path = path.display();
            reporter.waiting(format!("another process has locked {path}"));
        })?;
        let changed = change(&mut lockfile);
        *self.read() = lockfile;
        changed
    }
}

/// Takes the lock. `None` where that is impossible for another reason than that it is held: the
/// file is replaced atomically all the same, and a folder that can't be written is reported by
/// that.
fn lock(
    path: &Path,
    limit: Duration,
    waiting: impl FnOnce(),
) -> Result<Option<FileLock>, LockfileError> {
    match FileLock::acquire(path, limit, waiting) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(LockfileError::Busy {
            path: path.to_owned(),
            waited: limit,
        }),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "the lockfile is changed without a lock");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_stays_held_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_NAME);
        let limit = Duration::from_millis(50);
        let held = lock(&path, limit, || {}).unwrap();
        assert!(held.is_some());
        let error = lock(&path, limit, || {}).unwrap_err().to_string();
        assert!(error.contains(LOCK_NAME), "{error}");
        drop(held);
        assert!(lock(&path, limit, || {}).unwrap().is_some());
        assert!(!path.exists());
        // A folder that can't be written has no lock, and no lockfile is written there either.
        let absent = folder.path().join("absent").join(LOCK_NAME);
        assert!(lock(&absent, limit, || {}).unwrap().is_none());
    }

    /// Any user can lock a folder that they can read. That must not stop this process.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_locked_folder_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = std::fs::File::open(folder.path()).unwrap();
        foreign.lock().unwrap();
        let lockfile =
            SharedLockfile::new(Lockfile::read(&folder.path().join("plugins.toml")).unwrap());
        let changed = lockfile.change(Reporter::new("all", None), |lockfile| lockfile.retain(&[]));
        let changed = tokio::time::timeout(LOCK_LIMIT, changed).await;
        changed.unwrap().unwrap();
    }

    #[tokio::test]
    async fn tasks_lose_nothing_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let lockfile =
            SharedLockfile::new(Lockfile::read(&folder.path().join("plugins.toml")).unwrap());
        let changes = ["a", "b", "c", "d"].map(|name| {
            let entry = super::super::tests::entry(name, "1");
            lockfile.change(Reporter::new(name, None), |lockfile| {
                lockfile.record(entry, None)
            })
        });
        for change in futures_util::future::join_all(changes).await {
            change.unwrap();
        }
        assert_eq!(lockfile.read().entries().count(), 4);
        assert_eq!(
            Lockfile::read(&folder.path().join("plugins.toml"))
                .unwrap()
                .entries()
                .count(),
            4
        );
    }
}
