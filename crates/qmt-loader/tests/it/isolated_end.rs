//! How worker processes end: with their plugin, their call, their host.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::native::WorkerEnd;
use qmt_loader::{LoadError, Loader};
use qmt_oci_ref::PluginKind;

use crate::isolated::{SHORT, is_running, isolating, load, must_vanish, options, process_of, text};
use crate::support::{SLACK, artifact, in_a_child, is_child};
use crate::workshop::Workshop;

/// No process is left behind, not even as a zombie.
#[tokio::test]
async fn workers_end_with_their_plugin() {
    let workshop = Workshop::new();
    let plugin = load(&workshop, "counter", options()).await.unwrap();
    let process = process_of(&*plugin).await;
    assert!(is_running(process));
    assert_eq!(
        process_of(&*plugin).await,
        process,
        "the worker is used again"
    );
    let lease = plugin.lease().await.unwrap();
    let leased = process_of(&*lease).await;
    drop(lease);
    must_vanish(leased);
    assert!(is_running(process));
    drop(plugin);
    must_vanish(process);
    let plugin = load(&workshop, "counter", options()).await.unwrap();
    let process = process_of(&*plugin).await;
    plugin.unload().await.unwrap();
    must_vanish(process);
}

/// A future that is dropped ends the worker of its call, and no other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_ends_its_worker() {
    let workshop = Workshop::new();
    let plugin = load(&workshop, "loop", options()).await.unwrap();
    let neighbour = load(&workshop, "counter", options()).await.unwrap();
    let process = process_of(&*neighbour).await;
    for _ in 0..3 {
        let looping = process_of(&*plugin).await;
        let call = plugin.call("act", Bytes::new());
        tokio::time::timeout(SHORT, call).await.unwrap_err();
        must_vanish(looping);
        // Giving up is no failure of the plugin: the next call does not wait.
        let begin = Instant::now();
        assert_eq!(text(&*plugin, "echo", "x").await, "x");
        assert!(begin.elapsed() < SLACK);
    }
    assert_eq!(process_of(&*neighbour).await, process);
}

/// A call that takes too long ends in time, and its worker with it.
#[tokio::test]
async fn a_call_that_takes_too_long_ends_in_time() {
    let workshop = Workshop::new();
    for name in ["loop", "sleep", "ignores-signals", "exit-handler", "drip"] {
        let mut options = options();
        options.limits.timeout = SHORT;
        let plugin = load(&workshop, name, options).await.unwrap();
        for blocking in [false, true] {
            let begin = Instant::now();
            let result = if blocking {
                plugin.call_blocking("act", Bytes::new())
            } else {
                plugin.call("act", Bytes::new()).await
            };
            let error = result.unwrap_err();
            assert!(
                matches!(error, LoadError::TimedOut { .. }),
                "{name}: {error:?}"
            );
            assert!(begin.elapsed() < SHORT + SLACK, "{name}");
            assert_eq!(text(&*plugin, "echo", "x").await, "x");
        }
    }
}

/// Workers that end again and again are started ever more slowly; a success forgets it.
#[tokio::test]
async fn workers_that_end_again_and_again_are_paused() {
    let workshop = Workshop::new();
    let mut options = options();
    options.limits.timeout = Duration::from_millis(500);
    let plugin = load(&workshop, "exit-at-once", options).await.unwrap();
    let mut ended = 0;
    let paused = loop {
        match plugin.call("act", Bytes::new()).await.unwrap_err() {
            LoadError::WorkerEnded { end, .. } => {
                assert_eq!(end, WorkerEnd::Exited { code: 0 });
                ended += 1;
            }
            error @ LoadError::WorkerPaused { .. } => break error,
            other => panic!("{other:?}"),
        }
        assert!(ended < 20, "there is no pause");
    };
    assert!(ended >= 5 && paused.is_retryable(), "{ended}: {paused:?}");
    let LoadError::WorkerPaused { wait, failures, .. } = paused else {
        unreachable!("it was matched")
    };
    assert_eq!(failures, ended);
    tokio::time::sleep(wait).await;
    assert_eq!(text(&*plugin, "echo", "x").await, "x");
    let begin = Instant::now();
    plugin.call("act", Bytes::new()).await.unwrap_err();
    assert_eq!(text(&*plugin, "echo", "x").await, "x");
    assert!(begin.elapsed() < SLACK);
}

