//! Plugins that are replaced while they are called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use qmt_plugins::{Event, Plugin, PluginHost};
use qmt_testkit::{ImageBuilder, plugins};
use tokio::time::timeout;

use crate::scene::{REPOSITORY, Scene, messages};

const LONG: Duration = Duration::from_secs(20);

/// A module whose `version` is `number`, with more lines in `extra`.
pub(crate) fn module(number: u8, extra: &str) -> Vec<u8> {
    plugins::wasm(&format!(
        r#"(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory (export "memory") 24)
  (data (i32.const 0) "\{number:02x}VERSION")
  (global $calls (mut i32) (i32.const 0))
  (func $answer (param $byte i32) (result i32) (local $out i64)
    (local.set $out (call $alloc (i64.const 1)))
    (call $store_u8 (local.get $out) (local.get $byte))
    (call $output_set (local.get $out) (i64.const 1))
    (i32.const 0))
  (func (export "version") (result i32) (call $answer (i32.load8_u (i32.const 0))))
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (call $answer (global.get $calls)))
  {extra})"#
    ))
}

/// Replaces the file of the plugin, as editors and package managers do.
pub(crate) fn install(scene: &Scene, content: &[u8]) {
    let (new, path) = (
        scene.folder.path().join("new"),
        scene.folder.path().join("plugin.wasm"),
    );
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A host of one plugin, which is the file `plugin.wasm`.
pub(crate) fn host_of_file(scene: &Scene, provider: &str) -> PluginHost {
    let image = format!("oci://{}/{REPOSITORY}:1", scene.registry.host());
    scene.host(
        &scene
            .config_with("", provider)
            .replace(&image, "plugin.wasm"),
    )
}

pub(crate) async fn number(plugin: &dyn Plugin, export: &str) -> u8 {
    let answer = plugin.call(export, "".into()).await;
    answer.unwrap_or_else(|error| panic!("{error:?}"))[0]
}

/// Waits until calls reach `version`.
pub(crate) async fn becomes(plugin: &dyn Plugin, version: u8) {
    let reached = async {
        while number(plugin, "version").await != version {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, reached).await.unwrap();
}

/// Returns the reasons of all `NotReloaded` events so far.
pub(crate) fn refusals(scene: &Scene) -> Vec<String> {
    let events = scene.events.lock().unwrap();
    let refusals = events.iter().filter_map(|event| match event {
        Event::NotReloaded { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    refusals.collect()
}

pub(crate) fn reloads(scene: &Scene) -> usize {
    let events = scene.events.lock().unwrap();
    let reloads = events
        .iter()
        .filter(|event| matches!(event, Event::Reloaded { .. }));
    reloads.count()
}

/// The memory of this process that is in use, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[cfg(not(target_os = "linux"))]
fn resident() -> u64 {
    0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_reloads_under_load_fail_no_call_and_keep_no_memory() {
    let scene = Scene::new().await;
    install(&scene, &module(0, ""));
    let host = host_of_file(&scene, "");
    let (done, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let plugin = host.reloadable("greeter").await.unwrap();
        let (done, calls) = (Arc::clone(&done), Arc::clone(&calls));
        tasks.push(tokio::spawn(async move {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let version = number(&*plugin, "version").await;
                assert!(version >= last, "version {version} after {last}");
                last = version;
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            last
        }));
    }
    let plugin = host.reloadable("greeter").await.unwrap();
    let content = format!("(data (i32.const 65536) \"{}\")", "x".repeat(1 << 20));
    let mut large = module(0, &content);
    let at = large
        .windows(7)
        .position(|bytes| bytes == b"VERSION")
        .unwrap();
    let mut early = 0;
    for version in 1..=100 {
        large[at - 1] = version;
        install(&scene, &large);
        host.reload("greeter").await.unwrap();
        assert_eq!(number(&*plugin, "version").await, version);
        if version == 20 {
            early = resident();
        }
    }
    let growth = resident().saturating_sub(early);
    done.store(true, Ordering::Relaxed);
    for task in tasks {
        assert!(task.await.unwrap() >= 99);
    }
    assert!(calls.load(Ordering::Relaxed) > 1_000, "{calls:?} calls");
    // If no version were dropped, eighty would be 80 MiB of content alone. Other tests run meanwhile.
    assert!(growth < 48 << 20, "{growth} bytes more after 80 reloads");
    assert_eq!((reloads(&scene), refusals(&scene).len()), (100, 0));
}

#[tokio::test]
async fn a_lease_ends_with_the_version_that_it_began_with() {
    let scene = Scene::new().await;
    install(&scene, &module(1, ""));
    let host = host_of_file(&scene, "");
    let plugin = host.reloadable("greeter").await.unwrap();
    let lease = plugin.lease().await.unwrap();
    assert_eq!(number(&*lease, "count").await, 1);
    install(&scene, &module(2, ""));
    host.reload("greeter").await.unwrap();
    assert_eq!(number(&*lease, "count").await, 2);
    assert_eq!(number(&*lease, "version").await, 1);
    assert_eq!(number(&*plugin, "version").await, 2);
    assert_eq!(number(&*plugin.lease().await.unwrap(), "version").await, 2);
    assert_eq!(plugin.call_blocking("version", "".into()).unwrap()[0], 2);
}

#[tokio::test]
async fn a_version_that_would_fail_leaves_the_one_before() {
    const GOOD: &str = "(func (export \"healthy\") (result i32) (i32.const 0))";
    let scene = Scene::new().await;
    install(&scene, &module(1, ""));
    let lines = "probe = \"healthy\"\nlimits = { timeout = \"500ms\" }";
    let host = host_of_file(&scene, lines);
    let plugin = host.reloadable("greeter").await.unwrap();
    let spin = "(func (export \"healthy\") (result i32) (loop $again (br $again)) (i32.const 0))";
    for (content, words) in [
        (b"no module".to_vec(), "neither a Wasm module"),
        (
            plugins::wasm("(module (import \"env\" \"absent\" (func)))"),
            "absent",
        ),
        (module(2, ""), "healthy"),
        (
            module(2, "(func (export \"healthy\") (result i32) (i32.const 1))"),
            "probe `healthy`",
        ),
        (
            module(2, "(func (export \"healthy\") (result i32) unreachable)"),
            "probe `healthy`",
        ),
        (module(2, spin), "took longer than 500ms"),
        (
            module(2, "(func $start unreachable) (start $start)"),
            "does not start",
        ),
        // What is left of a copy that stopped between two sections.
        (plugins::wasm("(module)"), "has no export `count`"),
    ] {
        install(&scene, &content);
        scene.events.lock().unwrap().clear();
        let error = messages(&host.reload("greeter").await.err().unwrap());
        assert!(error.contains(words), "{error}");
        let refusals = refusals(&scene);
        assert!(
            refusals.len() == 1 && refusals[0].contains(words),
            "{refusals:?}"
        );
        assert_eq!(reloads(&scene), 0);
        assert_eq!(number(&*plugin, "version").await, 1, "{words}");
    }
    install(&scene, &module(2, GOOD));
    host.reload("greeter").await.unwrap();
    assert_eq!(number(&*plugin, "version").await, 2);
    assert_eq!(reloads(&scene), 1);
    // A file that is gone leaves the version in use.
    std::fs::remove_file(scene.folder.path().join("plugin.wasm")).unwrap();
    host.reload("greeter").await.err().unwrap();
    assert_eq!(number(&*plugin, "version").await, 2);
}

/// Invariant 7: the lockfile names a new version only after it was loaded and probed.
#[tokio::test]
async fn the_lockfile_names_no_version_that_failed() {
    const GOOD: &str = "(func (export \"healthy\") (result i32) (i32.const 0))";
    let scene = Scene::new().await;
    let push = |version, extra| {
        let image = scene.push(&ImageBuilder::wasm(module(version, extra)).build(), "1");
        scene.sign(&image);
        image.digest().clone()
    };
    let first = push(1, GOOD);
    let config = scene.config_with("pull_policy = \"always\"", "probe = \"healthy\"");
    let host = scene.host(&config);
    let plugin = host.reloadable("greeter").await.unwrap();
    push(2, "");
    host.reload("greeter").await.err().unwrap();
    assert_eq!(number(&*plugin, "version").await, 1);
    assert_eq!(host.lock_entry("greeter").unwrap().digest, first);
    assert_eq!(
        scene.host(&config).lock_entry("greeter").unwrap().digest,
        first
    );
    let third = push(3, GOOD);
    host.reload("greeter").await.unwrap();
    assert_eq!(number(&*plugin, "version").await, 3);
    assert_eq!(host.lock_entry("greeter").unwrap().digest, third);
}

#[tokio::test]
async fn an_update_reaches_the_handle_with_the_next_reload() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&ImageBuilder::wasm(module(1, "")).build(), "1"));
    let host = scene.host(&scene.config());
    let plugin = host.reloadable("greeter").await.unwrap();
    scene.sign(&scene.push(&ImageBuilder::wasm(module(2, "")).build(), "1"));
    host.reload("greeter").await.unwrap();
    assert_eq!(number(&*plugin, "version").await, 1);
    host.update("greeter").await.unwrap();
    assert_eq!(number(&*plugin, "version").await, 1);
    let next = host.reload("greeter").await.unwrap();
    assert_eq!(number(&*next, "version").await, 2);
    assert_eq!(number(&*plugin, "version").await, 2);
}

#[tokio::test]
async fn handles_of_targets_in_code_are_reloaded_by_their_name() {
    use qmt_plugins::{Error, Target, config::ProviderConfig};
    let scene = Scene::new().await;
    install(&scene, &module(1, ""));
    let host = host_of_file(&scene, "");
    let provider = ProviderConfig::new("in code", "plugin.wasm");
    let target = Target::from_provider(provider).unwrap();
    let error = host.reload("in code").await.err().unwrap();
    assert!(matches!(error, Error::UnknownPlugin { .. }), "{error}");
    let plugin = host.reloadable_target(&target).await.unwrap();
    // Of two providers with one name, the second does not get the plugin of the first.
    let mut other = ProviderConfig::new("in code", "plugin.wasm");
    other.allow.hosts = vec!["api.example.com".to_owned()];
    let other = Target::from_provider(other).unwrap();
    let error = host.reloadable_target(&other).await.err().unwrap();
    assert!(error.to_string().contains("another provider"), "{error}");
    host.reloadable_target(&target).await.unwrap();
    install(&scene, &module(2, ""));
    host.reload("in code").await.unwrap();
    assert_eq!(number(&*plugin, "version").await, 2);
}
