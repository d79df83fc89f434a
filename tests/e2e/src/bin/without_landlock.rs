//! Runs a program as if the kernel had no Landlock: `without_landlock PROGRAM ARGUMENTS...`.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use std::collections::BTreeMap;
    use std::os::unix::process::CommandExt as _;

    use anyhow::Context as _;
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    /// The numbers of `landlock_create_ruleset`, `landlock_add_rule` and `landlock_restrict_self`, the
    /// same on all processors.
    const LANDLOCK: std::ops::RangeInclusive<i64> = 444..=446;
    /// The error of a system call that the kernel does not have: `ENOSYS`.
    const NO_SUCH_CALL: u32 = 38;

    let mut arguments = std::env::args_os().skip(1);
    let program = arguments
        .next()
        .context("usage: without_landlock PROGRAM")?;
    let rules: BTreeMap<_, _> = LANDLOCK.map(|call| (call, Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(NO_SUCH_CALL),
        std::env::consts::ARCH.try_into()?,
    )?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    let error = std::process::Command::new(program).args(arguments).exec();
    Err(error.into())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
