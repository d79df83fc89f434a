//! The open cache folder: its paths, atomic writing, records and entries.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use qmt_oci_ref::{Digest, text};
use qmt_storage::{LAYOUT_MARKER, LayoutIndex};
use serde::Serialize;
use tempfile::{TempDir, TempPath};

use super::lock::Waiter;
use super::paths::Paths;
use super::sys::{self, Sys};
use super::temp_folder::TempFolder;
use super::write::Appender;
use super::{CacheEvent, CacheOptions, folder, sealed};
use crate::record::RECORD_MAX;
use crate::{CacheError, CachedArtifact, Record};

/// Two uses within this time are recorded as one, so that a warm start writes nothing.
const USE_GRAIN: Duration = Duration::from_hours(1);

/// How often a lookup tries to share an artifact that is locked, as by eviction, and the pauses between.
const EVICTION_TRIES: usize = 10;
const EVICTION_PAUSE: Duration = Duration::from_millis(10);

/// A path below which there can be nothing.
const NOWHERE: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// The open cache folder.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) paths: Paths,
    pub(crate) sys: Sys,
    pub(crate) options: CacheOptions,
    /// Whether other users may write to the root. Then nothing in it is run unchecked.
    pub(crate) is_shared: bool,
    /// The folder that is removed with this store.
    temporary: Option<TempDir>,
}

impl Store {
    pub(crate) fn open(options: CacheOptions, sys: Sys) -> Result<Self, CacheError> {
        let root = match &options.root {
            Some(root) => std::path::absolute(root).map_err(CacheError::io("find", root))?,
            None => default_root()?,
        };
        let root = folder::follow(&root);
        let shared_by = folder::shared_by(&root)?;
        let paths = match shared_by {
            #[cfg(target_os = "linux")]
            Some(cause) => Paths::new(&super::shared::open(&root, cause)?),
            #[cfg(not(target_os = "linux"))]
            Some(cause) => return Err(cause.refuse(&root)),
            None => {
                folder::make(&root)?;
                Paths::new(&root)
            }
        };
        for path in paths.folders() {
            folder::make(&path)?;
        }
        let store = Self {
            paths,
            sys,
            options,
            is_shared: shared_by.is_some(),
            temporary: None,
        };
        store.mark_layout()?;
        if let Some(cause) = shared_by {
            let rule = cause.rule();
            tracing::warn!(path = %root.display(), rule, "compiled code is not kept in this cache");
            store.options.report(CacheEvent::Shared { root, rule });
        }
        Ok(store)
    }

    /// Opens an empty cache in a temporary folder, because of `reason`. If there is no temporary folder
    /// either, the cache stays empty: nothing can be added to it.
    pub(crate) fn temporary(
        options: CacheOptions,
        sys: Sys,
        reason: &CacheError,
    ) -> Result<Self, CacheError> {
        let store = if let Ok(folder) = tempfile::tempdir() {
            let options = options.with_root(Some(folder.path().to_owned()));
            let mut store = Self::open(options, sys)?;
            store.temporary = Some(folder);
            store
        } else {
            Self {
                paths: Paths::new(Path::new(NOWHERE)),
                sys,
                options,
                is_shared: true,
                temporary: None,
            }
        };
        let reason = text::messages(reason).join(": ");
        tracing::warn!(reason, "a temporary cache is used");
        store.options.report(CacheEvent::Temporary { reason });
        Ok(store)
    }

    /// Reads the record of `manifest`; `None` if it is absent or not well formed.
    pub(crate) fn read_record(&self, manifest: &Digest) -> Result<Option<Record>, CacheError> {
        let path = self.paths.record(manifest);
        let Some(bytes) = sys::read_small(&path, RECORD_MAX)? else {
            return Ok(None);
        };
        let record = sealed::open("record", &manifest.to_string(), &bytes)
            .and_then(|body| serde_json::from_slice::<Record>(body).ok())
            .filter(|record| record.manifest() == manifest && record.broken_rule().is_none());
        if record.is_none() {
            tracing::warn!(path = %path.display(), "ignoring a record that is damaged or of another entry");
        }
        Ok(record)
    }

    /// Opens the artifact of `manifest` if its entry is well formed.
    pub(crate) fn lookup(
        self: &Arc<Self>,
        manifest: &Digest,
    ) -> Result<Option<CachedArtifact>, CacheError> {
        let Some(record) = self.read_record(manifest)? else {
            return Ok(None);
        };
        let path = self.paths.entry(manifest).join(record.file_name());
        let Some(file) = sys::open_file(&path, 2)? else {
            return Ok(None);
        };
        if sys::name_count(&file) > 1 && !self.is_own_blob(&record, &file) {
            tracing::warn!(path = %path.display(), "cached file has a name outside the cache");
            return Ok(None);
        }
        if sys::length(&file, &path)? != record.size() {
            tracing::warn!(path = %path.display(), "cached file differs in size from its record");
            return Ok(None);
        }
        self.share(&path, &file);
        // It may have been evicted between the opening and the lock.
        if !sys::is_named(&path, &file) {
            return Ok(None);
        }
        let store = Arc::clone(self);
        Ok(Some(CachedArtifact::new(record, &path, file, store)))
    }

