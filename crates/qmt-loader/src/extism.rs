//! A thin loader over crate `extism`, for hosts that bring functions in its types.
//!
//! It has Extism's own limits and not those of [`crate::wasm::WasmLoader`]: the time of a call does
//! not include start functions, memory is not limited while a module starts, tables are not limited
//! at all, and Extism 1.30 brings a version of wasmtime that gets no more fixes. Load trusted
//! plugins with it. It refuses grants that it cannot enforce.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use extism::{CompiledPlugin, Manifest, PluginBuilder, Wasm};
use qmt_oci_ref::PluginKind;
use qmt_oci_ref::text::escape;
use wasmtime_of_extism::Trap;

use crate::error::{BoxError, LoadError};
use crate::grants::guest_folder;
use crate::limits::LoadOptions;
use crate::loader::{Artifact, Loader, Preflight};
use crate::plugin::Plugin;
use crate::wasm::{EXTISM_USER, PAGE, check, granted_config};

/// Loads Wasm plugins with crate `extism`.
///
/// Each call runs on a thread that may block, in an instance of its own while others run.
#[derive(Default)]
pub struct ExtismLoader {
    functions: Vec<extism::Function>,
}

impl fmt::Debug for ExtismLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions = self.functions.iter().map(extism::Function::name);
        f.debug_struct("ExtismLoader")
            .field("functions", &functions.collect::<Vec<_>>())
            .finish()
    }
}

impl ExtismLoader {
    /// Makes a loader that offers `functions` to its plugins.
    pub fn new(functions: impl IntoIterator<Item = extism::Function>) -> Self {
        Self {
            functions: functions.into_iter().collect(),
        }
    }

    fn check(
        &self,
        artifact: &Artifact,
        options: Option<&LoadOptions>,
    ) -> Result<Preflight, LoadError> {
        let offered = self.functions.iter().map(|function| {
            let namespace = function.namespace().unwrap_or(EXTISM_USER);
            (namespace.to_owned(), function.name().to_owned())
        });
        check(artifact, &offered.collect(), options)
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
        let manifest = manifest(&artifact, &options)?;
        let plugin = artifact.name().to_owned();
        let functions = self.functions.clone();
        let compiled = tokio::task::spawn_blocking(move || {
            let builder = PluginBuilder::new(manifest)
                .with_wasi(preflight.wasi)
                .with_functions(functions)
                .with_cache_disabled();
            match options.limits.fuel {
                Some(fuel) => builder.with_fuel_limit(fuel),
                None => builder,
            }
            .compile()
        });
        let compiled = match compiled.await {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(error)) => {
                let source = error.into();
                return Err(LoadError::Compile { plugin, source });
            }
            Err(error) => return Err(host(&plugin, "(start)", error)),
        };
        Ok(Arc::new(ExtismPlugin {
            shared: Arc::new(Shared {
                plugin,
                compiled,
                idle: Mutex::new(Some(Vec::new())),
            }),
            exports: preflight.exports,
        }))
    }

    fn preflight(&self, artifact: &Artifact) -> Result<Preflight, LoadError> {
        self.check(artifact, None)
    }
}

