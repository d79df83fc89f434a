//! `cargo xtask tools`: the programs that the real tier tests against, pinned by version.
//!
//! Go programs go into a folder of their own (`target/tools`, or what `QMT_TOOLS` names), Debian
//! packages into the system, as root. What is installed in this version is not built again.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::{Shell, cmd};

/// A program that `go install` builds.
struct GoProgram {
    /// The name that it gets here; two cosigns live side by side.
    name: &'static str,
    /// The package, without its version.
    package: &'static str,
    version: &'static str,
}

const GO: &[GoProgram] = &[
    go(
        "cosign3",
        "github.com/sigstore/cosign/v3/cmd/cosign",
        "v3.1.2",
    ),
    go(
        "cosign2",
        "github.com/sigstore/cosign/v2/cmd/cosign",
        "v2.6.5",
    ),
    go("oras", "oras.land/oras/cmd/oras", "v1.3.3"),
    go(
        "crane",
        "github.com/google/go-containerregistry/cmd/crane",
        "v0.21.9",
    ),
    go(
        "regctl",
        "github.com/regclient/regclient/cmd/regctl",
        "v0.11.7",
    ),
    go(
        "distribution3",
        "github.com/distribution/distribution/v3/cmd/registry",
        "v3.1.1",
    ),
    go(
        "oci-conformance",
        "github.com/opencontainers/distribution-spec/conformance",
        "v0.0.0-20260831232431-97274622c111",
    ),
    go("fulcio", "github.com/sigstore/fulcio", "v1.8.8"),
    go(
        "rekor-posix",
        "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
        "v2.3.0",
    ),
    go(
        "rekor1",
        "github.com/sigstore/rekor/cmd/rekor-server",
        "v1.5.4",
    ),
    go(
        "trillian_log_server",
        "github.com/google/trillian/cmd/trillian_log_server",
        "v1.8.0",
    ),
    go(
        "trillian_log_signer",
        "github.com/google/trillian/cmd/trillian_log_signer",
        "v1.8.0",
    ),
    go(
        "createtree",
        "github.com/google/trillian/cmd/createtree",
        "v1.8.0",
    ),
    go(
        "timestamp-server",
        "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server",
        "v2.1.3",
    ),
];

const fn go(name: &'static str, package: &'static str, version: &'static str) -> GoProgram {
    GoProgram {
        name,
        package,
        version,
    }
}

/// Our own few lines of Go around go-containerregistry's registry, with its referrers API on.
const REFERRERS_REGISTRY: &str = "ggcr-registry";
const REFERRERS_REGISTRY_SOURCE: &str = "fixtures/e2e/ggcr-registry";

/// Programs that come with Debian, and their packages.
const DEBIAN: &[(&str, &str)] = &[
    ("skopeo", "skopeo"),
    ("buildah", "buildah"),
    ("docker-registry", "docker-registry"),
    ("htpasswd", "apache2-utils"),
    ("postgres", "postgresql"),
    // A compiler for Wasm with the sources of its library, next to rustup's.
    ("/usr/bin/rustc", "rustc-web"),
    ("/usr/bin/cargo", "cargo-web"),
    (
        "/usr/lib/rustlib/src/rust/library/std/Cargo.toml",
        "rust-web-src",
    ),
    ("clang-19", "clang-19"),
    ("wasm-ld-19", "lld-19"),
    ("npm", "npm"),
];

/// Installs all programs or those that are `chosen`.
pub fn install(chosen: &[String]) -> anyhow::Result<()> {
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|other| other == name);
    let sh = crate::shell()?;
    let mut failed = Vec::new();
    for program in GO.iter().filter(|program| wanted(program.name)) {
        let result = install_go(&sh, program);
        report(program.name, result, &mut failed);
    }
    if wanted(REFERRERS_REGISTRY) {
        report(
            REFERRERS_REGISTRY,
            build_referrers_registry(&sh),
            &mut failed,
        );
    }
    let packages: Vec<&str> = DEBIAN
        .iter()
        .filter(|(name, _)| wanted(name) && find(name).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !packages.is_empty() {
        let result = install_debian(&sh, &packages);
        report("Debian packages", result, &mut failed);
    }
    anyhow::ensure!(failed.is_empty(), "not installed: {}", failed.join(", "));
    Ok(())
}

