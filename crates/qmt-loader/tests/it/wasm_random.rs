//! F18: random modules, of which some use only what the engine offers and some use anything.
//!
//! Each is loaded, and its exports are called, next to a plugin that must always answer. The tests
//! run a sample; `QMT_DRILL=full` runs ten thousand modules, `QMT_DRILL=long` a hundred thousand.

use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary as _, Unstructured};
use bytes::Bytes;
use qmt_loader::{LoadError, LoadOptions, Loader, Plugin};
use qmt_oci_ref::PluginKind;
use wasm_smith::{Config, Module};

use crate::support::{artifact, loader, wasm, within};

/// Bytes of randomness for each module.
const ENTROPY: usize = 2048;
/// What each module exports, with random bodies.
const EXPORTS: &str = r#"(module
    (func (export "answer") (result i32) i32.const 0)
    (func (export "run")))"#;
/// What modules may import that use nothing else than the engine offers.
const IMPORTS: &str = r#"(module
    (import "extism:host/env" "alloc" (func (param i64) (result i64)))
    (import "extism:host/env" "free" (func (param i64)))
    (import "extism:host/env" "length" (func (param i64) (result i64)))
    (import "extism:host/env" "load_u64" (func (param i64) (result i64)))
    (import "extism:host/env" "store_u64" (func (param i64 i64)))
    (import "extism:host/env" "input_length" (func (result i64)))
    (import "extism:host/env" "output_set" (func (param i64 i64)))
    (import "extism:host/env" "error_set" (func (param i64)))
    (import "extism:host/env" "reset" (func))
    (import "extism:host/env" "config_get" (func (param i64) (result i64)))
    (import "extism:host/env" "var_get" (func (param i64) (result i64)))
    (import "extism:host/env" "var_set" (func (param i64 i64)))
    (import "extism:host/env" "http_request" (func (param i64 i64) (result i64)))
    (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
      (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))))"#;

/// How the modules ended.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    /// Loaded, but its start function or initialisation failed.
    unstarted: usize,
    answered: usize,
    failed: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_random_modules_end_in_typed_errors() {
    let modules = match std::env::var("QMT_DRILL").as_deref() {
        Ok("long") => 100_000,
        Ok("full") => 10_000,
        _ => 100,
    };
    let loader = loader();
    let neighbour = loader
        .load(wasm("echo-wasm/echo.wat"), LoadOptions::default())
        .await
        .unwrap();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut tally = Tally::default();
    for nth in 0..modules {
        let bytes = module(&noise.bytes(), nth % 4 != 0);
        let mut options = within(Duration::from_millis(200));
        options.limits.memory_max = 16 << 20;
        // With fuel, time does not decide how most modules end.
        options.limits.fuel = Some(1_000_000);
        let context = format!("module {nth}");
        match loader
            .load(artifact(PluginKind::Wasm, bytes), options)
            .await
        {
            Ok(plugin) => call(&plugin, &mut tally, &context).await,
            Err(error) => match error {
                LoadError::Start { .. }
                | LoadError::TimedOut { .. }
                | LoadError::OutOfFuel { .. }
                | LoadError::OutOfMemory { .. } => tally.unstarted += 1,
                LoadError::WasmRefused { .. } => tally.refused += 1,
                error => panic!("{context}: {error:?}"),
            },
        }
        let answer = neighbour.call("greet", Bytes::from("Ada")).await;
        assert_eq!(answer.unwrap(), "Hello, Ada! (wasm)", "{context}");
    }
    println!("drill F18 random modules: {modules} cases, {tally:?}");
    assert!(tally.refused > 0 && tally.answered > 0 && tally.failed > 0);
}

async fn call(plugin: &Arc<dyn Plugin>, tally: &mut Tally, context: &str) {
    for export in ["answer", "run"] {
        match plugin.call(export, Bytes::from_static(b"input")).await {
            Ok(_) => tally.answered += 1,
            Err(LoadError::Host { .. } | LoadError::UnknownExport { .. }) => {
                panic!("{context}: `{export}` ended as no module can make it end")
            }
            Err(_) => tally.failed += 1,
        }
    }
}

/// Makes a module of `entropy`: one that the engine runs, or one that uses anything.
fn module(entropy: &[u8], offered: bool) -> Vec<u8> {
    let mut random = Unstructured::new(entropy);
    let mut config = Config::arbitrary(&mut random).unwrap();
    config.exports = Some(wat::parse_str(EXPORTS).unwrap());
    if offered {
        config.available_imports = Some(wat::parse_str(IMPORTS).unwrap());
        config.max_memories = 1;
        config.max_memory32_bytes = 4 << 20;
        config.max_tables = 4;
        config.max_table_elements = 1_000;
        config.disallow_traps = false;
        config.exceptions_enabled = false;
        config.gc_enabled = false;
        config.memory64_enabled = false;
        config.reference_types_enabled = false;
        config.relaxed_simd_enabled = false;
        config.threads_enabled = false;
    }
    Module::new(config, &mut random).unwrap().to_bytes()
}

/// The same numbers in every run, so that a module that fails can be made again.
struct Noise(u64);

impl Noise {
    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTROPY);
        while bytes.len() < ENTROPY {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend_from_slice(&self.0.to_le_bytes());
        }
        bytes
    }
}
