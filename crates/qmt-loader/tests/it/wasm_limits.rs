//! Wasm plugins that take more than they are given: time, fuel, memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::refusal::WasmRefusal;
use qmt_loader::wasm::WasmLoader;
use qmt_loader::{LoadError, LoadOptions, Loader};

use crate::support::{
    SLACK, in_a_child, is_child, loader, number, refusal, wasm, wasm_text, within,
};

const SHORT: Duration = Duration::from_millis(300);
/// 1 MiB, and another one that Extism's kernel begins with.
const PAGES_MAX: u64 = 32;

fn one_instance() -> WasmLoader {
    WasmLoader::builder().instances(1).build().unwrap()
}

/// WASM-01, WASM-11, LIM-11: a call that never ends is stopped, and the plugin answers at once again.
#[tokio::test]
async fn a_loop_in_an_export_is_stopped() {
    let loader = one_instance();
    let artifact = wasm("hostile-wasm/calls.wat");
    let plugin = loader.load(artifact, within(SHORT)).await.unwrap();
    for _ in 0..2 {
        let begin = Instant::now();
        let error = plugin.call("spin", Bytes::new()).await.unwrap_err();
        assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
        assert!(begin.elapsed() < SHORT + SLACK, "{:?}", begin.elapsed());
        // The only instance is free again.
        assert_eq!(number(&*plugin, "fine").await, 42);
    }
}

/// WASM-01: whoever waits is told in time also where Extism's own clock does not run.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_a_start_function_is_stopped() {
    for fixture in [
        "hostile-wasm/start-spins.wat",
        "hostile-wasm/initialize-spins.wat",
    ] {
        let loader = loader();
        let mut options = within(SHORT);
        // What ends the thread itself.
        options.limits.fuel = Some(2_000_000_000);
        let begin = Instant::now();
        let error = refusal(loader.load(wasm(fixture), options).await);
        assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
        assert!(begin.elapsed() < SHORT + SLACK * 2, "{:?}", begin.elapsed());
    }
}

