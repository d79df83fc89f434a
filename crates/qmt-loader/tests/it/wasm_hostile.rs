//! WASM-03, WASM-11: modules that try to take the host down with them, next to one that works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::wasm::{HostFunction, WasmLoader};
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader, Plugin};
use tokio::task::JoinHandle;

use crate::support::{
    SLACK, in_a_child, is_child, loader, number, refusal, wasm, wasm_text, within,
};

const MEBIBYTE: u64 = 1 << 20;

/// Another plugin, which is called all the time and always answers.
struct Neighbour {
    done: Arc<AtomicBool>,
    calls: JoinHandle<u64>,
}

impl Neighbour {
    async fn calls() -> Self {
        let plugin = loader()
            .load(wasm("echo-wasm/echo.wat"), LoadOptions::default())
            .await
            .unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let calls = tokio::spawn({
            let done = Arc::clone(&done);
            async move {
                let mut count = 0;
                while !done.load(Ordering::SeqCst) {
                    let answer = plugin.call("greet", Bytes::from("Ada")).await.unwrap();
                    assert_eq!(answer, "Hello, Ada! (wasm)");
                    count += 1;
                    tokio::task::yield_now().await;
                }
                count
            }
        });
        Self { done, calls }
    }

    /// Fails if one of its calls did.
    async fn must_be_fine(self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.done.store(true, Ordering::SeqCst);
        assert!(self.calls.await.unwrap() > 0);
    }
}

async fn load(loader: &WasmLoader, artifact: Artifact) -> Arc<dyn Plugin> {
    let mut options = within(Duration::from_secs(30));
    options.limits.memory_max = 16 * MEBIBYTE;
    loader.load(artifact, options).await.unwrap()
}

/// WASM-03: recursion without end traps, however it is written and wherever the host is called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_recursion_traps() {
    let neighbour = Neighbour::calls().await;
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let ask = HostFunction::new("ask", move |input| {
        counter.fetch_add(1, Ordering::SeqCst);
        // It may use the stack as well: there is some left for it.
        #[expect(clippy::large_stack_arrays, reason = "it is about the stack")]
        let buffer = std::hint::black_box([1_u8; 256 * 1024]);
        assert_eq!(buffer[buffer.len() - 1], 1);
        Ok(input)
    });
    let loader = WasmLoader::builder()
        .host_function(ask)
        .instances(1)
        .build()
        .unwrap();
    let many = "(param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)";
    let arguments = "(i64.const 1)".repeat(16);
    let locals = "(local i64)".repeat(1000);
    let plugin = load(
        &loader,
        wasm_text(&format!(
            r#"(module
                (import "extism:host/user" "ask" (func $ask (param i64) (result i64)))
                (import "extism:host/env" "log_info" (func $log (param i64)))
                (memory (export "memory") 1)
                (type $plain (func))
                (table funcref (elem $indirect))
                (func $direct (call $direct) (call $direct))
                (func $indirect
                  (call_indirect (type $plain) (i32.const 0)) (call_indirect (type $plain) (i32.const 0)))
                (func $wide {many} (call $wide {arguments}) (call $wide {arguments}))
                (func $deep {locals} (call $deep) (call $deep))
                (func $to_the_host
                  (drop (call $ask (i64.const 0))) (call $to_the_host) (call $log (i64.const 0)))
                (func $one (call $other) (call $log (i64.const 0)))
                (func $other (call $one) (call $log (i64.const 0)))
                (func (export "direct") (call $direct))
                (func (export "indirect") (call $indirect))
                (func (export "wide") (call $wide {arguments}))
                (func (export "deep") (call $deep))
                (func (export "to_the_host") (call $to_the_host))
                (func (export "in_turns") (call $one))
                (func (export "fine")))"#
        )),
    )
    .await;
    for export in [
        "direct",
        "indirect",
        "wide",
        "deep",
        "to_the_host",
        "in_turns",
    ] {
        for _ in 0..2 {
            let error = plugin.call(export, Bytes::new()).await.unwrap_err();
            assert!(
                matches!(error, LoadError::Trapped { .. }),
                "{export}: {error:?}"
            );
            plugin.call("fine", Bytes::new()).await.unwrap();
            let error = plugin.call_blocking(export, Bytes::new()).unwrap_err();
            assert!(
                matches!(error, LoadError::Trapped { .. }),
                "{export}: {error:?}"
            );
            plugin.call_blocking("fine", Bytes::new()).unwrap();
        }
    }
    assert!(calls.load(Ordering::SeqCst) > 1_000);
    // From a thread whose own stack is small: calls have a stack of their own.
    let small = std::thread::Builder::new().stack_size(512 * 1024);
    let on_a_small_stack = small.spawn(move || {
        for export in ["direct", "to_the_host"] {
            let error = plugin.call_blocking(export, Bytes::new()).unwrap_err();
            assert!(
                matches!(error, LoadError::Trapped { .. }),
                "{export}: {error:?}"
            );
        }
    });
    on_a_small_stack.unwrap().join().unwrap();
    neighbour.must_be_fine().await;
}

