//! One instance of a plugin: its store, its start, and one call after the other.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use qmt_oci_ref::text::escape;
use wasmtime::{AsContextMut, Func, Store, Trap, TypedFunc, Val};
use wasmtime_wasi::I32Exit;

use super::engine::is_caused_by;
use super::fault::{Fault, Trapped};
use super::memory::{Context, slice};
use super::module::{Code, Linked};
use super::preflight::COMMAND_EXPORT;
use super::state::{Settings, State, Stop};
use super::wasi;
use crate::error::LoadError;

/// What messages call the time before the first call.
pub(super) const START: &str = "(start)";
const NO_INSTANCE: Fault = Fault::Missing {
    what: "the instance",
};

/// What it takes to make instances of a plugin.
pub(super) struct Spec {
    pub(super) linked: Arc<Linked>,
    pub(super) code: Arc<Code>,
    pub(super) settings: Arc<Settings>,
}

/// One instance of a plugin.
pub(super) struct Instance {
    store: Store<State>,
    /// What the store has between calls, so that nothing of a call that has ended stays alive.
    idle: Arc<Stop>,
    running: Option<Running>,
    /// Whether the module and its `at_start` have run.
    is_started: bool,
    /// Whether another call may use it. What trapped or was stopped has arbitrary memory, and after
    /// `_start` and `proc_exit` a program has ended.
    pub(super) reusable: bool,
}

/// What there is once the module has started.
struct Running {
    instance: wasmtime::Instance,
    functions: HashMap<String, Entry>,
}

#[derive(Clone)]
enum Entry {
    Code(TypedFunc<(), i32>),
    Plain(TypedFunc<(), ()>),
}

impl Spec {
    /// Makes an instance whose code has not begun to run.
    pub(super) fn instance(&self) -> Result<Instance, LoadError> {
        let runtime = self.linked.runtime;
        let mut state = State::new(&self.settings);
        if self.code.wasi {
            let context = wasi::context(&self.settings.grants.folders);
            state.wasi = Some(context.map_err(|error| LoadError::Start {
                plugin: self.settings.plugin.clone(),
                source: error.into(),
            })?);
        }
        let idle = Arc::clone(&state.stop);
        let mut store = Store::new(&runtime.engine, state);
        store.limiter(|state| &mut state.budget);
        store.epoch_deadline_callback(|context| Ok(context.data().at_epoch()?));
        Ok(Instance {
            store,
            idle,
            running: None,
            is_started: false,
            reusable: false,
        })
    }
}

impl Instance {
    /// Starts the module, unless it has started. That counts towards the time of `stop`.
    pub(super) async fn start(&mut self, spec: &Spec, stop: &Arc<Stop>) -> Result<(), LoadError> {
        let result = match self.begin(spec, stop) {
            Ok(()) => self.start_within(spec).await.map(drop),
            Err(error) => Err(error),
        };
        self.end();
        self.reusable = result.is_ok();
        result.map_err(|error| self.failure(spec, START, error))
    }

