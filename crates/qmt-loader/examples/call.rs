//! Loads a Wasm plugin from a file and calls one of its functions:
//! `cargo run -p qmt-loader --example call -- plugin.wasm greet world`
#![expect(clippy::print_stdout, reason = "the output of the example")]

use std::error::Error;

use qmt_loader::wasm::WasmLoader;
use qmt_loader::{Artifact, LoadOptions, Loader as _};
use qmt_oci_ref::PluginKind;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: call FILE EXPORT INPUT");
    let (file, export, input) = (next()?, next()?, next()?);

    let loader = WasmLoader::builder().build()?;
    let artifact = Artifact::from_bytes(PluginKind::Wasm, std::fs::read(&file)?, file);
    // By default a plugin has no rights, and all limits apply.
    let plugin = loader.load(artifact, LoadOptions::default()).await?;
    let output = plugin.call(&export, input.into()).await?;
    println!("{}", String::from_utf8_lossy(&output));
    Ok(())
}
