//! `cargo xtask mutants`: changes the judge and the policies, one decision at a time; some test must
//! fail each time. `.cargo/mutants.toml` says what is changed, and which mutants are no others.
//! <https://mutants.rs>

use anyhow::Context as _;
use xshell::cmd;

use crate::project;

/// The one version that is used: another makes other mutants.
const VERSION: &str = "27.1.0";

/// Runs all mutants, or those that the arguments of cargo-mutants choose.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let sh = project::shell()?;
    let cargo = project::cargo();
    let found = cmd!(sh, "{cargo} mutants --version")
        .quiet()
        .ignore_status()
        .ignore_stderr()
        .read()
        .context("cargo can't be started")?;
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
    // Where everything is built elsewhere, there is no `target` yet.
    sh.create_dir("target/mutants")?;
    let arguments = arguments.iter().filter(|argument| *argument != "--");
    cmd!(
        sh,
        "{cargo} mutants --no-shuffle --output target/mutants {arguments...}"
    )
    .run()
    .context("a mutant survived, or was not tried; see target/mutants/mutants.out")
}
