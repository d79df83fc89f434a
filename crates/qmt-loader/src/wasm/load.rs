//! The loader of Wasm plugins.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::ErrorKind;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use qmt_oci_ref::text::escape;
use qmt_oci_ref::{Digest, PluginKind};
use rayon::ThreadPoolBuildError;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use wasmtime::Module;

use super::engine::{Runtime, is_caused_by};
use super::grants::Grants;
use super::handle::Handle;
use super::host_function::HostFunction;
use super::image::Images;
use super::instance::{START, Spec};
use super::module::{Code, Linked, compile, map};
use super::plugin::Instances;
use super::preflight;
use super::state::Settings;
use super::{WasmLoaderBuilder, processors};
use crate::alarms::deadline;
use crate::error::{BoxError, LoadError, WasmRefusal};
use crate::limits::LoadOptions;
use crate::loader::{Artifact, Loader, Preflight};
use crate::plugin::Plugin;

/// Compilations at a time: as many as there are processors.
static COMPILING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(processors()));

/// Loads Wasm plugins.
///
/// A module is compiled once per digest. Its machine code is kept in the loader's own private
/// folder, is checked against its hash and mapped into memory at the next start. Each plugin runs
/// as many instances as there are calls at the same time, up to a limit.
///
/// Calls begin on the thread that polls them. What takes longer than a millisecond, or can call
/// functions of the host, moves to a thread of the runtime that may block.
pub struct WasmLoader {
    pub(super) images: Option<Images>,
    pub(super) functions: Vec<HostFunction>,
    pub(super) offered: BTreeSet<(String, String)>,
    pub(super) instances: usize,
    /// Without fuel and with it.
    pub(super) linked: [Arc<OnceLock<Arc<Linked>>>; 2],
    /// Each module that is loaded or being loaded, by digest and whether it uses fuel.
    pub(super) modules: Mutex<HashMap<(Digest, bool), Arc<ModuleSlot>>>,
    /// What is loaded, by digest and settings, as long as it is referenced.
    pub(super) loaded: Mutex<Vec<Loaded>>,
}

/// A module that is being loaded or is loaded; the lock lets one load at a time compile it.
pub(super) type ModuleSlot = tokio::sync::Mutex<Weak<Code>>;

#[derive(Debug)]
pub(super) struct Loaded {
    digest: Digest,
    instances: Weak<Instances>,
}

impl fmt::Debug for WasmLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmLoader")
            .field("images", &self.images)
            .field("functions", &self.functions)
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Loader for WasmLoader {
    async fn load(
        &self,
        artifact: Artifact,
        options: LoadOptions,
    ) -> Result<Arc<dyn Plugin>, LoadError> {
        let preflight = check(&artifact, &self.offered, Some(&options))?;
        let settings = Settings {
            plugin: artifact.name().to_owned(),
            grants: Grants::new(artifact.name(), &options)?,
            limits: options.limits,
            at_start: options.at_start,
        };
        if let Some(export) = &settings.at_start
            && !preflight.exports.contains(export)
        {
            return Err(LoadError::UnknownExport {
                plugin: settings.plugin,
                export: escape(export),
                known: preflight.exports,
            });
        }
        let fuel = settings.limits.fuel.is_some();
        let slot = self.slot(artifact.digest(), fuel);
        let mut slot = slot.lock().await;
        if let Some(instances) = self.shared(&artifact, &settings) {
            return Ok(Arc::new(Handle::new(instances)));
        }
        let limit = settings.limits.compile_timeout;
        let linked = self.linked(artifact.name(), fuel, limit).await?;
        let code = if let Some(code) = slot.upgrade() {
            code
        } else {
            let code = self.code(&artifact, &linked, limit).await?;
            *slot = Arc::downgrade(&code);
            code
        };
        drop(slot);
        let spec = Spec {
            linked,
            code,
            settings: Arc::new(settings),
        };
        let instances = Instances::start(spec, preflight.exports, self.instances).await?;
        self.loaded().push(Loaded {
            digest: artifact.digest().clone(),
            instances: Arc::downgrade(&instances),
        });
        Ok(Arc::new(Handle::new(instances)))
    }

    async fn prepare(
        &self,
        digest: &Digest,
        options: &LoadOptions,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        let limits = &options.limits;
        let code = self.prepared(digest, limits.fuel.is_some(), limits.compile_timeout);
        match code.await {
            Ok(code) => code.map(|code| code as _),
            Err(error) => {
                tracing::debug!(%error, %digest, "a module can't be prepared");
                None
            }
        }
    }

    fn preflight(&self, artifact: &Artifact) -> Result<Preflight, LoadError> {
        let preflight = check(artifact, &self.offered, None)?;
        preflight::validate(artifact.bytes()).map_err(|reason| refused(artifact, reason))?;
        Ok(preflight)
    }
}

