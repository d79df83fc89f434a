//! WASM-01, WASM-02: plugins that sleep through WASI, on every kind of runtime and without one.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::wasm::WasmLoader;
use qmt_loader::{Artifact, LoadError, Loader, Plugin};
use tokio::runtime::{Builder, Runtime};

use crate::support::{SLACK, refusal, wasm_text, within};

const SHORT: Duration = Duration::from_millis(300);
const HOUR: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug)]
enum Clock {
    Realtime,
    Monotonic,
}

/// When the code sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Call,
    Start,
    Initialize,
}

/// A module that sleeps for `time`, or until it has passed, and traps if that fails; `fine` does
/// not sleep.
fn sleeper(clock: Clock, absolute: bool, time: Duration, place: Place) -> Artifact {
    let clock = clock as u8;
    let nanoseconds = time.as_nanos();
    let now = if absolute {
        format!("(drop (call $now (i32.const {clock}) (i64.const 1) (i32.const 256)))")
    } else {
        String::new()
    };
    let name = match place {
        Place::Call => "(export \"sleep\")",
        Place::Start => "",
        Place::Initialize => "(export \"_initialize\")",
    };
    let start = if place == Place::Start {
        "(start $sleep)"
    } else {
        ""
    };
    let absolute = u8::from(absolute);
    wasm_text(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "clock_time_get"
              (func $now (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff"
              (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func $sleep {name}
              {now}
              (i32.store (i32.const 16) (i32.const {clock}))
              (i64.store (i32.const 24)
                (i64.add (i64.load (i32.const 256)) (i64.const {nanoseconds})))
              (i32.store16 (i32.const 40) (i32.const {absolute}))
              (if (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))
                (then (unreachable))))
            {start}
            (func (export "fine")))"#
    ))
}

fn one_instance() -> WasmLoader {
    WasmLoader::builder().instances(1).build().unwrap()
}

