//! Functions of the host in every form, what they know of the call, and leases.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::wasm::{HostCall, HostFunction, Value, ValueType, WasmLoader, WasmLoaderBuilder};
use qmt_loader::{Artifact, CallContext, LoadError, LoadOptions, Loader, Plugin};
use serde::{Deserialize, Serialize};

use crate::support::{refusal, wasm_text, within};

/// A module that hands its input to functions of the host, and counts its calls.
fn module() -> Artifact {
    wasm_text(
        r#"(module
            (import "extism:host/env" "input_offset" (func $input (result i64)))
            (import "extism:host/env" "length" (func $length (param i64) (result i64)))
            (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
            (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
            (import "extism:host/env" "output_set" (func $output (param i64 i64)))
            (import "extism:host/env" "error_set" (func $error (param i64)))
            (import "extism:host/user" "ask" (func $ask (param i64) (result i64)))
            (import "extism:host/user" "tell" (func $tell (param i64)))
            (import "extism:host/user" "sum"
              (func $sum (param i32 i64 f32 f64 i64) (result i64 f64)))
            (global $count (mut i32) (i32.const 0))
            (func (export "ask") (local $answer i64)
              (local.set $answer (call $ask (call $input)))
              (call $output (local.get $answer) (call $length (local.get $answer))))
            (func (export "tell") (call $tell (call $input)))
            (func (export "sum") (local $answer i64)
              (call $sum (i32.const -1) (i64.const 2) (f32.const 0.5) (f64.const 0.25) (call $input))
              drop
              (local.set $answer)
              (call $output (local.get $answer) (call $length (local.get $answer))))
            (func (export "count") (local $answer i64)
              (global.set $count (i32.add (global.get $count) (i32.const 1)))
              (local.set $answer (call $alloc (i64.const 1)))
              (call $store (local.get $answer) (global.get $count))
              (call $output (local.get $answer) (i64.const 1)))
            (func (export "fail") (result i32)
              (call $error (call $input))
              (i32.const 7))
            (func (export "trap") unreachable))"#,
    )
}

/// A loader with these functions, and with others of the same names where none are given.
fn with(functions: impl IntoIterator<Item = HostFunction>) -> WasmLoader {
    let types = [ValueType::I64, ValueType::F64];
    let builder = WasmLoader::builder()
        .instances(2)
        .host_function(HostFunction::new("ask", Ok))
        .host_function(HostFunction::new("tell", Ok).without_result())
        .host_function(HostFunction::raw("sum", &PARAMETERS, &types, |_, _| {
            Ok(vec![Value::I64(0), Value::F64(0.0)])
        }));
    let builder = functions
        .into_iter()
        .fold(builder, WasmLoaderBuilder::host_function);
    builder.build().unwrap()
}

const PARAMETERS: [ValueType; 5] = [
    ValueType::I32,
    ValueType::I64,
    ValueType::F32,
    ValueType::F64,
    ValueType::I64,
];

async fn load(functions: impl IntoIterator<Item = HostFunction>) -> Arc<dyn Plugin> {
    let loaded = with(functions).load(module(), LoadOptions::default()).await;
    loaded.unwrap()
}

#[tokio::test]
async fn a_function_without_a_result_takes_the_input() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let tell = HostFunction::new("tell", {
        let lines = Arc::clone(&lines);
        move |line| {
            lines.lock().unwrap().push(line);
            Ok(Bytes::from("dropped"))
        }
    });
    let plugin = load([tell.without_result()]).await;
    let answer = plugin.call("tell", Bytes::from("a line")).await.unwrap();
    assert!(answer.is_empty());
    assert_eq!(*lines.lock().unwrap(), ["a line"]);
    // One that returns something is not what the module imports.
    let wrong = with([HostFunction::new("tell", Ok)]);
    let error = refusal(wrong.load(module(), LoadOptions::default()).await);
    assert!(matches!(error, LoadError::Link { .. }), "{error:?}");
    // Both types are shown.
    let shown = format!("{error:?}");
    for words in ["(param i64))", "(param i64) (result i64))"] {
        assert!(shown.contains(words), "{shown}");
    }
}

