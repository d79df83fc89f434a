//! A native plugin in worker processes: one for each call that runs at the same time. A worker is
//! kept for later calls, unless a call fails to end well: then the worker is ended.

mod cancel;
mod health;
mod process;
mod spawner;
mod spec;
mod timed;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_oci_ref::text::escape;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::cancel::{Cancel, CancelOnDrop};
use self::health::Health;
use self::process::{Failure, Ready, Worker};
pub(super) use self::spec::{Spec, check};
use super::ffi::Outcome;
use super::plugin::{OPENING, output};
use super::start;
use super::waiting;
use crate::alarms::deadline;
use crate::error::LoadError;

/// The worker processes of one plugin that may run at the same time, those of leases included.
pub(super) const WORKERS_MAX: usize = 8;
/// How often a call that waits for a new worker checks whether it was cancelled.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// How long a call may block the thread that polls it.
const SLICE: Duration = Duration::from_micros(200);
/// The bytes of a call that a socket takes without waiting.
const SMALL: usize = 16 * 1024;

/// A plugin, or a lease of one, whose library is open in other processes.
pub(super) struct Isolated {
    spec: Arc<Spec>,
    health: Arc<Mutex<Health>>,
    /// `None` once it is unloaded.
    idle: Mutex<Option<Vec<Worker>>>,
    slots: Arc<Semaphore>,
    /// Of a lease, which has one worker: the slots of the plugin, of which the worker holds one.
    lease: Option<Arc<Semaphore>>,
    /// The parts of the confinement that the kernel lacks.
    missing_confinement: Vec<&'static str>,
}

impl Isolated {
    /// Starts the first worker until `deadline`. Returns the plugin and the functions that it
    /// listed. Blocks.
    pub(super) fn load(
        spec: Spec,
        deadline: Instant,
    ) -> Result<(Arc<Self>, Option<Vec<String>>), LoadError> {
        let mut this = Self::new(Arc::new(spec), Arc::default(), WORKERS_MAX, None);
        let (worker, ready) = this.start(deadline, &Cancel::default())?;
        this.missing_confinement = ready.missing.names();
        this.spec.warn(&this.missing_confinement);
        this.put_back(worker);
        let exports = ready.exports.map(|names| start::listed(&names));
        Ok((Arc::new(this), exports))
    }

    fn new(
        spec: Arc<Spec>,
        health: Arc<Mutex<Health>>,
        slots: usize,
        lease: Option<Arc<Semaphore>>,
    ) -> Self {
        Self {
            spec,
            health,
            idle: Mutex::new(Some(Vec::new())),
            slots: Arc::new(Semaphore::new(slots)),
            lease,
            missing_confinement: Vec::new(),
        }
    }

    /// Returns the parts of the confinement that the kernel lacks.
    pub(super) fn missing_confinement(&self) -> &[&'static str] {
        &self.missing_confinement
    }

    /// Makes a call. Dropping the future ends the worker of the call.
    ///
    /// The call begins on the thread that polls, and moves to a thread that may block if no answer
    /// arrives within [`SLICE`]: moving there and back takes longer than many calls do.
    pub(super) async fn call(
        self: &Arc<Self>,
        export: &str,
        input: Bytes,
    ) -> Result<Bytes, LoadError> {
        let deadline = deadline(self.spec.limits.timeout);
        let permit = self.permit(&self.slots, deadline).await?;
        let mut begun = None;
        if export.len() + input.len() <= SMALL
            && let Some(mut worker) = self.idle_worker(export)?
        {
            let sent = worker.send(&self.spec, export, &input, Instant::now() + SLICE);
            if sent.is_ok()
                && let Some(outcome) = worker.receive_soon(&self.spec, Instant::now() + SLICE)
            {
                self.health().succeeded();
                self.put_back(worker);
                return output(&self.spec.name, &self.spec.limits, export, outcome);
            }
            begun = Some((worker, sent));
        }
        let name = export.to_owned();
        self.blocking(export, deadline, move |this, cancel| {
            let _permit = permit;
            match begun {
                None => this.run(&name, &input, deadline, cancel),
                Some((mut worker, sent)) => {
                    cancel.attach(worker.socket());
                    let result = sent.and_then(|()| worker.receive(&this.spec, deadline));
                    this.finish(&name, worker, result, cancel)
                }
            }
        })
        .await
    }

