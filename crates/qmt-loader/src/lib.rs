#![doc = include_str!("../README.md")]
//!
//! Turns verified bytes into a plugin that can be called.
//!
//! reference → resolve → verify → select → fetch → extract → cache → **load**.
//! The only crate that runs plugin code, and the only one that names wasmtime, Extism and
//! libloading. It verifies no signature and reads no registry: its caller does, and passes the bytes
//! that were hashed.
//!
//! **Nothing by default.** A Wasm plugin that is loaded with [`LoadOptions::default`] sees no
//! environment variable, no file, no network, no standard streams and no configuration; memory,
//! tables and time have limits that cannot be switched off. A native library runs with the
//! rights of the process: what can be checked is checked before any of its code runs, and that is
//! all that protects the host from it, unless it is loaded with [`native::Isolation::Process`].
#![deny(unsafe_code)] // `native/ffi.rs`, `native/worker/ffi.rs` and `wasm/image.rs` alone may expect it.

#[cfg(any(feature = "native", feature = "wasm"))]
mod alarms;
mod context;
mod error;
#[cfg(feature = "extism")]
mod extism;
#[cfg(any(feature = "native", feature = "wasm"))]
mod grants;
mod limits;
mod loader; // Start here: the trait.
pub mod native;
mod plugin;
#[cfg(any(feature = "native", feature = "wasm"))]
mod private;
#[cfg(feature = "wasm")]
pub mod wasm;

pub use self::context::CallContext;
pub use self::error::{LoadError, LoadErrorKind};
#[cfg(feature = "extism")]
pub use self::extism::ExtismLoader;
pub use self::limits::{Allow, Limits, LoadOptions};
#[cfg(feature = "test-util")]
pub use self::loader::MockLoader;
pub use self::loader::{Artifact, Loader, Preflight};
#[cfg(feature = "test-util")]
pub use self::plugin::MockPlugin;
pub use self::plugin::Plugin;
/// The encodings of [`dyn Plugin::call_typed`](trait.Plugin.html#method.call_typed): what plugins
/// made with an Extism PDK use for their inputs and outputs.
#[cfg(feature = "convert")]
pub use extism_convert as convert;

/// Why some bytes are not a plugin that can be loaded: the rules of each kind.
pub mod refusal {
    pub use crate::error::{NativeRefusal, WasmRefusal};
}
