//! Puts the plugin seam of a host onto `qmt-plugins`.
//!
//! [`seam`] stands for the host's own types. [`Downloader`] verifies and fetches; [`WasmLoader`] and
//! [`NativeLoader`] load what it fetched.
mod downloader;
mod functions;
mod native;
pub mod seam;
mod wasm;

pub use downloader::Downloader;
pub use native::NativeLoader;
pub use wasm::WasmLoader;