/// A worker whose `at_start` reports a failure counts as one that failed.
#[tokio::test]
async fn workers_whose_start_fails_are_paused() {
    let workshop = Workshop::new();
    let folder = workshop.path("granted");
    fs::create_dir(&folder).unwrap();
    let marker = format!("-DMARKER=\"{}\"", folder.join("marker").display());
    let library = workshop.compile("../hostile-native/starts-once.c", &[&marker]);
    let mut options = options();
    options.limits.timeout = Duration::from_millis(500);
    options.allow.paths.insert(folder.clone(), folder);
    options.at_start = Some("act".to_owned());
    let library = artifact(PluginKind::Native, library);
    let plugin = isolating(&workshop).load(library, options).await.unwrap();
    let mut failed = 0;
    loop {
        match plugin.lease().await.err().expect("it starts once") {
            LoadError::PluginFailed { message, .. } => {
                assert_eq!(message, "another process has started");
                failed += 1;
            }
            LoadError::WorkerPaused { failures, .. } => break assert_eq!(failures, failed),
            other => panic!("{other:?}"),
        }
        assert!(failed < 20, "there is no pause");
    }
    assert!(failed >= 5, "{failed}");
    // The first process is not affected.
    assert_eq!(text(&*plugin, "echo", "x").await, "x");
}

/// The kernel ends a worker with its host, also if the plugin is in an endless loop then.
#[test]
fn workers_end_with_the_host() {
    const NAME: &str = "isolated_end::workers_end_with_the_host";
    if is_child() {
        die_with_workers();
    }
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
        .env("QMT_LOADER_TEST_CHILD", NAME)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(host.stdout.take().unwrap()));
    let workers = lines.find_map(|line| line.unwrap().strip_prefix("workers ").map(str::to_owned));
    let workers: Vec<u32> = workers
        .unwrap()
        .split(' ')
        .map(|one| one.parse().unwrap())
        .collect();
    assert!(workers.len() == 2 && workers.iter().all(|worker| is_running(*worker)));
    host.kill().unwrap();
    host.wait().unwrap();
    workers.into_iter().for_each(must_vanish);
}

/// Says which workers there are, one of them in an endless loop, and waits for the end.
fn die_with_workers() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let workshop = Workshop::new();
        let idle = load(&workshop, "counter", options()).await.unwrap();
        let looping = load(&workshop, "loop", options()).await.unwrap();
        let (one, two) = (process_of(&*idle).await, process_of(&*looping).await);
        println!("\nworkers {one} {two}");
        looping.call("act", Bytes::new()).await.unwrap_err();
    });
}

/// A host that ends as it should leaves no process behind either.
#[test]
fn workers_end_when_the_host_returns() {
    const NAME: &str = "isolated_end::workers_end_when_the_host_returns";
    if !is_child() {
        let said = in_a_child(NAME, &[]);
        let worker = said.lines().find_map(|line| line.strip_prefix("worker "));
        return must_vanish(worker.unwrap().parse().unwrap());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let workshop = Workshop::new();
    let plugin = runtime
        .block_on(load(&workshop, "counter", options()))
        .unwrap();
    println!("\nworker {}", runtime.block_on(process_of(&*plugin)));
    // Another runtime, and none, can use it.
    drop(runtime);
    plugin.call_blocking("echo", Bytes::new()).unwrap();
    // It is never dropped.
    std::mem::forget(plugin);
}

/// A call ends in time where all threads of the host that may block are busy, and its runtime has
/// no timers.
#[test]
fn a_call_without_a_thread_ends_in_time() {
    const HELD: Duration = Duration::from_secs(4);
    let workshop = Workshop::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut options = options();
        options.limits.timeout = Duration::from_secs(1);
        let plugin = load(&workshop, "loop", options).await.unwrap();
        let process = process_of(&*plugin).await;
        let begin = Instant::now();
        let held = tokio::task::spawn_blocking(|| std::thread::sleep(HELD));
        for _ in 0..2 {
            let error = plugin.call("act", Bytes::new()).await.unwrap_err();
            assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
        }
        // The worker does not wait for a thread either.
        must_vanish(process);
        assert!(begin.elapsed() < HELD);
        held.await.unwrap();
    });
}

/// A blocking call waits for a worker as an async one does.
#[tokio::test]
async fn more_blocking_calls_than_workers_wait() {
    let workshop = Workshop::new();
    let plugin = load(&workshop, "slow", options()).await.unwrap();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..9 {
            scope.spawn(|| plugin.call_blocking("act", Bytes::new()).unwrap());
        }
    });
    assert!(begin.elapsed() > Duration::from_millis(1_100));
}
