//! The built command `qmt-plugins`, run as a stranger would run it: from outside, with a home of its
//! own and none of our environment.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::project;

/// A run that takes longer than this hangs: everything it talks to is on loopback.
const TIME_LIMIT: Duration = Duration::from_mins(3);

/// The binary under test.
pub(crate) struct Plugins {
    binary: PathBuf,
    /// Stands in for the user's home, so that nothing of the real one is read or written.
    home: PathBuf,
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Plugins {
    /// Builds the command; `folder` is scratch space that outlives this value.
    pub(crate) fn build(sh: &Shell, folder: &Path) -> anyhow::Result<Self> {
        let cargo = project::cargo();
        // With the whole workspace chosen, its dependencies get the same features as in the tests,
        // and wasmtime is not built a second time.
        cmd!(sh, "{cargo} build --workspace --bin qmt-plugins --locked")
            .run()
            .context("qmt-plugins does not build")?;
        let name = format!("qmt-plugins{}", std::env::consts::EXE_SUFFIX);
        let binary = project::metadata()?
            .target_directory
            .join("debug")
            .join(name);
        anyhow::ensure!(binary.is_file(), "{binary} was not built");
        let home = folder.join("home");
        std::fs::create_dir_all(&home)?;
        Ok(Self {
            binary: binary.into(),
            home,
        })
    }

    /// The same command for a user whose home is `home`.
    pub(crate) fn at_home(&self, home: &Path) -> Self {
        Self {
            binary: self.binary.clone(),
            home: home.to_owned(),
        }
    }

    /// Runs it in `folder` to its end.
    pub(crate) fn run(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<Answer> {
        self.run_with(folder, arguments, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn run_with(
        &self,
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut command = std::process::Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            let theirs = ["QMT_", "XDG_", "DOCKER_", "EXTISM_", "REGISTRY_AUTH"];
            if theirs.iter().any(|prefix| name_text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(folder)
            .env("HOME", &self.home)
            .env("NO_COLOR", "1")
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
    /// Everything that was said, for a report of what went wrong.
    pub(crate) fn transcript(&self) -> String {
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
