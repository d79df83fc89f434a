//! The built command `qmt-plugins`, run from outside, with a home folder of its own and without the
//! settings of this environment.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A run that takes longer than this hangs: everything it talks to is on loopback.
const TIME_LIMIT: Duration = Duration::from_mins(3);

/// The binary under test.
pub struct Plugins {
    binary: PathBuf,
    /// Stands in for the user's home, so that nothing of the real one is read or written.
    home: PathBuf,
}

/// The exit code and the output of one run.
#[derive(Debug)]
pub struct Answer {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Wall time from start to end.
    pub took: Duration,
}

impl Plugins {
    /// Takes the command that was built into the folder of the running program; `folder` is scratch
    /// space that outlives this value.
    pub fn built(folder: &Path) -> anyhow::Result<Self> {
        let name = format!("qmt-plugins{}", std::env::consts::EXE_SUFFIX);
        let binary = std::env::current_exe()?.with_file_name(name);
        anyhow::ensure!(
            binary.is_file(),
            "{} is missing; `cargo xtask` builds it, or `cargo build -p qmt-plugins-cli`",
            binary.display()
        );
        let home = folder.join("home");
        std::fs::create_dir_all(&home)?;
        Ok(Self { binary, home })
    }

    /// The same command with the home folder `home`.
    #[must_use]
    pub fn at_home(&self, home: &Path) -> Self {
        Self {
            binary: self.binary.clone(),
            home: home.to_owned(),
        }
    }

    /// Runs it in `folder` to its end.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<Answer> {
        self.run_with(folder, arguments, &[])
    }

    /// The same with variables of the environment.
    pub fn run_with(
        &self,
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut command = std::process::Command::new(&self.binary);
        isolate(&mut command, &self.home);
        command
            .current_dir(folder)
            .envs(environment.iter().copied())
            .args(arguments);
        let start = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let code = wait(&mut child)?;
        let text = |reader: std::thread::JoinHandle<Vec<u8>>| {
            String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
        };
        Ok(Answer {
            code,
            stdout: text(stdout),
            stderr: text(stderr),
            took: start.elapsed(),
        })
    }
}

impl Answer {
    /// Exit code and output as text, for error messages.
    pub fn transcript(&self) -> String {
        let code = self
            .code
            .map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        format!(
            "exit: {code}\nstdout:\n{}\nstderr:\n{}",
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }
}

/// Takes the settings of this environment from a program, and gives it the home folder `home`.
pub fn isolate(command: &mut std::process::Command, home: &Path) {
    const SETTINGS: &[&str] = &[
        "QMT_",
        "XDG_",
        "DOCKER_",
        "EXTISM_",
        "REGISTRY_AUTH",
        "COSIGN_",
    ];
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if SETTINGS.iter().any(|prefix| shown.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.env("HOME", home).env("NO_COLOR", "1");
}

/// Reads a pipe to its end on a thread of its own, so that neither pipe can block the other.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before a broken pipe is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn wait(child: &mut Child) -> anyhow::Result<Option<i32>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if start.elapsed() > TIME_LIMIT {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("qmt-plugins did not end within {} s", TIME_LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(binary: &str) -> Plugins {
        Plugins {
            binary: binary.into(),
            home: std::env::temp_dir(),
        }
    }

    #[test]
    fn an_answer_holds_code_and_both_outputs() {
        let answer = program("sh")
            .run(
                &std::env::temp_dir(),
                &["-c", "echo out; echo err >&2; exit 3"],
            )
            .unwrap();
        assert_eq!(answer.code, Some(3));
        assert_eq!(
            (answer.stdout.as_str(), answer.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert!(answer.transcript().contains("exit: 3"));
    }

    #[test]
    fn the_home_is_not_the_users() {
        let answer = program("sh")
            .run(&std::env::temp_dir(), &["-c", "echo $HOME"])
            .unwrap();
        assert_eq!(Path::new(answer.stdout.trim()), std::env::temp_dir());
    }
}
