//! The loader over crate `extism`, for hosts whose functions are written in its types.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use bytes::Bytes;
use extism::{CurrentPlugin, Error, Function, PTR, UserData, Val};
use qmt_loader::{Artifact, ExtismLoader, LoadError, LoadOptions, Loader, Plugin};
use qmt_oci_ref::PluginKind;

/// Imports `ask`, and has a function for each way a call can end.
const MODULE: &str = r#"(module
    (import "extism:host/env" "input_offset" (func $input (result i64)))
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
    (import "extism:host/user" "ask" (func $ask (param i64) (result i64)))
    (memory (export "memory") 1)
    (func (export "ask") (result i32) (local $answer i64)
      (local.set $answer (call $ask (call $input)))
      (call $output_set (local.get $answer) (call $length (local.get $answer)))
      (i32.const 0))
    (func (export "trap") (result i32) (unreachable))
    (func (export "fail") (result i32) (i32.const 7))
    (func (export "spin") (result i32) (loop $again (br $again)) (i32.const 0)))"#;

fn ask(
    plugin: &mut CurrentPlugin,
    inputs: &[Val],
    outputs: &mut [Val],
    _: UserData<()>,
) -> Result<(), Error> {
    let input: String = plugin.memory_get_val(&inputs[0])?;
    plugin.memory_set_val(&mut outputs[0], input.to_uppercase())
}

fn loader() -> ExtismLoader {
    ExtismLoader::new([Function::new("ask", [PTR], [PTR], UserData::new(()), ask)])
}

fn artifact() -> Artifact {
    let module = wat::parse_str(MODULE).unwrap();
    Artifact::from_bytes(PluginKind::Wasm, module, "asks")
}

async fn load(options: LoadOptions) -> Result<std::sync::Arc<dyn Plugin>, LoadError> {
    loader().load(artifact(), options).await
}

#[tokio::test]
async fn a_function_in_the_types_of_extism_is_called() {
    let plugin = load(LoadOptions::default()).await.unwrap();
    assert_eq!(plugin.exports(), ["ask", "fail", "spin", "trap"]);
    assert_eq!(plugin.call("ask", "ada".into()).await.unwrap(), "ADA");
    assert_eq!(plugin.call_blocking("ask", "bob".into()).unwrap(), "BOB");
    plugin.unload().await.unwrap();
    let error = plugin.call("ask", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
}

#[tokio::test]
async fn failures_are_those_of_the_trait() {
    let mut options = LoadOptions::default();
    options.limits.timeout = Duration::from_millis(200);
    let plugin = load(options).await.unwrap();
    let error = plugin.call("trap", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
    for export in ["fail", "spin"] {
        let error = plugin.call(export, Bytes::new()).await.unwrap_err();
        assert!(matches!(error, LoadError::PluginFailed { .. }), "{error:?}");
    }
    let error = plugin.call("missing", Bytes::new()).await.unwrap_err();
    assert!(
        matches!(error, LoadError::UnknownExport { .. }),
        "{error:?}"
    );
    assert_eq!(plugin.call("ask", "x".into()).await.unwrap(), "X");
}

/// WASM-06, WASM-08: what crate `extism` cannot hold a plugin to is not granted.
#[tokio::test]
async fn what_it_cannot_limit_is_refused() {
    let mut with_host = LoadOptions::default();
    with_host.allow.hosts = vec!["example.com".to_owned()];
    let mut read_only = LoadOptions::default();
    let folder = std::env::temp_dir();
    let path = format!("ro:{}", folder.display());
    read_only.allow.paths.insert(path.into(), "/data".into());
    let mut at_start = LoadOptions::default();
    at_start.at_start = Some("greet".to_owned());
    for options in [with_host, read_only, at_start] {
        let error = load(options).await.err();
        assert!(matches!(error, Some(LoadError::Grant { .. })), "{error:?}");
    }
    let mut writable = LoadOptions::default();
    writable.allow.paths.insert(folder, "/data".into());
    load(writable).await.unwrap();
    // Extism would read other bytes as a manifest of its own, with paths and URLs in it.
    let manifest = Artifact::from_bytes(PluginKind::Wasm, r#"{"wasm":[]}"#, "manifest");
    let error = loader().load(manifest, LoadOptions::default()).await.err();
    assert!(
        matches!(error, Some(LoadError::WasmRefused { .. })),
        "{error:?}"
    );
}
