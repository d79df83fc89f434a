//! Builds a [`PluginHost`]: from a config alone, or with parts that the host program brings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use qmt_artifact::HostPlatform;
use qmt_cache::{CacheEvent, CacheOptions, FsCache};
use qmt_loader::{Limits, LoadOptions, Loader};
use qmt_oci_ref::Registry;
use qmt_verify::Verifier;
use tokio::sync::OnceCell;

use crate::config::path::{expand, join};
use crate::config::{ByteSize, ConfigError, ConfigFile};
use crate::error::Error;
use crate::events::{Event, EventSink};
use crate::host::PluginHost;
use crate::loaders::Loaders;
use crate::lockfile::{LockMode, Lockfile, LockfileError, SharedLockfile};
use crate::reload::Slots;

/// Builds a [`PluginHost`]. Each part that is not given is made from the config.
pub struct PluginHostBuilder {
    file: ConfigFile,
    registry: Option<Arc<dyn Registry>>,
    verifier: Option<Arc<dyn Verifier>>,
    wasm: Option<Arc<dyn Loader>>,
    native: Option<Arc<dyn Loader>>,
    mode: LockMode,
    offline: bool,
    platform: HostPlatform,
    cache_dir: Option<PathBuf>,
    or_temporary: bool,
    events: Option<EventSink>,
    lockfile: Option<PathBuf>,
    has_no_lockfile: bool,
    defaults: LoadOptions,
}

impl PluginHost {
    /// Opens the config at `path`, its lockfile and the cache. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], [`Error::Lockfile`], or [`Error::Cache`] if the cache's folder is not
    /// safe.
    pub fn from_config(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder(ConfigFile::read(path)?).build()
    }

    /// Starts to build a host for a config that was read already.
    pub fn builder(file: ConfigFile) -> PluginHostBuilder {
        PluginHostBuilder {
            file,
            registry: None,
            verifier: None,
            wasm: None,
            native: None,
            mode: LockMode::default(),
            offline: false,
            platform: HostPlatform::current(),
            cache_dir: None,
            or_temporary: false,
            events: None,
            lockfile: None,
            has_no_lockfile: false,
            defaults: LoadOptions::default(),
        }
    }
}

impl PluginHostBuilder {
    /// Reads images from `registry` instead of over HTTP.
    #[must_use]
    pub fn registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Verifies signatures with `verifier` instead of the config's policies.
    #[must_use]
    pub fn verifier(mut self, verifier: Arc<dyn Verifier>) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// Loads Wasm plugins with `loader`, such as a `WasmLoader` with host functions.
    #[must_use]
    pub fn wasm_loader(mut self, loader: Arc<dyn Loader>) -> Self {
        self.wasm = Some(loader);
        self
    }

    /// Loads native plugins with `loader`. If the config has `require_confinement`, the loader should
    /// require it as well: then a library is refused before it is opened.
    #[must_use]
    pub fn native_loader(mut self, loader: Arc<dyn Loader>) -> Self {
        self.native = Some(loader);
        self
    }

    /// Sets whether the lockfile may change. Default: [`LockMode::Update`].
    #[must_use]
    pub fn lock_mode(mut self, mode: LockMode) -> Self {
        self.mode = mode;
        self
    }

    /// Forbids the network: a plugin that is not in the cache is an error.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Selects for another platform, to pull for another machine.
    #[must_use]
    pub fn platform(mut self, platform: HostPlatform) -> Self {
        self.platform = platform;
        self
    }

    /// Uses `folder` as the cache, instead of the one in the config.
    #[must_use]
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// Uses a temporary cache if the folder of the cache can't be used, or is not known: for what works
    /// without plugins that were fetched before.
    #[must_use]
    pub fn or_temporary_cache(mut self) -> Self {
        self.or_temporary = true;
        self
    }

    /// Sends events to `sink`.
    #[must_use]
    pub fn events(mut self, sink: EventSink) -> Self {
        self.events = Some(sink);
        self
    }

