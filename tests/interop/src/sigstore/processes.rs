//! Programs that run during the tests: started with a log file each, waited for, and ended by their
//! process id, the last one first, however the run ends.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::web;

/// How long a program may take until it answers: seconds, but for a machine with much else to do.
const START_LIMIT: Duration = Duration::from_mins(3);
/// How long a program that is asked to end may take.
const END_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// How much of a log is shown where a program failed.
const LOG_TAIL: usize = 2000;

struct Running {
    name: &'static str,
    child: Child,
    /// Whether it must be asked, since it has children or files of its own to look after.
    gently: bool,
}

/// The programs that one run has started.
pub(super) struct Processes {
    folder: PathBuf,
    running: Vec<Running>,
}

impl Processes {
    /// None yet; logs go into `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            running: Vec::new(),
        }
    }

    /// Starts a program with a log file.
    pub(super) fn start(&mut self, name: &'static str, command: Command) -> anyhow::Result<()> {
        self.spawn(name, command, false)
    }

    /// The same for one that is to be ended by a signal that it can act on.
    pub(super) fn start_gently(
        &mut self,
        name: &'static str,
        command: Command,
    ) -> anyhow::Result<()> {
        self.spawn(name, command, true)
    }

    /// Waits until `GET path` is answered there.
    pub(super) fn wait_for(&mut self, address: SocketAddr, path: &str) -> anyhow::Result<()> {
        self.wait_until(path, || {
            web::status(address, path).is_some_and(|status| status < 500)
        })
    }

    /// Waits until `ready` says so; fails as soon as any of the programs has ended.
    pub(super) fn wait_until(
        &mut self,
        what: &str,
        mut ready: impl FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            for Running { name, child, .. } in &mut self.running {
                if let Some(status) = child.try_wait()? {
                    let log = tail(&self.folder.join(format!("{name}.log")));
                    anyhow::bail!("{name} ended by itself ({status}):\n{log}");
                }
            }
            if ready() {
                return Ok(());
            }
            anyhow::ensure!(
                start.elapsed() < START_LIMIT,
                "{what} is not there after {} s",
                START_LIMIT.as_secs()
            );
            std::thread::sleep(POLL);
        }
    }

    fn spawn(
        &mut self,
        name: &'static str,
        mut command: Command,
        gently: bool,
    ) -> anyhow::Result<()> {
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.running.push(Running {
            name,
            child,
            gently,
        });
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        while let Some(mut running) = self.running.pop() {
            if running.gently {
                ask_to_end(&mut running.child);
            }
            // A process that is gone already is as good as ended.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// Sends SIGINT, which databases take as "quickly, but in order", and waits.
fn ask_to_end(child: &mut Child) {
    let id = child.id().to_string();
    let asked = Command::new("kill").args(["-INT", &id]).status();
    let start = Instant::now();
    while asked.as_ref().is_ok_and(std::process::ExitStatus::success)
        && start.elapsed() < END_LIMIT
        && matches!(child.try_wait(), Ok(None))
    {
        std::thread::sleep(POLL);
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(LOG_TAIL);
    String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_end_with_the_value_and_a_program_that_ends_is_told_with_its_log() {
        let scratch = tempfile::tempdir().unwrap();
        let mut processes = Processes::new(scratch.path());
        let mut sleep = Command::new("sleep");
        sleep.arg("600");
        processes.start_gently("sleep", sleep).unwrap();
        let id = processes.running[0].child.id();
        processes.wait_until("nothing", || true).unwrap();
        let mut broken = Command::new("sh");
        broken.args(["-c", "echo it is broken; exit 3"]);
        processes.start("broken", broken).unwrap();
        let error = processes.wait_until("anything", || false).unwrap_err();
        assert!(error.to_string().contains("it is broken"), "{error}");
        drop(processes);
        assert!(!Path::new(&format!("/proc/{id}/exe")).exists());
    }
}
