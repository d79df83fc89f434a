//! What a crate makes its users compile, as `cargo tree` tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::command::root;

/// The names of all packages in the tree that `arguments` ask for.
pub(crate) fn tree(folder: &Path, arguments: &[&str]) -> BTreeSet<String> {
    let text = listed(folder, "{p}", arguments);
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// One line for each package.
fn listed(folder: &Path, format: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--prefix", "none", "--format", format])
        .args(arguments)
        .env("CARGO_TERM_COLOR", "never")
        .current_dir(folder)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree {arguments:?}: {shown}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names in `tree` that are, or begin with, one of `banned`.
pub(crate) fn found<'a>(tree: &'a BTreeSet<String>, banned: &[&str]) -> Vec<&'a String> {
    let is_banned = |name: &&String| {
        banned.iter().any(|word| {
            name.strip_prefix(word)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    tree.iter().filter(is_banned).collect()
}

/// The tools of its own tests included.
#[test]
fn the_vocabulary_needs_neither_a_runtime_nor_a_client() {
    let tree = tree(root(), &["-p", "qmt-oci-ref"]);
    assert!(tree.contains("qmt-oci-ref"));
    assert_eq!(
        found(&tree, &["tokio", "reqwest", "hyper"]),
        Vec::<&String>::new()
    );
}

/// The tools of its own tests included.
#[test]
fn the_registry_seam_alone_needs_no_http_client() {
    let alone = tree(root(), &["-p", "qmt-registry", "--no-default-features"]);
    assert_eq!(found(&alone, &["reqwest"]), Vec::<&String>::new());
    // With the defaults it does; or else this test would find nothing whatever happened.
    let whole = tree(root(), &["-p", "qmt-registry"]);
    assert_eq!(found(&whole, &["reqwest"]), ["reqwest"]);
}

#[test]
fn no_stage_before_load_needs_wasmtime() {
    for stage in ["qmt-registry", "qmt-artifact", "qmt-verify", "qmt-cache"] {
        let tree = tree(root(), &["-p", stage]);
        assert_eq!(
            found(&tree, &["wasmtime", "extism"]),
            Vec::<&String>::new(),
            "{stage}"
        );
    }
    assert!(
        !found(
            &tree(root(), &["-p", "qmt-loader"]),
            &["wasmtime", "extism"]
        )
        .is_empty()
    );
}

#[test]
fn the_verify_seam_alone_needs_no_sigstore() {
    let arguments = ["-p", "qmt-verify", "-e", "normal"];
    let alone = tree(
        root(),
        &[&arguments[..], &["--no-default-features"]].concat(),
    );
    let banned = ["sigstore", "aws-lc", "x509-cert", "reqwest", "rustls"];
    assert_eq!(found(&alone, &banned), Vec::<&String>::new());
    assert!(!found(&tree(root(), &arguments), &banned).is_empty());
}

/// A package with two sets of features is compiled twice: for programs, for macros and build scripts,
/// and for tests. `xtask/Cargo.toml` and `tests/e2e/Cargo.toml` say how they get the same ones.
#[test]
fn the_first_commands_compile_no_package_twice() {
    let edges = ["normal,build", "normal,build,dev"];
    let texts = edges.map(|edges| listed(root(), "{p}|{f}", &["-e", edges]));
    let mut features: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    // Empty lines separate the trees of the members.
    let lines = texts.iter().flat_map(|text| text.lines());
    let packages = lines.filter_map(|line| line.split_once('|'));
    // Members are compiled for tests with features that programs do without.
    for (package, of_package) in packages.filter(|(package, _)| !package.contains("(/")) {
        let of_package = of_package.trim_end_matches(" (*)");
        features.entry(package).or_default().insert(of_package);
    }
    assert!(features.len() > 300, "{features:?}");
    features.retain(|_, sets| sets.len() > 1);
    assert!(features.is_empty(), "{features:#?}");
}
