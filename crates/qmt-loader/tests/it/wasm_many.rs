//! Many plugins, many calls, and the ways in which modules start and end.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::wasm::{HostFunction, WasmLoader};
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader};

use crate::support::{in_a_child, is_child, loader, number, refusal, wasm, wasm_text, within};

const MANY: usize = 1_000;
/// Linux gives a process 65,530 mappings by default.
const MAPPINGS_MAX: usize = 20_000;
const LONG: Duration = Duration::from_mins(10);

fn one_instance() -> WasmLoader {
    WasmLoader::builder().instances(1).build().unwrap()
}

/// A module with these functions, which can `$answer` with a number and `$exit`.
fn module(wasi: &str, functions: &str) -> Artifact {
    wasm_text(&format!(
        r#"(module
            (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
            (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
            (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
            (import "{wasi}" "proc_exit" (func $exit (param i32)))
            (import "{wasi}" "random_get" (func $random (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (global $calls (mut i64) (i64.const 0))
            (func $answer (param $number i64)
              (local $out i64)
              (local.set $out (call $alloc (i64.const 8)))
              (call $store_u64 (local.get $out) (local.get $number))
              (call $output_set (local.get $out) (i64.const 8)))
            (func $count
              (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
              (call $answer (global.get $calls)))
            {functions})"#
    ))
}

const PREVIEW_1: &str = "wasi_snapshot_preview1";

#[cfg(target_os = "linux")]
fn mappings_and_threads() -> (usize, usize) {
    let mappings = fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count();
    (mappings, fs::read_dir("/proc/self/task").unwrap().count())
}

/// WASM-10: a million answers of the host fit into two mebibytes, if the plugin frees them.
#[tokio::test(flavor = "multi_thread")]
async fn a_million_answers_take_no_memory() {
    const TIMES: u64 = 1_000_000;
    let loader = WasmLoader::builder()
        .host_function(HostFunction::new("ask", Ok))
        .build()
        .unwrap();
    let mut options = within(LONG);
    options.limits.memory_max = 2 << 20;
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let plugin = loader.load(artifact, options).await.unwrap();
    let input = Bytes::copy_from_slice(&TIMES.to_le_bytes());
    let output = plugin.call("ask_and_free", input).await.unwrap();
    // One page holds a question and an answer of a hundred bytes each.
    assert_eq!(output.as_ref(), 65_536_u64.to_le_bytes());
}

/// WASM-12: a thousand different plugins live in one process, and each of them answers.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_plugins_live_in_one_process() {
    const NAME: &str = "wasm_many::a_thousand_plugins_live_in_one_process";
    if !is_child() {
        in_a_child(NAME, &[]);
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let loader = loader();
        let mut plugins = Vec::with_capacity(MANY);
        let mut threads = 0;
        for nth in 0..MANY {
            let own = format!("(func (export \"own\") (call $answer (i64.const {nth})))");
            let plugin = loader.load(module(PREVIEW_1, &own), within(LONG)).await;
            plugins.push(plugin.unwrap_or_else(|error| panic!("plugin {nth}: {error:?}")));
            if nth == MANY / 10 {
                threads = mappings_and_threads().1;
            }
        }
        for (nth, plugin) in plugins.iter().enumerate() {
            assert_eq!(number(&**plugin, "own").await, u64::try_from(nth).unwrap());
        }
        let (mappings, threads_of_all) = mappings_and_threads();
        assert!(mappings < MAPPINGS_MAX, "{mappings} mappings");
        assert!(
            threads_of_all < threads + 10,
            "{threads}, then {threads_of_all} threads"
        );
    });
}

/// WASM-12: plugins that are gone leave neither mappings nor threads behind.
#[cfg(target_os = "linux")]
#[test]
fn plugins_that_are_gone_leave_nothing_behind() {
    const NAME: &str = "wasm_many::plugins_that_are_gone_leave_nothing_behind";
    if !is_child() {
        in_a_child(NAME, &[]);
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let loader = loader();
        let load = async |nth: usize| {
            let own = format!("(func (export \"own\") (call $answer (i64.const {nth})))");
            let plugin = loader
                .load(module(PREVIEW_1, &own), within(LONG))
                .await
                .ok()
                .unwrap();
            assert_eq!(number(&*plugin, "own").await, u64::try_from(nth).unwrap());
        };
        for nth in 0..10 {
            load(nth).await;
        }
        let before = mappings_and_threads();
        for nth in 10..110 {
            load(nth).await;
        }
        let after = mappings_and_threads();
        assert!(
            after.0 < before.0 + 30,
            "{before:?} before, {after:?} after"
        );
        assert!(after.1 < before.1 + 4, "{before:?} before, {after:?} after");
    });
}

/// As many calls run at once as there are instances, and all others wait for their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_share_the_instances() {
    const CALLS: usize = 64;
    const INSTANCES: usize = 4;
    let (running, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let highest = Arc::clone(&most);
    let ask = HostFunction::new("ask", move |input| {
        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(10));
        running.fetch_sub(1, Ordering::SeqCst);
        Ok(input)
    });
    let builder = WasmLoader::builder().host_function(ask);
    let loader = builder.instances(INSTANCES).build().unwrap();
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let plugin = loader.load(artifact, within(LONG)).await.unwrap();
    let begin = Instant::now();
    let calls = (0..CALLS).map(|caller| {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move { plugin.call("ask", Bytes::from(caller.to_string())).await })
    });
    for (caller, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), caller.to_string());
    }
    assert_eq!(most.load(Ordering::SeqCst), INSTANCES);
    let least = Duration::from_millis(10) * u32::try_from(CALLS / INSTANCES).unwrap();
    assert!(begin.elapsed() >= least, "{:?}", begin.elapsed());
}

