//! Wasm plugins: Extism's plug-in ABI on wasmtime.
//!
//! There is one wasmtime engine in a process, and one compilation of each module; every call runs in
//! an instance of its own. What a plugin shares with the host is the memory of a small module of
//! ours, the kernel, whose records the host keeps.

mod abi;
mod blocks;
mod engine;
mod fault;
mod grants;
mod handle;
mod host_call;
mod host_function;
mod http;
mod image;
mod imports;
mod instance;
mod io;
mod lease;
mod load;
mod log;
mod memory;
mod module;
mod on_time;
mod plugin;
mod preflight;
mod state;
mod value;
mod wasi;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

pub use self::host_call::{HostCall, RawCall};
pub use self::host_function::HostFunction;
use self::image::Images;
pub use self::load::WasmLoader;
pub use self::value::{Value, ValueType};
#[cfg(feature = "extism")]
pub(crate) use self::{imports::EXTISM_USER, load::check, preflight::PAGE};
use crate::error::LoadError;
use crate::limits::LoadOptions;
use crate::private;

/// Checks whether everything in `options` can be granted as it is written.
pub(crate) fn check_grants(plugin: &str, options: &LoadOptions) -> Result<(), LoadError> {
    grants::Grants::new(plugin, options).map(drop)
}

/// Settings of a [`WasmLoader`].
#[derive(Debug, Default)]
pub struct WasmLoaderBuilder {
    compile_cache: Option<PathBuf>,
    functions: Vec<HostFunction>,
    instances: Option<usize>,
}

impl WasmLoaderBuilder {
    /// Keeps compiled modules in `folder` beyond the life of the loader.
    ///
    /// The folder holds machine code that is run as it is: it is made with mode 0700, and refused
    /// where it belongs to another user or others can write to it. Modules that were not used for
    /// 30 days are deleted. Without a folder, or with `None`, compiled modules are kept in memory,
    /// as long as a plugin uses them.
    #[must_use]
    pub fn compile_cache(mut self, folder: Option<PathBuf>) -> Self {
        self.compile_cache = folder;
        self
    }

    /// Offers `function` to every plugin of this loader, in place of one of the same name that was
    /// offered before.
    #[must_use]
    pub fn host_function(mut self, function: HostFunction) -> Self {
        self.functions.push(function);
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
    pub fn build(self) -> Result<WasmLoader, LoadError> {
        let folder = self.compile_cache.as_deref().map(private::folder);
        let offered: BTreeSet<_> = self.functions.iter().map(HostFunction::import).collect();
        Ok(WasmLoader {
            images: folder.transpose()?.map(Images::in_folder),
            offered,
            functions: self.functions,
            instances: self.instances.unwrap_or_else(processors),
            linked: Default::default(),
            modules: Mutex::default(),
            loaded: Mutex::default(),
        })
    }
}

/// Returns the configuration of a plugin, the environment variables that it was granted included.
#[cfg(feature = "extism")]
pub(crate) fn granted_config(
    plugin: &str,
    options: &LoadOptions,
) -> Result<std::collections::BTreeMap<String, String>, LoadError> {
    Ok(grants::Grants::new(plugin, options)?.config)
}

/// Validates a module, function bodies included, without compiling it.
///
/// # Errors
///
/// [`WasmRefusal::Malformed`](crate::refusal::WasmRefusal) if it breaks a rule of Wasm, and others if
/// it is not a module or uses a feature that this host does not offer.
pub fn validate(bytes: &[u8]) -> Result<(), crate::refusal::WasmRefusal> {
    preflight::validate(bytes)
}

/// How many processors this process may use.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
