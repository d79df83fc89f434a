//! Checks that the limits of this process are high enough for a command. Otherwise the async runtime would
//! panic, or an allocation that fails would end the process without a message.

use std::io;
#[cfg(unix)]
use std::os::fd::AsFd as _;
use std::sync::Mutex;
use std::thread;

/// The descriptors that the async runtime, its signals and the first file take.
#[cfg(unix)]
const DESCRIPTORS: usize = 7;
/// The bytes that a command needs apart from what its threads reserve: 32 MiB.
const MEMORY: usize = 32 << 20;
/// The threads for which memory is reserved while a plugin is loaded, beyond those of the command.
const LOADING: usize = 2;

/// Checks that this process may start as many threads as a command uses, open files and allocate
/// memory. With fewer threads, some would wait for work that has no thread to run on.
pub(crate) fn check(threads: usize) -> io::Result<()> {
    #[cfg(unix)]
    let _open = (0..DESCRIPTORS)
        .map(|_| io::stderr().as_fd().try_clone_to_owned())
        .collect::<io::Result<Vec<_>>>()?;
    let started = Mutex::new(());
    thread::scope(|scope| {
        // All threads wait until the last one is started.
        let _waiting = started.lock();
        let start = || thread::Builder::new().spawn_scoped(scope, || drop(started.lock()));
        for _ in 0..threads {
            start()?;
        }
        if !has_limited_memory() {
            return Ok(());
        }
        // The C library reserves memory for each thread, and keeps it for later threads.
        for _ in 0..LOADING {
            start()?;
        }
        Vec::<u8>::new()
            .try_reserve_exact(MEMORY)
            .map_err(|_| io::ErrorKind::OutOfMemory.into())
    })
}

#[cfg(unix)]
fn has_limited_memory() -> bool {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::As).current.is_some()
}

#[cfg(not(unix))]
fn has_limited_memory() -> bool {
    false
}

/// Says which limits may be too low for a command with as many threads.
pub(crate) fn message(threads: usize) -> String {
    format!(
        "the command can't be started: it needs {threads} threads, memory, and files to open; see \
         `ulimit -u`, `ulimit -v`, `ulimit -n`, and the number of processes that its container may have"
    )
}
