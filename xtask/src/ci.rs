//! `cargo xtask ci`: every check, one step after the other, with its time and a summary.
//!
//! A failing step does not keep the later ones from running; it makes the whole fail at its end.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::program::Program;
use crate::{project, readme};

/// How a step ended well.
enum Outcome {
    Done,
    /// More to know.
    Note(String),
    /// A program that the step needs is missing, and the step is not required.
    Skipped(String),
}

struct Step {
    name: &'static str,
    run: fn(&Shell) -> anyhow::Result<Outcome>,
}

const STEPS: &[Step] = &[
    step("fmt", fmt),
    step("tidy", |_| crate::tidy::run().map(done)),
    step("trees", trees),
    step("clippy", clippy),
    step("test", test),
    step("rustdoc", rustdoc),
    step("demo", |_| Program::Demo.run([]).map(done)),
    step("e2e", |_| Program::Cases.run([]).map(done)),
    step("real", real),
    step("readme", readme_commands),
    step("deny", deny),
    step("advisories", advisories),
    step("wasmtime", wasmtime),
    step("typos", typos),
];

const fn step(name: &'static str, run: fn(&Shell) -> anyhow::Result<Outcome>) -> Step {
    Step { name, run }
}

fn done((): ()) -> Outcome {
    Outcome::Done
}

/// The names of all steps.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|step| step.name)
}

