//! Native plugins: shared libraries, in the process of the host or in worker processes.
//!
//! Code of a library runs from the moment it is opened, so everything that can be checked is
//! checked before, in the bytes; and what is opened is a copy that cannot be changed any more.

#[cfg(feature = "native")]
mod ffi;
#[cfg(all(feature = "native", target_os = "linux"))]
mod frame;
#[cfg(all(feature = "native", target_os = "linux"))]
mod isolated;
mod isolation;
#[cfg(feature = "native")]
mod load;
#[cfg(feature = "native")]
mod opened;
#[cfg(feature = "native")]
mod plugin;
#[cfg(feature = "native")]
mod preflight;
#[cfg(feature = "native")]
mod sealed;
#[cfg(feature = "native")]
mod start;
#[cfg(feature = "native")]
mod waiting;
#[cfg(all(feature = "native", target_os = "linux"))]
mod worker;

/// The C interface of native plugins: `qmt_plugin.h` and its version.
pub use qmt_plugin::abi;

#[cfg(feature = "native")]
pub use self::ffi::Symbol;
pub use self::isolation::Isolation;
#[cfg(feature = "native")]
pub use self::load::NativeLoader;
#[cfg(feature = "native")]
pub(crate) use self::load::check_isolated;
#[cfg(feature = "native")]
pub use self::plugin::NativePlugin;
pub use crate::error::WorkerEnd;

/// Becomes the worker of an isolated plugin, if a host started this process as one, and does not
/// return then. Otherwise it does nothing.
///
/// A host whose plugins are isolated ([`Isolation::Process`]) calls it first in `main`: before
/// other threads, files or an async runtime exist, so not within `#[tokio::main]`. A worker gets no
/// environment from the host, and confines itself before it opens the library.
#[cfg(feature = "native")]
pub fn run_worker_if_asked() {
    #[cfg(target_os = "linux")]
    worker::run_if_asked();
}
