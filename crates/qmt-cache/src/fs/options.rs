//! Where the cache lies and how long it waits.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a process waits for another one's lock unless told otherwise.
const LOCK_TIMEOUT: Duration = Duration::from_mins(5);

/// Something that a user may want to know while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheEvent {
    /// Another process works on the same artifact; told once, after a second of waiting.
    Waiting {
        /// The lock file.
        lock: PathBuf,
    },
}

/// Who is told of [`CacheEvent`]s.
pub(crate) type Listener = Arc<dyn Fn(CacheEvent) + Send + Sync>;

/// Where the cache lies and how long it waits.
#[derive(Clone)]
#[non_exhaustive]
pub struct CacheOptions {
    /// The root folder; by default `querymt/qmt-plugins` in the platform's cache folder.
    pub root: Option<PathBuf>,
    /// What [`crate::FsCache::prune`] shrinks the cache to, in bytes, unless it is told otherwise.
    pub max_size: Option<u64>,
    /// How long to wait for another process that fills the same entry; 5 minutes by default.
    pub lock_timeout: Duration,
    /// Who is told of events.
    pub events: Option<Arc<dyn Fn(CacheEvent) + Send + Sync>>,
}

impl CacheOptions {
    /// A cache in `root` with the default limits.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: Some(root.into()),
            ..Self::default()
        }
    }

    /// Sets the root folder.
    #[must_use]
    pub fn with_root(mut self, root: Option<PathBuf>) -> Self {
        self.root = root;
        self
    }

    /// Sets the size that pruning shrinks the cache to, in bytes.
    #[must_use]
    pub fn with_max_size(mut self, bytes: Option<u64>) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets how long to wait for another process.
    #[must_use]
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Sets who is told of events.
    #[must_use]
    pub fn with_events(mut self, events: Arc<dyn Fn(CacheEvent) + Send + Sync>) -> Self {
        self.events = Some(events);
        self
    }
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            root: None,
            max_size: None,
            lock_timeout: LOCK_TIMEOUT,
            events: None,
        }
    }
}

impl fmt::Debug for CacheOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheOptions")
            .field("root", &self.root)
            .field("max_size", &self.max_size)
            .field("lock_timeout", &self.lock_timeout)
            .finish_non_exhaustive()
    }
}
