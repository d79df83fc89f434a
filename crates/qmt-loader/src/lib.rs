#![doc = include_str!("../README.md")]
//!
//! Load: turns proven bytes into a plugin that can be called.
//!
//! reference → resolve → verify → fetch → extract → cache → **load**.
//! The only crate that runs plugin code, and the only one that names Extism, wasmtime and
//! libloading. It judges no signature and reads no registry: whoever calls it has done that, and
//! hands over the very bytes that were hashed.
//!
//! **Nothing by default.** A Wasm plugin that is loaded with [`LoadOptions::default`] sees no
//! environment variable, no file, no network, no standard streams and no configuration; memory,
//! tables, fuel and time have limits that cannot be switched off. A native library runs with the
//! rights of the process: what can be checked is checked before any of its code runs, and that is
//! all that protects the host from it.
#![deny(unsafe_code)] // `native/ffi.rs` alone may expect it.

mod error;
mod limits;
mod loader; // Start here: the seam.
mod native;
mod plugin;
#[cfg(any(feature = "native", feature = "wasm"))]
mod private;
#[cfg(feature = "wasm")]
mod wasm;

pub use self::error::{LoadError, NativeRefusal, WasmRefusal};
pub use self::limits::{Allow, Limits, LoadOptions};
#[cfg(feature = "test-util")]
pub use self::loader::MockLoader;
pub use self::loader::{Artifact, Kind, Loader, Preflight};
pub use self::native::author;
#[cfg(feature = "native")]
pub use self::native::{NativeLoader, NativePlugin, Symbol};
#[cfg(feature = "native")]
#[cfg(feature = "test-util")]
pub use self::plugin::MockPlugin;
pub use self::plugin::Plugin;
#[cfg(feature = "wasm")]
pub use self::wasm::{ExtismLoader, ExtismLoaderBuilder, HostFunction};
/// The escape hatch for hosts that need Extism's own types: [`ExtismLoaderBuilder::extism_function`]
/// takes an [`extism::Function`]. What is reached through it follows Extism's versions, not ours.
#[cfg(feature = "wasm")]
pub use extism;
