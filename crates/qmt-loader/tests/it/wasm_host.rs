//! Functions of the host, and what plugins do to those that Extism brings along.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::wasm::{HostFunction, Value, ValueType, WasmLoader};
use qmt_loader::{Artifact, CallContext, LoadError, LoadOptions, Loader};
use qmt_oci_ref::PluginKind;

use crate::support::{
    Logged, SLACK, chain, load, loader, number, refusal, wasm, wasm_text, within,
};

fn with(function: HostFunction) -> WasmLoader {
    WasmLoader::builder()
        .host_function(function)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_plugin_calls_the_host() {
    let loader = with(HostFunction::new("ask", |input| {
        Ok([b"<", &input[..], b">"].concat().into())
    }));
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    let answer = plugin.call("ask", Bytes::from("x")).await.unwrap();
    assert_eq!(answer, "<x>");
}

/// Values of the caller that panic when they are dropped end neither the call nor the ones after it.
#[tokio::test]
async fn a_context_that_panics_in_drop_changes_no_result() {
    struct Panics<const N: u8>;
    impl<const N: u8> Drop for Panics<N> {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let loader = with(HostFunction::new("ask", Ok));
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    let lease = plugin.lease().await.unwrap();
    for plugin in [&*plugin, &*lease, &*plugin, &*lease] {
        let context = CallContext::new().with(Panics::<0>).with(Panics::<1>);
        let answer = plugin.call_with(context, "ask", Bytes::from("x")).await;
        assert_eq!(answer.unwrap(), "x");
    }
}

/// A module that calls the host's `ask`, and fails with what WASI's `random_get` returns.
const WITH_WASI: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "extism:host/user" "ask" (func $ask (param i64) (result i64)))
    (memory (export "memory") 1)
    (func (export "act") (result i32)
        (drop (call $ask (i64.const 0)))
        (call $random (i32.const 0) (i32.const 8))))"#;

/// The functions of the host run on its runtime, also where WASI needs another one.
#[tokio::test]
async fn a_host_function_runs_on_the_runtime_of_the_host() {
    let loader = with(HostFunction::new("ask", |input| {
        // The runtime of WASI is of the multi-threaded flavor, that of this test is not.
        let flavor = tokio::runtime::Handle::current().runtime_flavor();
        match flavor {
            tokio::runtime::RuntimeFlavor::CurrentThread => Ok(input),
            other => Err(format!("{other:?}").into()),
        }
    }));
    let artifact = wasm_text(WITH_WASI);
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    plugin.call("act", Bytes::new()).await.unwrap();
}

/// A function of the host is called in place of one of WASI, as in Extism.
#[tokio::test]
async fn a_host_function_replaces_one_of_wasi() {
    let random = HostFunction::raw(
        "random_get",
        &[ValueType::I32, ValueType::I32],
        &[ValueType::I32],
        |_, _| Ok(vec![Value::I32(77)]),
    );
    let loader = WasmLoader::builder()
        .host_function(HostFunction::new("ask", Ok))
        .host_function(random.in_namespace("wasi_snapshot_preview1"))
        .build()
        .unwrap();
    let artifact = wasm_text(WITH_WASI);
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    match plugin.call("act", Bytes::new()).await.unwrap_err() {
        LoadError::PluginFailed { code, .. } => assert_eq!(code, 77),
        other => panic!("{other:?}"),
    }
}