#[tokio::test]
async fn a_function_of_json_reads_and_writes_its_types() {
    #[derive(Deserialize)]
    struct Question {
        name: String,
        years: u8,
    }
    #[derive(Serialize)]
    struct Answer {
        greeting: String,
    }
    let ask = HostFunction::json("ask", |_, question: Option<Question>| {
        let greeting = match question {
            Some(Question { name, years }) => format!("{name} is {years}"),
            None => "nothing".to_owned(),
        };
        Ok(Answer { greeting })
    });
    let plugin = load([ask]).await;
    for (input, expected) in [
        (
            r#"{"name":"Ada","years":36}"#,
            r#"{"greeting":"Ada is 36"}"#,
        ),
        ("", r#"{"greeting":"nothing"}"#),
    ] {
        assert_eq!(
            plugin.call("ask", Bytes::from(input)).await.unwrap(),
            expected
        );
    }
    let error = plugin.call("ask", Bytes::from("{")).await.unwrap_err();
    assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
}

#[tokio::test]
async fn a_raw_function_takes_and_returns_numbers_of_every_type() {
    let results = [ValueType::I64, ValueType::F64];
    let sum = HostFunction::raw("sum", &PARAMETERS, &results, |call, values| {
        let [
            Value::I32(a),
            Value::I64(b),
            Value::F32(c),
            Value::F64(d),
            Value::I64(input),
        ] = *values
        else {
            return Err(format!("{values:?}").into());
        };
        let input = call.read(input)?;
        let plugin = call.call().plugin().to_owned();
        let text = format!(
            "{a} {b} {c} {d} {} {plugin}",
            String::from_utf8_lossy(&input)
        );
        Ok(vec![
            Value::I64(call.write(text.as_bytes())?),
            Value::F64(1.0),
        ])
    });
    let plugin = load([sum]).await;
    let answer = plugin.call("sum", Bytes::from("input")).await.unwrap();
    assert_eq!(answer, "-1 2 0.5 0.25 input fixture");
    for wrong in [
        vec![],
        vec![Value::I64(1)],
        vec![Value::I64(1), Value::I64(1)],
    ] {
        let sum = HostFunction::raw("sum", &PARAMETERS, &results, move |_, _| Ok(wrong.clone()));
        let error = load([sum])
            .await
            .call("sum", Bytes::new())
            .await
            .unwrap_err();
        assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
    }
    let sum = HostFunction::raw("sum", &PARAMETERS, &results, |call, _| {
        call.read(123_456)?;
        Ok(Vec::new())
    });
    let error = load([sum])
        .await
        .call("sum", Bytes::new())
        .await
        .unwrap_err();
    assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
}

#[tokio::test]
async fn a_function_knows_its_call() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ask = HostFunction::with_call("ask", {
        let seen = Arc::clone(&seen);
        move |call, input| {
            let session = call.context().get::<&str>().copied();
            seen.lock().unwrap().push((call.id(), session));
            assert_eq!(call.plugin(), "fixture");
            assert!(call.deadline() > Instant::now() && !call.is_cancelled());
            Ok(input)
        }
    });
    let plugin = load([ask]).await;
    let context = CallContext::new().with("session 1");
    plugin
        .call_with(context, "ask", Bytes::new())
        .await
        .unwrap();
    plugin.call("ask", Bytes::new()).await.unwrap();
    let lease = plugin.lease().await.unwrap();
    let context = CallContext::new().with("session 2");
    lease.call_with(context, "ask", Bytes::new()).await.unwrap();
    let seen = seen.lock().unwrap();
    let sessions: Vec<_> = seen.iter().map(|(_, session)| *session).collect();
    assert_eq!(sessions, [Some("session 1"), None, Some("session 2")]);
    assert!(seen[0].0 != seen[1].0 && seen[1].0 != seen[2].0);
}

