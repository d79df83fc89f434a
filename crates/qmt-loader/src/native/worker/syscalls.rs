//! The filter of system calls.
//!
//! Calls fail with `EPERM` if they start programs or processes, reach other processes, open sockets,
//! administer the machine, or change files in ways that Landlock does not restrict. Calls that are
//! newer than this list fail with `ENOSYS`.

use std::collections::BTreeMap;
use std::process;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};

/// Calls that are refused with all arguments.
const REFUSED: &[i64] = &[
    // Programs and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Sockets, and memory or queues that other processes see.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semctl,
    libc::SYS_semtimedop,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_mq_notify,
    // Memory that no limit counts, and parts of the kernel with many past vulnerabilities.
    libc::SYS_memfd_create,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_setup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    // Changes of files that Landlock does not restrict.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_inotify_add_watch,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_quotactl,
    // The machine.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    // `quotactl_fd`, `memfd_secret`, `process_mrelease`, `fchmodat2`: the same numbers on all
    // architectures.
    443,
    447,
    448,
    452,
];

/// Calls that only this architecture has: older forms of the above.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_setrlimit,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
];
/// `setrlimit` and `kexec_file_load`, whose numbers not every C library names.
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[164, 294];

/// Options of `prctl` that would undo the confinement or let other processes in.
const PRCTL_REFUSED: &[i32] = &[
    libc::PR_SET_PDEATHSIG,
    libc::PR_SET_DUMPABLE,
    libc::PR_SET_MM,
    libc::PR_SET_PTRACER,
];

/// Commands of `fcntl` that make the kernel signal another process, or delay its opening of a file.
const FCNTL_REFUSED: &[i32] = &[
    libc::F_SETOWN,
    libc::F_SETLEASE,
    libc::F_NOTIFY,
    F_SETSIG,
    F_SETOWN_EX,
];
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;

/// Requests of `ioctl` that do the same, or type into a terminal: `FIOSETOWN`, `SIOCSPGRP`, `TIOCSTI`.
const IOCTL_REFUSED: &[u64] = &[0x8901, 0x8902, 0x5412];

/// The newest call that was reviewed for this list: `mseal` of Linux 6.10. Numbers from 424 on are
/// the same on all architectures; those of x32 are far above.
const NEWEST: u32 = 462;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Makes the filter for this process.
pub(super) fn filter() -> Result<BpfProgram, BackendError> {
    let mut rules = Rules::new();
    for call in REFUSED.iter().chain(REFUSED_HERE) {
        rules.insert(*call, Vec::new());
    }
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    refuse(
        &mut rules,
        libc::SYS_clone,
        [is(0, SeccompCmpOp::MaskedEq(thread), 0)],
    )?;
    let this = u64::from(process::id());
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        refuse(&mut rules, call, [is(0, SeccompCmpOp::Ne, this)])?;
    }
    // Reading its own limits is part of starting a thread.
    let sets = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0);
    refuse(&mut rules, libc::SYS_prlimit64, [sets])?;
    let options = |values: &[i32], argument| {
        let values = values.iter().map(|value| u64::from(value.unsigned_abs()));
        values
            .map(move |value| is(argument, SeccompCmpOp::Eq, value))
            .collect::<Vec<_>>()
    };
    refuse(&mut rules, libc::SYS_prctl, options(PRCTL_REFUSED, 0))?;
    refuse(&mut rules, libc::SYS_fcntl, options(FCNTL_REFUSED, 1))?;
    let requests = IOCTL_REFUSED
        .iter()
        .map(|value| is(1, SeccompCmpOp::Eq, *value));
    refuse(&mut rules, libc::SYS_ioctl, requests)?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?;
    let mut program = unknown_calls();
    program.extend(BpfProgram::try_from(filter)?);
    Ok(program)
}

fn is(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

/// Refuses a call where any of the conditions holds.
fn refuse(
    rules: &mut Rules,
    call: i64,
    conditions: impl IntoIterator<Item = Result<SeccompCondition, BackendError>>,
) -> Result<(), BackendError> {
    for condition in conditions {
        rules
            .entry(call)
            .or_default()
            .push(SeccompRule::new(vec![condition?])?);
    }
    Ok(())
}

/// Returns the first instructions: calls newer than the list, those of x32, and `clone3`, whose flags
/// a filter cannot read, fail with `ENOSYS`. C libraries then use `clone`.
fn unknown_calls() -> BpfProgram {
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or(u32::MAX);
    let no_such_call = u32::from(SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    let instruction = |code: u32, jt, jf, k| sock_filter {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt,
        jf,
        k,
    };
    vec![
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, 0, NEWEST),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, clone3),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, no_such_call),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel accepts at most 4,096 instructions, and no rule may be for a call that the first
    /// instructions handle.
    #[test]
    fn the_kernel_accepts_the_filter() {
        let program = filter().unwrap();
        assert!(
            program.len() > 300 && program.len() < 4096,
            "{}",
            program.len()
        );
        for call in REFUSED.iter().chain(REFUSED_HERE) {
            assert!(*call <= i64::from(NEWEST), "{call}");
        }
    }
}
