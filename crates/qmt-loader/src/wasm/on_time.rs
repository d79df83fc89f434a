//! Runs a call until it is done or its time is over.
//!
//! A call begins on the thread that polls it. Code that runs longer than a slice moves to a thread
//! that may block, so that it does not hold up the tasks of an async runtime.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::task::JoinError;

use super::engine::Runtime;
use super::io;
use super::state::Stop;
use crate::alarms::SLICE;

/// The work of a call: all that it needs, so that it can move to another thread.
pub(super) type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How the work came to its end.
pub(super) enum Ended<T> {
    Done(T),
    /// The time was over; the work is stopped, or will be as soon as a function of the host returns.
    TimedOut,
    /// A function of the host panicked on another thread.
    Panicked(JoinError),
}

/// What a call needs of the thread it runs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// A thread that may block: functions of the host do.
    pub(super) blocking: bool,
    /// The runtime of `wasmtime-wasi`.
    pub(super) io: bool,
}

/// Runs `job` until `stop` says that its time is over. Dropping the future stops the job.
pub(super) async fn on_time<T: Send + 'static>(
    runtime: &'static Runtime,
    stop: &Arc<Stop>,
    needs: Needs,
    mut job: Job<T>,
) -> Ended<T> {
    let mut guard = CancelOnDrop {
        runtime,
        stop: Some(Arc::clone(stop)),
    };
    let thread = match Handle::try_current() {
        Ok(thread) if needs.blocking => thread,
        thread => match here(runtime, stop, needs, thread.ok(), &mut job).await {
            Ok(ended) => {
                if let Ended::Done(_) = ended {
                    guard.stop = None;
                }
                return ended;
            }
            Err(thread) => thread,
        },
    };
    let mut task = thread.spawn_blocking({
        let stop = Arc::clone(stop);
        move || {
            // The thread may have been busy for longer than the call may take.
            if stop.is_due() {
                Ended::TimedOut
            } else {
                block_on(runtime, &stop, needs, job)
            }
        }
    });
    // A function of the host may block the other thread for longer than the call may take.
    match runtime.alarms.until(stop.deadline, &mut task).await {
        Some(ended) => {
            guard.stop = None;
            ended.unwrap_or_else(Ended::Panicked)
        }
        None => Ended::TimedOut,
    }
}

/// Runs `job` on this thread, which may block, until `stop` says that its time is over.
pub(super) fn block_on<T>(
    runtime: &'static Runtime,
    stop: &Stop,
    needs: Needs,
    job: impl Future<Output = T>,
) -> Ended<T> {
    let mut job = pin!(job);
    stop.yields.store(false, Ordering::Relaxed);
    // The functions of the host run on its own runtime, not on that of `wasmtime-wasi`.
    if needs.io
        && needs.blocking
        && let Ok(host) = Handle::try_current()
    {
        let _ = stop.host.set(host);
    }
    let _alarm = runtime.alarms.set(stop.deadline, &stop.waker);
    let mut ended = pin!(poll_fn(|context| {
        // Code that continues takes no notice of an epoch that was advanced before.
        if stop.is_cancelled() || (stop.yielded.load(Ordering::Relaxed) && stop.is_due()) {
            return Poll::Ready(Ended::TimedOut);
        }
        let _io = needs.io.then(io::enter);
        if let Poll::Ready(value) = job.as_mut().poll(context) {
            return Poll::Ready(Ended::Done(value));
        }
        stop.waker.register(context.waker());
        if stop.is_due() {
            return Poll::Ready(Ended::TimedOut);
        }
        Poll::Pending
    }));
    // Most calls wait for nothing, and need no way to be woken.
    match ended.as_mut().now_or_never() {
        Some(ended) => ended,
        None => pollster::block_on(ended),
    }
}

/// Runs `job` where it is polled. Once its code has run for a slice, returns `thread`, through which
/// other threads can be had; without it, the job runs here to its end.
async fn here<T>(
    runtime: &'static Runtime,
    stop: &Arc<Stop>,
    needs: Needs,
    mut thread: Option<Handle>,
    job: &mut Job<T>,
) -> Result<Ended<T>, Handle> {
    stop.yields.store(true, Ordering::Relaxed);
    let mut waiting = None;
    poll_fn(|context| {
        let slice = stop.deadline.min(Instant::now() + SLICE);
        let running = runtime.alarms.set(slice, &stop.waker);
        let _io = needs.io.then(io::enter);
        if let Poll::Ready(value) = job.as_mut().poll(context) {
            return Poll::Ready(Ok(Ended::Done(value)));
        }
        drop(running);
        stop.waker.register(context.waker());
        if waiting.is_none() {
            waiting = Some(runtime.alarms.set(stop.deadline, &stop.waker));
        }
        if stop.is_due() {
            return Poll::Ready(Ok(Ended::TimedOut));
        }
        if stop.yielded.load(Ordering::Relaxed)
            && let Some(thread) = thread.take()
        {
            return Poll::Ready(Err(thread));
        }
        Poll::Pending
    })
    .await
}

/// Stops the work when the caller no longer waits for it.
struct CancelOnDrop {
    runtime: &'static Runtime,
    stop: Option<Arc<Stop>>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.cancel();
            self.runtime.alarms.hurry(&stop.waker);
        }
    }
}
