//! Calls of plugins that crate `extism` and `qmt-loader` must answer alike: the corners of the ABI,
//! random programs over it, and plugins that the development kits of several languages make.
//!
//! What may differ, and why, is in `differential/allowed.rs`.

mod allowed;
mod compare;
mod corners;
mod generate;
mod host;
mod kits;
mod loaded;
mod logs;
mod portable;
mod random;
mod reference;
mod step;
#[cfg(test)]
mod tests;

use std::path::Path;

use qmt_loader::Loader;
use qmt_loader::wasm::{HostFunction, WasmLoader};
use tracing::Level;
use xshell::Shell;

use self::allowed::{ALLOWED, Findings};
use self::compare::compare;
use self::host::{Call, Host, Module, reverse};
use self::kits::KITS;
use self::loaded::Loaded;
use self::logs::Alone;
use self::random::Programs;
use self::reference::Extism;
use crate::tally::Tally;
use crate::tools;

/// Makes the loader under test.
fn loader() -> anyhow::Result<impl Loader> {
    let reverse = HostFunction::new("reverse", |input| Ok(reverse(&input)?.into()));
    let loader = WasmLoader::builder().instances(1).host_function(reverse);
    Ok(loader.build()?)
}

/// Random programs of the real tier, at each of two log levels.
const PROGRAMS: usize = 5_000;

/// What development kits make, by the name of the part.
const KITS_PART: &str = "plugins of development kits";

/// Runs everything; `folder` is for what the development kits build.
pub(super) fn run(sh: &Shell, folder: &Path, tally: &mut Tally) -> anyhow::Result<usize> {
    let mut findings = Findings::default();
    let mut checks = corners(&mut findings)?;
    checks += programs(&mut findings, 0, PROGRAMS, Level::TRACE)?;
    checks += programs(&mut findings, 1_000_000, PROGRAMS, Level::INFO)?;
    let mut all = true;
    for kit in KITS {
        let missing = tools::missing(kit.needed);
        if missing.is_empty() {
            checks += plugin(&mut findings, &kit.build(sh, folder)?, &kit.exercises())?;
        } else {
            all = false;
            tally.skipped(&format!("{KITS_PART}, {}", kit.name), &missing.join(", "));
        }
    }
    let problems = findings.problems(ALLOWED, all);
    anyhow::ensure!(problems.is_empty(), "\n{}", problems.join("\n"));
    Ok(checks)
}

/// Calls what a development kit made; its log lines at two levels.
fn plugin(
    findings: &mut Findings,
    plugin: &Module,
    exercises: &[(&str, Vec<Call>)],
) -> anyhow::Result<usize> {
    let alone = Alone::at(Level::TRACE);
    let (theirs, ours) = (Extism::new(&alone), Loaded::new(&alone, loader()?)?);
    let mut run = |name: &str, calls: &[Call]| {
        let mut module = plugin.clone();
        module.name = format!("{}{}/{name}", kits::GROUP, plugin.name);
        findings.cases.push(module.name.clone());
        let difference = compare(&theirs, &ours, &module, calls)?;
        findings.differences.extend(difference);
        anyhow::Ok(())
    };
    for (name, calls) in exercises {
        run(name, calls)?;
    }
    alone.listen_from(Level::INFO);
    let logs = exercises.iter().filter(|(name, _)| *name == "logs");
    for (name, calls) in logs {
        run(&format!("{name} of level info"), calls)?;
    }
    Ok(exercises.len() + 1)
}

/// Runs the corners of the ABI.
fn corners(findings: &mut Findings) -> anyhow::Result<usize> {
    let alone = Alone::at(Level::TRACE);
    let (theirs, ours) = (Extism::new(&alone), Loaded::new(&alone, loader()?)?);
    let cases = corners::cases()?;
    for case in &cases {
        findings.cases.push(case.module.name.clone());
        let difference = compare(&theirs, &ours, &case.module, &case.calls)?;
        findings.differences.extend(difference);
    }
    Ok(cases.len())
}

/// Runs the random programs of `count` seeds.
fn programs(
    findings: &mut Findings,
    first: u64,
    count: usize,
    level: Level,
) -> anyhow::Result<usize> {
    let alone = Alone::at(level);
    let (theirs, ours) = (Extism::new(&alone), Loaded::new(&alone, loader()?)?);
    let sides: (&dyn Host, &dyn Host) = (&theirs, &ours);
    let programs = Programs::new(sides.0, sides.1)?;
    findings.cases.push(random::CASE.to_owned());
    findings.differences.extend(programs.run(first, count)?);
    Ok(count)
}
