//! What users build out of these crates: a host with mocks alone, the host of README.md, and the
//! installed command.
//!
//! Each is built outside of our workspace and without our lock file, as a user would: the
//! requirements in our manifests alone decide which versions cargo takes, and those must compile on
//! the stated Rust. Inside of the workspace, cargo would also unify the features of all members,
//! and "mocks alone" would be compiled together with Sigstore and HTTP client.
//!
//! All share one target folder, and the profiles of the workspace, so that they share what they
//! compile.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::command::root;
use crate::trees::{found, tree};

/// The folder of all downstream builds.
fn base() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("downstream")
}

/// The target folder of the workspace.
fn target() -> &'static Path {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Writes a package of a manifest and one source file, without a lock file; returns its folder.
fn package(name: &str, manifest: &str, source: (&str, &str)) -> PathBuf {
    let folder = base().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let lock = folder.join("Cargo.lock");
    if lock.exists() {
        std::fs::remove_file(lock).unwrap();
    }
    keep(&folder.join("Cargo.toml"), manifest);
    keep(&folder.join(source.0), source.1);
    folder
}

/// Writes `text`, unless it is there: what is unchanged is not compiled again.
fn keep(path: &Path, text: &str) {
    if std::fs::read_to_string(path).ok().as_deref() != Some(text) {
        std::fs::write(path, text).unwrap();
    }
}

/// Our folder as a path in a manifest.
fn root_in_manifest() -> String {
    root().display().to_string().replace('\\', "/")
}

/// Runs cargo with the shared target folder; it must succeed.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .env("CARGO_TARGET_DIR", base().join("target"))
        // What the workspace has compiled with the same features is not compiled again.
        .env("CARGO_BUILD_BUILD_DIR", target())
        .env("CARGO_INCREMENTAL", "0") // Incremental files would fill the disk.
        .current_dir(folder)
        .output()
        .unwrap();
    succeeded(&output, &format!("cargo {}", arguments.join(" ")))
}

/// The standard output of a program that succeeded.
fn succeeded(output: &Output, what: &str) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}:\n{stdout}\n{stderr}");
    stdout.into_owned()
}

fn program(folder: &Path, name: &str) -> Command {
    Command::new(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// The first fenced block of README.md in `language` that contains `text`.
fn readme_block(language: &str, text: &str) -> String {
    let readme = read("README.md");
    let mut fences = readme.split("\n```");
    // Between two fences is, in turn, prose and code.
    while let (Some(_), Some(block)) = (fences.next(), fences.next()) {
        let (tag, code) = block.split_once('\n').unwrap_or_default();
        if tag.split(',').next() == Some(language) && code.contains(text) {
            return code.to_owned();
        }
    }
    panic!("README.md has no block in {language} with `{text}`");
}

#[test]
fn a_host_with_mocks_alone_compiles_and_its_tests_pass() {
    let crates = format!("{}/crates", root_in_manifest());
    let manifest = read("tests/e2e/downstream/Cargo.toml").replace("CRATES", &crates);
    let source = read("tests/e2e/downstream/host.rs");
    let folder = package("mocks", &manifest, ("host.rs", &source));
    let shown = cargo(&folder, &["test", "--lib"]);
    assert!(shown.contains("4 passed; 0 failed"), "{shown}");

    // With what it is tested with; the mocks are there, and no implementation.
    let tree = tree(&folder, &[]);
    let banned = [
        "sigstore", "reqwest", "hyper", "rustls", "aws-lc", "wasmtime", "extism", "tar",
    ];
    assert_eq!(found(&tree, &banned), Vec::<&String>::new());
    assert!(
        tree.contains("mockall") && tree.contains("qmt-verify"),
        "{tree:?}"
    );
}

/// What the command depends on and a host does not need. With it, both choose the same features of
/// the packages below, so that cargo compiles these once.
const OF_THE_COMMAND: [&str; 2] = ["miette", "tracing-subscriber"];

/// The host and its `[dependencies]` are those of README.md, word for word but for the path of our
/// folder and what the command adds; the config names an image layout on disk.
#[test]
fn the_host_of_the_readme_builds_and_calls_a_plugin() {
    let workspace = read("Cargo.toml");
    let profiles =
        workspace.find("[profile.dev]").unwrap()..workspace.find("[profile.release]").unwrap();
    let dependencies =
        readme_block("toml", "[dependencies]").replace("../qmt-plugins", &root_in_manifest());
    let is_of_command = |line: &&str| {
        let mut names = OF_THE_COMMAND.iter();
        names.any(|name| line.starts_with(&format!("{name} = ")))
    };
    let of_the_command: Vec<&str> = workspace.lines().filter(is_of_command).collect();
    let of_the_command = of_the_command.join("\n");
    let manifest = format!(
        "[package]\nname = \"readme-host\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         {dependencies}\n{of_the_command}\n\n[[bin]]\nname = \"readme-host\"\npath = \"main.rs\"\n\n{}\n[workspace]\n",
        &workspace[profiles]
    );
    let source = readme_block("rust", "fn main");
    let folder = package("readme", &manifest, ("main.rs", &source));
    cargo(&folder, &["build"]);

    let place = tempfile::tempdir().unwrap();
    let layout = root().join("fixtures/oci-layouts/wasm");
    let config = format!(
        "[oci]\ninsecure_skip_signature = true\ncache_dir = \"cache\"\n\n\
         [[providers]]\nname = \"my_plugin\"\npath = 'oci-layout://{}:1'\n",
        layout.display()
    );
    std::fs::write(place.path().join("plugins.toml"), config).unwrap();
    let output = program(&base().join("target/debug"), "readme-host")
        .current_dir(place.path())
        .env("HOME", place.path())
        .output()
        .unwrap();
    let shown = succeeded(&output, "the host of README.md");
    assert!(shown.contains("world"), "{shown}");
}

/// Without `--locked`, which README.md advises: so that the requirements are what is tested.
#[test]
fn the_command_installs_without_our_lock_file() {
    let words = "cargo install --locked --path crates/qmt-plugins-cli";
    for readme in ["README.md", "crates/qmt-plugins-cli/README.md"] {
        assert!(read(readme).contains(words), "{readme} lacks `{words}`");
    }
    let installed = base().join("installed");
    let mut arguments = vec!["install", "--path", "crates/qmt-plugins-cli"];
    arguments.extend(["--debug", "--force", "--root", installed.to_str().unwrap()]);
    cargo(root(), &arguments);
    let output = program(&installed.join("bin"), "qmt-plugins")
        .arg("--version")
        .output()
        .unwrap();
    let shown = succeeded(&output, "qmt-plugins --version");
    assert!(shown.starts_with("qmt-plugins "), "{shown}");
}