    /// Makes a call on this thread.
    pub(super) fn call_blocking(&self, export: &str, input: &[u8]) -> Result<Bytes, LoadError> {
        let deadline = deadline(self.spec.limits.timeout);
        let _permit = pollster::block_on(self.permit(&self.slots, deadline))?;
        self.run(export, input, deadline, &Cancel::default())
    }

    /// Starts a worker for calls that belong together; also from a lease, which stays as it is.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Arc<Self>, LoadError> {
        let deadline = deadline(self.spec.limits.timeout);
        let slots = Arc::clone(self.lease.as_ref().unwrap_or(&self.slots));
        let permit = self.permit(&slots, deadline).await?;
        self.blocking(OPENING, deadline, move |this, cancel| {
            let (mut worker, _) = this.start(deadline, cancel)?;
            cancel.detach();
            worker.slot = Some(permit);
            let (spec, health) = (Arc::clone(&this.spec), Arc::clone(&this.health));
            let mut lease = Self::new(spec, health, 1, Some(slots));
            lease
                .missing_confinement
                .clone_from(&this.missing_confinement);
            lease.put_back(worker);
            Ok(Arc::new(lease))
        })
        .await
    }

    /// Ends the idle workers at once, and the others after their call.
    pub(super) fn unload(&self) {
        *self.idle() = None;
    }

    async fn permit(
        &self,
        slots: &Arc<Semaphore>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, LoadError> {
        let permit = waiting::permit(&self.spec.name, slots, deadline).await?;
        // A lease has one slot for its calls; another lease takes a slot of the plugin.
        let is_own = self.lease.is_some() && Arc::ptr_eq(slots, &self.slots);
        permit.ok_or_else(|| LoadError::Busy {
            plugin: self.spec.name.clone(),
            instances: if is_own { 1 } else { WORKERS_MAX },
            limit: self.spec.limits.timeout,
        })
    }

    /// Runs `work` on another thread until `deadline`, and cancels it then, or if the future is
    /// dropped. All threads may be busy until then.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        export: &str,
        deadline: Instant,
        work: impl FnOnce(&Self, &Cancel) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let cancel = Arc::new(Cancel::default());
        let _guard = CancelOnDrop(Arc::clone(&cancel));
        let this = Arc::clone(self);
        let work = move || work(&this, &cancel);
        let (name, limit) = (&self.spec.name, self.spec.limits.timeout);
        waiting::blocking(name, export, limit, deadline, work).await?
    }

    fn run(
        &self,
        export: &str,
        input: &[u8],
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Bytes, LoadError> {
        let mut worker = match self.idle_worker(export)? {
            Some(worker) => {
                cancel.attach(worker.socket());
                worker
            }
            None if self.lease.is_some() => return Err(self.ended()),
            None => self.start(deadline, cancel)?.0,
        };
        let result = worker.call(&self.spec, export, input, deadline);
        self.finish(export, worker, result, cancel)
    }

    /// Keeps the worker for later calls if the call went well, and returns the result of the call.
    fn finish(
        &self,
        export: &str,
        worker: Worker,
        result: Result<Outcome, Failure>,
        cancel: &Cancel,
    ) -> Result<Bytes, LoadError> {
        match result {
            Ok(outcome) => {
                self.health().succeeded();
                // A cancelled call has closed the socket.
                if cancel.detach() {
                    self.put_back(worker);
                }
                output(&self.spec.name, &self.spec.limits, export, outcome)
            }
            Err(failure) => Err(self.failed(export, Some(worker), failure, cancel)),
        }
    }

    /// Takes a worker that waits for calls. If some ended, or sent anything, while they waited, that
    /// counts as one failure. For a lease it is the error, because its state is lost.
    fn idle_worker(&self, export: &str) -> Result<Option<Worker>, LoadError> {
        let mut is_first = true;
        while let Some(worker) = self.idle().as_mut().and_then(Vec::pop) {
            if worker.is_quiet() {
                return Ok(Some(worker));
            }
            if self.lease.is_some() {
                let cancel = Cancel::default();
                return Err(self.failed(export, Some(worker), Failure::Gone, &cancel));
            }
            if std::mem::take(&mut is_first) {
                self.health().failed();
            }
        }
        Ok(None)
    }

    /// Keeps a worker, unless it may use no more processor time: then another one takes the next
    /// call. That of a lease has state, and stays until the kernel ends it.
    fn put_back(&self, worker: Worker) {
        if let Some(idle) = &mut *self.idle()
            && (self.lease.is_some() || !worker.is_used_up)
        {
            idle.push(worker);
        }
    }

    /// Starts a worker, after the pause that follows earlier failures.
    fn start(&self, deadline: Instant, cancel: &Cancel) -> Result<(Worker, Ready), LoadError> {
        self.pause(deadline, cancel)?;
        let (mut worker, ready) = Worker::start(&self.spec, deadline, cancel)
            .map_err(|(worker, failure)| self.failed(OPENING, worker, failure, cancel))?;
        let Some(export) = &self.spec.at_start else {
            return Ok((worker, ready));
        };
        match worker.call(&self.spec, export, &[], deadline) {
            Ok(outcome) => {
                output(&self.spec.name, &self.spec.limits, export, outcome)
                    .inspect_err(|_| self.health().failed())?;
                Ok((worker, ready))
            }
            Err(failure) => Err(self.failed(export, Some(worker), failure, cancel)),
        }
    }

    fn pause(&self, deadline: Instant, cancel: &Cancel) -> Result<(), LoadError> {
        let (failures, until) = self.health().pause();
        let Some(until) = until else { return Ok(()) };
        if until > deadline {
            return Err(LoadError::WorkerPaused {
                plugin: self.spec.name.clone(),
                failures,
                wait: until.saturating_duration_since(Instant::now()),
            });
        }
        while let Some(left) = until.checked_duration_since(Instant::now())
            && !left.is_zero()
            && !cancel.is_cancelled()
        {
            thread::sleep(left.min(CHECK_EVERY));
        }
        Ok(())
    }

    /// Ends the worker, and returns the error of its call.
    fn failed(
        &self,
        export: &str,
        worker: Option<Worker>,
        failure: Failure,
        cancel: &Cancel,
    ) -> LoadError {
        // The caller of a cancelled call does not wait for how its worker ends.
        let is_late = cancel.is_cancelled() || matches!(failure, Failure::TimedOut);
        let failure = if is_late { Failure::TimedOut } else { failure };
        // Neither is a reason to pause the plugin.
        if !is_late {
            self.health().failed();
        }
        let plugin = self.spec.name.clone();
        match failure {
            Failure::TimedOut => self.timed_out(export),
            Failure::Refused(refusal) => refusal.into_error(&plugin),
            Failure::Unconfined(missing) => LoadError::Unconfined {
                plugin,
                missing: missing.names().join(", "),
            },
            Failure::NotStarted(source) => LoadError::Isolation {
                plugin,
                rule: "its worker process must start",
                source: Some(source),
            },
            Failure::NoAnswer(source) => LoadError::Isolation {
                plugin,
                rule: "its worker process ended before it was ready: the `main` of the worker \
                       program must call `qmt_loader::native::run_worker_if_asked` of this version \
                       first",
                source: Some(source),
            },
            Failure::Gone | Failure::Invalid(_) => LoadError::WorkerEnded {
                plugin,
                export: escape(export),
                end: match worker {
                    Some(worker) => worker.into_end(&failure),
                    None => crate::error::WorkerEnd::Disconnected,
                },
            },
        }
    }

    fn timed_out(&self, export: &str) -> LoadError {
        LoadError::TimedOut {
            plugin: self.spec.name.clone(),
            export: escape(export),
            limit: self.spec.limits.timeout,
        }
    }

    fn ended(&self) -> LoadError {
        LoadError::LeaseEnded {
            plugin: self.spec.name.clone(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Worker>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