    /// Shares the lock on an artifact, so that eviction leaves it in place. Eviction holds the
    /// exclusive lock for a moment and removes the name; an exclusive lock that lasts longer is that of
    /// another user, who may read the file, and does not hide the artifact.
    fn share(&self, path: &Path, file: &File) {
        for _ in 0..EVICTION_TRIES {
            match (self.sys.lock_shared)(file) {
                Err(TryLockError::WouldBlock) if sys::is_named(path, file) => {
                    std::thread::sleep(EVICTION_PAUSE);
                }
                _ => return,
            }
        }
        tracing::warn!(path = %path.display(), "another program has locked a cached file");
    }

    /// Reports whether the second name of an artifact's file is the blob of the same digest.
    fn is_own_blob(&self, record: &Record, file: &File) -> bool {
        sys::open_own(&self.paths.blob(record.file_digest()), 2)
            .is_ok_and(|blob| sys::is_same_file(&blob, file))
    }

    /// Replaces a small file atomically: a reader sees the old content or the new one.
    pub(crate) fn write_small(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let (_open, temp) = self.write_temp(bytes)?;
        sys::place(temp, path)?;
        folder::sync(self.sys, path.parent().unwrap_or(path))
    }

    /// Writes a temporary file and makes its content durable. Eviction leaves it alone while it is
    /// open.
    pub(crate) fn write_temp(&self, bytes: &[u8]) -> Result<(Appender, TempPath), CacheError> {
        let (mut out, temp) = self.temp_file()?;
        let written = out.write_all(bytes);
        written.map_err(CacheError::written(&temp))?;
        out.seal()?;
        Ok((out, temp))
    }

    /// A new file for work in progress, locked as long as it is open: eviction removes unlocked
    /// files there.
    pub(crate) fn temp_file(&self) -> Result<(Appender, TempPath), CacheError> {
        let folder = self.paths.tmp();
        loop {
            let (file, temp) = tempfile::Builder::new()
                .prefix("work-")
                .tempfile_in(&folder)
                .map_err(CacheError::unwritable(&folder))?
                .into_parts();
            let _ = (self.sys.lock)(&file);
            if sys::is_named(&temp, &file) {
                return Ok((Appender::new(self.sys, file, &temp, 0), temp));
            }
        }
    }

    /// Removes the entry if it still holds the damaged file. Returns whether the entry no longer
    /// holds it.
    ///
    /// # Errors
    /// [`CacheError::LockTimeout`] if another process holds the lock of the entry for too long.
    pub(crate) fn drop_damaged(&self, record: &Record, file: &File) -> Result<bool, CacheError> {
        let manifest = record.manifest();
        tracing::warn!(%manifest, "dropping a damaged entry of the cache");
        let blob = self.paths.blob(record.file_digest());
        if sys::is_named(&blob, file) {
            let _ = std::fs::remove_file(&blob);
        }
        let path = self.paths.entry(manifest).join(record.file_name());
        let lock = self.paths.lock(manifest);
        if !sys::is_named(&path, file) {
            return Ok(true);
        }
        let removed = Waiter::new(self, &lock)
            .acquire_blocking()
            .and_then(|_lock| {
                // Another process that held the lock may have replaced the entry.
                if sys::is_named(&path, file) {
                    self.remove_entry(manifest)?;
                }
                Ok(())
            });
        match removed {
            Ok(()) => Ok(true),
            Err(error @ CacheError::LockTimeout { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "a damaged entry could not be removed");
                Ok(false)
            }
        }
    }

    /// Removes an entry: first its name, at once, then its content. The caller holds its lock.
    pub(crate) fn remove_entry(&self, manifest: &Digest) -> Result<(), CacheError> {
        let entry = self.paths.entry(manifest);
        let removed = TempFolder::new(self, "gone-")?;
        match std::fs::rename(&entry, removed.path().join("entry")) {
            Err(error) if sys::is_absent(&error) => Ok(()),
            moved => moved.map_err(CacheError::io("remove", &entry)),
        }
    }

    /// Records that the artifact was used, for eviction. A hint only, so failures are ignored.
    pub(crate) fn note_use(&self, record: &Record) {
        if let Ok(Some(file)) = sys::open_file(&self.paths.record(record.manifest()), 1) {
            sys::touch(&file, USE_GRAIN);
        }
    }

    /// Makes the folder an OCI image layout.
    fn mark_layout(&self) -> Result<(), CacheError> {
        let marker = self.paths.root().join("oci-layout");
        if !marker.exists() {
            self.write_small(&marker, LAYOUT_MARKER)?;
        }
        let index = self.paths.index();
        if !index.exists() {
            let path = self.paths.index_lock();
            let _lock = Waiter::new(self, &path).acquire_blocking()?;
            if !index.exists() {
                self.write_small(&index, &LayoutIndex::default().to_json())?;
            }
        }
        Ok(())
    }
}

fn default_root() -> Result<PathBuf, CacheError> {
    let base = directories::BaseDirs::new().ok_or(CacheError::NoFolder)?;
    Ok(base.cache_dir().join("querymt").join("qmt-plugins"))
}

/// Types of this crate always serialise: their maps have string keys.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
