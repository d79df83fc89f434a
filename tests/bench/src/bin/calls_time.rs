//! Times calls that do nothing and instances that are made for one call, next to crate `extism` and to
//! the engine alone.
//!
//! Prints a line per figure: its name, and the nanoseconds of ours and of the other.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use extism::{CompiledPlugin, Manifest, PluginBuilder, Wasm};
use futures_util::FutureExt as _;
use qmt_oci_ref::PluginKind;
use qmt_plugins::loader::wasm::WasmLoader;
use qmt_plugins::loader::{Artifact, LoadOptions, Loader as _};

/// A module of no imports and one function that does nothing: `(func (export "empty") (result i32)
/// (i32.const 0))`.
const EMPTY: &[u8] = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x07\x09\x01\x05empty\0\0\x0a\x06\x01\x04\0\x41\0\x0b";
/// Calls of one series; the least of several series counts.
const CALLS: u32 = 20_000;
const INSTANCES: u32 = 200;
const SERIES: usize = 9;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let loader = WasmLoader::builder().build()?;
    let artifact = Artifact::from_bytes(PluginKind::Wasm, EMPTY, "empty");
    let plugin = runtime.block_on(loader.load(artifact.clone(), LoadOptions::default()))?;
    let manifest = Manifest::new([Wasm::data(EMPTY)]);
    let compiled = CompiledPlugin::new(PluginBuilder::new(manifest))?;
    let mut theirs = extism::Plugin::new_from_compiled(&compiled)?;
    let (mut store, function) = engine_alone()?;

    let mut times: [u128; 6] = [u128::MAX; 6];
    for series in 0..SERIES {
        let [call, blocking, instance, other_call, other_instance, engine] = &mut times;
        least(engine, CALLS, || {
            for _ in 0..CALLS {
                let call = function.call_async(&mut store, ());
                let called = call.now_or_never().context("the call waits")?;
                called.map_err(of_engine)?;
            }
            Ok(())
        })?;
        least(call, CALLS, || {
            runtime.block_on(async {
                for _ in 0..CALLS {
                    plugin.call("empty", Bytes::new()).await?;
                }
                anyhow::Ok(())
            })
        })?;
        least(blocking, CALLS, || {
            for _ in 0..CALLS {
                plugin.call_blocking("empty", Bytes::new())?;
            }
            Ok(())
        })?;
        least(instance, INSTANCES, || {
            runtime.block_on(async {
                for nth in 0..INSTANCES {
                    // Other options each time: the loader would hand out the same instances.
                    let mut options = LoadOptions::default();
                    let turn = format!("{series}.{nth}");
                    options.config.insert("turn".to_owned(), turn);
                    let plugin = loader.load(artifact.clone(), options).await?;
                    plugin.call("empty", Bytes::new()).await?;
                }
                anyhow::Ok(())
            })
        })?;
        least(other_call, CALLS, || {
            for _ in 0..CALLS {
                theirs.call::<&[u8], ()>("empty", &[])?;
            }
            Ok(())
        })?;
        least(other_instance, INSTANCES, || {
            for _ in 0..INSTANCES {
                let mut plugin = extism::Plugin::new_from_compiled(&compiled)?;
                plugin.call::<&[u8], ()>("empty", &[])?;
            }
            Ok(())
        })?;
    }
    let [call, blocking, instance, other_call, other_instance, engine] = times;
    let mut out = std::io::stdout();
    writeln!(out, "call {call} {other_call}")?;
    writeln!(out, "blocking {blocking} {other_call}")?;
    writeln!(out, "instance {instance} {other_instance}")?;
    writeln!(out, "engine {blocking} {engine}")?;
    Ok(())
}

/// Returns what it takes to call the function with wasmtime, in the settings of the loader: calls can
/// be stopped, and run on a stack of their own.
fn engine_alone() -> anyhow::Result<(wasmtime::Store<()>, wasmtime::TypedFunc<(), i32>)> {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let engine = wasmtime::Engine::new(&config).map_err(of_engine)?;
    let module = wasmtime::Module::new(&engine, EMPTY).map_err(of_engine)?;
    let mut store = wasmtime::Store::new(&engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    let linker = wasmtime::Linker::new(&engine);
    let instance = linker.instantiate(&mut store, &module).map_err(of_engine)?;
    let function = instance.get_typed_func(&mut store, "empty");
    Ok((store, function.map_err(of_engine)?))
}

fn of_engine(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into())
}

/// Times `count` turns of `work` and keeps the least time of one.
fn least(
    time: &mut u128,
    count: u32,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    work()?;
    *time = (*time).min((start.elapsed() / count).as_nanos());
    Ok(())
}
