//! One worker process, as the host sees it: a child, and a socket whose other end is not trusted.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Resource, Rlimit};
use tokio::sync::OwnedSemaphorePermit;

use super::super::ffi::Outcome;
use super::super::frame::{self, Header, Kind, Missing, READ_AT_ONCE, WORKER_ARGUMENT, cpu_max};
use super::super::start::{Refusal, START_MAX};
use super::Spec;
use super::cancel::Cancel;
use super::spawner;
use super::timed::Timed;
use crate::error::WorkerEnd;
use crate::limits::MESSAGE_MAX;

/// How long a process that closed its socket may take to exit before it is killed. The exit status
/// of one that exits in time is part of the error.
const ENDING: Duration = Duration::from_millis(200);

/// Why a worker failed. It cannot be used again.
pub(super) enum Failure {
    /// The deadline passed.
    TimedOut,
    /// It ended, or closed its socket.
    Gone,
    /// It sent a message that is not valid at this point.
    Invalid(&'static str),
    /// The library does not start.
    Refused(Refusal),
    /// The kernel lacks required parts of the confinement.
    Unconfined(Missing),
    /// The process could not be started.
    NotStarted(io::Error),
    /// The process ended before it sent anything, so its program may be no worker.
    NoAnswer(io::Error),
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::InvalidData => Self::Invalid("a message of an unknown kind"),
            _ => Self::Gone,
        }
    }
}

/// What a worker reported when it was ready.
pub(super) struct Ready {
    /// The names that the library listed, one a line; `None` if it lists none.
    pub(super) exports: Option<Vec<u8>>,
    pub(super) missing: Missing,
}

/// A process that has opened the library. Dropping it ends the process.
pub(super) struct Worker {
    /// `None` after its exit status was read.
    child: Option<Child>,
    stream: BufReader<Timed>,
    /// When the call was sent that is not answered yet.
    sent: Option<Instant>,
    /// The time that it spent in calls.
    busy: Duration,
    /// How often its limit of processor time was raised.
    raised: u64,
    /// Whether that limit is at its maximum.
    pub(super) is_used_up: bool,
    /// For a lease, the permit that counts it among the workers of the plugin.
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

impl Worker {
    /// Starts a process and waits until it takes calls.
    pub(super) fn start(
        spec: &Spec,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<(Self, Ready), (Option<Self>, Failure)> {
        let mut worker = Self::spawn(spec, deadline).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => (None, Failure::TimedOut),
            _ => (None, Failure::NotStarted(error)),
        })?;
        cancel.attach(worker.socket());
        match worker.begin(spec, deadline) {
            Ok(ready) => Ok((worker, ready)),
            Err(failure) => Err((Some(worker), failure)),
        }
    }

