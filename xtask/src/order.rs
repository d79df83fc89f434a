//! `cargo xtask order`: which functions the command runs, so that the linker puts them together.
//!
//! The kernel maps a program in pieces of 64 KiB. What `pull` runs are some thousand small functions
//! strewn over a program that carries a compiler; side by side they fill a quarter of the memory.
//! The list is made by running the command under valgrind, and holds for one compiler and one
//! lockfile; names that a build does not have are passed over by the linker.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qmt_testkit::{
    FakeRegistry, Identity, Image, ImageBuilder, PrivateSigstore, Signing, attach_bundle,
    attach_simple, plugins,
};
use xshell::{Shell, cmd};

use crate::bench::module;
use crate::project;

/// Where the list stands; the command's `build.rs` hands it to the linker.
const LIST: &str = "crates/qmt-plugins-cli/order.txt";
/// Enough for what runs beside the transfer only where a layer is large.
const LAYER: usize = 8 << 20;

const IDENTITY: &str = "release@acme.example";
const ISSUER: &str = "https://accounts.acme.example";

/// The commands, those first that many run and whose functions should lie closest.
const RUNS: [&[&str]; 6] = [
    &["pull", "raw"],
    &["pull", "packed"],
    &["verify", "raw"],
    &["verify", "packed"],
    &["list"],
    &["run", "greet", "greet", "--input", "World"],
];

/// Builds the command, runs it, and writes the list.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    project::no_arguments("order", arguments)?;
    let sh = project::shell()?;
    let cargo = project::cargo();
    cmd!(
        sh,
        "{cargo} build --release --locked --package qmt-plugins-cli"
    )
    .run()?;
    let binary = binary()?;
    let scratch = sh.create_temp_dir()?;
    let scene = Scene::new(scratch.path())?;
    let own = functions(&sh, &binary)?;
    let mut list = String::new();
    let mut seen = BTreeSet::new();
    for arguments in RUNS {
        let called = scene.called(&binary, arguments)?;
        let new: Vec<&String> = called
            .iter()
            .filter(|name| own.contains(*name) && seen.insert((*name).clone()))
            .collect();
        println!("{}: {} functions more", arguments.join(" "), new.len());
        for name in new {
            list.push_str(name);
            list.push('\n');
        }
    }
    std::fs::write(project::root().join(LIST), list)?;
    println!("written: {LIST}; the next release build uses it");
    Ok(())
}

/// How many names of the list the command that was built last has, and how many there are.
pub(crate) fn kept(sh: &Shell) -> anyhow::Result<(usize, usize)> {
    let own = functions(sh, &binary()?)?;
    let list = std::fs::read_to_string(project::root().join(LIST))?;
    let kept = list.lines().filter(|name| own.contains(*name)).count();
    Ok((kept, list.lines().count()))
}

fn binary() -> anyhow::Result<PathBuf> {
    let target = project::metadata()?.target_directory;
    Ok(target.join("release").join("qmt-plugins").into())
}

/// The names of all functions of the program, as the linker knows them.
fn functions(sh: &Shell, binary: &Path) -> anyhow::Result<BTreeSet<String>> {
    let listed = cmd!(sh, "nm --defined-only {binary}")
        .quiet()
        .read()
        .context("nm (of binutils) can't read the built command")?;
    let function = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let kind = words.next()?;
        matches!(kind, "t" | "T" | "w" | "W").then(|| words.next().map(str::to_owned))?
    };
    Ok(listed.lines().filter_map(function).collect())
}

/// A registry with signed images, and a config that trusts the signer.
struct Scene {
    /// Alive while the command runs.
    _registry: FakeRegistry,
    folder: PathBuf,
}

impl Scene {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let registry = FakeRegistry::builder().start()?;
        let sigstore = PrivateSigstore::new();
        std::fs::write(
            folder.join("trusted_root.json"),
            sigstore.trusted_root_json(),
        )?;
        let host = registry.host();
        let mut config = format!(
            "[oci]\ntrusted_root = \"trusted_root.json\"\ncert_email = \"{IDENTITY}\"\n\
             cert_issuer = \"{ISSUER}\"\ncache_dir = \"cache\"\n\
             [registries.\"{host}\"]\nplain_http = true\n"
        );
        let signing = Signing::keyless(Identity::email(IDENTITY, ISSUER));
        for (name, image) in images() {
            let repository = format!("acme/{name}");
            let root = image.push(&registry, &repository, "1");
            if name == "packed" {
                let bundle = sigstore.sign_bundle(root.digest(), &signing);
                attach_bundle(&registry, &repository, &root, &bundle);
            } else {
                let signature = sigstore.sign_simple(root.digest(), &signing);
                attach_simple(&registry, &repository, root.digest(), &[signature]);
            }
            writeln!(
                config,
                "[[providers]]\nname = \"{name}\"\npath = \"oci://{host}/{repository}:1\""
            )?;
        }
        std::fs::write(folder.join("plugins.toml"), config)?;
        Ok(Self {
            _registry: registry,
            folder: folder.to_owned(),
        })
    }

    /// Runs the command and returns the names of the functions that were called, sorted.
    fn called(&self, binary: &Path, arguments: &[&str]) -> anyhow::Result<BTreeSet<String>> {
        let profile = self.folder.join("callgrind.out");
        let output = std::process::Command::new("valgrind")
            .args(["--tool=callgrind", "--demangle=no"])
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(binary)
            .args(arguments)
            .current_dir(&self.folder)
            .env("HOME", &self.folder)
            .output()
            .context("valgrind can't be started")?;
        anyhow::ensure!(
            output.status.success(),
            "{}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(names(&std::fs::read_to_string(profile)?))
    }
}

fn images() -> [(&'static str, Image); 3] {
    [
        ("raw", ImageBuilder::wasm(module::random(LAYER)).build()),
        (
            "packed",
            ImageBuilder::dockerfile(module::compressible(LAYER)).build(),
        ),
        ("greet", ImageBuilder::wasm(plugins::echo_wasm()).build()),
    ]
}

/// The functions of a profile: `fn=(1) name` where it is named first, `cfn=` where it is called.
/// <https://valgrind.org/docs/manual/cl-format.html>
fn names(profile: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let rest = line
            .strip_prefix("fn=(")
            .or_else(|| line.strip_prefix("cfn=("))?;
        let (_, name) = rest.split_once(") ")?;
        // A function that calls itself has a number behind its name.
        Some(name.split('\'').next()?.to_owned())
    };
    profile.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that stands twice makes the linker warn at each build.
    #[test]
    fn the_list_has_plain_names_each_once() {
        let list = std::fs::read_to_string(project::root().join(LIST)).unwrap();
        let mut seen = BTreeSet::new();
        for name in list.lines() {
            let is_plain = name.chars().all(|one| one.is_ascii_graphic());
            assert!(
                is_plain && !name.is_empty() && seen.insert(name),
                "{name:?}"
            );
        }
        assert!(seen.len() > 1_000, "{}", seen.len());
    }

    #[test]
    fn the_names_of_a_profile_are_found() {
        let profile = "fl=(1) a.c\nfn=(1) one\n1 2\ncfn=(2) two'2\ncalls=1 1\n1 1\nfn=(2)\n1 1\n";
        let expected = ["one", "two"].map(str::to_owned);
        assert_eq!(names(profile), BTreeSet::from(expected));
    }
}
