//! Writes the sample plugins into a folder: `greeter.wasm`, and the native one for this machine
//! (`libgreeter.so`, `.dylib` or `.dll`), compiled from C.
//!
//! ```sh
//! cargo run -p qmt-testkit --example plugins -- DIR
//! ```
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: plugins DIR");
        return ExitCode::from(2);
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("greeter.wasm"),
        qmt_testkit::plugins::echo_wasm(),
    )?;
    let library = qmt_testkit::plugins::native_plugin(folder)?;
    let name = format!(
        "{}greeter{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    std::fs::rename(library, folder.join(name))?;
    Ok(())
}
