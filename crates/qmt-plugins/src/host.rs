//! [`PluginHost`]: what a host program holds. `operations.rs` has what it does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qmt_artifact::HostPlatform;
use qmt_cache::FsCache;
use qmt_oci_ref::Registry;
use tokio::sync::OnceCell;

use crate::config::{Config, ConfigFile};
use crate::events::{EventSink, Reporter};
use crate::loaders::Loaders;
use crate::lockfile::{LockEntry, LockMode, Lockfile};
use crate::stage::Trust;
use crate::target::Target;

/// How many plugins are worked on at the same time unless the config says otherwise.
const PARALLEL: usize = 4;

/// Loads the plugins of one config. It can be shared between tasks in an `Arc`.
pub struct PluginHost {
    pub(crate) file: ConfigFile,
    pub(crate) cache: FsCache,
    /// A registry of the host program, used instead of HTTP.
    pub(crate) registry: Option<Arc<dyn Registry>>,
    #[cfg(feature = "http")]
    pub(crate) http: std::sync::OnceLock<qmt_registry::HttpRegistry>,
    /// One for all plugins, because it remembers which mirrors sent wrong content.
    #[cfg(feature = "http")]
    pub(crate) mirrors: std::sync::OnceLock<qmt_registry::Mirrors>,
    /// Made at the first verification, because it can require a TUF refresh.
    pub(crate) trust: OnceCell<Trust>,
    pub(crate) loaders: Loaders,
    pub(crate) lockfile: Mutex<Lockfile>,
    pub(crate) mode: LockMode,
    pub(crate) offline: bool,
    pub(crate) platform: HostPlatform,
    pub(crate) events: Option<EventSink>,
}

impl PluginHost {
    /// Returns the config.
    pub fn config(&self) -> &Config {
        self.file.config()
    }

    /// Returns the cache.
    pub fn cache(&self) -> &FsCache {
        &self.cache
    }

    /// Returns the lockfile's entries, sorted by name.
    pub fn locked(&self) -> Vec<LockEntry> {
        self.lock().entries().cloned().collect()
    }

    pub(crate) fn parallel(&self) -> usize {
        self.config().oci.parallel.unwrap_or(PARALLEL).max(1)
    }

    pub(crate) fn reporter(&self, target: &Target) -> Reporter {
        Reporter::new(target.name(), self.events.clone())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Lockfile> {
        self.lockfile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost")
            .field("config", &self.file.path())
            .finish_non_exhaustive()
    }
}
