//! Hostile native plugins: what is refused before anything runs, and what a worker process fences in.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use bytes::Bytes;
use qmt_loader::native::WorkerEnd;
use qmt_loader::{LoadError, Loader, Plugin};
use qmt_oci_ref::PluginKind;

use crate::isolated::{SHORT, hostile, is_running, isolating, load, options, process_of, text};
use crate::support::{artifact, refusal};
use crate::workshop::Workshop;

/// Whether the kernel has the whole confinement; otherwise the test says what it does not see.
async fn is_confined(workshop: &Workshop, test: &str) -> bool {
    let loader = isolating(workshop).require_confinement();
    match loader.load(hostile(workshop, "counter"), options()).await {
        Ok(_) => true,
        Err(LoadError::Unconfined { missing, .. }) => {
            println!("{test}: skipped, the kernel does not confine {missing}");
            false
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// NAT-01, NAT-03, NAT-07: a file that breaks a rule is refused in both processes, and never opened.
#[tokio::test]
async fn what_breaks_a_rule_never_reaches_a_worker() {
    let workshop = Workshop::new();
    for flags in [
        "-DOTHER_MARK",
        "-DNO_FREE",
        "-DVERSION_IS_DATA",
        "-Wl,-rpath,$ORIGIN",
        "-Wl,-rpath,/tmp,--disable-new-dtags",
        "-Wl,--no-as-needed,-lcrypt",
        "-Wl,-z,execstack",
    ] {
        let bytes = workshop.variant(&[flags]);
        workshop.refuses(bytes.clone()).await;
        let library = artifact(PluginKind::Native, bytes);
        // A worker that started would be this program, which ends at once.
        let loader = workshop.loader().worker("/bin/true");
        let error = refusal(loader.load(library, options()).await);
        assert!(
            matches!(error, LoadError::NativeRefused { .. }),
            "{flags}: {error:?}"
        );
    }
}

/// NAT-05: what ends a process ends a worker: a typed error, and neighbours that go on.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_process_ends_one_worker() {
    use WorkerEnd::{Disconnected, Exited, Invalid, Killed};
    let workshop = Workshop::new();
    let neighbour = load(&workshop, "counter", options()).await.unwrap();
    let process = process_of(&*neighbour).await;
    for (name, expected) in [
        ("abort", Killed { signal: 6 }),
        ("exit", Exited { code: 3 }),
        ("exit-at-once", Exited { code: 0 }),
        ("segfault", Killed { signal: 11 }),
        ("kill-itself", Killed { signal: 9 }),
        // The runtime of Rust sees the end of the stack and aborts.
        ("stack", Killed { signal: 6 }),
        ("illegal-instruction", Killed { signal: 4 }),
        ("free-aborts", Killed { signal: 6 }),
        ("close-socket", Disconnected),
        ("cut-off", Exited { code: 0 }),
        (
            "garbage",
            Invalid {
                what: "a message of an unknown kind",
            },
        ),
        (
            "oversized",
            Invalid {
                what: "a message that is longer than it may be",
            },
        ),
        (
            "wrong-kind",
            Invalid {
                what: "a message that answers no call",
            },
        ),
        (
            "calls-the-host",
            Invalid {
                what: "a message that answers no call",
            },
        ),
    ] {
        let plugin = load(&workshop, name, options()).await.unwrap();
        // `free-aborts` ends with each output; the others answer until they act.
        if name != "free-aborts" {
            assert_eq!(text(&*plugin, "echo", "before").await, "before");
        }
        let overlapping = neighbour.call("echo", Bytes::from("y"));
        let (result, other) = tokio::join!(plugin.call("act", Bytes::new()), overlapping);
        match result {
            Err(LoadError::WorkerEnded { end, export, .. }) => {
                assert_eq!((end, &*export), (expected, "act"), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(other.unwrap(), "y");
        if name != "free-aborts" {
            assert_eq!(text(&*plugin, "echo", "after").await, "after");
        }
    }
    assert_eq!(process_of(&*neighbour).await, process);
}

/// NAT-01: constructors, resolvers and the start of the ABI run in a worker that is confined already.
#[tokio::test]
async fn what_runs_at_the_opening_runs_in_a_worker() {
    let workshop = Workshop::new();
    let failing = async |name: &str| {
        let mut options = options();
        options.limits.timeout = 3 * SHORT;
        refusal(load(&workshop, name, options).await)
    };
    for name in ["constructor-aborts", "resolver-aborts", "exports-aborts"] {
        let error = failing(name).await;
        let ended = matches!(
            error,
            LoadError::WorkerEnded {
                end: WorkerEnd::Killed { signal: 6 },
                ..
            }
        );
        assert!(ended, "{name}: {error:?}");
    }
    let error = failing("constructor-exits").await;
    assert!(matches!(error, LoadError::WorkerEnded { .. }), "{error:?}");
    for name in ["constructor-loops", "configure-loops"] {
        let error = failing(name).await;
        assert!(
            matches!(error, LoadError::TimedOut { .. }),
            "{name}: {error:?}"
        );
    }
    for name in ["constructor-confines", "constructor-refuses"] {
        let error = failing(name).await;
        let ended = matches!(
            error,
            LoadError::WorkerEnded {
                end: WorkerEnd::Invalid { .. },
                ..
            }
        );
        assert!(ended, "{name}: {error:?}");
    }
    assert!(matches!(
        failing("exports-many").await,
        LoadError::Start { .. }
    ));
    let error = failing("other-version").await;
    assert!(
        matches!(error, LoadError::AbiVersion { found: 7, .. }),
        "{error:?}"
    );
}

/// Code of the plugin can say what it wants on the socket; the host believes none of it.
#[tokio::test]
async fn forged_messages_confuse_no_host() {
    let workshop = Workshop::new();
    // It is ready before it is; the true message then answers no call.
    let plugin = load(&workshop, "constructor-forges", options())
        .await
        .unwrap();
    assert_eq!(plugin.exports(), ["act"]);
    let error = plugin.call("act", Bytes::new()).await.unwrap_err();
    let ended = matches!(
        error,
        LoadError::WorkerEnded {
            end: WorkerEnd::Invalid { .. },
            ..
        }
    );
    assert!(ended, "{error:?}");
    // A second answer is for no call; the worker that gave it is used no more.
    let plugin = load(&workshop, "two-answers", options()).await.unwrap();
    assert_eq!(text(&*plugin, "act", "").await, "");
    tokio::time::sleep(SHORT).await;
    assert_eq!(text(&*plugin, "echo", "x").await, "x");
}

/// NAT-05: memory is limited from before the opening, whatever way it is taken.
#[tokio::test]
async fn memory_is_limited() {
    let workshop = Workshop::new();
    let mut limited = options();
    limited.limits.memory_max = 64 << 20;
    for name in ["memory", "shared-memory"] {
        let plugin = load(&workshop, name, limited.clone()).await.unwrap();
        let taken: u64 = text(&*plugin, "act", "").await.parse().unwrap();
        assert!((32..=64).contains(&taken), "{name} got {taken} MiB");
    }
    let plugin = load(&workshop, "leak", limited).await.unwrap();
    let mut workers = std::collections::BTreeSet::new();
    let mut ends = 0;
    for _ in 0..20 {
        match plugin.call("act", Bytes::new()).await {
            Ok(_) => drop(workers.insert(process_of(&*plugin).await)),
            Err(LoadError::WorkerEnded { .. }) => ends += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(ends >= 1 && workers.len() > ends, "{ends} {workers:?}");
}

/// The soft and the hard limit of a process.
fn limit_of(process: u32, name: &str) -> (Option<u64>, Option<u64>) {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut values = line
        .unwrap()
        .split_whitespace()
        .map(|value| value.parse::<u64>().ok());
    (values.next().unwrap(), values.next().unwrap())
}

/// NAT-05: a worker that ignores the signal of the first limit of processor time ends at the second
/// one, also while no call uses it.
#[tokio::test]
async fn processor_time_ends_although_its_signal_is_ignored() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let workshop = Workshop::new();
    let plugin = load(&workshop, "ignores-xcpu", options()).await.unwrap();
    let process = process_of(&*plugin).await;
    assert_eq!(text(&*plugin, "act", "").await, "0");
    let (_, hard) = limit_of(process, "Max cpu time");
    // Less than the loader sets, so that the test need not wait for that.
    let limit = Rlimit {
        current: Some(1),
        maximum: Some(hard.unwrap().min(2)),
    };
    let pid = Pid::from_raw(process.cast_signed());
    prlimit(pid, Resource::Cpu, limit).unwrap();
    for _ in 0..100 {
        if !is_running(process) {
            break;
        }
        tokio::time::sleep(SHORT).await;
    }
    assert!(!is_running(process));
    assert_eq!(text(&*plugin, "echo", "x").await, "x");
}

/// What the kernel keeps about a worker: limits, no capabilities, the filter, and processor time that
/// the host raises while it uses the worker.
#[tokio::test]
async fn limits_and_privileges_of_a_worker() {
    let workshop = Workshop::new();
    let mut options = options();
    options.limits.timeout = std::time::Duration::from_secs(1);
    let plugin = load(&workshop, "slow", options).await.unwrap();
    let process = process_of(&*plugin).await;
    let limit = |name| limit_of(process, name);
    assert_eq!(limit("Max open files"), (Some(64), Some(64)));
    assert_eq!(limit("Max core file size"), (Some(0), Some(0)));
    assert_eq!(limit("Max locked memory"), (Some(0), Some(0)));
    assert!(limit("Max address space").1.unwrap() < 1 << 30);
    assert!(limit("Max processes").1.unwrap() <= 4096);
    let (first, hard) = limit("Max cpu time");
    let first = first.unwrap();
    assert_eq!(hard, Some(16 * first));
    for _ in 0..3 {
        plugin.call("act", Bytes::new()).await.unwrap();
    }
    let (raised, same) = limit("Max cpu time");
    assert!(raised.unwrap() > first);
    assert_eq!(same, hard);
    assert_eq!(process_of(&*plugin).await, process);
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    if is_confined(&workshop, "limits_and_privileges_of_a_worker").await {
        assert!(status.contains("Seccomp:\t2"), "{status}");
    }
}

/// NAT-08: threads that go on after the call are ended with their process.
#[tokio::test]
async fn threads_end_with_their_process() {
    let workshop = Workshop::new();
    let plugin = load(&workshop, "threads", options()).await.unwrap();
    assert_eq!(text(&*plugin, "act", "").await, "0");
    let process = process_of(&*plugin).await;
    drop(plugin);
    crate::isolated::must_vanish(process);
}

/// No descriptor and no variable of the host reaches a worker.
#[tokio::test]
async fn nothing_is_inherited() {
    let workshop = Workshop::new();
    // Descriptors that the host would leave to every program that it starts.
    let file = fs::File::open("/proc/self/exe").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let plugin = load(&workshop, "descriptors", options()).await.unwrap();
    assert_eq!(
        text(&*plugin, "act", "").await,
        "device device device socket file "
    );
    let plugin = load(&workshop, "environment", options()).await.unwrap();
    assert!(std::env::var_os("PATH").is_some());
    assert_eq!(text(&*plugin, "act", "").await, "");
}

/// Processes, programs, signals, sockets, and what would undo the confinement: each attempt fails.
#[tokio::test]
async fn system_calls_that_reach_out_are_refused() {
    let workshop = Workshop::new();
    if !is_confined(&workshop, "system_calls_that_reach_out_are_refused").await {
        return;
    }
    for (name, least) in [
        ("processes", 4),
        ("programs", 2),
        ("signals", 9),
        ("memory-of-host", 4),
        ("sockets", 6),
        ("loosens", 9),
        ("kernel", 10),
        ("terminal", 3),
        ("new-calls", 5),
    ] {
        let plugin = load(&workshop, name, options()).await.unwrap();
        all_refused(&plugin, name, "", least).await;
    }
}

/// Files outside of the folders that are granted: neither read nor changed, nor made.
#[tokio::test]
async fn files_of_others_are_out_of_reach() {
    let workshop = Workshop::new();
    if !is_confined(&workshop, "files_of_others_are_out_of_reach").await {
        return;
    }
    let secret = workshop.path("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let before = fs::metadata(&secret).unwrap();
    let path = secret.to_str().unwrap();
    for (name, least) in [("files", 6), ("writes", 16)] {
        let plugin = load(&workshop, name, options()).await.unwrap();
        all_refused(&plugin, name, path, least).await;
    }
    let after = fs::metadata(&secret).unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    assert_eq!(before.permissions(), after.permissions());
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert!(!workshop.path("secret.new").exists());
}

async fn all_refused(plugin: &Arc<dyn Plugin>, name: &str, input: &str, least: usize) {
    let said = text(&**plugin, "act", input).await;
    assert!(said.lines().count() >= least, "{name}:\n{said}");
    for line in said.lines() {
        let (_, error) = line.rsplit_once(": ").unwrap();
        assert!(
            ["EPERM", "EACCES", "ENOSYS"].contains(&error),
            "{name}:\n{said}"
        );
    }
}

/// A folder that is granted can be used, as it was granted, and the way out of it cannot.
#[tokio::test]
async fn granted_folders_can_be_used() {
    let workshop = Workshop::new();
    if !is_confined(&workshop, "granted_folders_can_be_used").await {
        return;
    }
    let folder = workshop.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("given"), "x").unwrap();
    fs::write(workshop.path("other"), "x").unwrap();
    std::os::unix::fs::symlink(workshop.path("other"), folder.join("link")).unwrap();
    let answer = async |mark: &str| {
        let mut options = options();
        let host = format!("{mark}{}", folder.display());
        options.allow.paths.insert(host.into(), folder.clone());
        let plugin = load(&workshop, "own-folder", options).await.unwrap();
        let said = text(&*plugin, "act", folder.to_str().unwrap()).await;
        let results = said
            .lines()
            .map(|line| line.rsplit_once(": ").unwrap().1.to_owned());
        results.collect::<Vec<_>>()
    };
    assert_eq!(answer("ro:").await, ["ok", "EACCES", "EACCES", "EACCES"]);
    assert_eq!(answer("").await, ["ok", "ok", "EACCES", "EACCES"]);
    assert!(folder.join("made").exists());
    // The rights of a folder hold for all that is in it.
    let mut options = options();
    options.allow.paths.insert(folder.clone(), folder.clone());
    let within = folder.join("within");
    fs::create_dir(&within).unwrap();
    let host = format!("ro:{}", within.display());
    options.allow.paths.insert(host.into(), within);
    let refused = load(&workshop, "own-folder", options).await.map(drop);
    assert!(
        matches!(refused, Err(LoadError::Grant { .. })),
        "{refused:?}"
    );
}