/// The path of a program: in our folder, then on `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    let ours = folder().join(name);
    if ours.is_file() {
        return Some(ours);
    }
    on_path(name).or_else(|| postgres(name))
}

/// The version that a Go program is pinned to.
pub fn version(name: &str) -> Option<&'static str> {
    GO.iter()
        .find(|program| program.name == name)
        .map(|program| program.version)
}

/// The names among `wanted` that are not installed.
pub fn missing<'a>(wanted: &[&'a str]) -> Vec<&'a str> {
    wanted
        .iter()
        .copied()
        .filter(|name| find(name).is_none())
        .collect()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Debian keeps its servers off `PATH`, in a folder per major version.
fn postgres(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("bin").join(name))
        .find(|file| file.is_file())
}

/// The folder of the Go programs.
fn folder() -> PathBuf {
    match std::env::var_os("QMT_TOOLS") {
        Some(folder) => PathBuf::from(folder),
        None => qmt_e2e_tests::root().join("target").join("tools"),
    }
}

/// The names of all programs.
pub fn names() -> Vec<&'static str> {
    let go = GO.iter().map(|program| program.name);
    go.chain([REFERRERS_REGISTRY])
        .chain(DEBIAN.iter().map(|(name, _)| *name))
        .collect()
}

/// Prints each program and where it is installed.
pub fn list() {
    println!("tools in {} and on PATH:", folder().display());
    for name in names() {
        let version = version(name).unwrap_or_default();
        match find(name) {
            Some(path) => println!("  {name:<20} {version:<10} {}", path.display()),
            None => println!("  {name:<20} {version:<10} not installed"),
        }
    }
}

fn report(name: &str, result: anyhow::Result<()>, failed: &mut Vec<String>) {
    match result {
        Ok(()) => println!("{name}: ready"),
        Err(error) => {
            println!("{name}: {error:#}");
            failed.push(name.to_owned());
        }
    }
}

/// Records the installed version, since not every Go program prints its own.
fn stamp(name: &str) -> PathBuf {
    folder().join(format!(".{name}.version"))
}

fn install_go(sh: &Shell, program: &GoProgram) -> anyhow::Result<()> {
    let GoProgram {
        name,
        package,
        version,
    } = program;
    let target = folder().join(name);
    let wanted = format!("{package}@{version}");
    if target.is_file() && std::fs::read_to_string(stamp(name)).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    let fresh = folder().join(format!(".build-{name}"));
    sh.create_dir(&fresh)?;
    println!("{name}: go install {wanted}");
    cmd!(sh, "go install {wanted}")
        .env("GOBIN", &fresh)
        .env("CGO_ENABLED", "0")
        .quiet()
        .run()
        .context("go install failed; Go 1.26 is needed, see https://go.dev/dl")?;
    let built = only_file(&fresh)?;
    std::fs::rename(&built, &target)?;
    sh.remove_path(&fresh)?;
    std::fs::write(stamp(name), wanted)?;
    Ok(())
}

fn build_referrers_registry(sh: &Shell) -> anyhow::Result<()> {
    let target = folder().join(REFERRERS_REGISTRY);
    sh.create_dir(folder())?;
    let _there = sh.push_dir(REFERRERS_REGISTRY_SOURCE);
    cmd!(sh, "go build -o {target} .")
        .env("CGO_ENABLED", "0")
        .quiet()
        .run()?;
    Ok(())
}

/// `go install` names the file after the package's last part, or the one before a version.
fn only_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    match files.as_slice() {
        [file] => Ok(file.clone()),
        _ => anyhow::bail!(
            "go install left {} files where one was expected",
            files.len()
        ),
    }
}

fn install_debian(sh: &Shell, packages: &[&str]) -> anyhow::Result<()> {
    anyhow::ensure!(
        on_path("apt-get").is_some(),
        "apt-get is missing: {}",
        packages.join(" ")
    );
    let user = cmd!(sh, "id -u").quiet().read()?;
    anyhow::ensure!(
        user == "0",
        "run as root: apt-get install {}",
        packages.join(" ")
    );
    cmd!(
        sh,
        "apt-get install -q -y --no-install-recommends {packages...}"
    )
    .env("DEBIAN_FRONTEND", "noninteractive")
    .run()
    .context("`apt-get update` may be needed first")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_versions_pinned() {
        let mut sorted = names();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), names().len());
        for program in GO {
            assert!(program.version.starts_with('v'), "{}", program.name);
        }
    }
}
