//! `cargo xtask mutants`: changes verification and policies, one decision at a time; some test must
//! fail each time. `.cargo/mutants.toml` lists what is changed, and the mutants without a difference.
//! <https://mutants.rs>

use std::ffi::OsString;

use anyhow::Context as _;

use crate::project;

/// The version: each one makes different mutants.
const VERSION: &str = "27.1.0";

/// Runs all mutants, or those that the arguments of cargo-mutants choose.
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<()> {
    let sh = project::shell()?;
    let found = project::cargo(&sh, &["mutants", "--version"])
        .quiet()
        .ignore_status()
        .ignore_stderr()
        .read()
        .context("cannot start cargo")?;
    anyhow::ensure!(
        found.split_whitespace().last() == Some(VERSION),
        "cargo-mutants {VERSION} is needed; `cargo install cargo-mutants --locked --version \
         {VERSION}` installs it{}",
        if found.is_empty() {
            String::new()
        } else {
            format!(" in place of {found}")
        }
    );
    sh.create_dir("target/mutants")?;
    project::cargo(
        &sh,
        &["mutants", "--no-shuffle", "--output", "target/mutants"],
    )
    .args(arguments)
    .run()
    .context("a mutant survived, or was not tried; see target/mutants/mutants.out")
}
