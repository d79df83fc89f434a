//! Native plugins in worker processes: what a host does with good ones.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qmt_loader::native::{Isolation, NativeLoader, NativePlugin, WorkerEnd};
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader, Plugin};
use qmt_oci_ref::PluginKind;

use crate::support::{artifact, outputs_are_bounded, refusal};
use crate::workshop::Workshop;

/// The helper program that a host names.
const WORKER: &str = env!("CARGO_BIN_EXE_qmt-plugin-worker");
/// The time of a call that is expected to reach it.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn isolating(workshop: &Workshop) -> NativeLoader {
    workshop.loader().worker(WORKER)
}

pub(crate) fn options() -> LoadOptions {
    let mut options = LoadOptions::default();
    options.isolation = Isolation::Process;
    options.limits.timeout = Duration::from_secs(20);
    options
}

pub(crate) fn hostile(workshop: &Workshop, name: &str) -> Artifact {
    let source = format!("../hostile-native/{name}.c");
    artifact(PluginKind::Native, workshop.compile(&source, &[]))
}

pub(crate) async fn load(
    workshop: &Workshop,
    name: &str,
    options: LoadOptions,
) -> Result<Arc<dyn Plugin>, LoadError> {
    let library = hostile(workshop, name);
    isolating(workshop).load(library, options).await
}

pub(crate) async fn text(plugin: &dyn Plugin, export: &str, input: &str) -> String {
    let output = plugin.call(export, Bytes::copy_from_slice(input.as_bytes()));
    String::from_utf8(output.await.unwrap().to_vec()).unwrap()
}

/// The process of the worker that answers.
pub(crate) async fn process_of(plugin: &dyn Plugin) -> u32 {
    text(plugin, "pid", "").await.parse().unwrap()
}

pub(crate) fn is_running(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

/// Waits until a process is gone, its zombie included.
pub(crate) fn must_vanish(process: u32) {
    let path = format!("/proc/{process}");
    for _ in 0..500 {
        if !fs::exists(&path).unwrap() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {process} is still there");
}

/// The same ABI, errors and configuration as in the process of the host.
#[tokio::test]
async fn an_isolated_plugin_answers_as_another_one() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.compile("echo.c", &[]));
    let plugin = isolating(&workshop).load(library, options()).await.unwrap();
    assert_eq!(plugin.kind(), PluginKind::Native);
    assert_eq!(plugin.exports(), ["fails", "greet"]);
    for _ in 0..3 {
        let answer = plugin.call("greet", Bytes::from("Ada")).await.unwrap();
        assert_eq!(answer, "Hello, Ada! (native)");
        let answer = plugin.call_blocking("greet", Bytes::from("Bo")).unwrap();
        assert_eq!(answer, "Hello, Bo! (native)");
    }
    match plugin.call("fails", Bytes::new()).await.unwrap_err() {
        LoadError::PluginFailed { message, code, .. } => {
            assert_eq!((&*message, code), ("no \\u{1b}[J", 7));
        }
        other => panic!("{other:?}"),
    }
    let error = plugin.call("missing", Bytes::new()).await.unwrap_err();
    assert!(
        matches!(error, LoadError::UnknownExport { .. }),
        "{error:?}"
    );
    plugin.unload().await.unwrap();
    let error = plugin.call("greet", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
}

/// Inputs and outputs that are larger than the buffer of a socket, and than they may be.
#[tokio::test]
async fn large_messages_pass_up_to_the_limit() {
    let workshop = Workshop::new();
    let library = || artifact(PluginKind::Native, workshop.compile("echo.c", &[]));
    let plugin = isolating(&workshop)
        .load(library(), options())
        .await
        .unwrap();
    let input = Bytes::from(vec![b'x'; 20 << 20]);
    let output = plugin.call("greet", input.clone()).await.unwrap();
    assert_eq!(output.len(), input.len() + "Hello, ! (native)".len());
    let mut limited = options();
    limited.limits.memory_max = 16 << 20;
    let plugin = isolating(&workshop).load(library(), limited).await.unwrap();
    let error = plugin.call("greet", input).await.unwrap_err();
    assert!(
        matches!(error, LoadError::InputTooLarge { .. }),
        "{error:?}"
    );
    // Input and output fit into the worker once; a copy of the output would not.
    let input = Bytes::from(vec![b'x'; 6 << 20]);
    let output = plugin.call("greet", input.clone()).await.unwrap();
    assert!(output.len() > input.len());
    // An input at the limit does not fit next to what the worker uses already.
    let input = Bytes::from(vec![b'x'; 16 << 20]);
    let error = plugin.call("greet", input).await.unwrap_err();
    assert!(matches!(error, LoadError::OutOfMemory { .. }), "{error:?}");
    // An output that the plugin has no memory for.
    let error = plugin
        .call("greet", vec![b'x'; 10 << 20].into())
        .await
        .unwrap_err();
    assert!(matches!(error, LoadError::PluginFailed { .. }), "{error:?}");
    assert_eq!(
        plugin.call("greet", Bytes::new()).await.unwrap(),
        "Hello, ! (native)"
    );
    let huge = artifact(PluginKind::Native, workshop.variant(&[]));
    let plugin = isolating(&workshop).load(huge, options()).await.unwrap();
    outputs_are_bounded(&*plugin).await;
}

/// NAT-03: each worker takes the configuration, and another handle can have another one.
#[tokio::test]
async fn each_worker_is_configured() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DCONFIGURE"]));
    let with = async |value: &str| {
        let mut options = options();
        options.config.insert("key".into(), value.into());
        isolating(&workshop).load(library.clone(), options).await
    };
    with("value").await.ok().unwrap();
    let error = refusal(with("other").await);
    assert!(matches!(error, LoadError::Start { .. }), "{error:?}");
    with("value").await.ok().unwrap();
}