/// A program runs once in an instance; other functions find what they left.
#[tokio::test]
async fn each_run_of_a_program_has_an_instance_of_its_own() {
    let program = module(
        PREVIEW_1,
        r#"(func (export "_start") (call $count))
           (func (export "count") (result i32) (call $count) (i32.const 0))"#,
    );
    let plugin = one_instance()
        .load(program, LoadOptions::default())
        .await
        .unwrap();
    let plugin = &*plugin;
    for _ in 0..3 {
        assert_eq!(number(plugin, "_start").await, 1);
    }
    for count in 1..4 {
        assert_eq!(number(plugin, "count").await, count);
    }
    // It runs in the instance that there is, and then that instance has ended.
    assert_eq!(number(plugin, "_start").await, 4);
    assert_eq!(number(plugin, "count").await, 1);
}

/// `proc_exit` ends the call and the instance, with success or without.
#[tokio::test]
async fn a_program_that_exits_has_ended() {
    let program = module(
        PREVIEW_1,
        r#"(func (export "count") (result i32) (call $count) (i32.const 0))
           (func (export "exit_0") (result i32) (call $count) (call $exit (i32.const 0)) (unreachable))
           (func (export "exit_3") (result i32) (call $count) (call $exit (i32.const 3)) (unreachable))
           (func (export "_start") (call $count) (call $exit (i32.const 3)))"#,
    );
    let plugin = one_instance()
        .load(program, LoadOptions::default())
        .await
        .unwrap();
    let plugin = &*plugin;
    assert_eq!(number(plugin, "count").await, 1);
    assert_eq!(number(plugin, "exit_0").await, 2);
    for export in ["exit_3", "_start"] {
        assert_eq!(number(plugin, "count").await, 1);
        assert_eq!(number(plugin, "count").await, 2);
        let error = plugin.call(export, Bytes::new()).await.unwrap_err();
        let LoadError::PluginFailed { message, .. } = error else {
            panic!("{error:?}")
        };
        assert!(message.contains('3'), "{message}");
    }
    assert_eq!(number(plugin, "count").await, 1);
    // Before the first call, it is a plugin that does not start.
    let ends = module(
        PREVIEW_1,
        "(func $end (call $exit (i32.const 3))) (start $end)",
    );
    let error = refusal(one_instance().load(ends, LoadOptions::default()).await);
    let text = error.to_string();
    assert!(
        matches!(error, LoadError::PluginFailed { .. }) && text.contains('3'),
        "{error:?}"
    );
}

