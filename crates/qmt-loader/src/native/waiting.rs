//! Waiting until a deadline, on any runtime: tokio's own time-outs require timers.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::plugin::OPENING;
use crate::alarms::Alarms;
use crate::error::LoadError;

static ALARMS: OnceLock<Alarms> = OnceLock::new();

/// Returns the thread that waits, started at the first use.
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
pub(super) async fn until<T>(
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

/// Waits until `deadline` for one of the calls that may run at the same time; `None` if none ended.
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