    fn spawn(spec: &Spec, deadline: Instant) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&spec.program);
        command
            .arg(WORKER_ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(spec.library.try_clone()?)
            .stderr(Stdio::null());
        Ok(Self {
            child: Some(spawner::start(command, deadline)?),
            stream: BufReader::with_capacity(READ_AT_ONCE, Timed::new(ours)),
            sent: None,
            busy: Duration::ZERO,
            raised: 0,
            is_used_up: false,
            slot: None,
        })
    }

    fn begin(&mut self, spec: &Spec, deadline: Instant) -> Result<Ready, Failure> {
        let stream = self.until(deadline);
        let first = frame::write(stream.get_mut(), Kind::Hello, 0, &[], &spec.hello)
            .and_then(|()| frame::read(stream));
        let header = first.map_err(|error| match Failure::of(&error) {
            Failure::Gone => Failure::NoAnswer(error),
            failure => failure,
        })?;
        let missing = match header.kind {
            Kind::Confined => Missing(header.number.cast_unsigned()),
            Kind::Refused => return Err(refusal(stream, header)),
            _ => return Err(Failure::Invalid("a message before it was confined")),
        };
        if spec.required && missing != Missing::default() {
            return Err(Failure::Unconfined(missing));
        }
        let header = frame::read(stream).map_err(|error| Failure::of(&error))?;
        match header.kind {
            Kind::Ready => {
                let names = body(stream, header, START_MAX)?;
                let exports = (header.number == 1).then_some(names);
                Ok(Ready { exports, missing })
            }
            Kind::Refused => Err(refusal(stream, header)),
            _ => Err(Failure::Invalid("an answer before it was ready")),
        }
    }

    /// Makes one call.
    pub(super) fn call(
        &mut self,
        spec: &Spec,
        export: &str,
        input: &[u8],
        deadline: Instant,
    ) -> Result<Outcome, Failure> {
        self.send(spec, export, input, deadline)?;
        self.receive(spec, deadline)
    }

    /// Sends a call.
    pub(super) fn send(
        &mut self,
        spec: &Spec,
        export: &str,
        input: &[u8],
        deadline: Instant,
    ) -> Result<(), Failure> {
        self.raise_time(spec);
        self.sent = Some(Instant::now());
        let export_len = i32::try_from(export.len()).unwrap_or(i32::MAX);
        let socket = self.until(deadline).get_mut();
        frame::write(socket, Kind::Call, export_len, export.as_bytes(), input)
            .map_err(|error| Failure::of(&error))
    }

    /// Returns the answer to the call that was sent, if it is short and arrives before `deadline`.
    pub(super) fn receive_soon(&mut self, spec: &Spec, deadline: Instant) -> Option<Outcome> {
        let stream = self.until(deadline);
        let buffer = stream.fill_buf().ok()?;
        let mut rest = buffer;
        // A part of an answer stays in the buffer, for `receive`.
        let outcome = answer(&mut rest, spec.limits.memory_max).ok()?;
        let read = buffer.len() - rest.len();
        stream.consume(read);
        self.received();
        Some(outcome)
    }

    /// Waits for the answer to the call that was sent.
    pub(super) fn receive(&mut self, spec: &Spec, deadline: Instant) -> Result<Outcome, Failure> {
        let result = answer(self.until(deadline), spec.limits.memory_max);
        self.received();
        result
    }

    fn received(&mut self) {
        let time = self
            .sent
            .take()
            .map_or(Duration::ZERO, |sent| sent.elapsed());
        self.busy = self.busy.saturating_add(time);
    }

    /// Reports whether it waits for a call: it has not ended, and sent nothing since its last answer.
    pub(super) fn is_quiet(&self) -> bool {
        let now = Some(&Timespec::default());
        let socket = &*self.stream.get_ref().socket;
        let events = rustix::event::poll(&mut [PollFd::new(socket, PollFlags::IN)], now);
        self.stream.buffer().is_empty() && events == Ok(0)
    }

    /// Ends the process. Returns how it ended, if it ended without that.
    pub(super) fn into_end(mut self, failure: &Failure) -> WorkerEnd {
        if let Failure::Invalid(what) = failure {
            return WorkerEnd::Invalid { what };
        }
        let Some(child) = &mut self.child else {
            return WorkerEnd::Disconnected;
        };
        let begin = Instant::now();
        while begin.elapsed() < ENDING {
            match child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Ok(Some(status)) => {
                    self.child = None;
                    return match (status.code(), status.signal()) {
                        (Some(code), _) => WorkerEnd::Exited { code },
                        (None, Some(signal)) => WorkerEnd::Killed { signal },
                        (None, None) => WorkerEnd::Disconnected,
                    };
                }
                Err(_) => break,
            }
        }
        WorkerEnd::Disconnected
    }

    pub(super) fn socket(&self) -> &Arc<UnixStream> {
        &self.stream.get_ref().socket
    }

    /// Raises the limit of processor time by as much as the next call may need.
    fn raise_time(&mut self, spec: &Spec) {
        let timeout = spec.limits.timeout.max(Duration::from_secs(1));
        let turns = self.busy.as_secs() / timeout.as_secs();
        if turns <= self.raised {
            return;
        }
        self.raised = turns;
        let Some(first) = spec.cpu_seconds else {
            return;
        };
        let maximum = cpu_max(first);
        // The first limit is enough for two calls.
        let seconds = (first / 2)
            .saturating_mul(turns.saturating_add(2))
            .min(maximum);
        self.is_used_up = seconds == maximum;
        let pid = self
            .child
            .as_ref()
            .and_then(|child| Pid::from_raw(child.id().cast_signed()));
        let limit = Rlimit {
            current: Some(seconds),
            maximum: Some(maximum),
        };
        if let Some(pid) = pid
            && let Err(error) = rustix::process::prlimit(Some(pid), Resource::Cpu, limit)
        {
            tracing::debug!(plugin = spec.name, %error, "the limit of processor time stays");
        }
    }

    fn until(&mut self, deadline: Instant) -> &mut BufReader<Timed> {
        self.stream.get_mut().deadline = deadline;
        &mut self.stream
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            spawner::end(child);
        }
    }
}

