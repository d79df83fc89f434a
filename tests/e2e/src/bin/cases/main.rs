//! `cargo xtask e2e`: each case of `fixtures/e2e` and each layout of `fixtures/oci-layouts` through
//! the built command, against the embedded registry and Sigstore.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "a command for the terminal: what it prints is its result"
)]

mod layouts;

use std::path::Path;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};
use qmt_e2e_tests::case::{Auth, Case, FOLDER, Step};
use qmt_e2e_tests::command::{Answer, Plugins};
use qmt_e2e_tests::embedded::Embedded;
use qmt_e2e_tests::image::GREETING;

fn main() -> anyhow::Result<()> {
    let cases = Case::load_all(&qmt_e2e_tests::root().join(FOLDER))?;
    // clap takes static names.
    let names = cases.iter().map(|case| &*case.name.clone().leak());
    let chosen = Arg::new("CASE")
        .help("Files of fixtures/e2e, without `.toml`; all of them and every layout by default")
        .action(ArgAction::Append)
        .value_parser(PossibleValuesParser::new(names));
    let arguments = Command::new("cargo xtask e2e").arg(chosen).get_matches();
    let chosen: Option<Vec<&String>> = arguments.get_many("CASE").map(Iterator::collect);
    run(&cases, chosen.as_deref())
}

/// Runs all cases, or those that are `chosen`.
fn run(cases: &[Case], chosen: Option<&[&String]>) -> anyhow::Result<()> {
    let is_chosen = |case: &&Case| chosen.is_none_or(|names| names.contains(&&case.name));
    let cases: Vec<&Case> = cases.iter().filter(is_chosen).collect();
    let scratch = tempfile::tempdir()?;
    let plugins = Plugins::built(scratch.path())?;
    let mut failed = Vec::new();
    let mut ran = cases.len();
    for case in cases {
        let folder = scratch.path().join(&case.name);
        std::fs::create_dir(&folder)?;
        match play(case, &plugins, &folder) {
            Ok(()) => println!("ok      {:<32} {}", case.name, case.about),
            Err(error) => {
                println!("FAILED  {:<32} {}\n{error:#}\n", case.name, case.about);
                failed.push(case.name.clone());
            }
        }
    }
    if chosen.is_none() {
        let (layouts, refused) = layouts::run(&plugins, scratch.path())?;
        ran += layouts;
        failed.extend(refused);
    }
    println!("e2e: {ran} cases, {} failed", failed.len());
    anyhow::ensure!(failed.is_empty(), "e2e cases failed: {}", failed.join(", "));
    Ok(())
}

/// One case in a folder of its own, with a registry and a Sigstore of its own.
fn play(case: &Case, plugins: &Plugins, folder: &Path) -> anyhow::Result<()> {
    let embedded = Embedded::start_as(&case.registry)?;
    let published = embedded.publish("e2e/greet", "1", case.image, GREETING)?;
    embedded.sign(&published, &case.signature);
    let plugins = plugins.at_home(&folder.join("home"));
    if case.registry.logged_in && case.registry.auth != Auth::None {
        embedded.login(&folder.join("home"))?;
    }
    let trust = embedded.write_trust(folder)?;
    let words = [
        ("{registry}", embedded.host()),
        ("{reference}", published.reference.clone()),
        ("{trusted_root}", trust.trusted_root.display().to_string()),
        ("{key}", trust.key.display().to_string()),
        ("{cache}", folder.join("cache").display().to_string()),
    ];
    let mut embedded = Some(embedded);
    for (at, step) in case.steps.iter().enumerate() {
        let place = || format!("step {} ({})", at + 1, step.run.join(" "));
        if step.offline {
            embedded = None;
        }
        let mut config = step.config.clone().unwrap_or_else(|| case.config.clone());
        for (word, value) in &words {
            config = config.replace(word, value);
        }
        let file = folder.join("plugins.toml");
        std::fs::write(&file, config)?;
        let file = file.to_string_lossy();
        let mut arguments: Vec<&str> = step.run.iter().map(String::as_str).collect();
        arguments.extend(["--config", &file]);
        let answer = plugins.run(folder, &arguments)?;
        check(step, &answer)
            .with_context(|| answer.transcript())
            .with_context(place)?;
    }
    drop(embedded);
    Ok(())
}

/// Compares exit code and output with what the step expects.
fn check(step: &Step, answer: &Answer) -> anyhow::Result<()> {
    anyhow::ensure!(
        answer.code == Some(step.exit),
        "expected exit code {}",
        step.exit
    );
    for (name, expected, printed) in [
        ("stdout", &step.stdout, &answer.stdout),
        ("stderr", &step.stderr, &answer.stderr),
    ] {
        for text in expected {
            anyhow::ensure!(printed.contains(text), "{name} lacks `{text}`");
        }
    }
    // A crash is never the right kind of refusal.
    anyhow::ensure!(
        !answer.stderr.contains("panicked at"),
        "the command panicked"
    );
    Ok(())
}
