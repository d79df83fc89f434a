//! `cargo xtask ci`: every check, one step after the other, with its time and a summary.
//!
//! A failing step does not keep the later ones from running; it makes the whole fail at its end.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::project::{self, UsageError};
use crate::{readme, suggest};

/// How a step ended well.
enum Outcome {
    Done,
    /// What there is to know besides.
    Note(String),
    /// What the step needs is not here, and the project can be judged without it.
    Skipped(String),
}

struct Step {
    name: &'static str,
    run: fn(&Shell) -> anyhow::Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: fmt,
    },
    Step {
        name: "tidy",
        run: tidy,
    },
    Step {
        name: "trees",
        run: trees,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "test",
        run: test,
    },
    Step {
        name: "rustdoc",
        run: rustdoc,
    },
    Step {
        name: "demo",
        run: demo,
    },
    Step {
        name: "e2e",
        run: e2e,
    },
    Step {
        name: "real",
        run: real,
    },
    Step {
        name: "readme",
        run: readme_commands,
    },
    Step {
        name: "deny",
        run: deny,
    },
    Step {
        name: "advisories",
        run: advisories,
    },
    Step {
        name: "typos",
        run: typos,
    },
];

/// Runs all steps, or those that are named.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    if arguments
        .first()
        .is_some_and(|argument| argument == "--list")
    {
        for step in STEPS {
            println!("{}", step.name);
        }
        return Ok(());
    }
    let chosen = choose(arguments)?;
    let sh = project::shell()?;
    let mut results = Vec::new();
    for step in chosen {
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

fn choose(names: &[String]) -> anyhow::Result<Vec<&'static Step>> {
    if names.is_empty() {
        return Ok(STEPS.iter().collect());
    }
    let find = |name: &String| {
        STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
            let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            let hint = suggest::nearest(name, &known)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            UsageError(format!("ci has no step `{name}`{hint}")).into()
        })
    };
    names.iter().map(find).collect()
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
    let cargo = project::cargo();
    cmd!(sh, "{cargo} fmt --all --check")
        .run()
        .context("run `cargo fmt --all`")?;
    Ok(Outcome::Done)
}

fn tidy(_: &Shell) -> anyhow::Result<Outcome> {
    crate::tidy::run(&[])?;
    Ok(Outcome::Done)
}

/// What the light crates must not pull in: whoever wants a reference gets no runtime and no TLS.
fn trees(sh: &Shell) -> anyhow::Result<Outcome> {
    let vocabulary: &[&str] = &["-p", "qmt-oci-ref"];
    let seam: &[&str] = &["-p", "qmt-registry", "--no-default-features"];
    let loader: &[&str] = &["-p", "qmt-loader", "--no-default-features"];
    let light: &[&[&str]] = &[
        &["-p", "qmt-registry"],
        &["-p", "qmt-artifact"],
        &["-p", "qmt-verify"],
        &["-p", "qmt-cache"],
        &["-p", "qmt-testkit"],
    ];
    forbid(sh, vocabulary, &["tokio", "reqwest", "wasmtime"])?;
    forbid(sh, seam, &["reqwest", "rustls", "wasmtime"])?;
    forbid(sh, loader, &["extism", "wasmtime", "libloading"])?;
    for selection in light {
        forbid(sh, selection, &["wasmtime", "extism"])?;
    }
    Ok(Outcome::Done)
}

fn forbid(sh: &Shell, selection: &[&str], forbidden: &[&str]) -> anyhow::Result<()> {
    let cargo = project::cargo();
    let tree = cmd!(
        sh,
        "{cargo} tree --locked --edges normal --prefix none {selection...}"
    )
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
    let cargo = project::cargo();
    cmd!(
        sh,
        "{cargo} clippy --workspace --all-targets --locked -- -D warnings"
    )
    .run()?;
    // The facade bare, and for a host that brings loaders of its own.
    for features in ["", "http,layout,sigstore"] {
        cmd!(
            sh,
            "{cargo} rustc --package qmt-plugins --lib --profile check --no-default-features --features={features} --locked -- -D warnings"
        )
        .run()?;
    }
    Ok(Outcome::Done)
}

fn test(_: &Shell) -> anyhow::Result<Outcome> {
    crate::test::run(&[])?;
    Ok(match std::env::var("QMT_REAL_FIXTURES") {
        Ok(folder) => Outcome::Note(format!("with the genuine signatures in {folder}")),
        Err(_) => Outcome::Note("without genuine signatures: QMT_REAL_FIXTURES is not set".into()),
    })
}

/// Libraries only: the command's page would overwrite that of the library of the same name.
fn rustdoc(sh: &Shell) -> anyhow::Result<Outcome> {
    let cargo = project::cargo();
    cmd!(sh, "{cargo} doc --workspace --lib --no-deps --locked")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    Ok(Outcome::Done)
}

fn demo(_: &Shell) -> anyhow::Result<Outcome> {
    crate::demo::run(&[])?;
    Ok(Outcome::Done)
}

fn e2e(_: &Shell) -> anyhow::Result<Outcome> {
    crate::e2e::run(&[])?;
    Ok(Outcome::Done)
}

/// The programs of others take minutes to build, so they are used where they are, not fetched.
fn real(_: &Shell) -> anyhow::Result<Outcome> {
    let missing = crate::tools::missing(crate::e2e::real::NEEDED);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Ok(Outcome::Skipped(format!(
            "`cargo xtask tools` has not installed {missing}"
        )));
    }
    crate::e2e::run(&["--real".to_owned()])?;
    Ok(Outcome::Done)
}

/// Licences, bans and sources, from deny.toml; none of them needs the network.
fn deny(sh: &Shell) -> anyhow::Result<Outcome> {
    let cargo = project::cargo();
    if !project::on_path("cargo-deny") {
        cmd!(sh, "{cargo} install cargo-deny --locked")
            .run()
            .context("cargo-deny is missing")?;
    }
    cmd!(
        sh,
        "{cargo} deny --offline --workspace check licenses bans sources"
    )
    .run()?;
    Ok(Outcome::Done)
}

fn advisories(sh: &Shell) -> anyhow::Result<Outcome> {
    let cargo = project::cargo();
    if !project::on_path("cargo-deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed".into()));
    }
    if cmd!(sh, "{cargo} deny fetch db").run().is_err() {
        return Ok(Outcome::Skipped(
            "the advisory database cannot be reached from here".into(),
        ));
    }
    cmd!(sh, "{cargo} deny --workspace check advisories").run()?;
    Ok(Outcome::Done)
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
    fn steps_are_chosen_by_name_and_unknown_ones_are_usage_errors() {
        assert_eq!(choose(&[]).unwrap().len(), STEPS.len());
        let chosen = choose(&["tidy".to_owned(), "fmt".to_owned()]).unwrap();
        assert_eq!(
            chosen.iter().map(|step| step.name).collect::<Vec<_>>(),
            ["tidy", "fmt"]
        );
        let error = choose(&["clipy".to_owned()]).map(|_| ()).unwrap_err();
        assert!(error.is::<UsageError>(), "{error}");
        assert!(error.to_string().contains("`clippy`"), "{error}");
    }

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
