//! Options of a cache.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a process waits for the lock of another one by default.
const LOCK_TIMEOUT: Duration = Duration::from_mins(5);

/// An event to report to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers report every event")]
pub enum CacheEvent {
    /// Another process fills the same artifact; reported once, after a second of waiting.
    Waiting {
        /// The lock file.
        lock: PathBuf,
    },
    /// Other users may write to the root. They can delete the cache, fill the disk and make it slow,
    /// but neither read nor change what is loaded. Compiled code is not kept there.
    Shared {
        /// The root.
        root: PathBuf,
        /// Why they may.
        rule: &'static str,
    },
    /// The root can't be used, so a temporary folder is used, which is removed with the cache.
    Temporary {
        /// Why it can't be used: the error and its causes.
        reason: String,
    },
    /// The cache can be read but not written, and has no folder for compiled code.
    ReadOnly {
        /// The root.
        root: PathBuf,
    },
}

/// The location and limits of a cache.
#[derive(Clone)]
#[non_exhaustive]
#[must_use]
pub struct CacheOptions {
    /// The root folder; by default `querymt/qmt-plugins` in the platform's cache folder.
    pub root: Option<PathBuf>,
    /// The size to which [`crate::FsCache::prune`] shrinks the cache by default, in bytes.
    pub max_size: Option<u64>,
    /// How long to wait for another process that fills the same entry; 5 minutes by default.
    pub lock_timeout: Duration,
    /// Whether a temporary folder serves where the root can't be used.
    pub or_temporary: bool,
    /// The receiver of events.
    pub events: Option<Arc<dyn Fn(CacheEvent) + Send + Sync>>,
}

impl CacheOptions {
    /// Creates options for a cache in `root` with the default limits.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: Some(root.into()),
            ..Self::default()
        }
    }

    /// Sets the root folder.
    pub fn with_root(mut self, root: Option<PathBuf>) -> Self {
        self.root = root;
        self
    }

    /// Sets the size that pruning shrinks the cache to, in bytes.
    pub fn with_max_size(mut self, bytes: Option<u64>) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets how long to wait for another process.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Uses a temporary folder where the root can't be used, or is not known: for programs that work
    /// without what was cached before.
    pub fn or_temporary(mut self, is_allowed: bool) -> Self {
        self.or_temporary = is_allowed;
        self
    }

    /// Passes an event to its receiver, if there is one.
    pub(super) fn report(&self, event: CacheEvent) {
        if let Some(events) = &self.events {
            events(event);
        }
    }

    /// Sets the receiver of events.
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
            or_temporary: false,
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