/// NAT-08: calls that overlap run in different processes, and those of a lease in one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_has_a_process_of_its_own() {
    let workshop = Workshop::new();
    let plugin = load(&workshop, "counter", options()).await.unwrap();
    let (one, two) = (plugin.lease().await.unwrap(), plugin.lease().await.unwrap());
    for count in ["1", "2", "3"] {
        assert_eq!(text(&*one, "act", "").await, count);
        assert_eq!(text(&*two, "act", "").await, count);
        assert_eq!(one.call_blocking("echo", Bytes::from("x")).unwrap(), "x");
    }
    // A lease of a lease is another one of the plugin.
    let three = one.lease().await.unwrap();
    assert_eq!(text(&*three, "act", "").await, "1");
    drop(one);
    assert_eq!(text(&*two, "act", "").await, "4");
    // The state of a call that asked for none is not promised, but there is one.
    assert_eq!(text(&*plugin, "act", "").await, "1");
}

/// A lease of a lease waits for a process of the plugin, and says so.
#[tokio::test]
async fn leases_of_leases_share_the_processes_of_the_plugin() {
    let workshop = Workshop::new();
    let mut options = options();
    options.limits.timeout = Duration::from_secs(4);
    let plugin = load(&workshop, "counter", options).await.unwrap();
    let mut leases = vec![plugin.lease().await.unwrap()];
    while leases.len() < 8 {
        leases.push(leases[0].lease().await.unwrap());
    }
    for full in [&leases[0].lease().await, &plugin.lease().await] {
        match full {
            Err(LoadError::Busy { instances, .. }) => assert_eq!(*instances, 8),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("there is another process"),
        }
    }
    assert_eq!(text(&*leases[7], "act", "").await, "1");
}

/// A lease whose process ended has ended as well; the plugin has not.
#[tokio::test]
async fn a_lease_ends_with_its_process() {
    let workshop = Workshop::new();
    let plugin = load(&workshop, "exit", options()).await.unwrap();
    let lease = plugin.lease().await.unwrap();
    let error = lease.call("act", Bytes::new()).await.unwrap_err();
    let ended = matches!(
        error,
        LoadError::WorkerEnded {
            end: WorkerEnd::Exited { code: 3 },
            ..
        }
    );
    assert!(ended, "{error:?}");
    assert!(error.hint().unwrap().contains("own code"), "{error:?}");
    let error = lease.call("echo", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::LeaseEnded { .. }), "{error:?}");
    assert_eq!(text(&*plugin, "echo", "x").await, "x");
    plugin.lease().await.ok().unwrap();
    // The slot of a process that ended is free before its lease is dropped.
    let mut leases = vec![lease];
    for _ in 0..8 {
        leases.push(plugin.lease().await.unwrap());
    }
}

