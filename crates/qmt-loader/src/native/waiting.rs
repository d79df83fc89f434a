//! Waiting until a deadline, on any runtime: tokio's own time-outs require timers.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use qmt_oci_ref::text::escape;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::plugin::OPENING;
use crate::alarms::Alarms;
use crate::error::LoadError;

static ALARMS: OnceLock<Alarms> = OnceLock::new();

/// Returns the alarms of native calls; their thread starts at the first use.
fn alarms() -> io::Result<&'static Alarms> {
    if let Some(alarms) = ALARMS.get() {
        return Ok(alarms);
    }
    let (sender, is_ready) = mpsc::channel();
    // While glibc opens a library, no thread can begin to use thread-local values that are dropped,
    // such as those of tokio's wakers. So the thread begins before.
    let alarms = Alarms::start("qmt-native-alarms", move || {
        let _ = (Handle::try_current(), sender.send(()));
    });
    // Nothing is sent if the thread did not start.
    let _ = is_ready.recv();
    let alarms = alarms?;
    Ok(ALARMS.get_or_init(|| alarms))
}

/// Awaits `work` until `deadline`; `None` if it is not done then.
async fn until<T>(
    plugin: &str,
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Result<Option<T>, LoadError> {
    let alarms = alarms().map_err(|error| LoadError::Host {
        plugin: plugin.to_owned(),
        export: OPENING.to_owned(),
        source: error.into(),
    })?;
    Ok(alarms.until(deadline, work).await)
}

/// Runs `work` on a thread that may block, until `deadline`. Drops it if the time is over, or the
/// future is dropped, before a thread takes it.
pub(super) async fn blocking<T: Send + 'static>(
    plugin: &str,
    export: &str,
    limit: Duration,
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LoadError> {
    let work = Arc::new(Mutex::new(Some(work)));
    let waiting = Arc::downgrade(&work);
    // Spawned by the first poll: the thread of the alarms must run before a library is opened.
    let job = async move {
        spawn_blocking(move || {
            let work = waiting.upgrade()?;
            // The lock is released before the work runs.
            let work = work.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            Some(work())
        })
        .await
    };
    match until(plugin, deadline, job).await? {
        Some(Ok(Some(result))) => Ok(result),
        Some(Err(error)) => Err(LoadError::Host {
            plugin: plugin.to_owned(),
            export: escape(export),
            source: error.into(),
        }),
        Some(Ok(None)) | None => Err(LoadError::TimedOut {
            plugin: plugin.to_owned(),
            export: escape(export),
            limit,
        }),
    }
}

/// Acquires a permit for a call; `None` if `deadline` passes first.
pub(super) async fn permit(
    plugin: &str,
    calls: &Arc<Semaphore>,
    deadline: Instant,
) -> Result<Option<OwnedSemaphorePermit>, LoadError> {
    if let Ok(permit) = Arc::clone(calls).try_acquire_owned() {
        return Ok(Some(permit));
    }
    let permit = until(plugin, deadline, Arc::clone(calls).acquire_owned()).await?;
    // The semaphore is never closed.
    Ok(permit.and_then(Result::ok))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use futures_util::FutureExt;

    use super::*;

    /// While the only thread is busy, work is dropped with its future or at its deadline.
    #[test]
    fn work_that_no_thread_takes_is_dropped() {
        const LIMIT: Duration = Duration::from_millis(50);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let has_run = Arc::new(AtomicBool::new(false));
        let work = || {
            let has_run = Arc::clone(&has_run);
            move || has_run.store(true, Ordering::SeqCst)
        };
        runtime.block_on(async {
            let (release, is_released) = mpsc::channel::<()>();
            let held = spawn_blocking(move || is_released.recv());
            let late = blocking("p", "act", LIMIT, Instant::now() + LIMIT, work()).await;
            let error = late.unwrap_err();
            assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
            assert_eq!(Arc::strong_count(&has_run), 1);
            let far = Instant::now() + Duration::from_hours(1);
            let mut given_up = Box::pin(blocking("p", "act", LIMIT, far, work()));
            assert!((&mut given_up).now_or_never().is_none());
            assert_eq!(Arc::strong_count(&has_run), 2);
            drop(given_up);
            assert_eq!(Arc::strong_count(&has_run), 1);
            release.send(()).unwrap();
            held.await.unwrap().unwrap();
            // The thread takes what was queued in its order.
            let thread = blocking("p", "act", LIMIT, far, || thread::current().id());
            assert_ne!(thread.await.unwrap(), thread::current().id());
        });
        assert!(!has_run.load(Ordering::SeqCst));
    }
}
