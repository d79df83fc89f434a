//! For authors of native plugins in Rust: the C ABI of `qmt_plugin.h` in one macro.
//!
//! Depend on this crate with `default-features = false`: neither Extism nor wasmtime is built then.
//!
//! ```
//! fn greet(input: &[u8]) -> Result<Vec<u8>, String> {
//!     let name = std::str::from_utf8(input).map_err(|error| error.to_string())?;
//!     Ok(format!("Hello, {name}!").into_bytes())
//! }
//!
//! qmt_loader::export_native_plugin! {
//!     "greet" => greet,
//! }
//! # fn main() {}
//! ```
//!
//! A panic in a function becomes an error of that call; it never crosses into the host. (It cannot
//! be caught where the plugin is built with `panic = "abort"`: the whole host dies then.)

#[doc(hidden)]
pub use super::ffi::{call, configure, exports, free};

/// The version of `qmt_plugin.h` that this crate speaks, as host and as author.
pub const ABI_VERSION: u32 = 1;

/// The first bytes of the mark by which a host knows the version without opening the library.
pub(crate) const ABI_MAGIC: [u8; 8] = *b"QMTABI\0\0";

/// A function of a plugin: bytes in, bytes or a message for people out.
pub type Function = fn(&[u8]) -> Result<Vec<u8>, String>;

/// Takes the configuration, a JSON object of texts.
pub type Configure = fn(&[u8]) -> Result<(), String>;

/// The mark in the library's read-only data; made by [`export_native_plugin!`](crate::export_native_plugin).
#[derive(Debug)]
#[repr(C)]
#[non_exhaustive]
pub struct AbiMark {
    magic: [u8; 8],
    version: u32,
}

impl AbiMark {
    /// The mark of this version.
    pub const CURRENT: Self = Self {
        magic: ABI_MAGIC,
        version: ABI_VERSION,
    };
}