/// A tail call is no recursion: it never uses up the stack, and ends with its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_tail_calls_are_stopped() {
    let neighbour = Neighbour::calls().await;
    let artifact = wasm_text(
        r#"(module (func $again (return_call $again)) (func (export "spin") (call $again))
            (func (export "fine")))"#,
    );
    let timeout = Duration::from_millis(300);
    let plugin = loader().load(artifact, within(timeout)).await.unwrap();
    let begin = Instant::now();
    let error = plugin.call("spin", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < timeout + SLACK, "{:?}", begin.elapsed());
    plugin.call("fine", Bytes::new()).await.unwrap();
    neighbour.must_be_fine().await;
}

/// WASM-03: memory that grows without end ends the call, in each of many instances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_without_end_ends_the_call() {
    let neighbour = Neighbour::calls().await;
    let artifact = wasm_text(
        r#"(module
            (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
            (memory (export "memory") 1)
            (func $use (param $pages i32) (loop $next
              (br_if $next (i32.ne (memory.grow (local.get $pages)) (i32.const -1)))))
            (func (export "pages") (call $use (i32.const 1)))
            (func (export "much") (call $use (i32.const 65535)))
            (func (export "more") (call $use (i32.const -1)))
            (func (export "kernel") (loop $next (drop (call $alloc (i64.const 4096))) (br $next)))
            (func (export "too_much") (drop (call $alloc (i64.const 0xf0000000))))
            (func (export "beyond") (drop (call $alloc (i64.const 0xfffffff0))))
            (func (export "all") (drop (call $alloc (i64.const -1))))
            (func (export "fill")
              (drop (memory.grow (i32.const 128)))
              (loop $next
                (memory.fill (i32.const 0) (i32.const 1) (i32.const 8388608))
                (br $next)))
            (func (export "fine")))"#,
    );
    let loader = WasmLoader::builder().instances(4).build().unwrap();
    let plugin = load(&loader, artifact.clone()).await;
    for _ in 0..8 {
        for export in ["pages", "much", "kernel", "too_much", "beyond", "all"] {
            let error = plugin.call(export, Bytes::new()).await.unwrap_err();
            assert!(
                matches!(error, LoadError::OutOfMemory { .. }),
                "{export}: {error:?}"
            );
            plugin.call("fine", Bytes::new()).await.unwrap();
        }
    }
    // More than a memory can ever have is -1.
    plugin.call("more", Bytes::new()).await.unwrap();
    // Between instructions that take long, a call ends as well.
    let timeout = Duration::from_millis(300);
    let mut options = within(timeout);
    options.limits.memory_max = 16 * MEBIBYTE;
    let plugin = loader.load(artifact, options).await.unwrap();
    let begin = Instant::now();
    let error = plugin.call("fill", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < timeout + SLACK, "{:?}", begin.elapsed());
    neighbour.must_be_fine().await;
}