/// Runs all steps, or those that are named.
pub(crate) fn run(list: bool, chosen: &[String]) -> anyhow::Result<()> {
    if list {
        names().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let is_chosen = |step: &&Step| chosen.is_empty() || chosen.iter().any(|name| name == step.name);
    let sh = project::shell()?;
    let mut results = Vec::new();
    for step in STEPS.iter().filter(is_chosen) {
        println!("\n=== {}", step.name);
        let start = Instant::now();
        let result = (step.run)(&sh);
        let took = start.elapsed();
        println!("=== {}: {} in {}", step.name, word(&result), seconds(took));
        if let Err(error) = &result {
            println!("{error:#}");
        }
        results.push((step.name, took, result));
    }
    summary(&results)
}

fn summary(results: &[(&str, Duration, anyhow::Result<Outcome>)]) -> anyhow::Result<()> {
    println!("\n=== summary");
    for (name, took, result) in results {
        let note = match result {
            Ok(Outcome::Done) => String::new(),
            Ok(Outcome::Note(note) | Outcome::Skipped(note)) => note.clone(),
            Err(error) => format!("{error:#}")
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        println!(
            "{:<8} {name:<12} {:>8}  {note}",
            word(result),
            seconds(*took)
        );
    }
    let total: Duration = results.iter().map(|(_, took, _)| *took).sum();
    let failed: Vec<&str> = results
        .iter()
        .filter(|(.., result)| result.is_err())
        .map(|(name, ..)| *name)
        .collect();
    println!(
        "{} steps, {} failed, {}",
        results.len(),
        failed.len(),
        seconds(total)
    );
    anyhow::ensure!(failed.is_empty(), "ci failed: {}", failed.join(", "));
    Ok(())
}

fn word(result: &anyhow::Result<Outcome>) -> &'static str {
    match result {
        Ok(Outcome::Done | Outcome::Note(_)) => "ok",
        Ok(Outcome::Skipped(_)) => "skipped",
        Err(_) => "FAILED",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn fmt(sh: &Shell) -> anyhow::Result<Outcome> {
    project::cargo(sh, &["fmt", "--all", "--check"])
        .run()
        .context("run `cargo fmt --all`")?;
    Ok(Outcome::Done)
}

/// What the light crates must not pull in: a user of references gets no runtime and no TLS, and a
/// host no macros of plugin authors.
fn trees(sh: &Shell) -> anyhow::Result<Outcome> {
    let vocabulary: &[&str] = &["-p", "qmt-oci-ref"];
    let seam: &[&str] = &["-p", "qmt-registry", "--no-default-features"];
    let loader: &[&str] = &["-p", "qmt-loader", "--no-default-features"];
    let author: &[&str] = &["-p", "qmt-plugin-sdk"];
    let light: &[&[&str]] = &[
        &["-p", "qmt-registry"],
        &["-p", "qmt-artifact"],
        &["-p", "qmt-verify"],
        &["-p", "qmt-cache"],
        &["-p", "qmt-testkit"],
    ];
    forbid(sh, vocabulary, &["tokio", "reqwest", "rustls", "wasmtime"])?;
    forbid(sh, seam, &["reqwest", "rustls", "wasmtime"])?;
    forbid(sh, loader, &["extism", "wasmtime", "libloading"])?;
    forbid(sh, author, &["tokio", "qmt-oci-ref", "extism-pdk"])?;
    let sdk = ["extism", "linkme", "qmt-plugin-sdk-macros"];
    forbid(sh, &["-p", "qmt-plugins-cli"], &sdk)?;
    for selection in light {
        forbid(sh, selection, &["wasmtime", "extism"])?;
    }
    Ok(Outcome::Done)
}

fn forbid(sh: &Shell, selection: &[&str], forbidden: &[&str]) -> anyhow::Result<()> {
    let tree = project::cargo(sh, &["tree", "--locked", "--edges=normal", "--prefix=none"])
        .args(selection)
        .read()?;
    for name in forbidden {
        let found = tree
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        let selection = selection.join(" ");
        anyhow::ensure!(found.is_none(), "`cargo tree {selection}` names {name}");
    }
    Ok(())
}

fn clippy(sh: &Shell) -> anyhow::Result<Outcome> {
    let deny = ["--", "-D", "warnings"];
    project::cargo(sh, &["clippy", "--workspace", "--all-targets", "--locked"])
        .args(deny)
        .run()?;
    for (package, features) in [
        // Bare, and for a host that brings loaders of its own.
        ("qmt-plugins", ""),
        ("qmt-plugins", "http,layout,sigstore"),
        // For a crate that picks one layer.
        ("qmt-loader", ""),
        ("qmt-registry", ""),
        ("qmt-registry", "layout"),
    ] {
        project::cargo(sh, &["rustc", "--package", package, "--lib", "--locked"])
            .args(["--profile", "check", "--no-default-features"])
            .args(["--features", features])
            .args(deny)
            .run()?;
    }
    Ok(Outcome::Done)
}

fn test(_: &Shell) -> anyhow::Result<Outcome> {
    // Those of `tests/interop` and `tests/bench` as well.
    crate::test::run(&["--workspace"], &[])?;
    Ok(match std::env::var("QMT_REAL_FIXTURES") {
        Ok(folder) => Outcome::Note(format!("with the genuine signatures in {folder}")),
        Err(_) => Outcome::Note("without genuine signatures: QMT_REAL_FIXTURES is not set".into()),
    })
}

/// Libraries only: the command's page would overwrite that of the library of the same name.
fn rustdoc(sh: &Shell) -> anyhow::Result<Outcome> {
    project::cargo(
        sh,
        &["doc", "--workspace", "--lib", "--no-deps", "--locked"],
    )
    .env("RUSTDOCFLAGS", "-D warnings")
    .run()?;
    Ok(Outcome::Done)
}

/// The programs of the real tier take minutes to build, so they are not installed here.
fn real(_: &Shell) -> anyhow::Result<Outcome> {
    let missing = Program::Interop.read("missing")?;
    if !missing.is_empty() {
        return Ok(Outcome::Skipped(format!(
            "not installed: {missing}; run `cargo xtask tools`"
        )));
    }
    Program::Interop.start(["real".into()]).map(done)
}

/// Licences, bans and sources, from deny.toml. Cargo may download packages of other platforms.
fn deny(sh: &Shell) -> anyhow::Result<Outcome> {
    if !project::on_path("cargo-deny") {
        project::cargo(sh, &["install", "cargo-deny", "--locked"])
            .run()
            .context("cargo-deny is missing")?;
    }
    project::cargo(sh, &["deny", "--workspace", "check"])
        .args(["licenses", "bans", "sources"])
        .run()?;
    Ok(Outcome::Done)
}

fn advisories(sh: &Shell) -> anyhow::Result<Outcome> {
    if !project::on_path("cargo-deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed".into()));
    }
    if project::cargo(sh, &["deny", "fetch", "db"]).run().is_err() {
        return Ok(Outcome::Skipped(
            "the advisory database cannot be reached from here".into(),
        ));
    }
    project::cargo(sh, &["deny", "--workspace", "check", "advisories"]).run()?;
    Ok(Outcome::Done)
}

/// Whether the line of wasmtime that we follow has a newer patch release.
fn wasmtime(sh: &Shell) -> anyhow::Result<Outcome> {
    let update = ["update", "--dry-run", "--package", "wasmtime@48"];
    let output = project::cargo(sh, &update).ignore_status().output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Ok(Outcome::Skipped(
            "the registry of crates cannot be reached from here".into(),
        ));
    }
    let newer = text
        .lines()
        .find(|line| line.contains("Updating wasmtime v"));
    Ok(match newer {
        Some(line) => Outcome::Note(format!(
            "a newer patch release:{}; run `cargo update -p wasmtime@48`",
            line.trim_start().trim_start_matches("Updating")
        )),
        None => Outcome::Note("the newest patch release of wasmtime 48".into()),
    })
}

fn typos(sh: &Shell) -> anyhow::Result<Outcome> {
    if !project::on_path("typos") {
        return Ok(Outcome::Skipped("typos is not installed".into()));
    }
    cmd!(sh, "typos").run()?;
    Ok(Outcome::Done)
}

fn readme_commands(sh: &Shell) -> anyhow::Result<Outcome> {
    readme::run_all(sh, &["demo", "test", "tidy", "e2e"]).map(Outcome::Note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_step_fails_the_summary_and_a_skipped_one_does_not() {
        let time = Duration::from_millis(5);
        let good = [
            ("fmt", time, Ok(Outcome::Done)),
            ("x", time, Ok(Outcome::Skipped("no".into()))),
        ];
        assert!(summary(&good).is_ok());
        let bad = [
            ("fmt", time, Ok(Outcome::Done)),
            ("test", time, Err(anyhow::anyhow!("boom"))),
        ];
        assert_eq!(summary(&bad).unwrap_err().to_string(), "ci failed: test");
    }
}