/// The end of a stream depends on it, where a context has the sender of a channel.
#[tokio::test]
async fn a_call_that_has_ended_keeps_nothing_of_its_context() {
    let (plugin, session) = (load([]).await, Arc::new(()));
    let lease = plugin.lease().await.unwrap();
    for (of, export) in [(&*plugin, "ask"), (&*plugin, "trap"), (&*lease, "ask")] {
        let context = CallContext::new().with(Arc::clone(&session));
        let _ = of.call_with(context, export, Bytes::new()).await;
        assert_eq!(Arc::strong_count(&session), 1, "{export}");
    }
}

/// A function that blocks until its call is cancelled, and tells so.
fn waits() -> (HostFunction, mpsc::Receiver<&'static str>) {
    let (sender, receiver) = mpsc::channel();
    let wait = move |call: &HostCall, input: Bytes| {
        sender.send("waiting").unwrap();
        let waiting = tokio::runtime::Handle::current();
        waiting.block_on(call.cancelled());
        assert!(call.is_cancelled());
        sender.send("cancelled").unwrap();
        Ok(input)
    };
    (HostFunction::with_call("ask", wait), receiver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_waits_learns_that_its_caller_gave_up() {
    let (wait, heard) = waits();
    let plugin = load([wait]).await;
    let call = tokio::spawn(async move { plugin.call("ask", Bytes::new()).await });
    let heard = tokio::task::spawn_blocking(move || {
        assert_eq!(heard.recv().unwrap(), "waiting");
        call.abort();
        heard.recv_timeout(Duration::from_secs(10)).unwrap()
    });
    assert_eq!(heard.await.unwrap(), "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_waits_learns_that_the_time_is_over() {
    let (wait, heard) = waits();
    let options = within(Duration::from_millis(200));
    let plugin = with([wait]).load(module(), options).await.unwrap();
    let error = plugin.call("ask", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    assert_eq!(heard.recv().unwrap(), "waiting");
    assert_eq!(
        heard.recv_timeout(Duration::from_secs(10)).unwrap(),
        "cancelled"
    );
}

/// What a plugin says of a failure comes through byte for byte, up to 64 KiB of it.
#[tokio::test]
async fn errors_of_a_plugin_are_whole() {
    let plugin = load([]).await;
    let object = format!(
        r#"{{"payload":{{"kind":"rate_limited","retry_after_secs":7,"text":"{}"}}}}"#,
        "\u{1b}ö".repeat(600)
    );
    assert!(object.len() > 1_500);
    let failed = async |input: Bytes| match plugin.call("fail", input).await {
        Err(LoadError::PluginFailed {
            code,
            message,
            detail,
            ..
        }) => (code, message, detail),
        other => panic!("{other:?}"),
    };
    let (code, message, detail) = failed(Bytes::from(object.clone())).await;
    assert_eq!((code, &detail[..]), (7, object.as_bytes()));
    assert!(
        message.chars().count() < 1_100 && !message.contains('\u{1b}'),
        "{message}"
    );
    let binary = Bytes::from_static(b"\xff\0\xfe");
    assert_eq!(failed(binary.clone()).await.2, binary);
    let (_, message, detail) = failed(Bytes::new()).await;
    assert_eq!((&*message, detail.len()), ("it returned 7", 0));
    for (size, kept) in [(65_536, 65_536), (65_537, 65_536)] {
        let (.., detail) = failed(Bytes::from(vec![b'x'; size])).await;
        assert_eq!(detail.len(), kept);
    }
}

async fn count(plugin: &dyn Plugin) -> u8 {
    plugin.call("count", Bytes::new()).await.unwrap()[0]
}

#[tokio::test]
async fn a_lease_keeps_its_state_to_itself() {
    let plugin = load([]).await;
    let (one, two) = (plugin.lease().await.unwrap(), plugin.lease().await.unwrap());
    assert_eq!([count(&*one).await, count(&*one).await], [1, 2]);
    assert_eq!([count(&*two).await, count(&*one).await], [1, 3]);
    assert_eq!(two.call_blocking("count", Bytes::new()).unwrap()[..], [2]);
    drop(two);
    // Nothing of the lease that ended is left.
    assert_eq!(count(&*plugin.lease().await.unwrap()).await, 1);
    assert_eq!(count(&*one).await, 4);
    one.unload().await.unwrap();
    let error = one.call("count", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
}

#[tokio::test]
async fn a_trap_costs_its_lease_alone() {
    let plugin = load([]).await;
    let (one, two) = (plugin.lease().await.unwrap(), plugin.lease().await.unwrap());
    assert_eq!([count(&*one).await, count(&*two).await], [1, 1]);
    // A failure that the plugin reports itself leaves its state as it is.
    one.call("fail", Bytes::from("no")).await.unwrap_err();
    assert_eq!(count(&*one).await, 2);
    let error = one.call("trap", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
    for _ in 0..2 {
        let error = one.call("count", Bytes::new()).await.unwrap_err();
        assert!(matches!(error, LoadError::LeaseEnded { .. }), "{error:?}");
    }
    assert_eq!(count(&*two).await, 2);
    drop(one);
    assert_eq!(count(&*plugin.lease().await.unwrap()).await, 1);
}

/// Leases count as instances, and those that are dropped are free again.
#[tokio::test]
async fn leases_are_limited_as_calls_are() {
    let options = within(Duration::from_millis(300));
    let plugin = with([]).load(module(), options).await.unwrap();
    let leases = [plugin.lease().await.unwrap(), plugin.lease().await.unwrap()];
    for refused in [
        plugin.lease().await.map(drop).unwrap_err(),
        plugin
            .call("count", Bytes::new())
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(matches!(refused, LoadError::Busy { .. }), "{refused:?}");
    }
    // The slot of an instance that trapped is free before its lease is dropped.
    leases[0].call("trap", Bytes::new()).await.unwrap_err();
    plugin.lease().await.unwrap();
    plugin.call("count", Bytes::new()).await.unwrap();
    let ended = leases[0].call("count", Bytes::new()).await;
    assert!(
        matches!(ended, Err(LoadError::LeaseEnded { .. })),
        "{ended:?}"
    );
    drop(leases);
    plugin.call("count", Bytes::new()).await.unwrap();
}

/// What traps at the start of a later instance is a failure of its start, not of the caller's export.
#[tokio::test]
async fn a_trap_at_the_start_of_a_later_instance_is_one_at_the_start() {
    let starts = Mutex::new(0);
    let ask = HostFunction::new("ask", move |input| {
        let mut starts = starts.lock().unwrap();
        *starts += 1;
        if *starts > 1 {
            Err("no".into())
        } else {
            Ok(input)
        }
    });
    let mut options = LoadOptions::default();
    options.at_start = Some("ask".to_owned());
    let plugin = with([ask]).load(module(), options).await.unwrap();
    // The first instance traps, and the next one does not start.
    plugin.call("trap", Bytes::new()).await.unwrap_err();
    let error = plugin.call("count", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Start { .. }), "{error:?}");
}

#[tokio::test]
async fn at_start_runs_once_in_each_new_instance() {
    let mut options = LoadOptions::default();
    options.at_start = Some("count".to_owned());
    let plugin = with([]).load(module(), options.clone()).await.unwrap();
    let lease = plugin.lease().await.unwrap();
    assert_eq!([count(&*lease).await, count(&*lease).await], [2, 3]);
    assert_eq!(count(&*plugin).await, 2);

    options.at_start = Some("fail".to_owned());
    let error = refusal(with([]).load(module(), options.clone()).await);
    assert!(matches!(error, LoadError::Start { .. }), "{error:?}");
    options.at_start = Some("count\u{1b}".to_owned());
    let error = refusal(with([]).load(module(), options).await);
    assert!(
        matches!(error, LoadError::UnknownExport { .. }),
        "{error:?}"
    );
    assert!(!error.to_string().contains('\u{1b}'));
}

/// `call_blocking` works on the threads of a runtime of either kind.
#[test]
fn blocking_calls_work_inside_a_runtime() {
    for threads in [0, 2] {
        let mut builder = match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        builder.enable_all().build().unwrap().block_on(async {
            let plugin = load([]).await;
            for input in ["one", "two"] {
                assert_eq!(
                    plugin.call_blocking("ask", Bytes::from(input)).unwrap(),
                    input
                );
            }
        });
    }
}