/// WASM-03: tables are limited together, and what a table does not hold is not called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_limited_together() {
    let neighbour = Neighbour::calls().await;
    // Each is within the limit of 100,000 elements; together they are not.
    let tables = "(table 60000 funcref)".repeat(2);
    let error = refusal(
        loader()
            .load(
                wasm_text(&format!("(module {tables})")),
                LoadOptions::default(),
            )
            .await,
    );
    let is_refused = matches!(
        error,
        LoadError::Start { .. } | LoadError::WasmRefused { .. }
    );
    assert!(is_refused, "{error:?}");
    let artifact = wasm_text(
        r#"(module
            (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
            (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
            (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
            (type $plain (func))
            (type $other (func (param i32)))
            (table $a 1 funcref) (table $b 0 funcref)
            (elem (table $a) (i32.const 0) func $nothing)
            (func $nothing)
            (func (export "elements")
              (local $out i64)
              (loop $next
                (br_if $next (i32.ne (table.grow $a (ref.func $nothing) (i32.const 500)) (i32.const -1))))
              (loop $next
                (br_if $next (i32.ne (table.grow $b (ref.null func) (i32.const 1)) (i32.const -1))))
              (local.set $out (call $alloc (i64.const 8)))
              (call $store_u64 (local.get $out)
                (i64.extend_i32_u (i32.add (table.size $a) (table.size $b))))
              (call $output_set (local.get $out) (i64.const 8)))
            (func (export "huge") (drop (table.grow $a (ref.null func) (i32.const -1))))
            (func (export "outside") (call_indirect $a (type $plain) (i32.const 100)))
            (func (export "negative") (call_indirect $a (type $plain) (i32.const -1)))
            (func (export "null") (drop (table.grow $b (ref.null func) (i32.const 1)))
              (call_indirect $b (type $plain) (i32.const 0)))
            (func (export "type") (call_indirect $a (type $other) (i32.const 0) (i32.const 0)))
            (func (export "set") (table.set $a (i32.const 1000000) (ref.null func))))"#,
    );
    let loader = WasmLoader::builder().instances(1).build().unwrap();
    let plugin = load(&loader, artifact).await;
    for export in ["outside", "negative", "null", "type", "set"] {
        let error = plugin.call(export, Bytes::new()).await.unwrap_err();
        assert!(
            matches!(error, LoadError::Trapped { .. }),
            "{export}: {error:?}"
        );
    }
    plugin.call("huge", Bytes::new()).await.unwrap();
    assert_eq!(number(&*plugin, "elements").await, 100_000);
    neighbour.must_be_fine().await;
}

/// WASM-04: branches with as many targets as a module can have compile in time or are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branch_bombs_are_bounded() {
    let neighbour = Neighbour::calls().await;
    let targets = "0 ".repeat(100_000);
    let nested = |depth: usize| {
        let (open, close) = ("(block ".repeat(depth), ")".repeat(depth));
        let targets: Vec<_> = (0..depth).map(|target| target.to_string()).collect();
        let targets = targets.join(" ");
        format!(
            "(module (func (export \"fine\") {open}(br_table {targets} 0 (i32.const 7)){close}))"
        )
    };
    for text in [
        format!("(module (func (export \"fine\") (block (br_table {targets}(i32.const 7)))))"),
        nested(500),
        format!(
            "(module (func (export \"fine\") {}))",
            "(local i64)".repeat(40_000)
        ),
    ] {
        let mut options = LoadOptions::default();
        options.limits.compile_timeout = Duration::from_secs(20);
        let begin = Instant::now();
        match loader().load(wasm_text(&text), options).await {
            Ok(plugin) => drop(plugin.call("fine", Bytes::new()).await.unwrap()),
            // The compiler has limits of its own.
            Err(LoadError::CompileTimedOut { .. } | LoadError::Compile { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20) + SLACK,
            "{:?}",
            begin.elapsed()
        );
    }
    neighbour.must_be_fine().await;
}

/// WASM-03, WASM-11: what fails before the first call is an error of the load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_at_the_start_is_an_error() {
    let neighbour = Neighbour::calls().await;
    let deep = "(func $deep (call $deep) (call $deep)) (start $deep)";
    for text in [
        "(module (memory 1) (data (i32.const 65535) \"xx\"))".to_owned(),
        "(module (memory 0) (data (i32.const 0) \"x\"))".to_owned(),
        "(module (memory 1) (data (i32.const -1) \"x\"))".to_owned(),
        "(module (table 1 funcref) (elem (i32.const 1) func 0) (func))".to_owned(),
        "(module (func $start (unreachable)) (start $start))".to_owned(),
        format!("(module {deep})"),
        "(module (func (export \"_initialize\") (unreachable)))".to_owned(),
        "(module (func (export \"__wasm_call_ctors\") (unreachable)))".to_owned(),
        "(module (func (export \"hs_init\") (param i32 i32) (unreachable)))".to_owned(),
        // Initialisers of other types than they have.
        "(module (func (export \"hs_init\") (param i64) (unreachable)))".to_owned(),
    ] {
        let error = refusal(
            loader()
                .load(wasm_text(&text), LoadOptions::default())
                .await,
        );
        assert!(
            matches!(error, LoadError::Start { .. }),
            "{text}: {error:?}"
        );
    }
    // The good twins: at the edge, and of types that Extism leaves alone.
    for text in [
        "(module (memory 1) (data (i32.const 65534) \"xx\"))",
        "(module (memory 1) (data (i32.const 65536) \"\"))",
        "(module (func (export \"_initialize\") (param i32) (unreachable)))",
        "(module (func (export \"__wasm_call_ctors\") (result i32) (unreachable)))",
    ] {
        let loaded = loader().load(wasm_text(text), LoadOptions::default()).await;
        assert!(loaded.is_ok(), "{text}: {:?}", loaded.err());
    }
    neighbour.must_be_fine().await;
}

/// A call that is dropped while it moves to another thread stops, also where no other call of the
/// process has running code look at its clock.
#[test]
fn a_call_that_is_dropped_stops_by_itself() {
    const NAME: &str = "wasm_hostile::a_call_that_is_dropped_stops_by_itself";
    if !is_child() {
        in_a_child(NAME, &[]);
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let loader = WasmLoader::builder().instances(1).build().unwrap();
        let artifact = wasm("hostile-wasm/calls.wat");
        let plugin = loader.load(artifact, within(SLACK * 10)).await.unwrap();
        for nth in 0..300 {
            let call = plugin.call("spin", Bytes::new());
            let delay = Duration::from_micros(nth % 30 * 100);
            let ended = tokio::time::timeout(delay, call).await;
            ended.unwrap_err();
            let begin = Instant::now();
            assert_eq!(number(&*plugin, "fine").await, 42);
            assert!(begin.elapsed() < SLACK, "{nth}: {:?}", begin.elapsed());
        }
    });
}
