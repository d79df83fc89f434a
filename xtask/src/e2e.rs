//! `cargo xtask e2e`: each case of `fixtures/e2e` through the built command, against the embedded
//! registry and Sigstore; with `--real`, against the programs of others.

mod builders;
pub(crate) mod case;
mod conformance;
mod keyless;
mod keys;
mod layouts;
mod mirror;
mod published;
pub(crate) mod real;
pub(crate) mod servers;
pub(crate) mod sigstore;
mod tally;
mod tier;
mod token;
mod web;

use std::path::Path;

use anyhow::Context as _;

use self::case::{Case, Step};
use crate::command::Plugins;
use crate::embedded::Embedded;
use crate::image::GREETING;
use crate::project::{self, UsageError};

const CASES: &str = "fixtures/e2e";

/// Runs all cases, or those whose names are given.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    if let Some((first, parts)) = arguments.split_first()
        && first == "--real"
    {
        return real::run(parts);
    }
    let cases = choose(Case::load_all(&project::root().join(CASES))?, arguments)?;
    let sh = project::shell()?;
    let scratch = sh.create_temp_dir()?;
    let plugins = Plugins::build(&sh, scratch.path())?;
    let mut failed = Vec::new();
    let mut ran = cases.len();
    for case in &cases {
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
    if arguments.is_empty() {
        let (layouts, refused) = layouts::run(&plugins, scratch.path())?;
        ran += layouts;
        failed.extend(refused);
    }
    println!("e2e: {ran} cases, {} failed", failed.len());
    anyhow::ensure!(failed.is_empty(), "e2e cases failed: {}", failed.join(", "));
    Ok(())
}

fn choose(cases: Vec<Case>, names: &[String]) -> anyhow::Result<Vec<Case>> {
    for name in names {
        if !cases.iter().any(|case| case.name == *name) {
            let known: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            let hint = crate::suggest::nearest(name, &known)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(UsageError(format!("there is no case `{name}` in {CASES}{hint}")).into());
        }
    }
    let wanted = |case: &Case| names.is_empty() || names.contains(&case.name);
    Ok(cases.into_iter().filter(wanted).collect())
}

/// One case in a folder of its own, with a registry and a Sigstore of its own.
fn play(case: &Case, plugins: &Plugins, folder: &Path) -> anyhow::Result<()> {
    let embedded = Embedded::start_as(&case.registry)?;
    let published = embedded.publish("e2e/greet", "1", case.image, GREETING)?;
    embedded.sign(&published, &case.signature);
    let plugins = plugins.at_home(&folder.join("home"));
    if case.registry.logged_in && case.registry.auth != case::Auth::None {
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
        step.check(&answer)
            .with_context(|| answer.transcript())
            .with_context(place)?;
    }
    drop(embedded);
    Ok(())
}

impl Step {
    /// Compares what was said with what the case expects.
    fn check(&self, answer: &crate::command::Answer) -> anyhow::Result<()> {
        anyhow::ensure!(
            answer.code == Some(self.exit),
            "expected exit code {}",
            self.exit
        );
        for (name, wanted, said) in [
            ("stdout", &self.stdout, &answer.stdout),
            ("stderr", &self.stderr, &answer.stderr),
        ] {
            for text in wanted {
                anyhow::ensure!(said.contains(text), "{name} lacks `{text}`");
            }
        }
        // A crash is never the right kind of refusal.
        anyhow::ensure!(
            !answer.stderr.contains("panicked at"),
            "the command panicked"
        );
        Ok(())
    }
}
