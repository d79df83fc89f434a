//! `cargo xtask tidy`: the house rules that a machine can check.
//!
//! Dependency edges, file sizes, module docs, `unsafe`, silenced tests and lints, paths of
//! somebody's machine. Findings are errors or warnings; only errors make it fail.

mod edges;
mod names;
mod scan;
mod sources;
mod unused;

use std::path::Path;

use crate::project;
use crate::readme;

/// What one rule found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    severity: Severity,
    place: String,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place: place.into(),
            message: message.into(),
        }
    }

    fn warning(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            place: place.into(),
            message: message.into(),
        }
    }
}

/// Checks the whole tree and prints what it found.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    project::no_arguments("tidy", arguments)?;
    let sh = project::shell()?;
    let root = project::root();
    let metadata = project::metadata()?;
    let files = project::files(&sh)?;

    let mut findings = edges::check(&edges::Package::all(&metadata));
    findings.extend(crate_roots(&root, &metadata)?);
    findings.extend(unused::check(&root, &metadata, &files)?);
    for file in &files {
        let bytes = std::fs::read(root.join(file))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        findings.extend(sources::check(file, &text));
    }

    for Finding {
        severity,
        place,
        message,
    } in &findings
    {
        let word = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        println!("{word}: {place}: {message}");
    }
    for block in readme::blocks_of(&root, &files)? {
        let how = if block.is_run() {
            "run by ci"
        } else {
            "not run"
        };
        println!(
            "note: {}:{}: `sh` block, {how}",
            block.file.display(),
            block.line
        );
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    let warnings = findings.len() - errors;
    println!(
        "tidy: {} files, {errors} errors, {warnings} warnings",
        files.len()
    );
    anyhow::ensure!(errors == 0, "tidy found {errors} errors");
    Ok(())
}

/// Rules about crate roots: unsafe code is forbidden, and public names stay few.
fn crate_roots(root: &Path, metadata: &cargo_metadata::Metadata) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        for target in &package.targets {
            if !(target.is_lib() || target.is_bin()) {
                continue;
            }
            let path = target.src_path.as_std_path();
            let place = path
                .strip_prefix(root)
                .unwrap_or(path)
                .display()
                .to_string();
            let text = std::fs::read_to_string(path)?;
            findings.extend(names::forbids_unsafe(&package.name, &place, &text));
            if target.is_lib() {
                findings.extend(names::ceiling(&package.name, &place, &text));
            }
        }
    }
    Ok(findings)
}
