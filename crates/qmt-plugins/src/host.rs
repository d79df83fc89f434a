//! [`PluginHost`]: what a host program holds. `operations.rs` has what it does.

use std::sync::{Arc, MutexGuard};

use qmt_artifact::HostPlatform;
use qmt_cache::FsCache;
use qmt_loader::LoadOptions;
use qmt_loader::native::Isolation;
use qmt_oci_ref::Registry;
use qmt_verify::Verifier;
#[cfg(feature = "sigstore")]
use tokio::sync::Mutex;
use tokio::sync::OnceCell;

use crate::config::{Config, ConfigFile, NativeRule};
use crate::events::{EventSink, Reporter};
use crate::loaders::Loaders;
use crate::lockfile::{LockEntry, LockMode, Lockfile, SharedLockfile};
use crate::reload::Slots;
use crate::stage::load;
use crate::target::Target;
#[cfg(feature = "sigstore")]
use crate::trust::SharedTrust;

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
    /// A verifier of the host program, used instead of the config's policies.
    pub(crate) verifier: Option<Arc<dyn Verifier>>,
    /// Made at the first verification, because it can require a TUF refresh, and again when it is old.
    #[cfg(feature = "sigstore")]
    pub(crate) trust: Mutex<Option<SharedTrust>>,
    /// Set once the files of the config that other users may change were warned of.
    pub(crate) writers: OnceCell<()>,
    pub(crate) loaders: Loaders,
    pub(crate) lockfile: SharedLockfile,
    pub(crate) mode: LockMode,
    pub(crate) offline: bool,
    pub(crate) platform: HostPlatform,
    pub(crate) events: Option<EventSink>,
    pub(crate) slots: Slots,
    /// What plugins get where their provider sets nothing.
    pub(crate) defaults: LoadOptions,
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

    /// Returns the lockfile's entries, sorted by name, with those of other configs in the folder.
    pub fn locked(&self) -> Vec<LockEntry> {
        self.lock().entries().cloned().collect()
    }

    /// Returns the lockfile's entry for the plugin `name` of this config. Its reference can be an
    /// earlier one, if the config was changed since.
    pub fn lock_entry(&self, name: &str) -> Option<LockEntry> {
        let target = Target::named(self.config(), name);
        let reference = target.map_or_else(|_| String::new(), |target| target.source().to_string());
        self.lock().own(name, &reference).cloned()
    }

    /// Returns the options under which [`Self::load_target`] loads `target`: configuration, limits
    /// and rights of its provider, on top of [`PluginHostBuilder::defaults`].
    ///
    /// [`PluginHostBuilder::defaults`]: crate::PluginHostBuilder::defaults
    pub fn load_options(&self, target: &Target) -> LoadOptions {
        let provider = target.provider();
        let mut options = load::options(provider, &self.defaults);
        if provider.native_rule(self.config().oci.native) == NativeRule::Isolated {
            options.isolation = Isolation::Process;
        }
        options
    }

    pub(crate) fn parallel(&self) -> usize {
        self.config().oci.parallel.unwrap_or(PARALLEL).max(1)
    }

    pub(crate) fn reporter(&self, target: &Target) -> Reporter {
        let sinks = self.events.iter().chain(target.events());
        Reporter::new(target.name(), sinks.cloned())
    }

    /// Returns the lockfile for reading.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Lockfile> {
        self.lockfile.read()
    }
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost")
            .field("config", &self.file.path())
            .finish_non_exhaustive()
    }
}
