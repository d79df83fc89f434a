//! Wasm plugins that behave, and what is refused before it is compiled.

use bytes::Bytes;
use qmt_loader::refusal::WasmRefusal;
use qmt_loader::{LoadError, LoadOptions, Loader};
use qmt_oci_ref::PluginKind;

use crate::support::{artifact, load, loader, refusal, wasm, wasm_text};

#[tokio::test]
async fn the_echo_plugin_answers() {
    let plugin = load("echo-wasm/echo.wat").await;
    assert_eq!(plugin.kind(), PluginKind::Wasm);
    assert_eq!(plugin.exports(), ["configured", "count_vowels", "greet"]);
    let answer = plugin.call("greet", Bytes::from("Ada")).await.unwrap();
    assert_eq!(answer, "Hello, Ada! (wasm)");
    let answer = plugin.call("greet", Bytes::new()).await.unwrap();
    assert_eq!(answer, "Hello, ! (wasm)");
    for (text, count) in [("", 0), ("Hello", 2), (&"aeiou".repeat(25), 125)] {
        let answer = plugin
            .call("count_vowels", Bytes::from(text.to_owned()))
            .await;
        assert_eq!(answer.unwrap(), format!("{{\"count\":{count}}}"));
    }
}

/// Calls take and return the types of Extism's kits, in their encodings.
#[tokio::test]
async fn typed_calls_use_the_encodings_of_the_kits() {
    use qmt_loader::convert::{Json, Msgpack};
    type Counts = std::collections::BTreeMap<String, u32>;

    let plugin = load("echo-wasm/echo.wat").await;
    let greeting: String = plugin.call_typed("greet", "Ada").await.unwrap();
    assert_eq!(greeting, "Hello, Ada! (wasm)");
    let greeting: Vec<u8> = plugin.call_typed("greet", Json("Ada")).await.unwrap();
    assert_eq!(greeting, b"Hello, \"Ada\"! (wasm)");
    let Json(counts): Json<Counts> = plugin.call_typed("count_vowels", "aeiou").await.unwrap();
    assert_eq!(counts["count"], 5);
    // MessagePack writes a text of three bytes behind one byte more, which is no letter.
    let packed = plugin.call_typed("count_vowels", Msgpack("aei"));
    let Json(counts): Json<Counts> = packed.await.unwrap();
    assert_eq!(counts["count"], 3);
    let error = plugin.call_typed::<_, Json<Counts>>("greet", "Ada").await;
    assert!(
        matches!(error, Err(LoadError::Convert { what: "output", .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_configuration_reaches_the_plugin() {
    let mut options = LoadOptions::default();
    options.config.insert("colour".into(), "green".into());
    let plugin = loader()
        .load(wasm("echo-wasm/echo.wat"), options)
        .await
        .unwrap();
    let answer = plugin.call("configured", Bytes::from("colour")).await;
    assert_eq!(answer.unwrap(), "green");
    let answer = plugin.call("configured", Bytes::from("shape")).await;
    assert_eq!(answer.unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_are_answered() {
    let plugin = load("echo-wasm/echo.wat").await;
    let calls = (0..32).map(|caller| {
        let plugin = plugin.clone();
        tokio::spawn(async move { plugin.call("greet", Bytes::from(caller.to_string())).await })
    });
    for (caller, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = call.await.unwrap().unwrap();
        assert_eq!(answer, format!("Hello, {caller}! (wasm)"));
    }
}

#[tokio::test]
async fn an_export_that_is_not_there_or_not_callable_is_named_with_those_that_are() {
    let plugin = load("hostile-wasm/calls.wat").await;
    for export in ["missing", "takes_a_parameter", "memory", "_start"] {
        let error = plugin.call(export, Bytes::new()).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, LoadError::UnknownExport { .. }), "{text}");
        assert!(text.contains("`fine`"), "{text}");
    }
}

#[tokio::test]
async fn an_unloaded_plugin_refuses_and_others_go_on() {
    let loader = loader();
    let load = || loader.load(wasm("echo-wasm/echo.wat"), LoadOptions::default());
    let (one, other) = (load().await.unwrap(), load().await.unwrap());
    one.unload().await.unwrap();
    one.unload().await.unwrap();
    let error = one.call("greet", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
    other.call("greet", Bytes::new()).await.unwrap();
}

/// WASM-04: only a core module in the binary format gets as far as the compiler; Extism would take
/// each of these for something else.
#[tokio::test]
async fn what_is_no_core_module_is_refused() {
    fn reason(bytes: &[u8]) -> WasmRefusal {
        match loader().preflight(&artifact(PluginKind::Wasm, bytes.to_vec())) {
            Err(LoadError::WasmRefused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }
    let good = wasm("echo-wasm/echo.wat");
    loader().preflight(&good).unwrap();
    let text = std::fs::read(crate::support::fixtures().join("echo-wasm/echo.wat")).unwrap();
    assert!(matches!(reason(&text), WasmRefusal::Text));
    assert!(matches!(reason(b"  (module)"), WasmRefusal::Text));
    assert!(matches!(
        reason(b"\0asm\x0d\0\x01\0"),
        WasmRefusal::Component
    ));
    assert!(matches!(
        reason(b"\0asm\x02\0\0\0"),
        WasmRefusal::Version { version: 2 }
    ));
    for packed in [&b"\x1f\x8b\x08"[..], b"\x28\xb5\x2f\xfd", b"PK\x03\x04"] {
        assert!(matches!(reason(packed), WasmRefusal::Packed { .. }));
    }
    assert!(matches!(reason(b""), WasmRefusal::NotWasm));
    assert!(matches!(reason(b"\0asm"), WasmRefusal::NotWasm));
    assert!(matches!(reason(b"\0as"), WasmRefusal::NotWasm));
    // A manifest of Extism's, which would load what it names.
    let manifest = br#"{"wasm":[{"path":"/etc/passwd"}],"allowed_hosts":["*"]}"#;
    assert!(matches!(reason(manifest), WasmRefusal::NotWasm));
    assert!(matches!(
        reason(b"[[wasm]]\npath = \"x.wasm\"\n"),
        WasmRefusal::NotWasm
    ));
    // Machine code that wasmtime made, also with a section more.
    let precompiled = wasmtime_precompiled();
    assert!(matches!(reason(&precompiled), WasmRefusal::Precompiled));
    assert!(matches!(reason(b"\x7fELF and so on"), WasmRefusal::NotWasm));
}

fn wasmtime_precompiled() -> Vec<u8> {
    let engine = wasmtime::Engine::default();
    engine.precompile_module(b"\0asm\x01\0\0\0").unwrap()
}

/// WASM-04, LIM-05: a module of 64 MiB passes, one byte more does not.
#[test]
fn the_size_of_a_module_is_limited() {
    const LIMIT: usize = 64 * 1024 * 1024;
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    // A custom section that fills the rest: id, length in five bytes, name of no bytes.
    let content = u32::try_from(LIMIT - bytes.len() - 6).unwrap();
    bytes.push(0);
    for shift in [0, 7, 14, 21, 28] {
        let more = if shift < 28 { 0x80 } else { 0 };
        bytes.push(u8::try_from((content >> shift) & 0x7f).unwrap() | more);
    }
    bytes.resize(LIMIT, 0);
    loader()
        .preflight(&artifact(PluginKind::Wasm, bytes.clone()))
        .unwrap();
    bytes.push(0);
    let error = loader()
        .preflight(&artifact(PluginKind::Wasm, bytes))
        .unwrap_err();
    let LoadError::WasmRefused { reason, .. } = error else {
        panic!("{error:?}")
    };
    assert!(matches!(reason, WasmRefusal::TooLarge { .. }), "{reason:?}");
}

/// WASM-04: what the compiler would choke on is refused before it runs.
#[tokio::test]
async fn broken_bodies_are_refused() {
    // Sections are fine, a body is not.
    let unbalanced = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x05\x01\x03\0\x1a\x0b";
    let artifact = artifact(PluginKind::Wasm, unbalanced.to_vec());
    let early = loader().preflight(&artifact).unwrap_err();
    let late = refusal(loader().load(artifact, LoadOptions::default()).await);
    for error in [early, late] {
        let LoadError::WasmRefused { reason, .. } = error else {
            panic!("{error:?}")
        };
        assert!(
            matches!(reason, WasmRefusal::Malformed { .. }),
            "{reason:?}"
        );
    }
}

#[tokio::test]
async fn imports_that_nobody_offers_are_all_named() {
    let module = wasm_text(
        r#"(module
            (import "env" "abort" (func))
            (import "extism:host/env" "alloc" (func (param i64) (result i64)))
            (import "extism:host/env" "summon" (func))
            (import "wasi_snapshot_preview1" "fd_dance" (func)))"#,
    );
    let error = refusal(loader().load(module, LoadOptions::default()).await);
    let LoadError::WasmRefused { reason, .. } = error else {
        panic!("{error:?}")
    };
    let WasmRefusal::MissingImports { missing } = reason else {
        panic!("{reason:?}")
    };
    let names: Vec<_> = missing.keys().collect();
    assert_eq!(
        names,
        [
            "env.abort",
            "extism:host/env.summon",
            "wasi_snapshot_preview1.fd_dance"
        ]
    );
}

#[tokio::test]
async fn an_import_of_another_type_does_not_link() {
    let module = wasm_text(r#"(module (import "extism:host/env" "alloc" (func)))"#);
    let error = refusal(loader().load(module, LoadOptions::default()).await);
    assert!(matches!(error, LoadError::Link { .. }), "{error:?}");
}

#[tokio::test]
async fn a_native_artifact_is_for_another_loader() {
    let artifact = artifact(
        PluginKind::Native,
        wasm("echo-wasm/echo.wat").bytes().clone(),
    );
    let error = refusal(loader().load(artifact, LoadOptions::default()).await);
    assert!(matches!(error, LoadError::KindMismatch { .. }), "{error:?}");
}
