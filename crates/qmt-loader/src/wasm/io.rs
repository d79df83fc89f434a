//! The runtime on which plugins' requests and file accesses run: not the host's, which may drive
//! neither sockets nor timers, and which would wait for a hanging disk when it shuts down.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// The threads that look names up and access files. Each is occupied until the system answers, also
/// when the call that waited for it is over.
const BLOCKING_MAX: usize = 128;

/// Returns the runtime of the process; its thread starts when it is first needed.
pub(super) fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    // A runtime that lost a race would be dropped by an async caller, which panics.
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(BLOCKING_MAX)
        .thread_name("qmt-wasm-io")
        .enable_all()
        .build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Makes the runtime the current one of this thread, if it can be started.
pub(super) fn enter() -> Option<EnterGuard<'static>> {
    runtime().ok().map(Runtime::enter)
}
