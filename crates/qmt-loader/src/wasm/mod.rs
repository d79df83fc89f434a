//! Wasm plugins, run by Extism.
//!
//! Bytes go in as they were hashed, as the one module of a manifest that this crate writes itself:
//! Extism would take bytes without the Wasm magic for a manifest of their own, with paths and URLs
//! in it. Nothing of Extism's environment variables or of the user's wasmtime cache has an effect.

mod builtin;
mod cache;
mod engine;
mod grants;
mod host_function;
mod http;
mod imports;
mod log;
mod memory;
mod plugin;
mod preflight;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use async_trait::async_trait;
use qmt_oci_ref::Digest;

use self::cache::CompileCache;
use self::engine::{HostFunctions, InstanceSpec};
use self::grants::Grants;
pub use self::host_function::HostFunction;
use self::plugin::{Instances, WasmPlugin};
use crate::error::LoadError;
use crate::limits::LoadOptions;
use crate::loader::{Artifact, Loader, Preflight};
use crate::plugin::Plugin;
/// For hosts that use Extism's own types: [`ExtismLoaderBuilder::extism_function`] takes an
/// [`extism::Function`]. They follow Extism's versions.
pub use extism;
use qmt_oci_ref::PluginKind;

/// Loads Wasm plugins through Extism.
///
/// A module is compiled once per digest, and the result is kept in the loader's own private folder.
/// Each load runs as many instances as there are calls at the same time, up to a limit, each with
/// an engine of its own: Extism stops a call by an engine-wide signal, which would otherwise stop
/// innocent calls as well.
///
/// What Extism 1.30 leaves out: the time-out ends waiting at once also while a module's start
/// function runs, but the thread in it goes on until the fuel of the call is used up, and occupies
/// one of the instances until then.
#[derive(Debug)]
pub struct ExtismLoader {
    /// Shared with what is loaded: another instance may be compiled when the loader is gone.
    cache: Arc<CompileCache>,
    functions: HostFunctions,
    offered: BTreeSet<(String, String)>,
    instances: usize,
    /// One lock per digest that is being compiled, so that two loads compile it once.
    compiling: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    /// What is loaded, by digest and options, as long as it is referenced.
    loaded: Mutex<Vec<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    digest: Digest,
    options: LoadOptions,
    instances: Weak<Instances>,
}

impl ExtismLoader {
    /// Starts a loader with a compilation cache that ends with it, and no host functions.
    pub fn builder() -> ExtismLoaderBuilder {
        ExtismLoaderBuilder::default()
    }

    /// Returns the plugin that is already loaded under the same options, if there is one.
    fn shared(&self, artifact: &Artifact, options: &LoadOptions) -> Option<Arc<Instances>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|one| one.instances.strong_count() > 0);
        loaded
            .iter()
            .find(|one| one.digest == *artifact.digest() && one.options == *options)
            .and_then(|one| one.instances.upgrade())
    }

    fn compile_lock(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut compiling = self
            .compiling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        compiling.retain(|_, lock| Arc::strong_count(lock) > 1);
        compiling.entry(digest.clone()).or_default().clone()
    }
}

#[async_trait]
impl Loader for ExtismLoader {
    async fn load(
        &self,
        artifact: Artifact,
        options: LoadOptions,
    ) -> Result<Arc<dyn Plugin>, LoadError> {
        let preflight = self.check(&artifact, Some(&options))?;
        let grants = Grants::new(artifact.name(), &options, preflight.wasi)?;
        let lock = self.compile_lock(artifact.digest());
        let guard = lock.lock_owned().await;
        // Values of the environment are part of what a plugin was loaded with, and may have
        // changed since: such a plugin is not shared.
        let shareable = options.allow.env.is_empty();
        if shareable && let Some(instances) = self.shared(&artifact, &options) {
            return Ok(Arc::new(WasmPlugin::new(instances)));
        }
        let spec = InstanceSpec::new(
            &artifact,
            grants,
            options.limits.clone(),
            self.functions.clone(),
            Arc::clone(&self.cache),
        );
        let exports = preflight.exports;
        let instances = Arc::new(Instances::start(spec, exports, self.instances, guard).await?);
        if shareable {
            self.loaded
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Loaded {
                    digest: artifact.digest().clone(),
                    options,
                    instances: Arc::downgrade(&instances),
                });
        }
        Ok(Arc::new(WasmPlugin::new(instances)))
    }

    fn preflight(&self, artifact: &Artifact) -> Result<Preflight, LoadError> {
        self.check(artifact, None)
    }
}