/// An export that is called in each new process, before anything else.
#[tokio::test]
async fn an_export_can_run_at_the_start_of_each_process() {
    let workshop = Workshop::new();
    let mut options = options();
    options.at_start = Some("act".to_owned());
    let plugin = load(&workshop, "counter", options.clone()).await.unwrap();
    assert_eq!(text(&*plugin, "act", "").await, "2");
    let lease = plugin.lease().await.unwrap();
    assert_eq!(text(&*lease, "act", "").await, "2");
    let error = refusal(load(&workshop, "abort", options).await);
    assert!(matches!(error, LoadError::WorkerEnded { .. }), "{error:?}");
}

/// Symbols are in another process; a library without calls cannot be isolated at all.
#[tokio::test]
async fn an_isolated_plugin_has_no_symbols() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&[]));
    let loader = isolating(&workshop);
    let plugin = loader.load(library.clone(), options()).await.unwrap();
    let native: &NativePlugin = (&*plugin as &dyn std::any::Any).downcast_ref().unwrap();
    assert_eq!(native.isolation(), Isolation::Process);
    assert!(native.is_callable());
    let error = native.symbol::<*const i32>("answer").unwrap_err();
    assert!(
        matches!(error, LoadError::IsolatedSymbol { .. }),
        "{error:?}"
    );
    let plugin = loader.load(library, LoadOptions::default()).await.unwrap();
    let native: &NativePlugin = (&*plugin as &dyn std::any::Any).downcast_ref().unwrap();
    assert_eq!(native.isolation(), Isolation::InProcess);
    native.symbol::<*const i32>("answer").unwrap();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DNO_ABI"]));
    let error = refusal(loader.load(library, options()).await);
    assert!(matches!(error, LoadError::Isolation { .. }), "{error:?}");
}

/// Without the first line of `main`, the host itself would start again; this test has no such line.
#[tokio::test]
async fn a_host_that_is_not_prepared_is_not_started_again() {
    let workshop = Workshop::new();
    let library = || artifact(PluginKind::Native, workshop.compile("echo.c", &[]));
    for (loader, words) in [
        (workshop.loader(), "run_worker_if_asked"),
        (workshop.loader().worker("qmt-plugin-worker"), "absolute"),
        (workshop.loader().worker("/nowhere/worker"), "must start"),
        // A program that is no worker ends, and sends nothing.
        (workshop.loader().worker("/bin/true"), "must call"),
    ] {
        let error = refusal(loader.load(library(), options()).await);
        assert!(matches!(error, LoadError::Isolation { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// What a worker cannot be granted is refused, and nothing of it runs.
#[tokio::test]
async fn rights_that_no_worker_has_are_refused() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&[]));
    let folder = workshop.path("folder");
    fs::create_dir(&folder).unwrap();
    let mut network = options();
    network.allow.hosts.push("example.com".to_owned());
    let mut renamed = options();
    renamed.allow.paths.insert(folder.clone(), "/data".into());
    let mut missing = options();
    missing
        .allow
        .paths
        .insert("/nowhere/at/all".into(), "/nowhere/at/all".into());
    let mut all = options();
    all.allow.env.push("*".to_owned());
    for options in [network, renamed, missing, all] {
        let error = refusal(isolating(&workshop).load(library.clone(), options).await);
        assert!(matches!(error, LoadError::Grant { .. }), "{error:?}");
    }
    let mut granted = options();
    granted.allow.paths.insert(folder.clone(), folder);
    granted.allow.env.push("PATH".to_owned());
    isolating(&workshop)
        .load(library, granted)
        .await
        .ok()
        .unwrap();
    // Its constructor ran in the worker, which could not write the mark.
    assert!(!workshop.marker().exists());
}
