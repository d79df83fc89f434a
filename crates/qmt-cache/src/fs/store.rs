//! What all parts of the cache share: paths, checked reading, atomic writing, entries.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qmt_oci_ref::Digest;
use tempfile::TempPath;

use super::lock::{self, Waiter};
use super::options::Listener;
use super::paths::Paths;
use super::sys::{self, Sys};
use super::write::Appender;
use super::{CacheEvent, CacheOptions, folder, sealed};
use crate::record::RECORD_MAX;
use crate::{CacheError, CachedArtifact, Record};

/// Uses closer together than this are noted once, so that a warm start writes nothing.
const USE_GRAIN: Duration = Duration::from_hours(1);

/// The body of the file that makes a folder an OCI image layout.
pub(crate) const LAYOUT_MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The open cache folder.
pub(crate) struct Store {
    paths: Paths,
    sys: Sys,
    lock_timeout: Duration,
    max_size: Option<u64>,
    events: Option<Listener>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.paths.root())
            .finish_non_exhaustive()
    }
}

impl Store {
    pub(crate) fn open(options: CacheOptions, sys: Sys) -> Result<Self, CacheError> {
        let root = match options.root {
            Some(root) => std::path::absolute(&root).map_err(CacheError::io("find", &root))?,
            None => default_root()?,
        };
        folder::make(&root)?;
        folder::check(&root)?;
        folder::check_parents(&root)?;
        let paths = Paths::new(&root);
        for path in paths.folders() {
            folder::make(&path)?;
            folder::check(&path)?;
        }
        let CacheOptions {
            lock_timeout,
            max_size,
            events,
            ..
        } = options;
        let store = Self {
            paths,
            sys,
            lock_timeout,
            max_size,
            events,
        };
        store.mark_layout()?;
        Ok(store)
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    pub(crate) fn sys(&self) -> Sys {
        self.sys
    }

    pub(crate) fn max_size(&self) -> Option<u64> {
        self.max_size
    }

    /// Opens the artifact of `manifest` if its entry is in good form.
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
            tracing::warn!(path = %path.display(), "cached file has a name that is not ours");
            return Ok(None);
        }
        let length = file
            .metadata()
            .map_err(CacheError::io("examine", &path))?
            .len();
        if length != record.size() {
            tracing::warn!(path = %path.display(), "cached file differs in size from its record");
            return Ok(None);
        }
        // Eviction takes the file exclusively first: who cannot share it has come too late.
        if let Err(std::fs::TryLockError::WouldBlock) = (self.sys.lock_shared)(&file) {
            return Ok(None);
        }
        // It may also have been here and gone between the opening and the lock.
        if !sys::is_named(&path, &file) {
            return Ok(None);
        }
        Ok(Some(CachedArtifact::new(
            record,
            path,
            file,
            Arc::clone(self),
        )))
    }

    /// Reads the record of `manifest`; `None` if there is none in good form.
    pub(crate) fn read_record(&self, manifest: &Digest) -> Result<Option<Record>, CacheError> {
        let path = self.paths.record(manifest);
        let Some(bytes) = sys::read_small(&path, RECORD_MAX)? else {
            return Ok(None);
        };
        let record = sealed::open("record", &manifest.to_string(), &bytes)
            .and_then(|body| serde_json::from_slice::<Record>(body).ok())
            .filter(|record| record.manifest() == manifest && record.broken_rule().is_none());
        if record.is_none() {
            tracing::warn!(path = %path.display(), "ignoring a record that is damaged or not ours");
        }
        Ok(record)
    }

    /// Writes a small file as a whole: who reads the name sees the old content or the new one.
    pub(crate) fn write_small(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        self.write_temp(bytes)?.place(path)?;
        folder::sync(self.sys, path.parent().unwrap_or(path))
    }

    /// Writes a temporary file and makes its content durable.
    pub(crate) fn write_temp(&self, bytes: &[u8]) -> Result<Written, CacheError> {
        let (mut out, temp) = self.temp_file()?;
        out.write_all(bytes)
            .map_err(CacheError::io("write", &temp))?;
        out.seal()?;
        Ok(Written { out, temp })
    }

    /// A new file for work in progress, locked for as long as it is open: what eviction finds
    /// unlocked there is litter.
    pub(crate) fn temp_file(&self) -> Result<(Appender, TempPath), CacheError> {
        let folder = self.paths.tmp();
        loop {
            let (file, temp) = tempfile::Builder::new()
                .prefix("work-")
                .tempfile_in(&folder)
                .map_err(CacheError::io("create a file in", &folder))?
                .into_parts();
            let _ = (self.sys.lock)(&file);
            if sys::is_named(&temp, &file) {
                return Ok((Appender::new(self.sys, file, &temp, 0), temp));
            }
        }
    }

    /// Takes the entry out of the way if it still holds the file that was found damaged.
    pub(crate) fn drop_damaged(&self, record: &Record, file: &File) {
        let manifest = record.manifest();
        tracing::warn!(%manifest, "dropping a damaged entry of the cache");
        let blob = self.paths.blob(record.file_digest());
        if sys::is_named(&blob, file) {
            let _ = std::fs::remove_file(&blob);
        }
        // Without the lock somebody else is at work on the entry: what is there may be good.
        let Ok(Some(_lock)) = lock::try_acquire(self.sys, &self.paths.lock(manifest)) else {
            return;
        };
        if sys::is_named(&self.paths.entry(manifest).join(record.file_name()), file)
            && let Err(error) = self.remove_entry(manifest)
        {
            tracing::warn!(%error, "a damaged entry could not be removed");
        }
    }

    /// Removes an entry: first its name, at once, then its content. The caller holds its lock.
    pub(crate) fn remove_entry(&self, manifest: &Digest) -> Result<(), CacheError> {
        let entry = self.paths.entry(manifest);
        let grave = tempfile::Builder::new()
            .prefix("gone-")
            .tempdir_in(self.paths.tmp())
            .map_err(CacheError::io("create a folder in", &self.paths.tmp()))?;
        match std::fs::rename(&entry, grave.path().join("entry")) {
            Err(error) if sys::is_absent(&error) => Ok(()),
            moved => moved.map_err(CacheError::io("remove", &entry)),
        }
    }

    /// Notes that the artifact was used, for eviction. Only a hint, so failures don't matter.
    pub(crate) fn note_use(&self, record: &Record) {
        let now = SystemTime::now();
        let Ok(Some(file)) = sys::open_file(&self.paths.record(record.manifest()), 1) else {
            return;
        };
        let noted = file.metadata().and_then(|metadata| metadata.modified());
        let is_recent = noted.is_ok_and(|noted| {
            now.duration_since(noted)
                .is_ok_and(|since| since < USE_GRAIN)
        });
        if !is_recent {
            let _ = file.set_modified(now);
        }
    }

    /// A wait for the lock at `path`.
    pub(crate) fn waiter<'a>(&'a self, path: &'a Path) -> Waiter<'a> {
        let tell = Box::new(|path: &Path| self.tell_waiting(path));
        Waiter::new(self.sys, path, self.lock_timeout, tell)
    }

    fn tell_waiting(&self, path: &Path) {
        if let Some(events) = &self.events {
            events(CacheEvent::Waiting {
                lock: path.to_owned(),
            });
        }
    }

    /// Whether the second name of an artifact's file is the blob of the same digest.
    fn is_own_blob(&self, record: &Record, file: &File) -> bool {
        sys::open_own(&self.paths.blob(record.file_digest()), 2)
            .is_ok_and(|blob| sys::is_same_file(&blob, file))
    }

    fn mark_layout(&self) -> Result<(), CacheError> {
        let marker = self.paths.layout_marker();
        if !marker.exists() {
            self.write_small(&marker, LAYOUT_MARKER)?;
        }
        if !self.paths.index().exists() {
            super::index::create(self)?;
        }
        Ok(())
    }
}

/// A temporary file that is durable and still open, so that nobody takes it for litter.
pub(crate) struct Written {
    out: Appender,
    temp: TempPath,
}

impl Written {
    /// Gives the file its name.
    pub(crate) fn place(self, path: &Path) -> Result<(), CacheError> {
        let Self { out, temp } = self;
        sys::place(temp, path)?;
        drop(out);
        Ok(())
    }
}

fn default_root() -> Result<PathBuf, CacheError> {
    let base = directories::BaseDirs::new().ok_or(CacheError::NoFolder)?;
    Ok(base.cache_dir().join("querymt").join("qmt-plugins"))
}
