//! Native plugins: good ones, and libraries that break one rule each.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::native::NativePlugin;
use qmt_loader::refusal::NativeRefusal;
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader, Plugin};
use qmt_oci_ref::Digest;
use qmt_oci_ref::PluginKind;

use crate::support::{
    SLACK, artifact, in_a_child, is_child, outputs_are_bounded, refusal, wasm, within,
};
use crate::workshop::Workshop;

/// An option that a native plugin cannot have is refused, and nothing of it runs.
#[tokio::test]
async fn nothing_is_called_at_the_start_of_a_native_plugin() {
    let workshop = Workshop::new();
    let library = workshop.compile("echo.c", &[]);
    let native = || artifact(PluginKind::Native, library.clone());
    let mut options = LoadOptions::default();
    workshop
        .loader()
        .load(native(), options.clone())
        .await
        .unwrap();
    options.at_start = Some("greet".to_owned());
    let error = refusal(workshop.loader().load(native(), options).await);
    assert!(matches!(error, LoadError::Grant { .. }), "{error:?}");
}

fn native(plugin: &dyn Plugin) -> &NativePlugin {
    (plugin as &dyn std::any::Any).downcast_ref().unwrap()
}

#[tokio::test]
async fn the_echo_plugin_answers() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.compile("echo.c", &[]));
    let preflight = workshop.loader().preflight(&library).unwrap();
    assert_eq!(preflight.abi, Some(1));
    assert!(preflight.exports.contains(&"qmt_plugin_call".to_owned()));
    assert!(preflight.imports.contains(&"libc.so.6".to_owned()));
    let plugin = workshop
        .loader()
        .load(library, LoadOptions::default())
        .await
        .unwrap();
    assert_eq!(plugin.kind(), PluginKind::Native);
    assert_eq!(plugin.exports(), ["fails", "greet"]);
    for (name, answer) in [("Ada", "Hello, Ada! (native)"), ("", "Hello, ! (native)")] {
        assert_eq!(
            plugin.call("greet", Bytes::from(name)).await.unwrap(),
            answer
        );
        let blocking = plugin.call_blocking("greet", Bytes::from(name));
        assert_eq!(blocking.unwrap(), answer);
    }
    match plugin.call("fails", Bytes::new()).await.unwrap_err() {
        LoadError::PluginFailed { message, .. } => assert_eq!(message, "no \\u{1b}[J"),
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
    let error = plugin.call_blocking("greet", Bytes::new()).unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
}

/// NAT-01: a constructor runs when the library is opened, and not before.
#[tokio::test]
async fn constructors_run_at_the_opening_only() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&[]));
    workshop.loader().preflight(&library).unwrap();
    assert!(!workshop.marker().exists());
    workshop
        .loader()
        .load(library, LoadOptions::default())
        .await
        .unwrap();
    assert!(workshop.marker().exists());
}

/// NAT-01, NAT-03: the mark in the file decides before anything is opened.
#[tokio::test]
async fn another_abi_version_is_refused_before_the_opening() {
    let workshop = Workshop::new();
    let reason = workshop.refuses(workshop.variant(&["-DOTHER_MARK"])).await;
    assert!(
        matches!(
            reason,
            NativeRefusal::AbiVersion {
                found: 2,
                supported: 1
            }
        ),
        "{reason:?}"
    );
}

/// NAT-03: a library without the mark is asked, and nothing else of it is called.
#[tokio::test]
async fn another_abi_version_is_refused_at_the_latest_after_the_opening() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DOTHER_VERSION"]));
    let result = workshop
        .loader()
        .load(library, LoadOptions::default())
        .await;
    let error = refusal(result);
    assert!(
        matches!(error, LoadError::AbiVersion { found: 2, .. }),
        "{error:?}"
    );
}

/// NAT-03: half an ABI, or data where a function must be.
#[tokio::test]
async fn an_incomplete_abi_is_refused() {
    let workshop = Workshop::new();
    let reason = workshop.refuses(workshop.variant(&["-DNO_FREE"])).await;
    assert!(
        matches!(
            reason,
            NativeRefusal::IncompleteAbi {
                missing: "qmt_plugin_free"
            }
        ),
        "{reason:?}"
    );
    let reason = workshop
        .refuses(workshop.variant(&["-DVERSION_IS_DATA"]))
        .await;
    assert!(
        matches!(reason, NativeRefusal::SymbolKind { .. }),
        "{reason:?}"
    );
}

/// NAT-03: configuration is taken once, the same one again is fine, another one is refused.
#[tokio::test]
async fn configuration_is_taken_once() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DCONFIGURE"]));
    let load = |value: Option<&str>| {
        let mut options = LoadOptions::default();
        if let Some(value) = value {
            options.config.insert("key".into(), value.into());
        }
        let (loader, library) = (workshop.loader(), library.clone());
        async move { loader.load(library, options).await }
    };
    let error = refusal(load(Some("other")).await);
    assert!(matches!(error, LoadError::Start { .. }), "{error:?}");
    load(Some("value")).await.ok().unwrap();
    load(Some("value")).await.ok().unwrap();
    for other in [Some("other"), None] {
        let error = refusal(load(other).await);
        assert!(matches!(error, LoadError::Configured { .. }), "{error:?}");
    }
}

