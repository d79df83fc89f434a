#![doc = include_str!("../README.md")]
//!
//! Turns verified bytes into a plugin that can be called.
//!
//! reference → resolve → verify → fetch → extract → cache → **load**.
//! The only crate that runs plugin code, and the only one that names Extism, wasmtime and
//! libloading. It verifies no signature and reads no registry: its caller does, and passes the bytes that were hashed.
//!
//! **Nothing by default.** A Wasm plugin that is loaded with [`LoadOptions::default`] sees no
//! environment variable, no file, no network, no standard streams and no configuration; memory,
//! tables, fuel and time have limits that cannot be switched off. A native library runs with the
//! rights of the process: what can be checked is checked before any of its code runs, and that is
//! all that protects the host from it.
#![deny(unsafe_code)] // `native/ffi.rs` alone may expect it.

mod error;
mod limits;
mod loader; // Start here: the trait.
pub mod native;
mod plugin;
#[cfg(any(feature = "native", feature = "wasm"))]
mod private;
#[cfg(feature = "wasm")]
pub mod wasm;

pub use self::error::LoadError;
pub use self::limits::{Allow, Limits, LoadOptions};
#[cfg(feature = "test-util")]
pub use self::loader::MockLoader;
pub use self::loader::{Artifact, Loader, Preflight};
#[cfg(feature = "test-util")]
pub use self::plugin::MockPlugin;
pub use self::plugin::Plugin;

/// Why some bytes are not a plugin that can be loaded: the rules of each kind.
pub mod refusal {
    pub use crate::error::{NativeRefusal, WasmRefusal};
}
