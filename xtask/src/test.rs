//! `cargo xtask test`: every unit, integration and doc test of the default members.
//!
//! Native plugins of the tests are compiled from C; a missing compiler is reported at once.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;

use crate::project;

/// Runs `cargo test` on the members that `selection` names, by default on the default ones.
pub(crate) fn run(selection: &[&str], arguments: &[OsString]) -> anyhow::Result<()> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    anyhow::ensure!(
        project::on_path(&compiler) || Path::new(&compiler).is_file(),
        "no C compiler: `{compiler}` is not on PATH; install one (Debian: apt-get install gcc libc6-dev)"
    );
    let sh = project::shell()?;
    project::cargo(&sh, &["test", "--locked"])
        .args(selection)
        .args(arguments)
        .run()
        .context("tests failed")
}

/// Tests `examples/querymt-adapter`, which is no default member. The default members are selected as
/// well, so that no dependency is compiled twice, and the native plugin of the tests is built first.
pub(crate) fn example() -> anyhow::Result<()> {
    const SELECTION: [&str; 4] = [
        "--locked",
        "--workspace",
        "--exclude=qmt-interop",
        "--exclude=qmt-bench",
    ];
    let sh = project::shell()?;
    project::cargo(&sh, &["build"])
        .args(SELECTION)
        .args(["--example", "native_provider"])
        .run()
        .context("the native plugin of the example does not build")?;
    project::cargo(&sh, &["test"])
        .args(SELECTION)
        .args(["--test", "adapter"])
        .run()
        .context("tests of the example failed")
}
