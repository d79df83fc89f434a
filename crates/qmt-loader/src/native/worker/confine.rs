//! Confines this process, irrevocably, to what a plugin needs.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{self, DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::super::frame::{Hello, Missing, cpu_max};
#[cfg(any(
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "x86_64"
))]
use super::syscalls;

/// Where the dynamic loader finds the libraries of the system.
const SYSTEM_LIBRARIES: [&str; 9] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld-musl-x86_64.path",
];
/// The descriptors that a worker may have open.
const FILES_MAX: u64 = 64;
/// The processes and threads that the user may have when a worker starts a thread.
const THREADS_MAX: u64 = 4096;

/// Asks the kernel to end this process together with the host.
pub(super) fn end_with_the_host(missing: &mut Missing) {
    let set = process::set_parent_process_death_signal(Some(Signal::KILL));
    missing.unless(set.is_ok(), Missing::PARENT);
    // It leaves the terminal and the process group of the host. It fails for the leader of a group,
    // which has left that of the host.
    let _ = process::setsid();
}

/// Confines this process, whose only thread is this one.
pub(super) fn confine(hello: &Hello, missing: &mut Missing) {
    // First, because it reads a file.
    missing.unless(limits(hello).is_ok(), Missing::LIMITS);
    missing.unless(files(hello).unwrap_or(false), Missing::FILES);
    network();
    missing.unless(privileges().is_ok(), Missing::PRIVILEGES);
    missing.unless(filter_system_calls(), Missing::SYSTEM_CALLS);
}

#[cfg(any(
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "x86_64"
))]
fn filter_system_calls() -> bool {
    let filter = syscalls::filter().ok();
    filter.is_some_and(|filter| seccompiler::apply_filter(&filter).is_ok())
}

/// Other architectures have no filter.
#[cfg(not(any(
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "x86_64"
)))]
fn filter_system_calls() -> bool {
    false
}

/// Allows the libraries of the system and the folders that are granted, and no other file. Returns
/// whether the kernel enforces all of it.
fn files(hello: &Hello) -> Result<bool, RulesetError> {
    let all = AccessFs::from_all(ABI::V3);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock;
    let status = Ruleset::default()
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM_LIBRARIES, read))?
        .add_rules(path_beneath_rules(&hello.readable, read))?
        .add_rules(path_beneath_rules(&hello.writable, all & !never))?
        .restrict_self()?;
    Ok(status.ruleset == RulesetStatus::FullyEnforced)
}

/// Refuses TCP, devices, and signals and sockets of other processes, if the kernel can. It is a second
/// barrier: the filter of system calls refuses them as well, so a failure is not reported.
fn network() {
    let restrict = || -> Result<_, RulesetError> {
        Ruleset::default()
            .handle_access(AccessNet::from_all(ABI::V4))?
            .handle_access(AccessFs::IoctlDev)?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .restrict_self()
    };
    let _ = restrict();
}

/// Gives up capabilities and the means to gain new ones; refuses core dumps and debuggers.
fn privileges() -> io::Result<()> {
    thread::set_no_new_privs(true)?;
    process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = CapabilitySet::empty();
    thread::set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}

fn limits(hello: &Hello) -> io::Result<()> {
    let memory = mapped()?
        .saturating_add(hello.memory_max)
        .saturating_add(hello.library_len);
    for (resource, most) in [
        (Resource::As, memory),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Nofile, FILES_MAX),
        (Resource::Nproc, THREADS_MAX),
    ] {
        let maximum = process::getrlimit(resource).maximum;
        let most = maximum.map_or(most, |maximum| maximum.min(most));
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        process::setrlimit(resource, limit)?;
    }
    if let Some(seconds) = hello.cpu_seconds {
        // The host raises the soft limit later.
        let maximum = cpu_max(seconds);
        let limit = Rlimit {
            current: Some(seconds.min(maximum)),
            maximum: Some(maximum),
        };
        process::setrlimit(Resource::Cpu, limit)?;
    }
    Ok(())
}

/// Returns the address space of this process in bytes.
fn mapped() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages = text
        .split(' ')
        .next()
        .and_then(|pages| pages.parse::<u64>().ok());
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX);
    let bytes = pages.and_then(|pages| pages.checked_mul(page));
    bytes.ok_or_else(|| io::Error::other("`/proc/self/statm` does not begin with a number"))
}

/// Reports whether this process has one thread: Landlock, seccomp and capabilities confine threads
/// one by one.
pub(super) fn is_single_threaded() -> bool {
    let tasks = fs::read_dir(Path::new("/proc/self/task"));
    tasks.is_ok_and(|tasks| tasks.count() == 1)
}

/// Replaces the standard streams by `/dev/null`.
pub(super) fn close_standard_streams() -> io::Result<()> {
    let null = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    rustix::stdio::dup2_stdin(null.as_fd())?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test runs on a thread next to the main one.
    #[test]
    fn threads_are_counted() {
        assert!(!is_single_threaded());
        assert!(mapped().unwrap() > 1 << 20);
    }
}
