//! What a function of the host knows of the call that it serves, and can do in it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::{EnterGuard, Handle};
use wasmtime::Caller;

use super::engine::Runtime;
use super::fault::Fault;
use super::memory::Context;
use super::state::{Settings, State, Stop};
use crate::context::CallContext;
use crate::error::BoxError;

/// The call of a plugin that a function of the host serves.
///
/// It can be cloned and moved to other threads, and used after the end of the call.
#[derive(Clone)]
pub struct HostCall {
    runtime: &'static Runtime,
    settings: Arc<Settings>,
    stop: Arc<Stop>,
}

impl HostCall {
    pub(super) fn of(runtime: &'static Runtime, state: &State) -> Self {
        Self {
            runtime,
            settings: Arc::clone(&state.settings),
            stop: Arc::clone(&state.stop),
        }
    }

    /// Makes the runtime of the host the current one of this thread, if it is another one.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.stop.host.get().map(Handle::enter)
    }

    /// Returns the plugin's name.
    pub fn plugin(&self) -> &str {
        &self.settings.plugin
    }

    /// Returns the number of the call, which no other call of this process has. Start functions
    /// belong to the call that made their instance.
    pub fn id(&self) -> u64 {
        self.stop.id
    }

    /// Returns when the time of the call is over.
    pub fn deadline(&self) -> Instant {
        self.stop.deadline
    }

    /// Returns what the caller handed in; see [`Plugin::call_with`](crate::Plugin::call_with).
    pub fn context(&self) -> &CallContext {
        &self.stop.context
    }

    /// Reports whether the caller no longer waits for the call: its future was dropped, or its time is
    /// over.
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_due()
    }

    /// Waits until [`Self::is_cancelled`].
    ///
    /// A function that blocks on a request races it with this, so that it ends with the call.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn cancelled(&self) {
        let alarms = &self.runtime.alarms;
        alarms
            .until(self.stop.deadline, self.stop.cancelled())
            .await;
    }
}

impl fmt::Debug for HostCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCall")
            .field("plugin", &self.plugin())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// A call whose function takes and returns plain values, with access to the memory that host and
/// plugin share.
pub struct RawCall<'a> {
    pub(super) call: HostCall,
    pub(super) caller: Caller<'a, State>,
}

impl RawCall<'_> {
    /// Returns the call of the plugin.
    pub fn call(&self) -> &HostCall {
        &self.call
    }

    /// Copies the block of memory that `handle` names, which stays the plugin's. Handle 0 is an
    /// empty block.
    ///
    /// # Errors
    /// An error to be returned from the function, if there is no such block.
    pub fn read(&mut self, handle: i64) -> Result<Bytes, BoxError> {
        let read = self.caller.read(ARGUMENT, handle.cast_unsigned(), u64::MAX);
        Ok(read?.into())
    }

    /// Copies `bytes` into a new block of the plugin's memory and returns its handle, 0 for no
    /// bytes.
    ///
    /// # Errors
    /// An error to be returned from the function, if the plugin's memory is used up.
    pub fn write(&mut self, bytes: &[u8]) -> Result<i64, BoxError> {
        match self.caller.give(bytes) {
            Ok(handle) => Ok(handle.cast_signed()),
            Err(error) => Err(match error.downcast::<Fault>() {
                Ok(fault) => fault.into(),
                Err(error) => error.into(),
            }),
        }
    }
}

/// What messages call the memory that a function of the host reads.
pub(super) const ARGUMENT: &str = "the input of a host function";

impl fmt::Debug for RawCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawCall").field(&self.call).finish()
    }
}
