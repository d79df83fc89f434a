//! The socket of a worker process, read and written until a deadline.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

/// How long a read is repeated before the thread sleeps. Waking a thread on another processor takes
/// longer than many calls.
const SPIN: Duration = Duration::from_micros(50);

/// A socket that does not block.
pub(super) struct Timed {
    pub(super) socket: Arc<UnixStream>,
    /// When a read or write fails with `TimedOut`.
    pub(super) deadline: Instant,
}

impl Timed {
    /// Each use sets a deadline first.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket: Arc::new(socket),
            deadline: Instant::now(),
        }
    }

    fn wait(&self, events: PollFlags) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec::try_from(left).ok();
        match rustix::event::poll(&mut [PollFd::new(&*self.socket, events)], left.as_ref()) {
            // A signal is no reason to stop.
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Repeats a read for as long as [`SPIN`], then waits.
impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begin = Instant::now();
        loop {
            match (&*self.socket).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if begin.elapsed() < SPIN {
                thread::yield_now();
            } else {
                self.wait(PollFlags::IN)?;
            }
        }
    }
}

/// Writes first: the socket of a worker that waits for a call is empty.
impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&*self.socket).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
