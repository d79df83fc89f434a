//! Plugins that are really loaded and called: good ones, and each kind of bad one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod native;
mod native_rust;
mod seam;
mod support;
mod wasm;
mod wasm_cache;
mod wasm_host;
mod wasm_limits;
mod wasm_rights;
