//! The thread that starts all worker processes and reaps them.
//!
//! The kernel ends a worker together with the *thread* that started it. Threads of a runtime can end
//! at any time; this one ends with the process.

use std::io;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// How often the thread tries to reap the processes that were killed.
const REAP_EVERY: Duration = Duration::from_millis(20);

enum Job {
    Start(Box<Command>, SyncSender<io::Result<Child>>),
    Reap(Child),
}

static JOBS: LazyLock<io::Result<Sender<Job>>> = LazyLock::new(|| {
    let (sender, jobs) = mpsc::channel();
    let thread = thread::Builder::new().name("qmt-plugin-workers".to_owned());
    thread.spawn(move || work(&jobs))?;
    Ok(sender)
});

/// Starts a process that ends with this one. Waits for it until `deadline`.
pub(super) fn start(command: Command, deadline: Instant) -> io::Result<Child> {
    // Without a buffer, so that no process is left in one.
    let (answer, answered) = mpsc::sync_channel(0);
    let jobs = JOBS
        .as_ref()
        .map_err(|error| io::Error::from(error.kind()))?;
    let gone = || io::Error::other("the thread that starts worker processes has ended");
    jobs.send(Job::Start(Box::new(command), answer))
        .map_err(|_| gone())?;
    let left = deadline.saturating_duration_since(Instant::now());
    answered.recv_timeout(left).map_err(|error| match error {
        RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
        RecvTimeoutError::Disconnected => gone(),
    })?
}

/// Kills a process and does not wait for its end.
pub(super) fn end(mut child: Child) {
    // It fails if the process was reaped.
    let _ = child.kill();
    if let Ok(jobs) = &*JOBS {
        // Without the thread, the process stays a zombie until this one ends.
        let _ = jobs.send(Job::Reap(child));
    }
}

fn work(jobs: &Receiver<Job>) {
    let mut dying: Vec<Child> = Vec::new();
    loop {
        let job = if dying.is_empty() {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            jobs.recv_timeout(REAP_EVERY)
        };
        match job {
            // If the caller stopped waiting, nothing uses the process.
            Ok(Job::Start(mut command, answer)) => {
                if let Err(mpsc::SendError(Ok(child))) = answer.send(command.spawn()) {
                    end(child);
                }
            }
            Ok(Job::Reap(child)) => dying.push(child),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        dying.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}
