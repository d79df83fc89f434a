//! Compiles modules and makes instances, with every limit that wasmtime has set.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use extism::{CompiledPlugin, DebugOptions, Function, Manifest, PluginBuilder, Wasm};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, ProfilingStrategy};

use super::builtin::{self, InstanceState};
use super::cache::CompileCache;
use super::grants::Grants;
use super::host_function::HostFunction;
use super::preflight::{MEMORIES_MAX, PAGE, TABLES_MAX};
use crate::error::LoadError;
use crate::limits::Limits;
use crate::loader::Artifact;

/// The bytes that the memory of Extism's kernel begins with, without using them: 1 MiB.
const KERNEL_MEMORY: u64 = 1024 * 1024;
/// Instances that exist in one engine at a time: Extism's kernel, the module (Extism makes it once
/// while linking and once to call it), and as much again while an old store goes away.
const CORE_INSTANCES_MAX: u32 = 6;
/// Heaps for the external references that Extism itself uses, one per store.
const GC_HEAPS_MAX: u32 = 2;
/// The bytes of bookkeeping of one instance, which grow with functions and globals: 16 MiB.
const INSTANCE_SIZE_MAX: usize = 16 * 1024 * 1024;
/// A name that no module exports: no preflight lists it, as it is not callable by that name.
const NO_FUNCTION: &str = "qmt-loader: no function";

/// All that it takes to make another instance of a loaded module.
pub(super) struct InstanceSpec {
    plugin: String,
    bytes: Bytes,
    grants: Grants,
    limits: Limits,
    functions: HostFunctions,
    cache: Arc<CompileCache>,
}

/// The functions of the host.
#[derive(Clone, Default)]
pub(super) struct HostFunctions {
    pub(super) ours: Vec<HostFunction>,
    pub(super) extism: Vec<Function>,
}

impl fmt::Debug for HostFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extism = self.extism.iter().map(Function::name);
        f.debug_struct("HostFunctions")
            .field("ours", &self.ours)
            .field("extism", &extism.collect::<Vec<_>>())
            .finish()
    }
}

/// A compiled module with an engine of its own, and at most one instance of it.
pub(super) struct Instance {
    compiled: CompiledPlugin,
    pub(super) state: Arc<InstanceState>,
    pub(super) running: Option<extism::Plugin>,
}

impl InstanceSpec {
    pub(super) fn new(
        artifact: &Artifact,
        grants: Grants,
        limits: Limits,
        functions: HostFunctions,
        cache: Arc<CompileCache>,
    ) -> Self {
        Self {
            plugin: artifact.name().to_owned(),
            bytes: artifact.bytes().clone(),
            grants,
            limits,
            functions,
            cache,
        }
    }

    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Compiles the module, or takes it from the cache. No code of it runs.
    pub(super) fn compile(&self) -> Result<Instance, LoadError> {
        let state = Arc::new(InstanceState::new(
            &self.plugin,
            self.grants.hosts.clone(),
            &self.limits,
        ));
        let mut functions = builtin::functions(&state, self.grants.wasi, &self.grants.paths)
            .map_err(|rule| LoadError::Grant {
                plugin: self.plugin.clone(),
                grant: "paths".to_owned(),
                rule,
                source: None,
            })?;
        functions.extend(self.functions.ours.iter().map(|one| one.to_extism(&state)));
        functions.extend(self.functions.extism.iter().cloned());
        // Each setting that Extism would otherwise take from the environment is given here.
        let builder = PluginBuilder::new(self.manifest())
            .with_wasmtime_config(self.config())
            .with_debug_options(DebugOptions {
                profiling_strategy: ProfilingStrategy::None,
                coredump: None,
                memdump: None,
                debug_info: false,
            })
            .with_cache_config(self.cache.config_file())
            .with_fuel_limit(self.limits.fuel_of_a_call())
            .with_wasi(self.grants.wasi)
            .with_functions(functions);
        let compiled = builder.compile().map_err(|error| LoadError::Compile {
            plugin: self.plugin.clone(),
            source: error.into(),
        })?;
        Ok(Instance {
            compiled,
            state,
            running: None,
        })
    }

    fn manifest(&self) -> Manifest {
        let pages = u32::try_from(self.limits.memory_max / PAGE).unwrap_or(u32::MAX);
        let mut manifest = Manifest::new([Wasm::data(self.bytes.to_vec())])
            .with_memory_max(pages)
            .with_config(self.grants.config.clone().into_iter())
            // Extism's own HTTP client stays unused: ours replaces it.
            .disallow_all_hosts()
            .with_timeout(self.limits.timeout.max(Duration::from_millis(1)));
        if !self.grants.paths.is_empty() {
            let paths = self.grants.paths.iter();
            manifest = manifest
                .with_allowed_paths(paths.map(|(host, guest)| (host.clone(), guest.into())));
        }
        manifest
    }

    /// Extism's own limiter counts memory after linking only, and no tables without a maximum.
    /// wasmtime's pool has room for what is allowed and no more, from the first instruction on.
    fn config(&self) -> Config {
        let memory_max = (self.limits.memory_max / PAGE * PAGE).saturating_add(KERNEL_MEMORY);
        let tables_max = u32::try_from(TABLES_MAX).unwrap_or(u32::MAX);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(CORE_INSTANCES_MAX)
            .max_core_instance_size(INSTANCE_SIZE_MAX)
            .total_memories(CORE_INSTANCES_MAX + GC_HEAPS_MAX)
            .max_memories_per_module(u32::try_from(MEMORIES_MAX).unwrap_or(u32::MAX))
            .max_memory_size(usize::try_from(memory_max).unwrap_or(usize::MAX))
            .total_tables(CORE_INSTANCES_MAX * tables_max)
            .max_tables_per_module(tables_max)
            .table_elements(usize::try_from(self.limits.table_elements).unwrap_or(usize::MAX))
            .total_gc_heaps(GC_HEAPS_MAX)
            // Calls run on the stack of their thread. A thousand others, each with a guard page,
            // would be a thousand mappings for every plugin, of 65,530 that Linux gives a process.
            .total_stacks(0)
            // Nothing of one plugin's memory stays resident once an instance is gone.
            .linear_memory_keep_resident(0)
            .table_keep_resident(0);
        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .wasm_memory64(false)
            .wasm_multi_memory(false)
            .wasm_relaxed_simd(false);
        config
    }
}

impl Instance {
    /// Makes an instance that is ready to be called, unless there is one. Start functions run.
    ///
    /// Extism runs them before it starts its clock and before it has given host functions the
    /// pointers they need, so `state` refuses host calls until that is over.
    pub(super) fn start(&mut self) -> Result<(), extism::Error> {
        if self.running.is_some() {
            return Ok(());
        }
        self.state.new_instance();
        let mut instance = extism::Plugin::new_from_compiled(&self.compiled)?;
        // Extism instantiates in the first call; this call ends where it looks for the function.
        let ended = instance.call::<&[u8], ()>(NO_FUNCTION, &[]);
        match ended {
            Err(error) if error.to_string() == format!("Function not found: {NO_FUNCTION}") => {
                self.running = Some(instance);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => Err(extism::Error::msg(
                "Extism called a function that is not there",
            )),
        }
    }
}
