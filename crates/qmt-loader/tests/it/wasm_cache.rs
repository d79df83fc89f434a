//! The cache of compiled modules.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use qmt_loader::wasm::WasmLoader;
use qmt_loader::{LoadOptions, Loader};

use crate::support::{fixtures, wasm, wasm_text};

fn files(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        count += if path.is_dir() { files(&path) } else { 1 };
    }
    count
}

/// WASM-04, WASM-12: what is compiled once is not compiled again, in this process or another, and
/// loading it over and over leaves nothing behind.
#[tokio::test]
async fn a_module_is_compiled_once() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("compiled");
    let artifact = wasm("echo-wasm/echo.wat");
    let mut after_first = 0;
    for turn in 0..3 {
        let loader = WasmLoader::builder()
            .compile_cache(Some(folder.clone()))
            .build()
            .unwrap();
        for load in 0..3 {
            let mut options = LoadOptions::default();
            options
                .config
                .insert("turn".into(), format!("{turn}.{load}"));
            let plugin = loader.load(artifact.clone(), options).await.unwrap();
            let answer = plugin.call("greet", Bytes::from("x")).await.unwrap();
            assert_eq!(answer, "Hello, x! (wasm)");
            if turn + load == 0 {
                after_first = modules(&folder);
                // Extism's kernel, and the module.
                assert_eq!(after_first, 2);
            }
        }
    }
    assert_eq!(modules(&folder), after_first);
    assert!(files(&folder) >= after_first);
}

/// What one plugin takes of the process is little: memory mappings, for one, are counted.
#[tokio::test]
async fn a_hundred_plugins_live_side_by_side() {
    let loader = WasmLoader::builder().build().unwrap();
    let echo = fs::read_to_string(fixtures().join("echo-wasm/echo.wat")).unwrap();
    let echo = echo.trim_end().strip_suffix(')').unwrap();
    let mut plugins = Vec::new();
    for nth in 0..100 {
        // One module under many names would be one engine.
        let artifact = wasm_text(&format!("{echo}(func (export \"own{nth}\")))"));
        let plugin = loader.load(artifact, LoadOptions::default()).await;
        plugins.push(plugin.unwrap_or_else(|error| panic!("plugin {nth}: {error:?}")));
    }
    for plugin in plugins {
        let answer = plugin.call("greet", Bytes::from("Ada")).await.unwrap();
        assert_eq!(answer, "Hello, Ada! (wasm)");
    }
}

/// Compiled modules alone: wasmtime keeps small files of statistics beside them.
fn modules(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += modules(&path);
        } else if path.extension().is_none() {
            count += 1;
        }
    }
    count
}

/// WASM-12: loading a thousand times leaves no mappings behind.
#[cfg(target_os = "linux")]
#[test]
fn loading_again_and_again_leaves_nothing_behind() {
    const NAME: &str = "wasm_cache::loading_again_and_again_leaves_nothing_behind";
    if !crate::support::is_child() {
        crate::support::in_a_child(NAME, &[]);
        return;
    }
    let mappings = || {
        fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count()
    };
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let loader = WasmLoader::builder().build().unwrap();
        let artifact = wasm("echo-wasm/echo.wat");
        let load = async |turn: u32| {
            let mut options = LoadOptions::default();
            // Other options each time: the loader would hand out the same plugin.
            options.config.insert("turn".into(), turn.to_string());
            loader.load(artifact.clone(), options).await.unwrap();
        };
        for turn in 0..10 {
            load(turn).await;
        }
        let before = (mappings(), threads());
        for turn in 10..200 {
            load(turn).await;
        }
        // Threads of plugins that are gone end when they next run, which a busy machine puts off.
        let mut after = (mappings(), threads());
        for _ in 0..100 {
            if after.0 < before.0 + 60 && after.1 < before.1 + 20 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            after = (mappings(), threads());
        }
        assert!(
            after.0 < before.0 + 60,
            "mappings: {before:?} before, {after:?} after"
        );
        assert!(
            after.1 < before.1 + 20,
            "threads: {before:?} before, {after:?} after"
        );
    });
}
