//! What plugins wait for through WASI besides time: streams that are empty, and a million things.

use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::Loader;
use tokio::runtime::Builder;

use crate::support::{SLACK, in_a_child, is_child, loader, wasm, wasm_text, within};
use crate::wasi_calls::{Call, Function, SUCCESS, load_with};

const SHORT: Duration = Duration::from_millis(300);
const HOUR: Duration = Duration::from_hours(1);

/// One subscription of `poll_oneoff`.
fn subscription(kind: u8, descriptor_or_clock: u32, time: u64) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[8] = kind;
    bytes[16..20].copy_from_slice(&descriptor_or_clock.to_le_bytes());
    bytes[24..32].copy_from_slice(&time.to_le_bytes());
    bytes
}

/// WASM-07: standard input has ended, and standard output and error take everything and show
/// nothing, also where Extism's variable for that is set.
#[test]
fn standard_streams_are_empty() {
    const NAME: &str = "wasm_polls::standard_streams_are_empty";
    const CANARY: &str = "canary from the plugin";
    if is_child() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let plugin = load_with(&[]).await;
            let plugin = &*plugin;
            let read = Call::of(Function::FdRead).with(0).buffer(&[0; 16]);
            assert_eq!(read.result(plugin).await, (SUCCESS, 0));
            for stream in [1, 2] {
                let write = Call::of(Function::FdWrite)
                    .with(stream)
                    .buffer(CANARY.as_bytes());
                let length = u64::try_from(CANARY.len()).unwrap();
                assert_eq!(write.result(plugin).await, (SUCCESS, length));
            }
            // Waiting for any of them ends at once, also next to an hour's sleep.
            let hour = u64::try_from(HOUR.as_nanos()).unwrap();
            for (kind, stream) in [(1, 0), (2, 1), (2, 2)] {
                let both = [subscription(0, 1, hour), subscription(kind, stream, 0)].concat();
                let wait = Call::of(Function::PollOneoff).data(&both).with(2);
                let begin = Instant::now();
                assert_eq!(wait.result(plugin).await, (SUCCESS, 1), "{stream}");
                assert!(begin.elapsed() < SLACK);
            }
        });
        return;
    }
    for value in ["0", "1", "true"] {
        let printed = in_a_child(NAME, &[("EXTISM_ENABLE_WASI_OUTPUT", value)]);
        assert!(!printed.contains(CANARY), "{printed}");
    }
}

/// WASM-03, WASM-10: a plugin that waits for a million things at once is stopped in time, and the
/// host's memory stays.
#[cfg(target_os = "linux")]
#[test]
fn a_million_sleeps_at_once_are_bounded() {
    const NAME: &str = "wasm_polls::a_million_sleeps_at_once_are_bounded";
    const COUNT: u64 = 1_000_000;
    if !is_child() {
        in_a_child(NAME, &[]);
        return;
    }
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim()
            .strip_suffix(" kB")
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
            >> 10
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Memory of nothing but zeros is a row of sleeps of no time by the wall clock; of an hour
        // with one word more in each.
        let pages = (COUNT * (48 + 32)).div_ceil(65536) + 1;
        let module = wasm_text(&format!(
            r#"(module
                (import "wasi_snapshot_preview1" "poll_oneoff"
                  (func $poll (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") {pages})
                (func (export "sleep") (result i32)
                  (local $at i32)
                  (loop $next
                    (i64.store offset=24 (local.get $at) (i64.const 3600000000000))
                    (local.set $at (i32.add (local.get $at) (i32.const 48)))
                    (br_if $next (i32.lt_u (local.get $at) (i32.const 48000000))))
                  (call $poll (i32.const 0) (i32.const 48000000) (i32.const {COUNT})
                    (i32.const 80000000))))"#
        ));
        let plugin = loader().load(module, within(SHORT * 2)).await.ok().unwrap();
        let before = resident();
        let begin = Instant::now();
        plugin.call("sleep", Bytes::new()).await.unwrap_err();
        let elapsed = begin.elapsed();
        assert!(elapsed < SHORT * 2 + SLACK, "{elapsed:?}");
        let after = resident();
        assert!(
            after < before + 80 + 64,
            "{before} MiB before, {after} MiB after"
        );
    });
    // A fixture that is fine shows that the process is.
    runtime.block_on(async {
        let plugin = loader()
            .load(wasm("echo-wasm/echo.wat"), within(HOUR))
            .await
            .ok()
            .unwrap();
        plugin.call("greet", Bytes::new()).await.unwrap();
    });
}