impl WasmLoader {
    /// Returns the settings of a loader, by default one that keeps compiled modules in memory and
    /// offers no host functions.
    pub fn builder() -> WasmLoaderBuilder {
        WasmLoaderBuilder::default()
    }

    /// Returns the plugin that is loaded under the same name, limits and grants, if there is one.
    fn shared(&self, artifact: &Artifact, settings: &Settings) -> Option<Arc<Instances>> {
        let mut loaded = self.loaded();
        loaded.retain(|one| one.instances.strong_count() > 0);
        let mut same = loaded.iter().filter(|one| one.digest == *artifact.digest());
        same.find_map(|one| {
            let instances = one.instances.upgrade()?;
            (*instances.spec.settings == *settings).then_some(instances)
        })
    }

    /// Returns the functions that modules import, from the engine that counts fuel or not. Waits
    /// for at most `limit`; what has begun goes on, for later loads.
    async fn linked(
        &self,
        plugin: &str,
        fuel: bool,
        limit: Duration,
    ) -> Result<Arc<Linked>, LoadError> {
        let cell = &self.linked[usize::from(fuel)];
        if let Some(linked) = cell.get() {
            return Ok(Arc::clone(linked));
        }
        let runtime = Runtime::get(fuel)?;
        let (images, functions) = (self.images.clone(), self.functions.clone());
        let (cell, name) = (Arc::clone(cell), plugin.to_owned());
        let linking = blocking(plugin, move || {
            let linked = Linked::new(runtime, images.as_ref(), functions)
                .map_err(|error| compile_error(&name, error))?;
            Ok(Arc::clone(cell.get_or_init(|| Arc::new(linked))))
        });
        let linked = runtime.alarms.until(deadline(limit), linking).await;
        linked.ok_or_else(|| timed_out(plugin, limit, true))?
    }

    /// Maps the image of the module with this digest. Returns `None` if there is no image.
    async fn prepared(
        &self,
        digest: &Digest,
        fuel: bool,
        limit: Duration,
    ) -> Result<Option<Arc<Code>>, LoadError> {
        let plugin = digest.to_string();
        let slot = self.slot(digest, fuel);
        let mut slot = slot.lock().await;
        let linked = self.linked(&plugin, fuel, limit).await?;
        if let Some(code) = slot.upgrade() {
            return Ok(Some(code));
        }
        let Some(module) = self.mapped(&plugin, digest, &linked, limit).await? else {
            return Ok(None);
        };
        let code = linked_code(&plugin, &linked, module)?;
        *slot = Arc::downgrade(&code);
        Ok(Some(code))
    }

    async fn mapped(
        &self,
        plugin: &str,
        digest: &Digest,
        linked: &Linked,
        limit: Duration,
    ) -> Result<Option<Module>, LoadError> {
        let runtime = linked.runtime;
        let (images, digest) = (self.images.clone(), digest.clone());
        let mapping = blocking(plugin, move || Ok(map(runtime, images.as_ref(), &digest)));
        let mapped = runtime.alarms.until(deadline(limit), mapping).await;
        mapped.ok_or_else(|| timed_out(plugin, limit, true))?
    }

    /// Maps the module's image, or compiles the module. Each step takes at most `limit`.
    async fn code(
        &self,
        artifact: &Artifact,
        linked: &Arc<Linked>,
        limit: Duration,
    ) -> Result<Arc<Code>, LoadError> {
        let (runtime, plugin) = (linked.runtime, artifact.name());
        let mapped = self.mapped(plugin, artifact.digest(), linked, limit);
        let module = if let Some(module) = mapped.await? {
            module
        } else {
            // The semaphore is never closed. The wait for other modules has the same limit, but
            // takes no time of this one.
            let permit = runtime.alarms.until(deadline(limit), COMPILING.acquire());
            let permit = permit.await;
            let permit = permit.ok_or_else(|| timed_out(plugin, limit, true))?;
            let (images, module) = (self.images.clone(), artifact.clone());
            let compiling = blocking(plugin, move || {
                let _permit = permit;
                preflight::validate(module.bytes()).map_err(|reason| refused(&module, reason))?;
                compile(runtime, images.as_ref(), module.bytes(), module.digest())
                    .map_err(|error| compile_error(module.name(), error))
            });
            let compiled = runtime.alarms.until(deadline(limit), compiling).await;
            compiled.ok_or_else(|| timed_out(plugin, limit, self.images.is_some()))??
        };
        linked_code(plugin, linked, module)
    }