    /// Calls an export that takes nothing and returns nothing or one `i32`.
    pub(super) async fn call(
        &mut self,
        spec: &Spec,
        export: &str,
        input: &[u8],
        stop: &Arc<Stop>,
    ) -> Result<Bytes, LoadError> {
        let result = match self.begin(spec, stop) {
            Ok(()) => self.call_within(spec, export, input).await,
            Err(error) => Err(error),
        };
        self.end();
        self.reusable = result.is_ok() && export != COMMAND_EXPORT;
        let code = match result {
            Ok(code) => code,
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(0)) => 0,
                _ => return Err(self.failure(spec, export, error)),
            },
        };
        match self.store.message() {
            None if code == 0 => Ok(self.output()),
            message => Err(failed(spec, export, code, message, || {
                format!("it returned {code}")
            })),
        }
    }

    fn output(&mut self) -> Bytes {
        let Ok((bytes, state)) = self.store.shared() else {
            return Bytes::new();
        };
        let (offset, length) = state.output;
        slice(bytes, offset, length).map_or_else(Bytes::new, Bytes::copy_from_slice)
    }

    /// Gives the time and the fuel of a call to whatever runs next.
    fn begin(&mut self, spec: &Spec, stop: &Arc<Stop>) -> wasmtime::Result<()> {
        self.store.data_mut().stop = Arc::clone(stop);
        self.store.set_epoch_deadline(1);
        match spec.settings.limits.fuel {
            Some(fuel) => self.store.set_fuel(fuel.max(1)),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        self.store.data_mut().stop = Arc::clone(&self.idle);
    }

    async fn start_within(&mut self, spec: &Spec) -> wasmtime::Result<&mut Running> {
        if self.running.is_none() {
            let instance = spec.code.instantiate(&spec.linked, &mut self.store).await?;
            initialize(&mut self.store, instance).await?;
            self.running = Some(Running {
                instance,
                functions: HashMap::new(),
            });
            if let Some(export) = &spec.settings.at_start {
                self.call_at_start(export).await?;
            }
            self.is_started = true;
        }
        self.running.as_mut().ok_or_else(|| NO_INSTANCE.into())
    }

    async fn call_at_start(&mut self, export: &str) -> wasmtime::Result<()> {
        let code = match self.call_started(export, &[]).await {
            Ok(code) => code,
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(0)) => 0,
                _ => return Err(error),
            },
        };
        let message = match self.store.message() {
            None if code == 0 => return Ok(()),
            None => format!("it returned {code}"),
            Some(message) => escape(&String::from_utf8_lossy(&message)),
        };
        let export = export.to_owned();
        Err(Fault::AtStart { export, message }.into())
    }

    async fn call_within(
        &mut self,
        spec: &Spec,
        export: &str,
        input: &[u8],
    ) -> wasmtime::Result<i32> {
        self.start_within(spec).await?;
        self.call_started(export, input).await
    }

    async fn call_started(&mut self, export: &str, input: &[u8]) -> wasmtime::Result<i32> {
        self.store.reset()?;
        if !input.is_empty() {
            let offset = self.store.give(input)?;
            self.store.set_input(offset, u64::try_from(input.len())?)?;
        }
        match self.entry(export)? {
            Entry::Code(function) => function.call_async(&mut self.store, ()).await,
            Entry::Plain(function) => {
                function.call_async(&mut self.store, ()).await?;
                Ok(0)
            }
        }
    }

    /// Looks the export up once.
    fn entry(&mut self, export: &str) -> wasmtime::Result<Entry> {
        let running = self.running.as_mut().ok_or(NO_INSTANCE)?;
        if let Some(entry) = running.functions.get(export) {
            return Ok(entry.clone());
        }
        let function = running.instance.get_func(&mut self.store, export);
        let function = function.ok_or(Fault::Missing {
            what: "an exported function",
        })?;
        let entry = match function.typed(&self.store) {
            Ok(function) => Entry::Code(function),
            Err(_) => Entry::Plain(function.typed(&self.store)?),
        };
        running.functions.insert(export.to_owned(), entry.clone());
        Ok(entry)
    }

    /// Tells what a failed call is to the caller.
    fn failure(&mut self, spec: &Spec, export: &str, error: wasmtime::Error) -> LoadError {
        let plugin = spec.settings.plugin.clone();
        let export = export.to_owned();
        let limits = &spec.settings.limits;
        if let Some(Fault::TimedOut) = error.downcast_ref() {
            let limit = limits.timeout;
            return LoadError::TimedOut {
                plugin,
                export,
                limit,
            };
        }
        if let Some(Fault::OutOfMemory) = error.downcast_ref() {
            let limit = limits.memory_max;
            return LoadError::OutOfMemory {
                plugin,
                export,
                limit,
            };
        }
        if let Some(I32Exit(code)) = error.downcast_ref() {
            let (code, message) = (*code, self.store.message());
            return failed(spec, &export, code, message, || {
                format!("it exited with status {code}")
            });
        }
        if let (Some(Trap::OutOfFuel), Some(limit)) = (error.downcast_ref(), limits.fuel) {
            return LoadError::OutOfFuel {
                plugin,
                export,
                limit,
            };
        }
        if is_caused_by(&error, ErrorKind::OutOfMemory) {
            let source = error.into();
            return LoadError::Engine { source };
        }
        let message = self.store.message();
        let source = Trapped::boxed(error, message.as_deref());
        if !self.is_started {
            return LoadError::Start { plugin, source };
        }
        LoadError::Trapped {
            plugin,
            export,
            source,
        }
    }
}

/// The plugin reported a failure, with a message or without one.
fn failed(
    spec: &Spec,
    export: &str,
    code: i32,
    message: Option<Bytes>,
    otherwise: impl FnOnce() -> String,
) -> LoadError {
    LoadError::PluginFailed {
        plugin: spec.settings.plugin.clone(),
        export: export.to_owned(),
        code,
        message: match &message {
            Some(message) => escape(&String::from_utf8_lossy(message)),
            None => otherwise(),
        },
        detail: message.unwrap_or_default(),
    }
}

/// Runs the initialisers that languages put into a module: Haskell's runtime, or else the
/// constructors of C, or else those of a WASI reactor.
async fn initialize(
    store: &mut Store<State>,
    instance: wasmtime::Instance,
) -> wasmtime::Result<()> {
    let plain = |store: &mut Store<State>, name: &str| {
        let function = instance.get_func(&mut *store, name)?;
        function.typed::<(), ()>(&*store).ok()
    };
    if let Some(haskell) = instance.get_func(&mut *store, "hs_init") {
        if let Some(reactor) = plain(store, "_initialize") {
            reactor.call_async(&mut *store, ()).await?;
        }
        return start_haskell(store.as_context_mut(), haskell).await;
    }
    let constructors = match instance.get_func(&mut *store, "__wasm_call_ctors") {
        Some(_) => plain(store, "__wasm_call_ctors"),
        None => plain(store, "_initialize"),
    };
    match constructors {
        Some(constructors) => constructors.call_async(&mut *store, ()).await,
        None => Ok(()),
    }
}

/// Calls `hs_init(0, 0)`: no arguments for Haskell's runtime.
async fn start_haskell(
    store: wasmtime::StoreContextMut<'_, State>,
    haskell: Func,
) -> wasmtime::Result<()> {
    let mut results = vec![Val::I32(0); haskell.ty(&store).results().len()];
    let arguments = [Val::I32(0), Val::I32(0)];
    haskell.call_async(store, &arguments, &mut results).await
}