/// WASM-01: the fuel ends a start function that no clock reaches.
#[tokio::test]
async fn a_loop_in_a_start_function_runs_out_of_fuel() {
    for fixture in [
        "hostile-wasm/start-spins.wat",
        "hostile-wasm/initialize-spins.wat",
    ] {
        let mut options = LoadOptions::default();
        options.limits.fuel = Some(1_000_000);
        let error = refusal(loader().load(wasm(fixture), options).await);
        assert!(
            matches!(
                error,
                LoadError::OutOfFuel {
                    limit: 1_000_000,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

/// WASM-01: the limit on instructions holds by itself, and a call gets the whole of it each time.
#[tokio::test]
async fn a_loop_in_an_export_runs_out_of_fuel() {
    let mut options = LoadOptions::default();
    options.limits.fuel = Some(1_000_000);
    let plugin = loader()
        .load(wasm("hostile-wasm/calls.wat"), options)
        .await
        .unwrap();
    for _ in 0..2 {
        let error = plugin.call("spin", Bytes::new()).await.unwrap_err();
        assert!(matches!(error, LoadError::OutOfFuel { .. }), "{error:?}");
        assert_eq!(number(&*plugin, "fine").await, 42);
    }
}

/// WASM-05: the time-out of one call stops no other one, in the same plugin or in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_time_out_stops_no_other_call() {
    let loader = WasmLoader::builder().instances(4).build().unwrap();
    let artifact = wasm("hostile-wasm/calls.wat");
    let bad = loader.load(artifact.clone(), within(SHORT)).await.unwrap();
    let good = loader
        .load(artifact.clone(), within(SHORT * 4))
        .await
        .unwrap();
    // Spins until its own, longer time-out: if it ended before, something else stopped it.
    let begin = Instant::now();
    let long = tokio::spawn(async move { good.call("spin", Bytes::new()).await });
    let short = [bad.clone(), bad.clone()]
        .map(|bad| tokio::spawn(async move { bad.call("spin", Bytes::new()).await }));
    for call in short {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    }
    assert!(!long.is_finished(), "ended after {:?}", begin.elapsed());
    long.await.unwrap().unwrap_err();
    assert!(begin.elapsed() >= SHORT * 4, "{:?}", begin.elapsed());
    assert_eq!(number(&*bad, "fine").await, 42);
}

/// A caller who gives up stops the code: the only instance is free long before the time-out.
#[tokio::test]
async fn dropping_a_call_stops_it() {
    let loader = one_instance();
    let artifact = wasm("hostile-wasm/calls.wat");
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    for delay in [0, 1, 200] {
        let call = plugin.call("spin", Bytes::new());
        let ended = tokio::time::timeout(Duration::from_millis(delay), call).await;
        ended.unwrap_err();
        let begin = Instant::now();
        assert_eq!(number(&*plugin, "fine").await, 42);
        assert!(begin.elapsed() < SLACK * 2, "{:?}", begin.elapsed());
    }
}

/// Waiting for an instance counts towards the time of a call.
#[tokio::test]
async fn a_busy_plugin_says_so() {
    let loader = one_instance();
    let artifact = wasm("hostile-wasm/calls.wat");
    let slow = loader.load(artifact, within(SHORT * 2)).await.unwrap();
    let spinning = tokio::spawn({
        let slow = slow.clone();
        async move { slow.call("spin", Bytes::new()).await }
    });
    tokio::time::sleep(SHORT).await;
    // It would be free in time, so that this one is answered; and there is only one.
    assert_eq!(number(&*slow, "count").await, 1);
    spinning.await.unwrap().unwrap_err();
    // It stays in use for longer than a call waits.
    let lease = slow.lease().await.unwrap();
    let error = slow.call("fine", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Busy { .. }), "{error:?}");
    assert!(error.is_retryable());
    drop(lease);
    assert_eq!(number(&*slow, "fine").await, 42);
}

/// WASM-03, LIM-11: memory stops at the limit, from the first instruction on.
#[tokio::test]
async fn memory_stops_at_the_limit() {
    let mut options = LoadOptions::default();
    options.limits.memory_max = 1 << 20;
    // Extism's own limiter traps where memory would grow beyond what is left for both memories.
    let artifact = wasm("hostile-wasm/calls.wat");
    let plugin = loader().load(artifact, options.clone()).await.unwrap();
    let error = plugin.call("grow", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::OutOfMemory { .. }), "{error:?}");
    assert_eq!(number(&*plugin, "fine").await, 42);
    // While the start function runs, it is wasmtime's pool that says no.
    let artifact = wasm("hostile-wasm/start-grows.wat");
    let outcome = loader().load(artifact, options).await;
    match outcome {
        Ok(plugin) => assert!(number(&*plugin, "pages").await <= PAGES_MAX),
        Err(error) => assert!(matches!(error, LoadError::OutOfMemory { .. }), "{error:?}"),
    }
}

/// WASM-03: what a module has from the start is held against the limit, at it and one above.
#[tokio::test]
async fn memories_and_tables_that_start_too_large_are_refused() {
    let mut options = LoadOptions::default();
    options.limits.memory_max = 1 << 20;
    options.limits.table_elements = 100;
    let load = |text: &'static str| {
        let options = options.clone();
        async move { loader().load(wasm_text(text), options).await }
    };
    load("(module (memory 16))").await.ok().unwrap();
    load("(module (table 100 funcref))").await.ok().unwrap();
    for text in ["(module (memory 17))", "(module (table 101 funcref))"] {
        let error = refusal(load(text).await);
        let LoadError::WasmRefused { reason, .. } = error else {
            panic!("{error:?}")
        };
        assert!(
            matches!(reason, WasmRefusal::StartsTooLarge { .. }),
            "{reason:?}"
        );
    }
}

/// WASM-03, LIM-11: Extism lets a table without a maximum grow for ever.
#[tokio::test]
async fn tables_stop_at_the_limit() {
    let artifact = wasm("hostile-wasm/calls.wat");
    let plugin = loader()
        .load(artifact, LoadOptions::default())
        .await
        .unwrap();
    let elements = number(&*plugin, "grow_table").await;
    assert!((99_000..=100_000).contains(&elements), "{elements}");
}

/// WASM-03, WASM-11: a trap ends the call, the instance is replaced, and the plugin goes on.
#[tokio::test]
async fn traps_leave_the_plugin_usable() {
    let loader = one_instance();
    let artifact = wasm("hostile-wasm/calls.wat");
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    for export in ["trap", "recurse"] {
        assert_eq!(number(&*plugin, "count").await, 1);
        assert_eq!(number(&*plugin, "count").await, 2);
        let error = plugin.call(export, Bytes::new()).await.unwrap_err();
        assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
    }
    assert_eq!(number(&*plugin, "count").await, 1);
}

/// A plugin that says that it failed keeps what it knows; its words cannot move a terminal.
#[tokio::test]
async fn a_failure_is_told_in_the_plugins_own_words() {
    let loader = one_instance();
    let artifact = wasm("hostile-wasm/calls.wat");
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    assert_eq!(number(&*plugin, "count").await, 1);
    match plugin.call("fails", Bytes::new()).await.unwrap_err() {
        LoadError::PluginFailed { message, .. } => assert_eq!(message, "no\\u{1b}[J"),
        other => panic!("{other:?}"),
    }
    assert_eq!(number(&*plugin, "count").await, 2);
}

/// WASM-03: an input beyond the plugin's memory is not even copied.
#[tokio::test]
async fn inputs_are_limited_by_the_memory() {
    let mut options = LoadOptions::default();
    options.limits.memory_max = 1 << 20;
    let artifact = wasm("echo-wasm/echo.wat");
    let plugin = loader().load(artifact, options).await.unwrap();
    let error = plugin
        .call("greet", Bytes::from(vec![b'x'; (1 << 20) + 1]))
        .await
        .unwrap_err();
    assert!(
        matches!(error, LoadError::InputTooLarge { .. }),
        "{error:?}"
    );
    // Within the limit, but with no room left for Extism's memory of it.
    let error = plugin
        .call("greet", Bytes::from(vec![b'x'; 1 << 20]))
        .await
        .unwrap_err();
    assert!(
        !matches!(error, LoadError::InputTooLarge { .. }),
        "{error:?}"
    );
    let answer = plugin
        .call("greet", Bytes::from(vec![b'x'; 1 << 16]))
        .await
        .unwrap();
    assert_eq!(answer.len(), (1 << 16) + 15);
}

/// WASM-04, LIM-11: the compiler is watched. In another process, whose other compilations would
/// take the time.
#[tokio::test]
async fn compiling_too_long_is_an_error() {
    if !is_child() {
        in_a_child("wasm_limits::compiling_too_long_is_an_error", &[]);
        return;
    }
    let body = "(i32.store (i32.const 0) (i32.clz (i32.load (i32.const 4))))".repeat(2_000);
    let functions = format!("(func {body})").repeat(10);
    let artifact = wasm_text(&format!(
        r#"(module (memory 1) (func (export "fine")) {functions})"#
    ));
    let home = tempfile::tempdir().unwrap();
    let mut options = LoadOptions::default();
    options.limits.compile_timeout = Duration::ZERO;
    // With a folder, the limit is the one at which the compilation itself took too long without.
    for folder in [None, Some(home.path().join("cache"))] {
        let is_kept = folder.is_some();
        let loader = WasmLoader::builder().compile_cache(folder).build();
        let loader = loader.unwrap();
        // Links the functions of the host.
        let echo = wasm("echo-wasm/echo.wat");
        loader.load(echo, LoadOptions::default()).await.unwrap();
        loop {
            let limit = options.limits.compile_timeout;
            let begin = Instant::now();
            let error = refusal(loader.load(artifact.clone(), options.clone()).await);
            assert!(
                matches!(error, LoadError::CompileTimedOut { .. }),
                "{error:?}"
            );
            assert!(begin.elapsed() < limit * 3 + SLACK);
            // Without a folder, compiling it again takes as long.
            if error.is_retryable() == is_kept {
                break;
            }
            // A shorter time went to the waits for a thread.
            assert!(!is_kept);
            options.limits.compile_timeout = limit * 2 + Duration::from_millis(1);
        }
        let plugin = loader
            .load(artifact.clone(), LoadOptions::default())
            .await
            .unwrap();
        plugin.call("fine", Bytes::new()).await.unwrap();
    }
}

/// LIM-11: a load ends in time where all threads of the host that may block are busy.
#[test]
fn loading_without_a_thread_ends_in_time() {
    const HELD: Duration = Duration::from_secs(4);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let loader = loader();
    let mut options = LoadOptions::default();
    options.limits.compile_timeout = SHORT;
    let artifact = || wasm("echo-wasm/echo.wat");
    runtime.block_on(async {
        for _ in 0..2 {
            let begin = Instant::now();
            let held = tokio::task::spawn_blocking(|| std::thread::sleep(HELD));
            let error = refusal(loader.load(artifact(), options.clone()).await);
            assert!(
                matches!(error, LoadError::CompileTimedOut { .. }),
                "{error:?}"
            );
            assert!(error.is_retryable());
            assert!(begin.elapsed() < HELD);
            held.await.unwrap();
            // The first time, the functions of the host were not linked yet.
            let other = wasm_text(r#"(module (func (export "fine")))"#);
            loader.load(other, LoadOptions::default()).await.unwrap();
        }
        loader
            .load(artifact(), LoadOptions::default())
            .await
            .unwrap();
    });
}
