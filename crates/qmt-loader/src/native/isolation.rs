//! Where the code of a native plugin runs.

#[cfg(feature = "native")]
use std::path::PathBuf;

#[cfg(feature = "native")]
use crate::error::LoadError;

/// Where the code of a native plugin runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// In the process of the host, with all its rights. Its symbols can be used.
    #[default]
    InProcess,
    /// In worker processes, one for each call that runs at the same time. The kernel denies them
    /// files, network and other processes. Linux only.
    ///
    /// The plugin must implement `qmt_plugin.h`, and its symbols can't be used. The `main` of the
    /// host calls [`run_worker_if_asked`](super::run_worker_if_asked) first, or the host names
    /// another program with `NativeLoader::worker`.
    Process,
}

/// How a loader starts its workers.
#[cfg(feature = "native")]
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "there are no workers")
)]
pub(super) struct Settings {
    /// The program to start, instead of that of this process.
    pub(super) program: Option<PathBuf>,
    /// Whether plugins are refused if the kernel lacks parts of the confinement.
    pub(super) required: bool,
}

/// The error for a plugin that breaks a rule of isolation.
#[cfg(feature = "native")]
pub(super) fn refused(plugin: &str, rule: &'static str) -> LoadError {
    LoadError::Isolation {
        plugin: plugin.to_owned(),
        rule,
        source: None,
    }
}
