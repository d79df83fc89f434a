//! Loads and calls a module by Extism alone, to compare with: `extism_alone FILE EXPORT INPUT [CACHE]`.
//!
//! With the folder `CACHE`, compiled code is kept there.
#![forbid(unsafe_code)]

use std::io::Write as _;

use anyhow::Context as _;
use extism::{Manifest, PluginBuilder, Wasm};
// For a feature without which crate `extism` does not compile.
use wasmtime_of_extism as _;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .context("usage: extism_alone FILE EXPORT INPUT [CACHE]")
    };
    let (file, export, input) = (next()?, next()?, next()?);
    let builder =
        PluginBuilder::new(Manifest::new([Wasm::data(std::fs::read(file)?)])).with_wasi(true);
    let builder = match arguments.next() {
        Some(folder) => {
            std::fs::create_dir_all(&folder)?;
            let config = std::path::Path::new(&folder).join("cache.toml");
            if !config.exists() {
                std::fs::write(&config, format!("[cache]\ndirectory = \"{folder}/code\"\n"))?;
            }
            builder.with_cache_config(config)
        }
        None => builder.with_cache_disabled(),
    };
    let mut plugin = builder.build()?;
    let answer: Vec<u8> = plugin.call(&export, input)?;
    std::io::stdout().write_all(&answer)?;
    Ok(())
}