/// The seconds of processor time that a worker has at first: enough for two calls, on all processors.
/// `None` where no limit is that high.
pub(super) fn cpu_seconds(timeout: Duration) -> Option<u64> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let each = timeout.as_secs().checked_add(1)?.checked_mul(2)?;
    each.checked_mul(u64::try_from(processors).ok()?)
}

/// Reads the answer to a call; `limit` are the bytes that an output may have.
fn answer(from: &mut impl Read, limit: u64) -> Result<Outcome, Failure> {
    let header = frame::read(from).map_err(|error| Failure::of(&error))?;
    match header.kind {
        Kind::Output => body(from, header, limit).map(Outcome::Output),
        Kind::Failed => Ok(Outcome::Failed {
            code: header.number,
            message: body(from, header, MESSAGE_MAX)?,
        }),
        Kind::OutOfMemory => Ok(Outcome::OutOfMemory),
        Kind::TooLarge => Ok(Outcome::TooLarge {
            size: usize::try_from(header.len).unwrap_or(usize::MAX),
        }),
        Kind::Hello | Kind::Confined | Kind::Ready | Kind::Refused | Kind::Call => {
            Err(Failure::Invalid("a message that answers no call"))
        }
    }
}

/// Reads a body of at most `limit` bytes. Memory is taken as the bytes arrive.
fn body(from: &mut impl Read, header: Header, limit: u64) -> Result<Vec<u8>, Failure> {
    if header.len > limit {
        return Err(Failure::Invalid("a message that is longer than it may be"));
    }
    let mut body = Vec::new();
    let read = from.take(header.len).read_to_end(&mut body);
    match read.map_err(|error| Failure::of(&error))? {
        len if u64::try_from(len) == Ok(header.len) => Ok(body),
        _ => Err(Failure::Gone),
    }
}

fn refusal(from: &mut impl Read, header: Header) -> Failure {
    match body(from, header, START_MAX) {
        Ok(body) => serde_json::from_slice(&body).map_or(
            Failure::Invalid("a refusal that is not JSON"),
            Failure::Refused,
        ),
        Err(failure) => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::limits::Limits;

    #[test]
    fn processor_time_is_raised_with_the_use_up_to_a_maximum() {
        let second = Duration::from_secs(1);
        let spec = Spec {
            name: "p".to_owned(),
            program: "/bin/true".into(),
            library: File::open("/dev/null").unwrap(),
            hello: Vec::new(),
            required: false,
            cpu_seconds: cpu_seconds(second),
            limits: Limits {
                timeout: second,
                ..Limits::default()
            },
            at_start: None,
        };
        let mut worker = Worker::spawn(&spec, Instant::now() + 60 * second).unwrap();
        for (seconds, raised, is_used_up) in [(0, 0, false), (29, 29, false), (30, 30, true)] {
            worker.busy = seconds * second;
            worker.raise_time(&spec);
            assert_eq!((worker.raised, worker.is_used_up), (raised, is_used_up));
        }
    }
}
