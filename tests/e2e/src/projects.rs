//! Plugin projects that `qmt-plugins new` writes, built as their READMEs say, where the toolchain of
//! their language is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use qmt_oci_ref::PluginKind;

use crate::command::isolate;

/// What one block of commands in a project's README builds.
#[derive(Clone, Copy, Debug)]
pub struct Project {
    /// The language, as `--lang` takes it.
    pub language: &'static str,
    /// What is built.
    pub kind: PluginKind,
    /// The programs that must be on `PATH`.
    needed: &'static [&'static str],
    /// The block of the README, from 0.
    block: usize,
}

/// The name of each project.
pub const NAME: &str = "my-greeter";

/// Everything that can be built of the projects.
pub const PROJECTS: &[Project] = &[
    Project {
        language: "rust",
        kind: PluginKind::Native,
        needed: &[],
        block: 0,
    },
    Project {
        language: "rust",
        kind: PluginKind::Wasm,
        needed: &[],
        block: 1,
    },
    Project {
        language: "c",
        kind: PluginKind::Native,
        needed: &[],
        block: 0,
    },
    Project {
        language: "go",
        kind: PluginKind::Wasm,
        needed: &["go"],
        block: 0,
    },
    Project {
        language: "assemblyscript",
        kind: PluginKind::Wasm,
        needed: &["npm"],
        block: 0,
    },
];

/// A project that was built, or what is missing to build it.
pub enum Built {
    /// The plugin.
    File(PathBuf),
    /// The toolchain that is not installed.
    Missing(&'static str),
}

impl Project {
    /// Writes the project into a new folder in `folder`, with the command at `binary`, and builds
    /// it. What cargo compiles stays in `kept`, so that the next build is quick.
    pub fn build(&self, binary: &Path, folder: &Path, kept: &Path) -> anyhow::Result<Built> {
        if let Some(missing) = self.needed.iter().find(|program| !on_path(program)) {
            return Ok(Built::Missing(missing));
        }
        let is_rust = self.language == "rust";
        let environment = match self.kind {
            PluginKind::Wasm if is_rust => match wasm_toolchain()? {
                Some(environment) => environment,
                None => return Ok(Built::Missing(WASM_TOOLCHAIN)),
            },
            _ => &[],
        };
        let place = folder.join(format!("{}-{}", self.language, self.kind));
        std::fs::create_dir_all(&place)?;
        let mut new = Command::new(binary);
        isolate(&mut new, &place);
        run(new.args(["new", NAME, "--lang", self.language]), &place)?;
        let project = place.join(NAME);
        if is_rust {
            prepare(&project, kept)?;
        }
        let readme = std::fs::read_to_string(project.join("README.md"))?;
        let block = block(&readme, self.block).context("no such block")?;
        // AssemblyScript's test calls the command.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let ours = binary.parent().map(Path::to_owned);
        let path = std::env::join_paths(ours.into_iter().chain(std::env::split_paths(&path)))?;
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", block]).env("PATH", path);
        run(shell.envs(environment.iter().copied()), &project)?;
        let file = published(&readme, self.kind).context("no such file is published")?;
        Ok(Built::File(project.join(file)))
    }
}

/// The plugin of `kind` that the README publishes, as a path in the project.
fn published(readme: &str, kind: PluginKind) -> Option<&str> {
    let mut words = readme.split_whitespace();
    let option = format!("--{kind}");
    words.find(|word| *word == option)?;
    let value = words.next()?;
    Some(value.split_once('=').map_or(value, |(_, file)| file))
}

/// Returns the commands in one block of a README.
fn block(readme: &str, index: usize) -> Option<&str> {
    readme.split("```sh\n").nth(index + 1)?.split("```").next()
}

/// Makes cargo take the SDK of this repository and the versions of its lock file, and compile into
/// `kept`.
pub fn prepare(project: &Path, kept: &Path) -> anyhow::Result<()> {
    let root = crate::root();
    std::fs::create_dir_all(project.join(".cargo"))?;
    std::fs::create_dir_all(kept)?;
    let sdk = root.join("crates/qmt-plugin-sdk");
    let patch = format!(
        "[patch.crates-io]\nqmt-plugin-sdk.path = '{}'\n",
        sdk.display()
    );
    std::fs::write(project.join(".cargo/config.toml"), patch)?;
    std::fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock"))?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(kept, project.join("target"))?;
    Ok(())
}

/// What is reported as missing if the installed compilers cannot build for Wasm.
const WASM_TOOLCHAIN: &str = "Rust's target wasm32-unknown-unknown";

/// The files of Debian's compiler with the sources of its library, and a linker; `cargo xtask tools`
/// installs them.
pub const DEBIAN_FILES: &[&str] = &[
    "/usr/bin/rustc",
    "/usr/bin/cargo",
    "/usr/lib/rustlib/src/rust/library/std/Cargo.toml",
    "/usr/bin/wasm-ld-19",
];

/// The variables with which `cargo` is Debian's and compiles the library for Wasm.
pub const DEBIAN: &[(&str, &str)] = &[
    ("PATH", "/usr/bin:/bin"),
    ("RUSTC", "/usr/bin/rustc"),
    ("RUSTC_BOOTSTRAP", "1"),
    ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort"),
    ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19"),
];

/// Returns the variables with which cargo builds for Wasm, or `None` if no installed compiler can.
pub fn wasm_toolchain() -> anyhow::Result<Option<&'static [(&'static str, &'static str)]>> {
    let target = [
        "--print",
        "target-libdir",
        "--target",
        "wasm32-unknown-unknown",
    ];
    let answer = Command::new("rustc").args(target).output()?;
    let library = String::from_utf8(answer.stdout)?;
    if Path::new(library.trim()).is_dir() {
        return Ok(Some(&[]));
    }
    let is_installed = DEBIAN_FILES.iter().all(|file| Path::new(file).is_file());
    Ok(is_installed.then_some(DEBIAN))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs a command in `folder`; it must succeed.
pub fn run(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    let output = command
        .current_dir(folder)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .output()?;
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let is_good = output.status.success();
    anyhow::ensure!(is_good, "{command:?}\n{stdout}\n{stderr}");
    Ok(())
}