/// The initialisers of languages run once, in the order that Extism has.
#[tokio::test]
async fn initialisers_run_as_their_languages_expect() {
    let reactor = r#"(func (export "_initialize") (call $note (i64.const 1)))"#;
    let haskell = r#"(func (export "hs_init") (param i32 i32)
        (if (i32.or (local.get 0) (local.get 1)) (then (unreachable)))
        (call $note (i64.const 2)))"#;
    let constructors = r#"(func (export "__wasm_call_ctors") (call $note (i64.const 3)))"#;
    for (initialisers, order) in [
        (String::new(), 0),
        (reactor.to_owned(), 1),
        (haskell.to_owned(), 2),
        (format!("{reactor}{haskell}"), 12),
        (constructors.to_owned(), 3),
        (format!("{reactor}{constructors}"), 3),
        (format!("{reactor}{haskell}{constructors}"), 12),
    ] {
        let functions = format!(
            r#"(func $note (param i64)
                 (global.set $calls
                   (i64.add (i64.mul (global.get $calls) (i64.const 10)) (local.get 0))))
               (func (export "order") (call $answer (global.get $calls)))
               {initialisers}"#
        );
        let artifact = module(PREVIEW_1, &functions);
        let plugin = one_instance()
            .load(artifact, LoadOptions::default())
            .await
            .unwrap();
        // Also before the second call, and they cannot be called.
        for _ in 0..2 {
            assert_eq!(number(&*plugin, "order").await, order, "{initialisers}");
        }
        assert_eq!(plugin.exports(), ["order"]);
    }
}

/// The preview of WASI before the first one works as well, both together too.
#[tokio::test]
async fn the_older_preview_works() {
    let both = r#"(func (export "random") (result i32) (call $random (i32.const 0) (i32.const 8)))
        (func (export "exit_0") (call $count) (call $exit (i32.const 0)))"#;
    let plugin = one_instance()
        .load(module("wasi_unstable", both), LoadOptions::default())
        .await
        .unwrap();
    plugin.call("random", Bytes::new()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(number(&*plugin, "exit_0").await, 1);
    }
}

/// What Extism can call is called: functions without arguments that return nothing or a number of
/// 32 bits. Others are not there, and do not keep the module from loading.
#[tokio::test]
async fn exports_of_other_types_are_not_offered() {
    let artifact = module(
        PREVIEW_1,
        r#"(func (export "nothing") (call $answer (i64.const 5)))
           (func (export "code") (result i32) (call $answer (i64.const 6)) (i32.const 0))
           (func (export "long") (result i64) (call $answer (i64.const 7)) (i64.const 0))
           (func (export "float") (result f32) (f32.const 0))
           (func (export "pair") (result i32 i32) (i32.const 0) (i32.const 0))
           (func (export "argument") (param i32) (result i32) (i32.const 0))"#,
    );
    let plugin = one_instance()
        .load(artifact, LoadOptions::default())
        .await
        .unwrap();
    assert_eq!(plugin.exports(), ["code", "nothing"]);
    assert_eq!(number(&*plugin, "nothing").await, 5);
    assert_eq!(number(&*plugin, "code").await, 6);
    for export in ["long", "float", "pair", "argument"] {
        let error = plugin.call(export, Bytes::new()).await.unwrap_err();
        assert!(
            matches!(error, LoadError::UnknownExport { .. }),
            "{error:?}"
        );
    }
}
