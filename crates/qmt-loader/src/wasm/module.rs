//! Modules that are compiled and linked, and what they are linked to.

use std::sync::OnceLock;

use qmt_oci_ref::Digest;
use rayon::{ThreadPool, ThreadPoolBuilder};
use wasmtime::{Extern, InstancePre, Linker, Module, Store};

use super::abi;
use super::engine::{KERNEL, Runtime};
use super::fault::Fault;
use super::host_function::HostFunction;
use super::image::Images;
use super::imports::{EXTISM_ENV, is_wasi};
use super::state::{Kernel, State};
use super::wasi;

/// All functions that modules of one loader can import.
pub(super) struct Linked {
    pub(super) runtime: &'static Runtime,
    kernel: InstancePre<State>,
    functions: Linker<State>,
    host: Vec<HostFunction>,
    /// The same with WASI.
    with_wasi: OnceLock<Linker<State>>,
}

impl Linked {
    pub(super) fn new(
        runtime: &'static Runtime,
        images: Option<&Images>,
        host: Vec<HostFunction>,
    ) -> wasmtime::Result<Self> {
        let mut functions = Linker::new(&runtime.engine);
        abi::link(&mut functions)?;
        functions.allow_shadowing(true);
        for function in &host {
            function.link(runtime, &mut functions)?;
        }
        let kernel = compile_or_map(runtime, images, KERNEL, &Digest::sha256(KERNEL))?;
        Ok(Self {
            runtime,
            kernel: functions.instantiate_pre(&kernel)?,
            functions,
            host,
            with_wasi: OnceLock::new(),
        })
    }

    /// Returns the functions for a module that imports WASI, or does not.
    fn linker(&self, wasi: bool) -> wasmtime::Result<&Linker<State>> {
        if !wasi {
            return Ok(&self.functions);
        }
        if let Some(linker) = self.with_wasi.get() {
            return Ok(linker);
        }
        let mut linker = self.functions.clone();
        wasi::link(&mut linker)?;
        wasi::link_unstable(&mut linker)?;
        // As with the other functions, the host's come last.
        for function in &self.host {
            function.link(self.runtime, &mut linker)?;
        }
        Ok(self.with_wasi.get_or_init(|| linker))
    }
}

/// Compiles `wasm`, or maps its image.
fn compile_or_map(
    runtime: &Runtime,
    images: Option<&Images>,
    wasm: &[u8],
    digest: &Digest,
) -> wasmtime::Result<Module> {
    match map(runtime, images, digest) {
        Some(module) => Ok(module),
        None => compile(runtime, images, wasm, digest),
    }
}

/// Maps the image of the module with this digest, if there is one.
pub(super) fn map(runtime: &Runtime, images: Option<&Images>, digest: &Digest) -> Option<Module> {
    images?.slot(digest, &runtime.engine).load()
}

/// Compiles `wasm` and keeps its image. Another process that compiles the same is waited for.
pub(super) fn compile(
    runtime: &Runtime,
    images: Option<&Images>,
    wasm: &[u8],
    digest: &Digest,
) -> wasmtime::Result<Module> {
    let Some(images) = images else {
        return compile_now(runtime, wasm);
    };
    let slot = images.slot(digest, &runtime.engine);
    // Without a lock, the worst is that a module is compiled twice.
    let lock = slot.lock();
    if lock.is_ok()
        && let Some(module) = slot.load()
    {
        return Ok(module);
    }
    let module = compile_now(runtime, wasm)?;
    slot.store(&module);
    Ok(module)
}

/// Compiles `wasm` on threads that all compilations share. Rayon's default threads, which wasmtime
/// would use, cause a panic if they cannot be started.
fn compile_now(runtime: &Runtime, wasm: &[u8]) -> wasmtime::Result<Module> {
    static THREADS: OnceLock<ThreadPool> = OnceLock::new();
    let threads = if let Some(threads) = THREADS.get() {
        threads
    } else {
        let threads = ThreadPoolBuilder::new().build()?;
        THREADS.get_or_init(|| threads)
    };
    threads.install(|| Module::from_binary(&runtime.engine, wasm))
}

/// A module and where its imports come from.
pub(super) struct Code {
    module: Module,
    /// In the order of the module.
    imports: Vec<Import>,
    /// All that can be linked before there is a store, where nothing is the kernel's.
    ready: Option<InstancePre<State>>,
    pub(super) wasi: bool,
    /// Whether it imports functions of the host, which may block.
    pub(super) calls_host: bool,
}

enum Import {
    Kernel(String),
    Linked(String, String),
}

impl Code {
    pub(super) fn new(linked: &Linked, module: Module) -> wasmtime::Result<Self> {
        let kernel = linked.kernel.module();
        let mut code = Self {
            imports: Vec::new(),
            ready: None,
            wasi: false,
            calls_host: false,
            module,
        };
        let mut needs_kernel = false;
        for import in code.module.imports() {
            let (module, name) = (import.module().to_owned(), import.name().to_owned());
            code.wasi |= is_wasi(&module);
            // Of several with one name, the last is linked.
            let mut host = linked.host.iter().rev();
            if let Some(function) = host.find(|function| function.is(&module, &name)) {
                function.check(&linked.runtime.engine, &import.ty())?;
                code.calls_host = true;
            } else if module == EXTISM_ENV && kernel.get_export_index(&name).is_some() {
                needs_kernel = true;
                code.imports.push(Import::Kernel(name));
                continue;
            }
            code.imports.push(Import::Linked(module, name));
        }
        if !needs_kernel {
            let linker = linked.linker(code.wasi)?;
            code.ready = Some(linker.instantiate_pre(&code.module)?);
        }
        Ok(code)
    }

    /// Makes an instance and its kernel. The module's start function runs.
    pub(super) async fn instantiate(
        &self,
        linked: &Linked,
        store: &mut Store<State>,
    ) -> wasmtime::Result<wasmtime::Instance> {
        let kernel = linked.kernel.instantiate_async(&mut *store).await?;
        let memory = kernel.get_memory(&mut *store, "memory");
        let input = kernel.get_global(&mut *store, "qmt:input");
        let length = kernel.get_global(&mut *store, "qmt:length");
        let (Some(memory), Some(input), Some(length)) = (memory, input, length) else {
            return Err(Fault::Missing {
                what: "an export of the shared memory's module",
            }
            .into());
        };
        store.data_mut().kernel = Some(Kernel {
            memory,
            input,
            length,
        });
        if let Some(ready) = &self.ready {
            return ready.instantiate_async(&mut *store).await;
        }
        let linker = linked.linker(self.wasi)?;
        let mut imports: Vec<Extern> = Vec::with_capacity(self.imports.len());
        for import in &self.imports {
            let found = match import {
                Import::Kernel(name) => kernel.get_export(&mut *store, name),
                Import::Linked(module, name) => linker.get(&mut *store, module, name).ok(),
            };
            // Preflight has compared the names with what is offered.
            imports.push(found.ok_or(Fault::Missing {
                what: "an imported function",
            })?);
        }
        wasmtime::Instance::new_async(&mut *store, &self.module, &imports).await
    }
}
