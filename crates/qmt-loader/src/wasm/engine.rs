//! The engines of this process, and what Wasm they run.

use std::io::{self, ErrorKind};
use std::num::NonZero;
use std::sync::OnceLock;

use wasmtime::{Config, Engine};

use super::preflight;
use crate::alarms::Alarms;
use crate::error::LoadError;

/// The module that connects plugin and host, compiled from `kernel.wat`.
pub(super) const KERNEL: &[u8] = include_bytes!("kernel.wasm");

/// The bytes of stack that Wasm code may use: 512 KiB, which is wasmtime's own default.
const WASM_STACK: usize = 512 * 1024;
/// The bytes of the stack on which a call and the host functions it calls run: 2 MiB.
const STACK: usize = 2 * 1024 * 1024;
/// The frames that the message of a trap lists.
const FRAMES_MAX: usize = 20;

/// What all plugins of this process share.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) alarms: Alarms,
}

impl Runtime {
    /// Returns the engine that counts fuel, or the one that does not.
    pub(super) fn get(fuel: bool) -> Result<&'static Self, LoadError> {
        static PLAIN: OnceLock<Runtime> = OnceLock::new();
        static FUEL: OnceLock<Runtime> = OnceLock::new();
        let slot = if fuel { &FUEL } else { &PLAIN };
        if let Some(runtime) = slot.get() {
            return Ok(runtime);
        }
        let failed = |source| LoadError::Engine { source };
        let engine = Engine::new(&config(fuel)).map_err(|error| failed(error.into()))?;
        let advance = {
            let engine = engine.clone();
            move || engine.increment_epoch()
        };
        let alarms = Alarms::start("qmt-wasm-alarms", advance);
        let alarms = alarms.map_err(|error| failed(error.into()))?;
        let runtime = Self { engine, alarms };
        // Another thread may have been faster; its engine then is the one.
        let _ = slot.set(runtime);
        slot.get()
            .ok_or_else(|| failed("the engine is gone".into()))
    }
}

fn config(fuel: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_features(!preflight::features(), false)
        .wasm_features(preflight::features(), true)
        .epoch_interruption(true)
        .consume_fuel(fuel)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK)
        .wasm_backtrace_max_frames(NonZero::new(FRAMES_MAX))
        // For debuggers and profilers of the host, which have no use for a plugin's frames.
        .native_unwind_info(false);
    if let Some(limit) = address_space() {
        // By default each memory reserves 4 GiB, of which two do not fit into many a limit. Threads
        // and allocators reserve most of a small one.
        config
            .memory_reservation(limit / 1024)
            // Each time that this is used up, the whole memory is moved.
            .memory_reservation_for_growth(limit / 256)
            .memory_guard_size(64 * 1024);
    }
    config
}

/// Returns the bytes of address space that this process may use, if it is limited (`ulimit -v`).
#[cfg(unix)]
fn address_space() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

#[cfg(not(unix))]
fn address_space() -> Option<u64> {
    None
}

/// Reports whether an error of the operating system of this kind is among the causes of `error`.
pub(super) fn is_caused_by(error: &wasmtime::Error, kind: ErrorKind) -> bool {
    error.chain().any(|cause| {
        let found = cause.downcast_ref().map(io::Error::kind);
        #[cfg(unix)]
        let found = found.or_else(|| {
            let errno = cause.downcast_ref::<rustix::io::Errno>();
            errno.map(|errno| io::Error::from(*errno).kind())
        });
        found == Some(kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_kernel_is_that_of_its_text() {
        let text = include_str!("kernel.wat");
        assert_eq!(wat::parse_str(text).unwrap(), KERNEL);
    }

    #[test]
    fn there_is_one_engine_with_fuel_and_one_without() {
        let plain = Runtime::get(false).unwrap();
        assert!(std::ptr::eq(plain, Runtime::get(false).unwrap()));
        assert!(!std::ptr::eq(plain, Runtime::get(true).unwrap()));
    }
}
