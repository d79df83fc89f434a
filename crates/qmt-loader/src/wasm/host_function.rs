//! Functions that a host offers to plugins, in types of ours.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use extism::{CurrentPlugin, Function, PTR, UserData, Val};

use super::builtin::InstanceState;
use super::imports::EXTISM_USER;
use super::memory::{give, read};
use crate::error::BoxError;

type Call = dyn Fn(Bytes) -> Result<Bytes, BoxError> + Send + Sync;

/// A function of the host that plugins can import: bytes in, bytes out.
///
/// In the plugin it is a function that takes one Extism memory handle and returns one, which is
/// what `extism_pdk::host_fn` declares for `fn name(input: String) -> String`. It runs on the
/// plugin's thread, within the time of the call, and from several threads at once. An error or a
/// panic in it traps the plugin's call and nothing else.
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

    /// Makes Extism's form of it.
    pub(super) fn to_extism(&self, state: &Arc<InstanceState>) -> Function {
        let call = Arc::clone(&self.call);
        let state = Arc::clone(state);
        let body = move |plugin: &mut CurrentPlugin,
                         inputs: &[Val],
                         outputs: &mut [Val],
                         _: UserData<()>| {
            state.must_be_calling()?;
            let input = read(plugin, &state, inputs.first(), usize::MAX)?;
            let result = catch_unwind(AssertUnwindSafe(|| call(Bytes::from(input))));
            let output = match result {
                Ok(Ok(output)) => output,
                Ok(Err(error)) => return Err(extism::Error::from_boxed(error)),
                Err(_) => return Err(extism::Error::msg("the host function panicked")),
            };
            give(plugin, &state, outputs, Some(&output))
        };
        Function::new(&self.name, [PTR], [PTR], UserData::new(()), body)
            .with_namespace(&self.namespace)
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
