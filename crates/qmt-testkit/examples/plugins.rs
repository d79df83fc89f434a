//! Writes the sample plugins into a folder: `greeter.wasm`, and the native one for this machine
//! (`libgreeter.so`, `.dylib` or `.dll`), compiled from C.
//!
//! ```sh
//! cargo run --example plugins -- DIR
//! ```
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("usage: plugins DIR")?;
    std::fs::create_dir_all(&folder)?;
    let module = qmt_testkit::plugins::echo_wasm();
    std::fs::write(folder.join("greeter.wasm"), module)?;
    let library = qmt_testkit::plugins::native_plugin(&folder)?;
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    std::fs::rename(library, folder.join(format!("{prefix}greeter{suffix}")))?;
    Ok(())
}
