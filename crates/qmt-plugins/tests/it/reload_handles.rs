//! Which calls and handles keep a version of a plugin alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_plugins::Plugin;
use qmt_plugins::loader::{Artifact, LoadError, LoadOptions, Loader, Preflight};
use qmt_testkit::plugins;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::reload::{host_of_file, install};
use crate::scene::{REPOSITORY, Scene};

/// A loader that counts the plugins that it loaded and those that were dropped.
#[derive(Default)]
struct Counting {
    loaded: AtomicUsize,
    dropped: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

/// A plugin that answers with its number, `wait` only when the gate opens.
struct Numbered {
    number: usize,
    dropped: Arc<AtomicUsize>,
    gate: Arc<Gate>,
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Loader for Counting {
    async fn load(&self, _: Artifact, _: LoadOptions) -> Result<Arc<dyn Plugin>, LoadError> {
        Ok(Arc::new(Numbered {
            number: self.loaded.fetch_add(1, Ordering::SeqCst) + 1,
            dropped: Arc::clone(&self.dropped),
            gate: Arc::clone(&self.gate),
        }))
    }

    fn preflight(&self, _: &Artifact) -> Result<Preflight, LoadError> {
        unreachable!("`load` is all that this host calls")
    }
}

#[async_trait]
impl Plugin for Numbered {
    async fn call(&self, export: &str, _: Bytes) -> Result<Bytes, LoadError> {
        if export == "wait" {
            self.gate.0.acquire().await.unwrap().forget();
        }
        Ok(self.number.to_string().into())
    }

    fn call_blocking(&self, _: &str, _: Bytes) -> Result<Bytes, LoadError> {
        Ok(self.number.to_string().into())
    }

    fn exports(&self) -> Vec<String> {
        vec![format!("export of {}", self.number)]
    }

    fn kind(&self) -> qmt_oci_ref::PluginKind {
        qmt_oci_ref::PluginKind::Wasm
    }

    async fn unload(&self) -> Result<(), LoadError> {
        Ok(())
    }
}

#[tokio::test]
async fn the_version_before_is_dropped_with_its_last_call() {
    let scene = Scene::new().await;
    install(&scene, &plugins::echo_wasm());
    let loader = Arc::new(Counting::default());
    let image = format!("oci://{}/{REPOSITORY}:1", scene.registry.host());
    let config = scene.config_with("", "").replace(&image, "plugin.wasm");
    let host = scene
        .builder(&config)
        .wasm_loader(loader.clone())
        .build()
        .unwrap();
    let dropped = || loader.dropped.load(Ordering::SeqCst);

    let plugin = host.reloadable("greeter").await.unwrap();
    let waiting = tokio::spawn({
        let plugin = Arc::clone(&plugin);
        async move { plugin.call("wait", Bytes::new()).await.unwrap() }
    });
    // The call reaches the gate and waits there.
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(host.reload("greeter").await.unwrap());
    assert_eq!(plugin.call("number", Bytes::new()).await.unwrap(), "2");
    assert_eq!(plugin.exports(), ["export of 2"]);
    assert_eq!(dropped(), 0);
    loader.gate.0.add_permits(1);
    assert_eq!(
        timeout(Duration::from_secs(20), waiting)
            .await
            .unwrap()
            .unwrap(),
        "1"
    );
    assert_eq!(dropped(), 1);

    // If no call is running, it is dropped at once.
    drop(host.reload("greeter").await.unwrap());
    assert_eq!(dropped(), 2);
    // Handles share one version, which is dropped with the last of them.
    let second = host.reloadable("greeter").await.unwrap();
    assert_eq!(second.call("number", Bytes::new()).await.unwrap(), "3");
    plugin.unload().await.unwrap();
    plugin.unload().await.unwrap();
    let error = plugin.call("number", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
    assert!(plugin.exports().is_empty());
    assert_eq!(second.call_blocking("number", Bytes::new()).unwrap(), "3");
    assert_eq!(dropped(), 2);
    drop(second);
    assert_eq!(dropped(), 3);
    // Without a handle, `reload` loads the plugin, and the next handle loads it again.
    drop(host.reload("greeter").await.unwrap());
    let third = host.reloadable("greeter").await.unwrap();
    assert_eq!(third.call("number", Bytes::new()).await.unwrap(), "5");
}

#[tokio::test]
async fn a_native_plugin_is_replaced_too() {
    let scene = Scene::new().await;
    let folder = scene.folder.path();
    let library = |version: &str| {
        let source = plugins::ECHO_C.replace("Hello, ", version);
        assert_ne!(source, plugins::ECHO_C);
        let path = plugins::compile(folder, "versioned.so", &source, &[]).unwrap();
        std::fs::read(path).unwrap()
    };
    install(&scene, &library("One, "));
    let host = host_of_file(&scene, "probe = \"greet\"\nallow = { native = true }");
    let plugin = host.reloadable("greeter").await.unwrap();
    assert_eq!(
        plugin.call("greet", "x".into()).await.unwrap(),
        "One, x! (native)"
    );
    install(&scene, &library("Two, "));
    let next = host.reload("greeter").await.unwrap();
    assert_eq!(
        plugin.call("greet", "x".into()).await.unwrap(),
        "Two, x! (native)"
    );
    // What `reload` returns is the loader's own type, whose symbols can be used.
    let native: &dyn std::any::Any = &*next;
    let native = native
        .downcast_ref::<qmt_plugins::loader::native::NativePlugin>()
        .unwrap();
    native.symbol::<*const u8>("qmt_test_name").unwrap();
}