/// A library for hosts with an ABI of their own: symbols yes, calls no.
#[tokio::test]
async fn a_library_without_our_abi_has_symbols_only() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DNO_ABI"]));
    let plugin = workshop
        .loader()
        .load(library, LoadOptions::default())
        .await
        .unwrap();
    let error = plugin.call("answer", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::NotCallable { .. }), "{error:?}");
    let native = native(&*plugin);
    assert!(!native.is_callable());
    let symbol = native
        .symbol::<extern "C" fn(i32) -> i32>("answer")
        .unwrap();
    assert!(!symbol.as_ptr().is_null());
    for name in ["missing", "", "answer\0x"] {
        let error = native.symbol::<*const i32>(name).unwrap_err();
        assert!(
            matches!(error, LoadError::MissingSymbol { .. }),
            "{error:?}"
        );
    }
    let error = native.symbol::<u8>("answer").unwrap_err();
    assert!(matches!(error, LoadError::SymbolType { .. }), "{error:?}");
    // NAT-06: unloading the plugin leaves the library where the symbol needs it.
    plugin.unload().await.unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let address = symbol.as_ptr() as usize;
    assert!(
        maps.lines()
            .any(|line| holds(line, address) && line.contains("memfd:qmt-plugin"))
    );
    let error = native.symbol::<*const i32>("answer").unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
}

/// Whether a line of `/proc/self/maps` is about a range with `address` in it.
fn holds(line: &str, address: usize) -> bool {
    let range = line.split(' ').next().unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let number = |text| usize::from_str_radix(text, 16).unwrap();
    (number(first)..number(last)).contains(&address)
}

/// NAT-06: a digest is opened once; NAT-08: libraries with the same names do not meet.
#[tokio::test]
async fn libraries_are_opened_once_and_apart() {
    let workshop = Workshop::new();
    let (one, two) = (
        workshop.variant(&["-DANSWER=1"]),
        workshop.variant(&["-DANSWER=2", "-DINTERPOSE"]),
    );
    let address = async |bytes: &[u8]| {
        let library = artifact(PluginKind::Native, bytes.to_vec());
        let plugin = workshop
            .loader()
            .load(library, LoadOptions::default())
            .await
            .unwrap();
        let symbol = native(&*plugin).symbol::<extern "C" fn(i32) -> i32>("answer");
        symbol.unwrap().as_ptr() as usize
    };
    let first = address(&one).await;
    assert_eq!(first, address(&one).await);
    assert_ne!(first, address(&two).await);
    // The host's own functions stay what they were.
    assert!(std::hint::black_box(0.0_f64).cos() < 2.0);
}

/// NAT-05: a call that does not end is given up in time; an output that cannot be is not read.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_limited() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DANSWER=3"]));
    let timeout = Duration::from_millis(500);
    let plugin = workshop
        .loader()
        .load(library, within(timeout))
        .await
        .unwrap();
    let begin = Instant::now();
    let error = plugin.call("spin", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < timeout + SLACK);
    outputs_are_bounded(&*plugin).await;
}

/// NAT-05: a constructor that takes long ends the waiting in time, and the library can be used later.
/// In another process, because glibc opens no other library meanwhile.
#[tokio::test]
async fn the_time_of_an_opening_is_limited() {
    if !is_child() {
        in_a_child("native::the_time_of_an_opening_is_limited", &[]);
        return;
    }
    let workshop = Workshop::new();
    let bytes = workshop.compile("../hostile-native/constructor-sleeps.c", &[]);
    let library = || artifact(PluginKind::Native, bytes.clone());
    let timeout = Duration::from_millis(200);
    let begin = Instant::now();
    let error = refusal(workshop.loader().load(library(), within(timeout)).await);
    assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < timeout + SLACK);
    let loaded = workshop
        .loader()
        .load(library(), LoadOptions::default())
        .await;
    loaded.ok().unwrap();
}

/// The runtime of a host may have no timers.
#[test]
fn time_is_limited_without_timers_of_tokio() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DANSWER=5"]));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = within(Duration::from_millis(500));
        let plugin = workshop.loader().load(library, options).await.unwrap();
        plugin.call("other", Bytes::new()).await.unwrap();
        let error = plugin.call("spin", Bytes::new()).await.unwrap_err();
        assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    });
}

/// Bytes that are not what the digest says are found in the copy, before it is opened.
#[tokio::test]
async fn a_copy_that_is_not_what_the_digest_says_is_not_opened() {
    let workshop = Workshop::new();
    let bytes = workshop.variant(&["-DANSWER=4"]);
    let digest = Digest::sha256("something else");
    let library = Artifact::from_verified(PluginKind::Native, bytes.into(), digest, "fixture");
    let error = refusal(
        workshop
            .loader()
            .load(library, LoadOptions::default())
            .await,
    );
    assert!(
        matches!(error, LoadError::DigestMismatch { .. }),
        "{error:?}"
    );
    assert!(!workshop.marker().exists());
}

#[tokio::test]
async fn a_wasm_artifact_is_for_another_loader() {
    let workshop = Workshop::new();
    let result = workshop
        .loader()
        .load(wasm("echo-wasm/echo.wat"), LoadOptions::default())
        .await;
    let error = refusal(result);
    assert!(matches!(error, LoadError::KindMismatch { .. }), "{error:?}");
}
