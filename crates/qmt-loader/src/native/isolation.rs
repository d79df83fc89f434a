//! Where the code of a native plugin runs.

/// Where the code of a native plugin runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// In the process of the host, with all its rights. Its symbols can be used.
    #[default]
    InProcess,
    /// In worker processes, one for each call that runs at the same time, which the kernel keeps
    /// from files, network and other processes. Linux only.
    ///
    /// The plugin must implement `qmt_plugin.h`, and its symbols can't be used. The `main` of the
    /// host calls [`run_worker_if_asked`](super::run_worker_if_asked) first, or the host names
    /// another program with `NativeLoader::worker`.
    Process,
}
