//! What belongs to one instance of a plugin, apart from its code.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use wasmtime::{Global, Memory, ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;

use super::blocks::Blocks;
use super::fault::Fault;
use super::grants::Grants;
use super::http::HttpState;
use super::log::LogBudget;
use crate::context::CallContext;
use crate::limits::Limits;

/// What all instances of a loaded plugin have in common.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) plugin: String,
    pub(super) limits: Limits,
    /// The export that is called first in each new instance.
    pub(super) at_start: Option<String>,
    pub(super) grants: Grants,
}

/// The data of a store.
pub(super) struct State {
    pub(super) settings: Arc<Settings>,
    pub(super) kernel: Option<Kernel>,
    pub(super) blocks: Blocks,
    /// Whether the kernel's globals name an input.
    pub(super) has_input: bool,
    /// Offset and length.
    pub(super) output: (u64, u64),
    /// The offset of the block with the message of a failure, or 0.
    pub(super) error: u64,
    pub(super) variables: BTreeMap<String, Vec<u8>>,
    pub(super) http: HttpState,
    pub(super) log: LogBudget,
    pub(super) budget: Budget,
    /// Only where the module imports WASI.
    pub(super) wasi: Option<WasiP1Ctx>,
    pub(super) stop: Arc<Stop>,
}

/// The exports of the kernel that the host uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    pub(super) memory: Memory,
    pub(super) input: Global,
    pub(super) length: Global,
}

impl State {
    pub(super) fn new(settings: &Arc<Settings>) -> Self {
        let Limits {
            memory_max,
            table_elements,
            http_body_max,
            log_lines_per_second,
            ..
        } = settings.limits;
        Self {
            settings: Arc::clone(settings),
            kernel: None,
            blocks: Blocks::default(),
            has_input: false,
            output: (0, 0),
            error: 0,
            variables: BTreeMap::new(),
            http: HttpState::new(settings.grants.hosts.clone(), http_body_max),
            log: LogBudget::new(log_lines_per_second),
            budget: Budget {
                memory: usize::try_from(memory_max).unwrap_or(usize::MAX),
                table_elements: usize::try_from(table_elements).unwrap_or(usize::MAX),
            },
            wasi: None,
            stop: Arc::new(Stop::new(Instant::now(), CallContext::new())),
        }
    }

    /// Decides what happens to code that is running when an alarm goes off.
    pub(super) fn at_epoch(&self) -> Result<UpdateDeadline, Fault> {
        let stop = &self.stop;
        if stop.is_due() {
            return Err(Fault::TimedOut);
        }
        // Other calls' alarms go off here as well.
        Ok(if stop.yields.load(Ordering::Relaxed) {
            stop.yielded.store(true, Ordering::Relaxed);
            UpdateDeadline::Yield(1)
        } else {
            UpdateDeadline::Continue(1)
        })
    }
}

/// The memory and the table elements that one instance may still take, kernel included, from its
/// first instruction on.
#[derive(Debug)]
pub(super) struct Budget {
    memory: usize,
    table_elements: usize,
}

impl ResourceLimiter for Budget {
    /// Ends the call where memory runs out, as Extism does; Wasm would go on with -1.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if !take(&mut self.memory, desired.saturating_sub(current)) {
            return Err(Fault::OutOfMemory.into());
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(take(
            &mut self.table_elements,
            desired.saturating_sub(current),
        ))
    }
}

/// Takes `amount` from what is left; `false` where that is less.
fn take(left: &mut usize, amount: usize) -> bool {
    match left.checked_sub(amount) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

/// One call: when it must end, what it does when it takes long, and what its caller says of it.
#[derive(Debug)]
pub(super) struct Stop {
    /// A number that no other call of this process has.
    pub(super) id: u64,
    pub(super) context: CallContext,
    pub(super) deadline: Instant,
    /// The caller gave up.
    cancelled: AtomicBool,
    /// Wakes functions of the host that wait for the end of the call.
    ended: Notify,
    /// Running code hands the thread back when an alarm goes off.
    pub(super) yields: AtomicBool,
    /// It did so.
    pub(super) yielded: AtomicBool,
    /// The call got an instance to run in.
    pub(super) started: AtomicBool,
    /// The runtime of the host, where it is not the current one of the call's thread.
    pub(super) host: OnceLock<Handle>,
    /// Wakes the task or thread that polls the call.
    pub(super) waker: Arc<AtomicWaker>,
}

impl Stop {
    pub(super) fn new(deadline: Instant, context: CallContext) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            context,
            deadline,
            cancelled: AtomicBool::new(false),
            ended: Notify::new(),
            yields: AtomicBool::new(false),
            yielded: AtomicBool::new(false),
            started: AtomicBool::new(false),
            host: OnceLock::new(),
            waker: Arc::default(),
        }
    }

    /// Reports whether the call must end now.
    pub(super) fn is_due(&self) -> bool {
        self.is_cancelled() || Instant::now() >= self.deadline
    }

    /// Reports whether the caller gave up. Unlike for the deadline, no clock is read.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.waker.wake();
        self.ended.notify_waiters();
    }

    /// Waits until the caller gives up.
    pub(super) async fn cancelled(&self) {
        let ended = self.ended.notified();
        // What is notified from here on is not missed.
        if !self.is_cancelled() {
            ended.await;
        }
    }
}