    /// Keeps the lockfile at `path` instead of in `plugins.lock` next to the config. Configs can
    /// share it if their file names differ.
    #[must_use]
    pub fn lockfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.lockfile = Some(path.into());
        self
    }

    /// Uses no lockfile: for hosts that load no image of the config. Loading or fetching one ends
    /// with [`Error::Lockfile`]. Files, URLs and images that the config does not have are not
    /// affected.
    #[must_use]
    pub fn without_lockfile(mut self) -> Self {
        self.has_no_lockfile = true;
        self
    }

    /// Sets what each plugin gets, in the config or not: configuration and limits where its
    /// provider sets none, and rights beyond those that its provider allows. Only Wasm and isolated
    /// native plugins have an `at_start`. The lockfile does not record these rights, because the
    /// host program grants them.
    #[must_use]
    pub fn defaults(mut self, options: LoadOptions) -> Self {
        self.defaults = options;
        self
    }

    /// Sets the limits of plugins whose provider sets none: the `limits` of [`Self::defaults`].
    /// If both are called, the later call counts.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.defaults.limits = limits;
        self
    }

    /// Opens lockfile and cache. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// [`Error::Lockfile`], or [`Error::Cache`] if the cache's folder is not safe.
    pub fn build(self) -> Result<PluginHost, Error> {
        let oci = &self.file.config().oci;
        let folder = self.file.folder();
        let config = self.file.path();
        let expanded = |path: PathBuf| expand(&path).unwrap_or(path);
        let lockfile = match self.lockfile {
            _ if self.has_no_lockfile => Lockfile::unread(config),
            Some(path) => Lockfile::read_at(expanded(path), config)?,
            None => match Lockfile::read(config) {
                // Nothing can be locked, and the working folder may be one that can't be read.
                Err(LockfileError::Read { .. }) if self.file.config().providers.is_empty() => {
                    Lockfile::unread(config)
                }
                lockfile => lockfile?,
            },
        };
        let named = self
            .cache_dir
            .map(|path| expand(&path).map_err(|rule| ConfigError::CacheDir { path, rule }));
        let named = named.transpose()?;
        let cache_dir = named.or_else(|| oci.cache_dir.as_ref().map(|dir| join(folder, dir)));
        let mut options = CacheOptions::default()
            .with_root(cache_dir)
            .with_max_size(oci.cache_max_size.map(ByteSize::bytes))
            .or_temporary(self.or_temporary);
        if let Some(sink) = self.events.clone() {
            options = options.with_events(Arc::new(move |event| sink(cache_event(event))));
        }
        let cache = FsCache::open(options)?;
        let loaders = Loaders::new(self.wasm, self.native, oci.require_confinement, &cache);
        Ok(PluginHost {
            file: self.file,
            cache,
            registry: self.registry,
            #[cfg(feature = "http")]
            http: std::sync::OnceLock::new(),
            #[cfg(feature = "http")]
            mirrors: std::sync::OnceLock::new(),
            verifier: self.verifier,
            #[cfg(feature = "sigstore")]
            trust: tokio::sync::Mutex::default(),
            writers: OnceCell::new(),
            loaders,
            lockfile: SharedLockfile::new(lockfile),
            mode: match self.mode {
                LockMode::Update if self.has_no_lockfile => LockMode::Locked,
                mode => mode,
            },
            offline: self.offline,
            platform: self.platform,
            events: self.events,
            slots: Slots::default(),
            defaults: self.defaults,
        })
    }
}

impl std::fmt::Debug for PluginHostBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHostBuilder")
            .field("config", &self.file.path())
            .finish_non_exhaustive()
    }
}

fn cache_event(event: CacheEvent) -> Event {
    let plugin = "cache".to_owned();
    let message = match event {
        CacheEvent::Waiting { lock } => {
            let detail = format!("another process has locked {}", lock.display());
            return Event::Waiting { plugin, detail };
        }
        CacheEvent::Shared { root, rule } => format!(
            "the cache folder `{}` {rule}, so compiled code is not kept in it and Wasm plugins are \
             compiled at each start; other users can delete the cache or fill it, but not change \
             what is loaded",
            root.display()
        ),
        CacheEvent::Temporary { reason } => {
            format!("nothing is kept, because a temporary cache is used: {reason}")
        }
        CacheEvent::ReadOnly { root } => format!(
            "the cache folder `{}` can't be written, so compiled code is not kept in it and Wasm \
             plugins are compiled at each start",
            root.display()
        ),
    };
    Event::Warning { plugin, message }
}