/// Writes the manifest of one module. Its bytes were checked to be Wasm: Extism takes others for a
/// manifest, with paths and URLs in it.
fn manifest(artifact: &Artifact, options: &LoadOptions) -> Result<Manifest, LoadError> {
    let refused = |grant: &str, rule| LoadError::Grant {
        plugin: artifact.name().to_owned(),
        grant: grant.to_owned(),
        rule,
        source: None,
    };
    if let Some(export) = &options.at_start {
        let rule = "crate extism calls no export at the start; use `WasmLoader`";
        return Err(refused(&escape(export), rule));
    }
    if let Some(host) = options.allow.hosts.first() {
        let rule = "crate extism is built without HTTP; use `WasmLoader`";
        return Err(refused(host, rule));
    }
    let mut paths = BTreeMap::new();
    for (host, guest) in &options.allow.paths {
        let shown = host.display().to_string();
        if shown.starts_with("ro:") {
            let rule = "crate extism does not keep plugins from writing; use `WasmLoader`";
            return Err(refused(&shown, rule));
        }
        guest_folder(guest).map_err(|(rule, _)| refused(&shown, rule))?;
        paths.insert(shown, guest.clone());
    }
    let pages = u32::try_from(options.limits.memory_max / PAGE).unwrap_or(u32::MAX);
    let config = granted_config(artifact.name(), options)?;
    let manifest = Manifest::new([Wasm::data(artifact.bytes().to_vec())])
        .with_memory_max(pages)
        .with_timeout(options.limits.timeout)
        .with_config(config.into_iter())
        .disallow_all_hosts();
    if paths.is_empty() {
        return Ok(manifest);
    }
    Ok(manifest.with_allowed_paths(paths.into_iter()))
}

/// A plugin that crate `extism` runs.
struct ExtismPlugin {
    shared: Arc<Shared>,
    exports: Vec<String>,
}

struct Shared {
    plugin: String,
    compiled: CompiledPlugin,
    /// `None` once it is unloaded.
    idle: Mutex<Option<Vec<extism::Plugin>>>,
}

impl Shared {
    fn call(&self, export: &str, input: &[u8]) -> Result<Bytes, LoadError> {
        let idle = self.idle().as_mut().and_then(Vec::pop);
        let mut instance = match idle {
            Some(instance) => instance,
            None => extism::Plugin::new_from_compiled(&self.compiled).map_err(|error| {
                LoadError::Start {
                    plugin: self.plugin.clone(),
                    source: error.into(),
                }
            })?,
        };
        match instance.call::<&[u8], Vec<u8>>(export, input) {
            Ok(output) => {
                if let Some(idle) = &mut *self.idle() {
                    idle.push(instance);
                }
                Ok(output.into())
            }
            Err(error) if error.is::<Trap>() => Err(LoadError::Trapped {
                plugin: self.plugin.clone(),
                export: export.to_owned(),
                source: BoxError::from(error),
            }),
            // Extism has no types for the others: what the plugin reports, and its own limits.
            Err(error) => Err(LoadError::PluginFailed {
                plugin: self.plugin.clone(),
                export: export.to_owned(),
                code: 1,
                message: escape(&format!("{error:#}")),
                detail: Bytes::from(error.to_string()),
            }),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<extism::Plugin>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExtismPlugin {
    fn callable(&self, export: &str) -> Result<(), LoadError> {
        let plugin = || self.shared.plugin.clone();
        if self.shared.idle().is_none() {
            return Err(LoadError::Unloaded { plugin: plugin() });
        }
        if !self.exports.iter().any(|known| known == export) {
            return Err(LoadError::UnknownExport {
                plugin: plugin(),
                export: escape(export),
                known: self.exports.clone(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Plugin for ExtismPlugin {
    async fn call(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        self.callable(export)?;
        let (shared, name) = (Arc::clone(&self.shared), export.to_owned());
        let call = tokio::task::spawn_blocking(move || shared.call(&name, &input));
        call.await
            .map_err(|error| host(&self.shared.plugin, export, error))?
    }

    fn call_blocking(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        self.callable(export)?;
        self.shared.call(export, &input)
    }

    fn exports(&self) -> Vec<String> {
        self.exports.clone()
    }

    fn kind(&self) -> PluginKind {
        PluginKind::Wasm
    }

    async fn unload(&self) -> Result<(), LoadError> {
        *self.shared.idle() = None;
        Ok(())
    }
}

fn host(plugin: &str, export: &str, error: tokio::task::JoinError) -> LoadError {
    LoadError::Host {
        plugin: plugin.to_owned(),
        export: export.to_owned(),
        source: error.into(),
    }
}
