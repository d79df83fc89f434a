//! The built command `qmt-plugins`, run from outside in a home of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use qmt_e2e_tests::command::isolate;
use serde_json::Value;
use tempfile::TempDir;

/// How a run ended, and what it said.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Everything that was said, on lines of their own.
    pub(crate) fn transcript(&self) -> String {
        let (stdout, stderr) = (self.stdout.trim_end(), self.stderr.trim_end());
        format!(
            "exit: {:?}\nstdout:\n{stdout}\nstderr:\n{stderr}",
            self.code
        )
    }

    /// What `--format json` printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.transcript()))
    }

    /// The messages in one line each: without the drawing, and without breaks inside of sentences.
    pub(crate) fn messages(&self) -> String {
        let words = self.stderr.split_whitespace();
        let words = words.filter(|word| !word.chars().all(|letter| "│╰─▶├×".contains(letter)));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// A folder in which the command runs: home, cache and files.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs the command in the folder. Nothing of our own settings reaches it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, &[])
    }

    /// As [`Self::run`], with variables in the environment.
    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Answer {
        self.start(self.path(), arguments, variables, b"")
    }

    /// As [`Self::run`], with something on stdin.
    pub(crate) fn run_fed(&self, arguments: &[&str], input: &[u8]) -> Answer {
        self.run_fed_with(arguments, input, &[])
    }

    /// As [`Self::run_with`], with something on stdin.
    pub(crate) fn run_fed_with(
        &self,
        arguments: &[&str],
        input: &[u8],
        variables: &[(&str, &str)],
    ) -> Answer {
        self.start(self.path(), arguments, variables, input)
    }

    /// As [`Self::run`], in another folder.
    pub(crate) fn run_in(&self, folder: &Path, arguments: &[&str]) -> Answer {
        self.start(folder, arguments, &[], b"")
    }

    /// As [`Self::run`], as if the kernel had no Landlock.
    #[cfg(target_os = "linux")]
    pub(crate) fn run_without_landlock(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_without_landlock"));
        isolate(&mut command, &self.path().join("home"));
        let output = command
            .current_dir(self.path())
            .arg(binary())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Answer::of(output)
    }

    fn start(
        &self,
        folder: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        input: &[u8],
    ) -> Answer {
        let mut command = Command::new(binary());
        isolate(&mut command, &self.path().join("home"));
        let output = command
            .current_dir(folder)
            .envs(variables.iter().copied())
            .args(arguments)
            .stdin(self.input(input))
            .output()
            .unwrap();
        Answer::of(output)
    }
}

impl Desk {
    /// As [`Self::run`], with stdout going elsewhere, and stderr too if `stderr` is given.
    pub(crate) fn run_to(
        &self,
        arguments: &[&str],
        stdout: impl Into<Stdio>,
        stderr: Option<File>,
    ) -> Answer {
        let mut command = Command::new(binary());
        isolate(&mut command, &self.path().join("home"));
        let output = command
            .current_dir(self.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr.map_or_else(Stdio::piped, Stdio::from))
            .spawn()
            .and_then(Child::wait_with_output)
            .unwrap();
        Answer {
            code: output.status.code(),
            stdout: String::new(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the command.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(binary());
        isolate(&mut command, &self.path().join("home"));
        command.current_dir(self.path()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts the command on a terminal of `columns`, which `script` of util-linux makes. What is
    /// written to its stdin is typed; its stdout is what the terminal shows, stdout and stderr in
    /// one.
    pub(crate) fn on_terminal(&self, columns: usize, arguments: &[&str]) -> Child {
        self.on_terminal_and_then(columns, arguments, "exit $?")
    }

    /// As [`Self::on_terminal`], with a shell's command after it.
    pub(crate) fn on_terminal_and_then(
        &self,
        columns: usize,
        arguments: &[&str],
        then: &str,
    ) -> Child {
        let quoted = arguments.iter().map(|argument| format!("'{argument}'"));
        let quoted = quoted.collect::<Vec<_>>().join(" ");
        let binary = binary().display();
        let line = format!("trap : INT; stty cols {columns} rows 50; '{binary}' {quoted}; {then}");
        let mut command = Command::new("script");
        isolate(&mut command, &self.path().join("home"));
        command
            .current_dir(self.path())
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// From a file, so that a command that does not read all of it does not block this process.
    fn input(&self, input: &[u8]) -> Stdio {
        if input.is_empty() {
            return Stdio::null();
        }
        File::open(self.write("stdin", input)).unwrap().into()
    }
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
}

/// Builds the command once: cargo gives binaries of other packages to no test. With the default
/// members selected, as for the tests, dependencies have the same features and are not built again.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        // Build scripts that read the variables of a package would run again.
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if shown.starts_with("CARGO_PKG_") || shown.starts_with("CARGO_MANIFEST_") {
                build.env_remove(&name);
            }
        }
        let built = build
            .args(["build", "--quiet", "--bin", "qmt-plugins"])
            .current_dir(root())
            .status()
            .unwrap();
        assert!(built.success(), "qmt-plugins does not build");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let name = format!("qmt-plugins{}", std::env::consts::EXE_SUFFIX);
        target.join("debug").join(name)
    })
}
