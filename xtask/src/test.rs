//! `cargo xtask test`: every unit, integration and doc test of the workspace.
//!
//! Needs a plain Rust installation and a C compiler, and says so early when one is missing:
//! the native plugins that some tests load are compiled from C.

use anyhow::Context as _;
use xshell::cmd;

use crate::project;

/// Runs `cargo test --workspace`; what follows `--` goes to cargo as it is.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let extra: &[String] = match arguments.split_first() {
        None => &[],
        Some((dashes, rest)) if dashes == "--" => rest,
        Some((other, _)) => {
            return Err(project::UsageError(format!(
                "`test` takes no `{other}`; arguments for cargo follow `--`"
            ))
            .into());
        }
    };
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    anyhow::ensure!(
        project::on_path(&compiler) || std::path::Path::new(&compiler).is_file(),
        "no C compiler: `{compiler}` is not on PATH; install one (Debian: apt-get install gcc libc6-dev)"
    );
    let sh = project::shell()?;
    let cargo = project::cargo();
    cmd!(sh, "{cargo} test --workspace --locked {extra...}")
        .run()
        .context("tests failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_argument_is_a_usage_error() {
        let error = run(&["--nextest".to_owned()]).unwrap_err();
        assert!(error.is::<project::UsageError>(), "{error}");
    }
}