impl ExtismLoader {
    fn check(
        &self,
        artifact: &Artifact,
        options: Option<&LoadOptions>,
    ) -> Result<Preflight, LoadError> {
        if artifact.kind() != PluginKind::Wasm {
            return Err(LoadError::KindMismatch {
                plugin: artifact.name().to_owned(),
                loader: PluginKind::Wasm,
                artifact: artifact.kind(),
            });
        }
        preflight::preflight(
            artifact.bytes(),
            &self.offered,
            options.map(|options| &options.limits),
        )
        .map_err(|reason| LoadError::WasmRefused {
            plugin: artifact.name().to_owned(),
            reason,
        })
    }
}

/// Settings of an [`ExtismLoader`].
#[derive(Debug, Default)]
pub struct ExtismLoaderBuilder {
    compile_cache: Option<PathBuf>,
    functions: HostFunctions,
    instances: Option<usize>,
}

impl ExtismLoaderBuilder {
    /// Keeps compiled modules in `folder` beyond the life of the loader.
    ///
    /// The folder holds machine code that is run as it is: it is made with mode 0700, and refused
    /// where it belongs to another user or others can write to it. Without a folder, or with
    /// `None`, the cache is a temporary one of the same mode.
    #[must_use]
    pub fn compile_cache(mut self, folder: Option<PathBuf>) -> Self {
        self.compile_cache = folder;
        self
    }

    /// Offers `function` to every plugin of this loader.
    #[must_use]
    pub fn host_function(mut self, function: HostFunction) -> Self {
        self.functions.ours.push(function);
        self
    }

    /// Offers a function written against Extism's own types; see [`crate::wasm::extism`].
    ///
    /// Its namespace is `extism:host/user` unless it names another one. Extism has not given it its
    /// pointers while a module starts, so a plugin that is not trusted must not be able to call it
    /// from there; a [`HostFunction`] refuses by itself.
    #[must_use]
    pub fn extism_function(mut self, function: extism::Function) -> Self {
        self.functions.extism.push(function);
        self
    }

    /// Sets how many calls of one plugin may run at the same time; at least 1. Default: the
    /// number of processors. With 1, a plugin keeps its variables from one call to the next, for
    /// as long as no call fails.
    #[must_use]
    pub fn instances(mut self, instances: usize) -> Self {
        self.instances = Some(instances.max(1));
        self
    }

    /// Builds the loader.
    ///
    /// # Errors
    /// [`LoadError::Io`] and [`LoadError::NotPrivate`] for the cache folder.
    pub fn build(self) -> Result<ExtismLoader, LoadError> {
        let theirs = self.functions.extism.iter().map(|function| {
            let namespace = function.namespace().unwrap_or(imports::EXTISM_USER);
            (namespace.to_owned(), function.name().to_owned())
        });
        let ours = self.functions.ours.iter().map(HostFunction::import);
        let offered = ours.chain(theirs).collect();
        let processors = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(ExtismLoader {
            cache: Arc::new(CompileCache::open(self.compile_cache)?),
            functions: self.functions,
            offered,
            instances: self.instances.unwrap_or_else(processors),
            compiling: Mutex::default(),
            loaded: Mutex::default(),
        })
    }
}
