//! Limits of the process: the error names them, and nothing panics or waits for ever.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::local::desk;

/// A user who has no processes.
const USER: u32 = 54_321;

/// If no more threads can be started, the error names the limit; the compiler does not panic.
#[test]
fn a_limit_of_threads_is_an_error_that_names_it() {
    let desk = desk();
    let run = |limits: &str, threads: &str| {
        let script = format!("{limits}; exec \"$0\" run plugin.wasm greet --input me");
        let mut command = Command::new("sh");
        qmt_e2e_tests::command::isolate(&mut command, &desk.path().join("home"));
        let command = command.args(["-c", &script]).arg(crate::command::binary());
        let command = command.env("RAYON_NUM_THREADS", threads);
        let output = command.current_dir(desk.path()).output().unwrap();
        let texts = [output.stdout, output.stderr].concat();
        let texts = String::from_utf8_lossy(&texts).into_owned();
        (output.status.code(), texts)
    };
    // So many stacks do not fit into the address space. On a busy machine, a thread that starts when
    // nothing is left ends the process: the standard library has no memory for its signal stack.
    let attempts = std::iter::repeat_with(|| run("ulimit -v 800000", "500"));
    let mut attempts = attempts.take(5).skip_while(|(code, _)| code.is_none());
    let (code, texts) = attempts.next().expect("no attempt ends by itself");
    assert_eq!(code, Some(1), "{texts}");
    assert!(
        texts.contains("the Wasm engine cannot run in this process"),
        "{texts}"
    );
    assert!(texts.contains("`ulimit -u`"), "{texts}");
    let (code, texts) = run("ulimit -v 800000", "2");
    assert_eq!(code, Some(0), "{texts}");
}

/// Too little memory or too few files are an error that names the limit, where the command does not
/// succeed; it never ends by a signal or a panic.
#[test]
fn a_limit_of_memory_or_files_is_an_error_that_names_it() {
    let desk = desk();
    let run = |limit: &str| {
        let script = format!("{limit}; exec \"$0\" run plugin.wasm greet --input me");
        let mut command = Command::new("sh");
        qmt_e2e_tests::command::isolate(&mut command, &desk.path().join("home"));
        let command = command.args(["-c", &script]).arg(crate::command::binary());
        let command = command.env("RAYON_NUM_THREADS", "2");
        let output = command.current_dir(desk.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), errors)
    };
    for megabytes in (100..=400).step_by(20) {
        // As above, a busy machine can need further attempts.
        let attempts = std::iter::repeat_with(|| run(&format!("ulimit -v {}", megabytes * 1024)));
        let mut attempts = attempts.take(5).skip_while(|(code, _)| code.is_none());
        let (code, errors) = attempts.next().expect("no attempt ends by itself");
        let is_reported = code == Some(1) && errors.contains("`ulimit -v`");
        assert!(
            code == Some(0) || is_reported,
            "{megabytes}: {code:?} {errors}"
        );
    }
    for files in 5..=9 {
        let (code, errors) = run(&format!("ulimit -n {files}"));
        assert_eq!(code, Some(1), "{files}: {errors}");
        assert!(errors.contains("`ulimit -n`"), "{files}: {errors}");
    }
    let (code, errors) = run("ulimit -n 20");
    assert_eq!(code, Some(0), "{errors}");
}

/// With fewer threads than a command uses, some would wait for work that has no thread.
#[test]
fn a_limit_of_processes_is_an_error_that_names_it() {
    let desk = desk();
    let open = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(desk.path(), open()).unwrap();
    let binary = desk.path().join("qmt-plugins");
    std::fs::copy(crate::command::binary(), &binary).unwrap();
    std::fs::set_permissions(&binary, open()).unwrap();
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let run = |limit: &str, arguments: &str| {
        let mut command = Command::new("sh");
        qmt_e2e_tests::command::isolate(&mut command, desk.path());
        let command = command.args(["-c", &format!("{limit}; exec \"$0\" {arguments}")]);
        let command = command.arg(&binary).current_dir(desk.path());
        if is_root {
            command.uid(USER); // Root has no limit.
        }
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), errors)
    };
    let refused = [
        (4, "lock"),
        (4, "run plugin.wasm greet"),
        (2, "config schema"),
    ];
    for (processes, arguments) in refused {
        let limit = format!("ulimit -u {processes} 2>/dev/null || ulimit -p {processes}");
        let (code, errors) = run(&limit, arguments);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("see `ulimit -u`"), "{errors}");
    }
    // Two threads are enough where no plugin is fetched.
    for limit in ["ulimit -u 4 2>/dev/null || ulimit -p 4", "true"] {
        let (code, errors) = run(limit, "config schema");
        assert_eq!(code, Some(0), "{errors}");
    }
}
