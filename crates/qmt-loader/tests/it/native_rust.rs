//! A native plugin in Rust, built as its author would build it.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use qmt_loader::{LoadError, LoadOptions, Loader};
use qmt_oci_ref::PluginKind;

use crate::native::Workshop;
use crate::support::{artifact, fixtures};

/// NAT-04, NAT-05: both sides of the ABI in Rust, and a panic in the plugin that stays there.
#[tokio::test]
async fn a_plugin_in_rust_answers_and_its_panics_stay_in_it() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, build(&workshop));
    let preflight = workshop.loader().preflight(&library).unwrap();
    assert_eq!(preflight.abi, Some(1));
    let plugin = workshop
        .loader()
        .load(library, LoadOptions::default())
        .await
        .unwrap();
    assert_eq!(plugin.exports(), ["fails", "greet", "panics"]);
    for _ in 0..2 {
        let answer = plugin.call("greet", Bytes::from("Ada")).await.unwrap();
        assert_eq!(answer, "Hello, Ada! (native)");
        for (export, words) in [
            ("fails", "no luck"),
            ("panics", "the plugin panicked: at the disco"),
        ] {
            match plugin.call(export, Bytes::new()).await.unwrap_err() {
                LoadError::PluginFailed { message, .. } => assert_eq!(message, words),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Builds a copy of the fixture with the versions of the workspace's lock file.
fn build(workshop: &Workshop) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let folder = workshop.path("echo-rust");
    fs::create_dir_all(folder.join("src")).unwrap();
    let source = fixtures().join("echo-rust");
    fs::copy(source.join("src/lib.rs"), folder.join("src/lib.rs")).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let manifest = fs::read_to_string(source.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("../../..", root.to_str().unwrap());
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("echo-rust");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    fs::read(target.join("debug/libecho_rust.so")).unwrap()
}
