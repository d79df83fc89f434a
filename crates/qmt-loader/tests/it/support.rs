//! What the tests share: fixtures, loaders, artifacts.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use qmt_loader::wasm::WasmLoader;
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader, Plugin};
use qmt_oci_ref::Digest;
use qmt_oci_ref::PluginKind;

/// What a busy machine may add to a time that is measured.
pub(crate) const SLACK: Duration = Duration::from_secs(2);

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/plugins")
}

/// A fixture in WebAssembly text, compiled.
pub(crate) fn wasm(path: &str) -> Artifact {
    let bytes = wat::parse_file(fixtures().join(path)).unwrap();
    artifact(PluginKind::Wasm, bytes)
}

pub(crate) fn wasm_text(text: &str) -> Artifact {
    artifact(PluginKind::Wasm, wat::parse_str(text).unwrap())
}

pub(crate) fn artifact(kind: PluginKind, bytes: impl Into<Bytes>) -> Artifact {
    let bytes = bytes.into();
    let digest = Digest::sha256(&bytes);
    Artifact::from_verified(kind, bytes, digest, "fixture")
}

pub(crate) fn loader() -> WasmLoader {
    WasmLoader::builder().build().unwrap()
}

/// Options with a short time-out.
pub(crate) fn within(timeout: Duration) -> LoadOptions {
    let mut options = LoadOptions::default();
    options.limits.timeout = timeout;
    options
}

pub(crate) async fn load(path: &str) -> Arc<dyn Plugin> {
    loader()
        .load(wasm(path), LoadOptions::default())
        .await
        .unwrap()
}

/// Loading fails; `Arc<dyn Plugin>` has no `Debug` for `unwrap_err`.
pub(crate) fn refusal(result: Result<Arc<dyn Plugin>, LoadError>) -> LoadError {
    match result {
        Ok(_) => panic!("the plugin was loaded"),
        Err(error) => error,
    }
}

/// The number that the hostile fixtures hand out.
pub(crate) async fn number(plugin: &dyn Plugin, export: &str) -> u64 {
    let output = plugin.call(export, Bytes::new()).await.unwrap();
    u64::from_le_bytes(output.as_ref().try_into().unwrap())
}

/// Runs the test `name` of this binary in a process of its own, and returns what it printed.
///
/// The test asks [`is_child`] to know which one it is.
pub(crate) fn in_a_child(name: &str, environment: &[(&str, &str)]) -> String {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, name)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{:?}\n{text}", output.status);
    assert!(text.contains("1 passed"), "no such test: {name}\n{text}");
    text
}

const CHILD: &str = "QMT_LOADER_TEST_CHILD";

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Lines that plugins logged, as a host's subscriber gets them.
pub(crate) struct Logged(Mutex<Vec<String>>);

impl Logged {
    /// Listens to the plugins' lines from now on; once for the whole process.
    pub(crate) fn listen() -> &'static Self {
        static LOGGED: Logged = Logged(Mutex::new(Vec::new()));
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Listener(&LOGGED)).unwrap());
        &LOGGED
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

struct Listener(&'static Logged);

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "qmt_loader::plugin"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Words(String);
        impl tracing::field::Visit for Words {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                write!(self.0, "{}={value:?} ", field.name()).unwrap();
            }
        }
        let mut words = Words(String::new());
        event.record(&mut words);
        self.0.0.lock().unwrap().push(words.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Returns what an error and its causes say, from the outermost one inwards.
pub(crate) fn chain(error: &LoadError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Calls the native test plugin's exports with the longest output and message. A failure stays one,
/// whatever its message is.
pub(crate) async fn outputs_are_bounded(plugin: &dyn Plugin) {
    let error = plugin.call("huge", Bytes::new()).await.unwrap_err();
    assert!(
        matches!(error, LoadError::OutputTooLarge { .. }),
        "{error:?}"
    );
    match plugin.call("fails", Bytes::new()).await.unwrap_err() {
        LoadError::PluginFailed { code, detail, .. } => {
            assert_eq!((code, detail.len()), (7, 64 * 1024));
        }
        other => panic!("{other:?}"),
    }
}
