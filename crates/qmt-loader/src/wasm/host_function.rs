//! Functions that a host offers to plugins.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::{Caller, Linker};

use super::fault::Fault;
use super::imports::EXTISM_USER;
use super::memory::Context;
use super::state::State;
use crate::error::BoxError;

type Call = dyn Fn(Bytes) -> Result<Bytes, BoxError> + Send + Sync;

/// A function of the host that plugins can import: bytes in, bytes out.
///
/// In the plugin it is a function that takes one Extism memory handle and returns one, which is
/// what `extism_pdk::host_fn` declares for `fn name(input: String) -> String`. It may block: calls
/// of plugins that import it run on threads for that, within the time of the call, and several at
/// once. An error or a panic in it traps the plugin's call and nothing else.
#[derive(Clone)]
pub struct HostFunction {
    namespace: String,
    name: String,
    call: Arc<Call>,
}

impl HostFunction {
    /// Names `call` as `name` in Extism's default namespace for hosts, `extism:host/user`.
    pub fn new<F>(name: impl Into<String>, call: F) -> Self
    where
        F: Fn(Bytes) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        Self {
            namespace: EXTISM_USER.to_owned(),
            name: name.into(),
            call: Arc::new(call),
        }
    }

    /// Puts the function into another namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Returns namespace and name.
    pub(super) fn import(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }

    /// Reports whether a module imports this function by `namespace` and `name`.
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    pub(super) fn link(&self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        let (call, name) = (Arc::clone(&self.call), self.name.clone());
        let function = move |mut plugin: Caller<'_, State>, input: u64| -> wasmtime::Result<u64> {
            let input = plugin.read("the input of a host function", input, u64::MAX)?;
            let name = || name.clone();
            let output = match catch_unwind(AssertUnwindSafe(|| call(Bytes::from(input)))) {
                Ok(Ok(output)) => output,
                Ok(Err(source)) => {
                    let name = name();
                    return Err(Fault::HostFunction { name, source }.into());
                }
                Err(_) => return Err(Fault::HostPanicked { name: name() }.into()),
            };
            plugin.give(&output)
        };
        linker.func_wrap(&self.namespace, &self.name, function)?;
        Ok(())
    }
}

impl fmt::Debug for HostFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostFunction")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
