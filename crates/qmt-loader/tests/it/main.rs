//! Plugins that are really loaded and called: good ones, and each kind of bad one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip"
)]

mod isolated;
mod isolated_end;
mod isolated_hostile;
mod native;
mod native_options;
mod native_refused;
mod seam;
mod support;
mod wasi_calls;
mod wasm;
mod wasm_cache;
mod wasm_calls;
mod wasm_folder_edges;
mod wasm_folders;
mod wasm_host;
mod wasm_hostile;
mod wasm_images;
mod wasm_limits;
mod wasm_many;
mod wasm_open_files;
mod wasm_polls;
mod wasm_random;
mod wasm_rights;
mod wasm_sleeps;
mod workshop;
