//! A loaded Wasm plugin: its instances, and one call after the other or several at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use extism::CancelHandle;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::engine::{Instance, InstanceSpec};
use crate::error::{BoxError, LoadError};
use crate::plugin::Plugin;
use qmt_oci_ref::PluginKind;
use qmt_oci_ref::text::escape;

/// How long we sleep between two attempts to stop a call that has not started its clock yet.
const STOP_AGAIN: Duration = Duration::from_millis(5);

/// What messages call the time before the first call.
const START: &str = "(start)";

/// One holder's handle to a loaded module.
pub(super) struct WasmPlugin {
    instances: Arc<Instances>,
    unloaded: AtomicBool,
}

impl WasmPlugin {
    pub(super) fn new(instances: Arc<Instances>) -> Self {
        Self {
            instances,
            unloaded: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Plugin for WasmPlugin {
    async fn call(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        if self.unloaded.load(Ordering::Acquire) {
            return Err(LoadError::Unloaded {
                plugin: self.instances.spec.plugin().to_owned(),
            });
        }
        self.instances.call(export, input).await
    }

    fn exports(&self) -> Vec<String> {
        self.instances.exports.clone()
    }

    fn kind(&self) -> PluginKind {
        PluginKind::Wasm
    }

    async fn unload(&self) -> Result<(), LoadError> {
        self.unloaded.store(true, Ordering::Release);
        Ok(())
    }
}

/// The instances of one module under one set of options.
pub(super) struct Instances {
    spec: Arc<InstanceSpec>,
    exports: Vec<String>,
    /// One permit per instance. The thread that runs the code holds it, not the caller who waits,
    /// so that code which cannot be stopped at once still counts.
    permits: Arc<Semaphore>,
    count: usize,
    idle: Mutex<Vec<Instance>>,
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances")
            .field("plugin", &self.spec.plugin())
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Instances {
    /// Compiles the module and starts its first instance.
    ///
    /// `compiling` is held until the compiler is done, even if no caller waits for it any longer.
    pub(super) async fn start(
        spec: InstanceSpec,
        exports: Vec<String>,
        count: usize,
        compiling: OwnedMutexGuard<()>,
    ) -> Result<Self, LoadError> {
        let limits = spec.limits().clone();
        let plugin = spec.plugin().to_owned();
        let host = |error: tokio::task::JoinError| LoadError::Host {
            plugin: plugin.clone(),
            export: START.to_owned(),
            source: error.into(),
        };
        let spec = Arc::new(spec);
        let compile = tokio::task::spawn_blocking({
            let spec = Arc::clone(&spec);
            move || {
                let _compiling = compiling;
                spec.compile()
            }
        });
        let mut instance = timeout(limits.compile_timeout, compile)
            .await
            .map_err(|_| LoadError::CompileTimedOut {
                plugin: plugin.clone(),
                limit: limits.compile_timeout,
            })?
            .map_err(host)??;
        let until = deadline(limits.timeout);
        let start = tokio::task::spawn_blocking(move || instance.start().map(|()| instance));
        let instance = timeout(limits.timeout, start)
            .await
            .map_err(|_| LoadError::TimedOut {
                plugin: plugin.clone(),
                export: START.to_owned(),
                limit: limits.timeout,
            })?
            .map_err(host)?
            .map_err(|error| failure(&spec, START, &Stop::at(until), error))?;
        Ok(Self {
            spec,
            exports,
            permits: Arc::new(Semaphore::new(count)),
            count,
            idle: Mutex::new(vec![instance]),
        })
    }
    async fn call(self: &Arc<Self>, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        let plugin = || self.spec.plugin().to_owned();
        let limits = self.spec.limits();
        if !self.exports.iter().any(|known| known == export) {
            return Err(LoadError::UnknownExport {
                plugin: plugin(),
                export: escape(export),
                known: self.exports.clone(),
            });
        }
        let size = u64::try_from(input.len()).unwrap_or(u64::MAX);
        if size > limits.memory_max {
            return Err(LoadError::InputTooLarge {
                plugin: plugin(),
                size,
                limit: limits.memory_max,
            });
        }
        let deadline = deadline(limits.timeout);
        let permit = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
        // The semaphore is never closed, so that only the time can run out.
        let Ok(Ok(permit)) = permit else {
            return Err(LoadError::Busy {
                plugin: plugin(),
                instances: self.count,
                limit: limits.timeout,
            });
        };
        let stop = Arc::new(Stop::at(deadline));
        let job = tokio::task::spawn_blocking({
            let (this, stop, export) = (Arc::clone(self), Arc::clone(&stop), export.to_owned());
            move || {
                // Both are let go last, also if the call panics.
                let _permit = permit;
                let _done = Done(&stop);
                this.run(&export, &input, &stop)
            }
        });
        let _guard = StopOnDrop(stop);
        match timeout_at(deadline, job).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(LoadError::Host {
                plugin: plugin(),
                export: export.to_owned(),
                source: error.into(),
            }),
            Err(_) => Err(LoadError::TimedOut {
                plugin: plugin(),
                export: export.to_owned(),
                limit: limits.timeout,
            }),
        }
    }

    /// Runs one call on a thread that may block.
    fn run(&self, export: &str, input: &Bytes, stop: &Stop) -> Result<Bytes, LoadError> {
        let idle = self.idle().pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.spec.compile()?,
        };
        let result = self.run_in(&mut instance, export, input, stop);
        // What trapped or was stopped has arbitrary memory; the next call gets a new instance.
        if !matches!(result, Ok(_) | Err(LoadError::PluginFailed { .. })) {
            instance.running = None;
        }
        self.idle().push(instance);
        result
    }

    fn run_in(
        &self,
        instance: &mut Instance,
        export: &str,
        input: &Bytes,
        stop: &Stop,
    ) -> Result<Bytes, LoadError> {
        let failed = |error| failure(&self.spec, export, stop, error);
        instance.start().map_err(failed)?;
        let Some(running) = instance.running.as_mut() else {
            return Err(failed(extism::Error::msg("there is no instance")));
        };
        if !stop.arm(running.cancel_handle()) {
            return Err(failed(extism::Error::msg("stopped before it began")));
        }
        let ended = {
            let _calling = instance.state.calling();
            // Extism returns any range that the plugin names; this output was checked when the
            // plugin set it.
            running.call::<&[u8], ()>(export, &input[..])
        };
        match (ended, instance.state.take_error()) {
            (Ok(()), None) => Ok(Bytes::from(instance.state.take_output())),
            (Ok(()), Some(words)) => Err(failed(extism::Error::msg(words))),
            (Err(error), Some(words)) if error.chain().count() == 1 && !stop.is_stopped() => {
                Err(failed(extism::Error::msg(words)))
            }
            (Err(error), _) => Err(failed(error)),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way from the caller who gave up to the thread that runs the code.
struct Stop {
    deadline: Instant,
    stopped: AtomicBool,
    done: AtomicBool,
    handle: Mutex<Option<CancelHandle>>,
}

impl Stop {
    fn at(deadline: Instant) -> Self {
        Self {
            deadline,
            stopped: AtomicBool::new(false),
            done: AtomicBool::new(false),
            handle: Mutex::new(None),
        }
    }

    /// Takes the handle by which the call can be stopped; `false` if it already is.
    fn arm(&self, handle: CancelHandle) -> bool {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        !self.stopped.load(Ordering::SeqCst)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst) || Instant::now() >= self.deadline
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = &*handle {
            // It fails if Extism's timer thread is gone, which happens while the process exits.
            let _ = handle.cancel();
        }
    }
}

/// Tells the stopping thread that the call is over.
struct Done<'a>(&'a Stop);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::SeqCst);
    }
}