/// The runtimes of hosts: with several threads, with one, and with neither timers nor sockets.
fn runtimes() -> [(&'static str, Runtime); 3] {
    let (mut many, mut one) = (Builder::new_multi_thread(), Builder::new_current_thread());
    [
        (
            "many threads",
            many.worker_threads(2).enable_all().build().unwrap(),
        ),
        ("one thread", one.enable_all().build().unwrap()),
        ("no drivers", Builder::new_current_thread().build().unwrap()),
    ]
}

fn in_time(begin: Instant, what: &str) {
    let elapsed = begin.elapsed();
    assert!(
        elapsed >= SHORT && elapsed < SHORT + SLACK,
        "{what}: {elapsed:?}"
    );
}

async fn fine(plugin: &dyn Plugin) {
    plugin.call("fine", Bytes::new()).await.unwrap();
}

/// Awaits `sleeping` while a neighbour is called again and again, which must always answer.
async fn beside_a_neighbour<T>(
    neighbour: &Arc<dyn Plugin>,
    sleeping: impl Future<Output = T>,
) -> T {
    let mut sleeping = std::pin::pin!(sleeping);
    let mut calls = 0_u32;
    loop {
        let ended =
            std::future::poll_fn(|context| std::task::Poll::Ready(sleeping.as_mut().poll(context)));
        if let std::task::Poll::Ready(value) = ended.await {
            assert!(calls > 10, "the neighbour was called {calls} times");
            return value;
        }
        fine(&**neighbour).await;
        calls += 1;
        tokio::task::yield_now().await;
    }
}

/// WASM-01, WASM-02: a call that sleeps for an hour ends at its deadline, whatever the runtime.
#[test]
fn a_call_that_sleeps_ends_in_time() {
    for (name, runtime) in runtimes() {
        let (loader, neighbours) = (one_instance(), one_instance());
        let day = sleeper(Clock::Monotonic, false, HOUR * 24, Place::Call);
        let neighbour = runtime
            .block_on(neighbours.load(day, within(HOUR)))
            .ok()
            .unwrap();
        for clock in [Clock::Monotonic, Clock::Realtime] {
            for absolute in [false, true] {
                let what = format!("{name}, {clock:?}, absolute: {absolute}");
                let artifact = sleeper(clock, absolute, HOUR, Place::Call);
                let plugin = runtime
                    .block_on(loader.load(artifact, within(SHORT)))
                    .ok()
                    .unwrap();
                let begin = Instant::now();
                let call = plugin.call("sleep", Bytes::new());
                let error = runtime
                    .block_on(beside_a_neighbour(&neighbour, call))
                    .unwrap_err();
                assert!(
                    matches!(error, LoadError::TimedOut { .. }),
                    "{what}: {error:?}"
                );
                in_time(begin, &what);
                runtime.block_on(fine(&*plugin));
                // Without a runtime.
                let begin = Instant::now();
                let error = plugin.call_blocking("sleep", Bytes::new()).unwrap_err();
                assert!(
                    matches!(error, LoadError::TimedOut { .. }),
                    "{what}: {error:?}"
                );
                in_time(begin, &what);
                plugin.call_blocking("fine", Bytes::new()).unwrap();
            }
        }
    }
}

/// WASM-01: the same before the first call.
#[test]
fn a_start_that_sleeps_ends_in_time() {
    for (name, runtime) in runtimes() {
        let neighbours = one_instance();
        let day = sleeper(Clock::Monotonic, false, HOUR * 24, Place::Call);
        let neighbour = runtime
            .block_on(neighbours.load(day, within(HOUR)))
            .ok()
            .unwrap();
        for place in [Place::Start, Place::Initialize] {
            for (clock, absolute) in [(Clock::Monotonic, false), (Clock::Realtime, true)] {
                let what = format!("{name}, {place:?}, {clock:?}");
                let loader = one_instance();
                let artifact = sleeper(clock, absolute, HOUR, place);
                // What is compiled is compiled before the clock of the start runs.
                let begin = Instant::now();
                let loading = loader.load(artifact, within(SHORT));
                let error = refusal(runtime.block_on(beside_a_neighbour(&neighbour, loading)));
                assert!(
                    matches!(error, LoadError::TimedOut { .. }),
                    "{what}: {error:?}"
                );
                assert!(
                    begin.elapsed() < SHORT + SLACK * 2,
                    "{what}: {:?}",
                    begin.elapsed()
                );
            }
        }
    }
}

/// The good twin: who sleeps for less than there is time is woken, and not before.
#[test]
fn a_short_sleep_ends_by_itself() {
    const NAP: Duration = Duration::from_millis(20);
    for (name, runtime) in runtimes() {
        for clock in [Clock::Monotonic, Clock::Realtime] {
            for absolute in [false, true] {
                for place in [Place::Call, Place::Start, Place::Initialize] {
                    let loader = one_instance();
                    let artifact = sleeper(clock, absolute, NAP, place);
                    let begin = Instant::now();
                    let plugin = runtime.block_on(loader.load(artifact, within(SLACK)));
                    let plugin = plugin.unwrap_or_else(|error| panic!("{name}: {error:?}"));
                    if place == Place::Call {
                        let begin = Instant::now();
                        runtime
                            .block_on(plugin.call("sleep", Bytes::new()))
                            .unwrap();
                        assert!(begin.elapsed() >= NAP, "{name}: {:?}", begin.elapsed());
                        plugin.call_blocking("sleep", Bytes::new()).unwrap();
                    }
                    assert!(begin.elapsed() >= NAP, "{name}: {:?}", begin.elapsed());
                }
            }
        }
    }
}

/// A caller who gives up while the plugin sleeps frees the only instance at once.
#[test]
fn dropping_a_call_that_sleeps_frees_its_instance() {
    for (name, runtime) in runtimes() {
        let loader = one_instance();
        let artifact = sleeper(Clock::Monotonic, false, HOUR, Place::Call);
        let plugin = runtime
            .block_on(loader.load(artifact, within(HOUR)))
            .ok()
            .unwrap();
        for delay in [0, 5, 50] {
            let mut call = plugin.call("sleep", Bytes::new());
            let waker = std::task::Waker::noop();
            let guard = runtime.enter();
            let polled = call
                .as_mut()
                .poll(&mut std::task::Context::from_waker(waker));
            drop(guard);
            assert!(polled.is_pending());
            std::thread::sleep(Duration::from_millis(delay));
            drop(call);
            let begin = Instant::now();
            runtime.block_on(fine(&*plugin));
            assert!(begin.elapsed() < SLACK, "{name}: {:?}", begin.elapsed());
        }
        // The runtime ends without waiting for a sleeper.
        let begin = Instant::now();
        drop(runtime);
        assert!(begin.elapsed() < SLACK, "{name}: {:?}", begin.elapsed());
    }
}

/// Many sleepers share the threads that there are.
#[test]
fn sleepers_need_no_threads() {
    const SLEEPERS: usize = 200;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let loader = WasmLoader::builder().instances(SLEEPERS).build().unwrap();
    let artifact = sleeper(Clock::Monotonic, false, SHORT, Place::Call);
    runtime.block_on(async {
        let plugin = loader.load(artifact, within(HOUR)).await.ok().unwrap();
        let begin = Instant::now();
        let calls = (0..SLEEPERS).map(|_| {
            let plugin = Arc::clone(&plugin);
            tokio::spawn(async move { plugin.call("sleep", Bytes::new()).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
        // One after the other on five threads, they would take twelve seconds.
        let elapsed = begin.elapsed();
        assert!(elapsed >= SHORT && elapsed < SHORT * 20, "{elapsed:?}");
    });
}
