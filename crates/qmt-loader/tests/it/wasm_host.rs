//! Functions of the host, and what plugins do to those that Extism brings along.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::wasm::{ExtismLoader, HostFunction};
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader};
use qmt_oci_ref::PluginKind;

use crate::support::{Logged, SLACK, load, loader, number, refusal, wasm, within};

fn with(function: HostFunction) -> ExtismLoader {
    ExtismLoader::builder()
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

/// The escape hatch: a function over Extism's own types.
#[tokio::test]
async fn a_function_in_extisms_types_works_as_well() {
    use qmt_loader::wasm::extism::{CurrentPlugin, Error, Function, PTR, UserData, Val};
    fn ask(
        plugin: &mut CurrentPlugin,
        inputs: &[Val],
        outputs: &mut [Val],
        _: UserData<()>,
    ) -> Result<(), Error> {
        let input: String = plugin.memory_get_val(&inputs[0])?;
        plugin.memory_set_val(&mut outputs[0], input.to_uppercase())
    }
    let function = Function::new("ask", [PTR], [PTR], UserData::new(()), ask);
    let loader = ExtismLoader::builder()
        .extism_function(function)
        .build()
        .unwrap();
    let artifact = wasm("hostile-wasm/asks-host.wat");
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    assert_eq!(plugin.call("ask", Bytes::from("ada")).await.unwrap(), "ADA");
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

/// WASM-10: Extism follows a null pointer here; a test that does not end well ends this process.
#[tokio::test]
async fn the_host_cannot_be_called_while_a_module_starts() {
    let artifact = wasm("hostile-wasm/start-calls-host.wat");
    let error = refusal(loader().load(artifact, LoadOptions::default()).await);
    let LoadError::Start { source, .. } = &error else {
        panic!("{error:?}")
    };
    let text = format!("{source:?}");
    assert!(text.contains("while a module starts"), "{text}");
}

/// WASM-10: handles and lengths that nobody gave out.
#[tokio::test]
async fn wild_pointers_are_refused() {
    // Lines that nobody listens to are not read at all.
    Logged::listen();
    let plugin = load("hostile-wasm/calls.wat").await;
    for export in [
        "output_behind_the_end",
        "output_that_wraps",
        "log_a_wild_handle",
        "store_a_forged_block",
        "fail_with_a_forged_block",
        "output_a_forged_block",
    ] {
        let error = plugin.call(export, Bytes::new()).await.unwrap_err();
        assert!(
            matches!(error, LoadError::Trapped { .. }),
            "{export}: {error:?}"
        );
        assert_eq!(number(&*plugin, "fine").await, 42);
    }
    // A line that claims to be too long is not read, and the others lie within the memory or behind
    // its end, as it happens; the host survives all of it.
    for export in [
        "log_a_forged_block",
        "log_a_slightly_forged_block",
        "output_a_slightly_forged_block",
    ] {
        let _ = plugin.call(export, Bytes::new()).await;
        assert_eq!(number(&*plugin, "fine").await, 42);
    }
}

/// WASM-10: the variables of a plugin are limited to 1 MiB.
#[tokio::test]
async fn variables_are_limited() {
    let plugin = load("hostile-wasm/calls.wat").await;
    let error = plugin
        .call("fill_variables", Bytes::new())
        .await
        .unwrap_err();
    let LoadError::Trapped { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        format!("{source:?}").contains("variables are full"),
        "{source:?}"
    );
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