/// A plugin that two providers load is called under the name of each.
#[tokio::test]
async fn each_name_of_a_plugin_is_its_own() {
    let loader = with(HostFunction::with_call("ask", |call, _| {
        Err(call.plugin().to_owned().into())
    }));
    let bytes = wasm("hostile-wasm/asks-host.wat").bytes().clone();
    let mut plugins = Vec::new();
    for name in ["one", "two"] {
        let artifact = Artifact::from_bytes(PluginKind::Wasm, bytes.clone(), name);
        let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
        plugins.push((name, plugin));
    }
    for (name, plugin) in plugins {
        let error = plugin.call("ask", Bytes::from("x")).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(chain(&error).ends_with(name), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_function_that_the_host_does_not_offer_is_refused() {
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let error = refusal(
        loader()
            .load(artifact.clone(), LoadOptions::default())
            .await,
    );
    assert!(matches!(error, LoadError::WasmRefused { .. }), "{error:?}");
    let elsewhere = with(HostFunction::new("ask", Ok).in_namespace("elsewhere"));
    let error = refusal(elsewhere.load(artifact, LoadOptions::default()).await);
    assert!(matches!(error, LoadError::WasmRefused { .. }), "{error:?}");
}

/// WASM-10: an error or a panic of the host ends the call and nothing else.
#[tokio::test]
async fn a_host_function_that_fails_ends_the_call() {
    let loader = with(HostFunction::new("ask", |input| match &input[..] {
        b"panic" => panic!("oh"),
        b"error" => Err("no".into()),
        _ => Ok(input),
    }));
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    for input in ["panic", "error"] {
        let error = plugin.call("ask", Bytes::from(input)).await.unwrap_err();
        assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
        let expected = match input {
            "panic" => "panicked: oh",
            _ => "failed: no",
        };
        let text = qmt_oci_ref::text::error_line(&error, None);
        assert!(text.contains(expected), "{text}");
        let answer = plugin.call("ask", Bytes::from("x")).await.unwrap();
        assert_eq!(answer, "x");
    }
}

/// WASM-10: what is asked of the host costs a plugin the memory of the answers, and no more.
#[tokio::test]
async fn many_answers_fit_in_memory() {
    let loader = with(HostFunction::new("ask", Ok));
    let mut options = within(Duration::from_mins(1));
    options.limits.memory_max = 64 << 20;
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let plugin = loader.load(artifact, options).await.unwrap();
    let input = Bytes::from("x".repeat(100));
    let answer = plugin.call("ask_3000_times", input.clone()).await.unwrap();
    assert_eq!(answer, input);
}

/// WASM-01, WASM-02: time in the host's functions counts, and re-entry is no way around it.
#[tokio::test(flavor = "multi_thread")]
async fn time_in_the_host_counts() {
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let loader = with(HostFunction::new("ask", move |input| {
        counter.fetch_add(1, Ordering::SeqCst);
        // Each answer takes of the plugin's memory, which must not be used up before its time is.
        let pause = if input == "sleep" { 1000 } else { 2 };
        std::thread::sleep(Duration::from_millis(pause));
        Ok(input)
    }));
    let timeout = Duration::from_millis(300);
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let plugin = loader.load(artifact, within(timeout)).await.unwrap();
    for input in ["sleep", "again"] {
        let begin = Instant::now();
        let export = if input == "sleep" {
            "ask"
        } else {
            "ask_for_ever"
        };
        let error = plugin.call(export, Bytes::from(input)).await.unwrap_err();
        assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
        assert!(begin.elapsed() < timeout + SLACK, "{:?}", begin.elapsed());
    }
    // WASM-10: once it is stopped, the plugin calls the host no more.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let stopped_at = calls.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(calls.load(Ordering::SeqCst), stopped_at);
}

/// A module may use the host while it starts, and what it does counts as part of its start.
#[tokio::test]
async fn a_module_calls_the_host_while_it_starts() {
    load("hostile-wasm/start-calls-host.wat").await;
}

/// WASM-10: handles and lengths that nobody gave out.
#[tokio::test]
async fn wild_pointers_are_refused() {
    // Lines that nobody listens to are not read at all.
    Logged::listen();
    let plugin = load("hostile-wasm/calls.wat").await;
    let error = plugin.call("log_a_wild_handle", Bytes::new()).await;
    assert!(matches!(error, Err(LoadError::Trapped { .. })), "{error:?}");
    assert_eq!(number(&*plugin, "fine").await, 42);
    // As in Extism, an output that is not memory is ignored.
    for export in [
        "output_behind_the_end",
        "output_that_wraps",
        "output_a_forged_block",
    ] {
        let output = plugin.call(export, Bytes::new()).await.unwrap();
        assert!(output.is_empty(), "{export}: {output:?}");
    }
    // A plugin that writes a length next to its block changes its own memory, and no length.
    let error = plugin.call("fail_with_a_forged_block", Bytes::new()).await;
    let Err(LoadError::PluginFailed { message, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "\\u{0}".repeat(16));
    for export in [
        "store_a_forged_block",
        "log_a_forged_block",
        "log_a_slightly_forged_block",
    ] {
        plugin.call(export, Bytes::new()).await.unwrap();
    }
    // The memory has these 60 KiB, so that the plugin may give them out.
    let output = plugin.call("output_a_slightly_forged_block", Bytes::new());
    assert_eq!(output.await.unwrap().len(), 0xf000);
}

/// WASM-10: the variables of a plugin are limited to 1 MiB.
#[tokio::test]
async fn variables_are_limited() {
    let plugin = load("hostile-wasm/calls.wat").await;
    let error = plugin
        .call("fill_variables", Bytes::new())
        .await
        .unwrap_err();
    assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
    let text = chain(&error);
    assert!(text.contains("variables are full"), "{text}");
}

/// WASM-10, LIM-12: thousands of lines become a thousand a second, and none of them moves a terminal.
#[tokio::test]
async fn log_lines_are_limited_and_escaped() {
    let logged = Logged::listen();
    let artifact = wasm("hostile-wasm/calls.wat");
    let artifact = Artifact::from_verified(
        PluginKind::Wasm,
        artifact.bytes().clone(),
        artifact.digest().clone(),
        "chatty",
    );
    let plugin = loader()
        .load(artifact, LoadOptions::default())
        .await
        .unwrap();
    let begin = Instant::now();
    plugin.call("log_a_lot", Bytes::new()).await.unwrap();
    let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap() + 1;
    let lines = logged.lines();
    let lines: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("\"chatty\""))
        .collect();
    assert!(
        (1..=1001 * seconds).contains(&lines.len()),
        "{} lines",
        lines.len()
    );
    assert!(lines[0].contains("\\u{1b}"), "{}", lines[0]);
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')));
}