    fn slot(&self, digest: &Digest, fuel: bool) -> Arc<ModuleSlot> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        modules.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|code| code.strong_count() > 0)
        });
        Arc::clone(modules.entry((digest.clone(), fuel)).or_default())
    }

    /// Returns the instances of all plugins that are loaded.
    #[cfg(test)]
    pub(super) fn loaded_instances(&self) -> Vec<Weak<Instances>> {
        let loaded = self.loaded();
        loaded.iter().map(|one| one.instances.clone()).collect()
    }

    fn loaded(&self) -> MutexGuard<'_, Vec<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that `artifact` is a module which can run under `options`, with these functions.
pub(crate) fn check(
    artifact: &Artifact,
    offered: &BTreeSet<(String, String)>,
    options: Option<&LoadOptions>,
) -> Result<Preflight, LoadError> {
    if artifact.kind() != PluginKind::Wasm {
        return Err(LoadError::KindMismatch {
            plugin: artifact.name().to_owned(),
            loader: PluginKind::Wasm,
            artifact: artifact.kind(),
        });
    }
    let limits = options.map(|options| &options.limits);
    preflight::preflight(artifact.bytes(), offered, limits)
        .map_err(|reason| refused(artifact, reason))
}

fn refused(artifact: &Artifact, reason: WasmRefusal) -> LoadError {
    LoadError::WasmRefused {
        plugin: artifact.name().to_owned(),
        reason,
    }
}

/// Runs `work` on a thread that may block. It runs to its end even if its caller no longer waits.
async fn blocking<T: Send + 'static>(
    plugin: &str,
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LoadError::Host {
            plugin: plugin.to_owned(),
            export: START.to_owned(),
            source: error.into(),
        }),
    }
}

fn linked_code(plugin: &str, linked: &Arc<Linked>, module: Module) -> Result<Arc<Code>, LoadError> {
    let code = Code::new(linked, module).map_err(|error| LoadError::Link {
        plugin: plugin.to_owned(),
        source: error.into(),
    })?;
    Ok(Arc::new(code))
}

fn timed_out(plugin: &str, limit: Duration, can_retry: bool) -> LoadError {
    LoadError::CompileTimedOut {
        plugin: plugin.to_owned(),
        limit,
        can_retry,
    }
}

fn compile_error(plugin: &str, error: wasmtime::Error) -> LoadError {
    match error.downcast::<ThreadPoolBuildError>() {
        Ok(error) => LoadError::Engine {
            source: error.into(),
        },
        // The system does not allow this process to generate code.
        Err(error) if is_caused_by(&error, ErrorKind::PermissionDenied) => LoadError::Engine {
            source: error.into(),
        },
        Err(error) => LoadError::Compile {
            plugin: plugin.to_owned(),
            source: BoxError::from(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_system_that_forbids_new_code_is_no_fault_of_the_plugin() {
        let refused = || io::Error::from(ErrorKind::PermissionDenied);
        let error = wasmtime::Error::from(refused()).context("unable to make memory executable");
        let error = compile_error("p", error);
        assert!(matches!(error, LoadError::Engine { .. }), "{error:?}");
        let error = compile_error("p", wasmtime::Error::msg("an unknown section"));
        assert!(matches!(error, LoadError::Compile { .. }), "{error:?}");
        #[cfg(unix)]
        {
            let error = wasmtime::Error::from(rustix::io::Errno::ACCESS);
            let error = compile_error("p", error);
            assert!(matches!(error, LoadError::Engine { .. }), "{error:?}");
        }
    }

    /// LIM-11: the wait for the compilation of other modules has a limit, and says nothing about
    /// this module.
    #[tokio::test]
    async fn a_module_waits_for_others_only_until_its_limit() {
        const WAITS: Duration = Duration::from_millis(100);
        let loader = WasmLoader::builder().build().unwrap();
        let load = async |limit| {
            let bytes = wat::parse_str(format!("(module (func (export \"{limit:?}\")))")).unwrap();
            let digest = Digest::sha256(&bytes);
            let artifact = Artifact::from_verified(PluginKind::Wasm, bytes.into(), digest, "p");
            let mut options = LoadOptions::default();
            options.limits.compile_timeout = limit;
            loader.load(artifact, options).await.map(drop)
        };
        // Links the functions of the host.
        load(Duration::from_mins(1)).await.unwrap();
        let all = processors().try_into().unwrap();
        let all = COMPILING.acquire_many(all).await.unwrap();
        let error = load(WAITS).await.unwrap_err();
        assert!(
            matches!(error, LoadError::CompileTimedOut { .. }),
            "{error:?}"
        );
        assert!(error.is_retryable());
        drop(all);
    }
}