/// Stops the call when the caller stops waiting, for whatever reason.
struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if self.0.done.load(Ordering::SeqCst) {
            return;
        }
        self.0.stop();
        // Extism ignores a stop that comes before the call has told its timer that it began.
        if let Ok(runtime) = Handle::try_current() {
            let stop = Arc::clone(&self.0);
            runtime.spawn(async move {
                while !stop.done.load(Ordering::SeqCst) {
                    stop.stop();
                    tokio::time::sleep(STOP_AGAIN).await;
                }
            });
        }
    }
}

/// Tells from Extism's words what went wrong. Its errors have no types; the words of a plugin can
/// imitate them, which changes how a failure is called and nothing else.
fn failure(spec: &InstanceSpec, export: &str, stop: &Stop, error: extism::Error) -> LoadError {
    let plugin = spec.plugin().to_owned();
    let export = export.to_owned();
    let limits = spec.limits();
    let message = error.to_string();
    let root = error.root_cause().to_string();
    if stop.is_stopped() || message == "timeout" || root == INTERRUPTED {
        let limit = limits.timeout;
        LoadError::TimedOut {
            plugin,
            export,
            limit,
        }
    } else if root == "plugin ran out of fuel" || root == OUT_OF_FUEL {
        let limit = limits.fuel_of_a_call();
        LoadError::OutOfFuel {
            plugin,
            export,
            limit,
        }
    } else if root == "oom" || root.contains("memory minimum size") {
        let limit = limits.memory_max;
        LoadError::OutOfMemory {
            plugin,
            export,
            limit,
        }
    } else if export == START {
        let source = BoxError::from(error);
        LoadError::Start { plugin, source }
    } else if error.chain().count() == 1 {
        let message = escape(&message);
        LoadError::PluginFailed {
            plugin,
            export,
            message,
        }
    } else {
        let source = BoxError::from(error);
        LoadError::Trapped {
            plugin,
            export,
            source,
        }
    }
}

/// wasmtime's words for a call that was stopped.
const INTERRUPTED: &str = "wasm trap: interrupt";
/// wasmtime's words for fuel that ran out while linking, before Extism looks for it.
const OUT_OF_FUEL: &str = "wasm trap: all fuel consumed by WebAssembly";

fn deadline(timeout: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    let now = Instant::now();
    now.checked_add(timeout.min(FAR)).unwrap_or(now)
}
