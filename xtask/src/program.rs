//! The programs of `tests/` that commands start: built in one call of cargo, then run.
//!
//! Cargo chooses features for all packages that are selected. The alias `cargo xtask`, the tests and
//! each program here select the same ones, so that no dependency is compiled twice.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use xshell::cmd;

use crate::project;

/// A program of the workspace.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    /// `tests/e2e`: the demo.
    Demo,
    /// `tests/e2e`: the cases of `fixtures/e2e`.
    Cases,
    /// `tests/e2e`: writes fixtures.
    Fixtures,
    /// `tests/interop`: the real tier and its tools.
    Interop,
    /// `tests/bench`: measurements, in the release profile.
    Bench,
}

/// A program ended without success.
#[derive(Debug)]
pub(crate) struct Ended {
    program: &'static str,
    code: Option<i32>,
}

impl Program {
    /// Its name, and the other binaries that it starts.
    fn binaries(self) -> &'static [&'static str] {
        match self {
            Self::Demo => &["demo", "qmt-plugins"],
            Self::Cases => &["cases", "qmt-plugins"],
            Self::Fixtures => &["fixtures", "qmt-plugins"],
            Self::Interop => &["qmt-interop", "qmt-plugins"],
            Self::Bench => &[
                "qmt-bench",
                "qmt-plugins",
                "calls_time",
                "extism_alone",
                "isolated_time",
                "load_all_time",
                "lookup_time",
                "verify_time",
            ],
        }
    }

    /// More options for cargo.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Demo | Self::Cases | Self::Fixtures => &[],
            Self::Interop => &["--workspace"],
            Self::Bench => &["--workspace", "--release"],
        }
    }

    fn name(self) -> &'static str {
        self.binaries().first().copied().unwrap_or_default()
    }

    /// Builds and starts it.
    pub(crate) fn run(self, arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
        self.build()?;
        self.start(arguments)
    }

    /// Builds it with everything that it starts.
    pub(crate) fn build(self) -> anyhow::Result<()> {
        let sh = project::shell()?;
        project::cargo(&sh, &["build", "--locked"])
            .args(self.options())
            .args(self.binaries().iter().flat_map(|name| ["--bin", name]))
            .run()
            .with_context(|| format!("`{}` does not build", self.name()))
    }

    /// Starts what was built last.
    pub(crate) fn start(self, arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
        let mut command = std::process::Command::new(self.path()?);
        for name in project::package_variables() {
            command.env_remove(name);
        }
        let status = command
            .args(arguments)
            .current_dir(project::root())
            .status()
            .with_context(|| format!("cannot start `{}`", self.name()))?;
        if status.success() {
            return Ok(());
        }
        let (program, code) = (self.name(), status.code());
        Err(Ended { program, code }.into())
    }

    /// Builds and runs it, and returns what it prints.
    pub(crate) fn read(self, argument: &str) -> anyhow::Result<String> {
        self.build()?;
        let (sh, program) = (project::shell()?, self.path()?);
        Ok(cmd!(sh, "{program} {argument}").quiet().read()?)
    }

    /// Next to this program, which cargo builds into the folder of the dev profile.
    fn path(self) -> anyhow::Result<PathBuf> {
        let ours = std::env::current_exe()?;
        let debug = ours.parent().context("a program without a folder")?;
        let folder = match self {
            Self::Bench => debug.with_file_name("release"),
            _ => debug.to_owned(),
        };
        Ok(folder.join(format!("{}{}", self.name(), std::env::consts::EXE_SUFFIX)))
    }
}

impl Ended {
    /// Whether the program refused its command line.
    pub(crate) fn is_usage(&self) -> bool {
        self.code == Some(2)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "`{}` ended with exit code {code}", self.program),
            None => write!(f, "`{}` was ended by a signal", self.program),
        }
    }
}

impl std::error::Error for Ended {}
