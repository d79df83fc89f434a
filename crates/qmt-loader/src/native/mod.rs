//! Native plugins: shared libraries in the process of the host.
//!
//! Code of a library runs from the moment it is opened, so everything that can be checked is
//! checked before, in the bytes; and what is opened is a copy that cannot be changed any more.

mod ffi;
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

/// The C interface of native plugins: `qmt_plugin.h` and its version.
pub use qmt_plugin::abi;

#[cfg(feature = "native")]
pub use self::ffi::Symbol;
#[cfg(feature = "native")]
pub use self::load::NativeLoader;
#[cfg(feature = "native")]
pub use self::plugin::NativePlugin;
