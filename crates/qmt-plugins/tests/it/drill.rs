//! F6 through all stages: bits flip on the line while a signed plugin is pulled. What is installed
//! is the genuine file, or nothing is.
//!
//! Here it runs in a short form; `cargo xtask drill` sets `QMT_DRILL` (`full`, `long`) and reads
//! the line that begins with `drill`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qmt_plugins::config::ConfigFile;
use qmt_plugins::{Error, PluginHost};
use qmt_testkit::{FakeRegistry, WireFault, WireProxy, plugins};

use crate::scene::{REPOSITORY, Scene, messages, wasm_image};

/// Concurrent pulls.
const AT_ONCE: usize = 8;
/// Longer than this, a pull over loopback hangs.
const HANGS: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
struct Tally {
    genuine: usize,
    refused: usize,
    violations: Vec<String>,
}

/// A scene whose registry is reached over a wire.
struct Stand {
    scene: Scene,
    wire: WireProxy,
    config: String,
}

impl Stand {
    async fn new() -> Self {
        let wire = WireProxy::start().unwrap();
        let mut scene = Scene::new().await;
        scene.registry = FakeRegistry::builder().serve().await;
        wire.forward_to(scene.registry.address());
        let image = scene.push(&wasm_image(), "1");
        scene.sign_bundle(&image);
        let behind = scene.registry.host().to_string();
        let config = scene.config().replace(&behind, &wire.address().to_string());
        assert!(config.contains(REPOSITORY));
        Self {
            scene,
            wire,
            config,
        }
    }

    fn host(&self, cache: &std::path::Path) -> PluginHost {
        let path = self.scene.write("plugins.toml", &self.config);
        // Each case is the first time.
        let _ = std::fs::remove_file(self.scene.folder.path().join("plugins.lock"));
        PluginHost::builder(ConfigFile::read(path).unwrap())
            .cache_dir(cache)
            .build()
            .unwrap()
    }

    async fn length(&self) -> u64 {
        self.wire.arm(WireFault::None);
        let cache = tempfile::tempdir().unwrap();
        self.host(cache.path()).fetch("greeter").await.unwrap();
        self.wire.passed()
    }

    async fn case(&self, fault: &WireFault, tally: &mut Tally) {
        let cache = tempfile::tempdir().unwrap();
        self.wire.arm(fault.clone());
        let host = self.host(cache.path());
        let first = self.outcome(&host).await;
        match first {
            Ok(Ok(())) => tally.genuine += 1,
            Ok(Err(error)) => {
                let kept = host.cache().list().await.unwrap();
                if !kept.is_empty() {
                    let error = messages(&error);
                    tally
                        .violations
                        .push(format!("{fault:?}: kept after {error}"));
                }
                // What went wrong once leaves nothing that is in the way of the next run.
                self.wire.arm(WireFault::None);
                match self.outcome(&self.host(cache.path())).await {
                    Ok(Ok(())) => tally.refused += 1,
                    other => tally
                        .violations
                        .push(format!("{fault:?}: afterwards {other:?}")),
                }
            }
            Err(violation) => tally.violations.push(format!("{fault:?}: {violation}")),
        }
    }

    /// The genuine file or an error; all else is a violation.
    async fn outcome(&self, host: &PluginHost) -> Result<Result<(), Error>, String> {
        let Ok(fetched) = tokio::time::timeout(HANGS, host.fetch("greeter")).await else {
            return Err("hangs".to_owned());
        };
        match fetched {
            Err(error) => Ok(Err(error)),
            Ok(artifact) => {
                let installed =
                    std::fs::read(artifact.path()).map_err(|error| error.to_string())?;
                if installed == plugins::echo_wasm() {
                    Ok(Ok(()))
                } else {
                    Err("other bytes are installed".to_owned())
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_what_is_installed_is_genuine_whatever_the_line_does() {
    let form = std::env::var("QMT_DRILL").unwrap_or_default();
    let length = Stand::new().await.length().await;
    let (step, edits) = match form.as_str() {
        "long" => (1, 10_000),
        "full" => (1, 1_000),
        _ => (199, 20),
    };
    let mut faults: Vec<_> = (0..length)
        .step_by(step)
        .map(|at| WireFault::Change(vec![(at, 1 << (at % 8))]))
        .collect();
    // The same each time: a violation can be looked at again.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % end
    };
    for _ in 0..edits {
        let changes = (0..=random(8))
            .map(|_| (random(length), u8::try_from(random(255)).unwrap() + 1))
            .collect();
        faults.push(WireFault::Change(changes));
    }
    let (faults, next) = (Arc::new(faults), Arc::new(AtomicUsize::new(0)));
    let mut workers = Vec::new();
    for _ in 0..AT_ONCE {
        let (faults, next) = (Arc::clone(&faults), Arc::clone(&next));
        workers.push(tokio::spawn(async move {
            let stand = Stand::new().await;
            let mut tally = Tally::default();
            while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                stand.case(fault, &mut tally).await;
            }
            tally
        }));
    }
    let mut whole = Tally::default();
    for worker in workers {
        let tally = worker.await.unwrap();
        whole.genuine += tally.genuine;
        whole.refused += tally.refused;
        whole.violations.extend(tally.violations);
    }
    println!(
        "drill F6 installed: {} cases, {} genuine, {} refused, {} violations",
        faults.len(),
        whole.genuine,
        whole.refused,
        whole.violations.len()
    );
    assert!(whole.violations.is_empty(), "{:#?}", whole.violations);
    assert_eq!(whole.genuine + whole.refused, faults.len());
    assert!(whole.genuine > 0 && whole.refused > 0, "{whole:?}");
}
