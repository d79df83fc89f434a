//! A call that its caller gave up: its worker is ended.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by the future of a call and the thread that makes it.
#[derive(Debug, Default)]
pub(super) struct Cancel(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_cancelled: bool,
    socket: Option<Arc<UnixStream>>,
}

impl Cancel {
    /// Names the socket to close if the call is cancelled, and closes it if it was.
    pub(super) fn attach(&self, socket: &Arc<UnixStream>) {
        let mut state = self.state();
        state.socket = Some(Arc::clone(socket));
        if state.is_cancelled {
            close(socket);
        }
    }

    /// Takes the socket back, which stays open from here on. Returns whether it was open so far.
    pub(super) fn detach(&self) -> bool {
        let mut state = self.state();
        state.socket = None;
        !state.is_cancelled
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.state().is_cancelled
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cancels the call when it is dropped; a call that is done has detached its socket.
#[derive(Debug)]
pub(super) struct CancelOnDrop(pub(super) Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_cancelled = true;
        if let Some(socket) = state.socket.take() {
            close(&socket);
        }
    }
}

/// The thread of the call reads the end of the stream and ends the worker.
fn close(socket: &UnixStream) {
    // It fails where the other end is closed already.
    let _ = socket.shutdown(Shutdown::Both);
}
