//! The cancellation of calls: closing the socket of a worker ends the wait for its answer.

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
    /// Sets the socket to close when the call is cancelled, and closes it if the call already is.
    pub(super) fn attach(&self, socket: &Arc<UnixStream>) {
        let mut state = self.state();
        state.socket = Some(Arc::clone(socket));
        if state.is_cancelled {
            close(socket);
        }
    }

    /// Removes the socket, so that it stays open. Returns whether the call was not cancelled.
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

/// Cancels the call when it is dropped. It has no effect after [`Cancel::detach`].
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
