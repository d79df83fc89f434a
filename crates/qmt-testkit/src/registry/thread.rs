//! A listening socket with a thread and a runtime of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::error::TestkitError;

/// A socket that listens already and is not served yet.
pub(super) struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// A thread that serves a socket until this is dropped.
pub(super) struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bound {
    /// Listens on `bind`; port 0 is a free port.
    pub(super) fn new(bind: SocketAddr) -> Result<Self, TestkitError> {
        let failed = |source| TestkitError::Bind {
            address: bind,
            source,
        };
        let listener = std::net::TcpListener::bind(bind).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs what `serve` makes on a new thread.
    pub(super) fn run<S, F>(self, serve: S) -> Result<Running, TestkitError>
    where
        S: FnOnce(TcpListener) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let address = self.address;
        let failed = |source| TestkitError::Bind { address, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = {
            let _guard = runtime.enter();
            TcpListener::from_std(self.listener).map_err(failed)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name(format!("testkit {address}"))
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        () = serve(listener) => {}
                        _ = stopped => {}
                    }
                });
                // Open connections are tasks of this runtime: they end here, answered or not.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok(Running {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Running {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
