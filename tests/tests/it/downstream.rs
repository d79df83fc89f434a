//! A host of somebody else, that depends on `qmt-verify` and `qmt-registry` with mocks alone,
//! compiles and its tests pass.
//!
//! It is a package outside of our workspace: inside of it, Cargo would unify the features of all
//! members, and "mocks alone" would be compiled together with Sigstore and HTTP client. Its target
//! folder is its own for the same reason. It takes our lock file along, so that it needs nothing
//! that was not fetched for us already. From nothing it takes 65 s of processor time, so about half
//! a minute on two free cores; after that, seconds.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::root;
use crate::trees::{found, tree};

/// Writes the package, and returns its folder.
fn package() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("downstream");
    std::fs::create_dir_all(&folder).unwrap();
    let source = root().join("tests/downstream");
    let crates = root()
        .join("crates")
        .display()
        .to_string()
        .replace('\\', "/");
    let manifest = std::fs::read_to_string(source.join("Cargo.toml")).unwrap();
    keep(
        &folder.join("Cargo.toml"),
        &manifest.replace("CRATES", &crates),
    );
    keep(
        &folder.join("host.rs"),
        &std::fs::read_to_string(source.join("host.rs")).unwrap(),
    );
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    std::fs::write(folder.join("Cargo.lock"), lock).unwrap();
    folder
}

/// Writes `text`, unless it is there: what is unchanged is not compiled again.
fn keep(path: &Path, text: &str) {
    if std::fs::read_to_string(path).ok().as_deref() != Some(text) {
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn a_host_with_mocks_alone_compiles_and_its_tests_pass() {
    let folder = package();
    let output = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--lib"])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .current_dir(&folder)
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("4 passed; 0 failed"), "{stdout}");

    // With what it is tested with; the mocks are there, and no implementation.
    let tree = tree(&folder, &["--offline"]);
    let banned = [
        "sigstore", "reqwest", "hyper", "rustls", "aws-lc", "wasmtime", "extism", "tar",
    ];
    assert_eq!(found(&tree, &banned), Vec::<&String>::new());
    assert!(
        tree.contains("mockall") && tree.contains("qmt-verify"),
        "{tree:?}"
    );
}
