//! Functions that a host offers to plugins.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use qmt_oci_ref::text::escape;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::{Caller, Engine, ExternType, FuncType, Linker, Val, ValType};

use super::engine::Runtime;
use super::fault::Fault;
use super::host_call::{ARGUMENT, HostCall, RawCall};
use super::imports::EXTISM_USER;
use super::memory::Context;
use super::state::State;
use super::value::{Value, ValueType};
use crate::error::BoxError;

type OnBytes = dyn Fn(&HostCall, Bytes) -> Result<Bytes, BoxError> + Send + Sync;
type OnValues = dyn Fn(&mut RawCall<'_>, &[Value]) -> Result<Vec<Value>, BoxError> + Send + Sync;

/// A function of the host that plugins can import.
///
/// In the plugin it is a function that takes one Extism memory handle and returns one, which is
/// what `extism_pdk::host_fn` declares for `fn name(input: String) -> String`;
/// [`Self::without_result`] and [`Self::raw`] make others. It may block: calls of plugins that
/// import it run on threads for that, within the time of the call, and several at once. An error or
/// a panic in it traps the plugin's call and nothing else.
#[derive(Clone)]
pub struct HostFunction {
    namespace: String,
    name: String,
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// One handle in, one handle out.
    Answers(Arc<OnBytes>),
    /// One handle in, nothing out.
    Takes(Arc<OnBytes>),
    Raw {
        parameters: Vec<ValueType>,
        results: Vec<ValueType>,
        call: Arc<OnValues>,
    },
}

impl HostFunction {
    /// Names `call`, which takes bytes and returns bytes, as `name` in Extism's default namespace
    /// for hosts, `extism:host/user`.
    pub fn new<F>(name: impl Into<String>, call: F) -> Self
    where
        F: Fn(Bytes) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        Self::with_call(name, move |_, input| call(input))
    }

    /// Does what [`Self::new`] does, with a function that also learns which call it serves.
    pub fn with_call<F>(name: impl Into<String>, call: F) -> Self
    where
        F: Fn(&HostCall, Bytes) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        Self::named(name, Form::Answers(Arc::new(call)))
    }

    /// Does what [`Self::with_call`] does, with a function whose input and output are JSON. No
    /// input reads as `null`.
    pub fn json<In, Out, F>(name: impl Into<String>, call: F) -> Self
    where
        In: DeserializeOwned,
        Out: Serialize,
        F: Fn(&HostCall, In) -> Result<Out, Box<dyn std::error::Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        Self::with_call(name, move |of, input| {
            let text = if input.is_empty() {
                b"null"
            } else {
                &input[..]
            };
            let output = call(of, serde_json::from_slice(text)?)?;
            Ok(serde_json::to_vec(&output)?.into())
        })
    }

    /// Names `call`, which takes and returns numbers of these types, as `name` in
    /// `extism:host/user`. [`RawCall`] reads and writes the memory that handles among them name.
    pub fn raw<F>(
        name: impl Into<String>,
        parameters: &[ValueType],
        results: &[ValueType],
        call: F,
    ) -> Self
    where
        F: Fn(
                &mut RawCall<'_>,
                &[Value],
            ) -> Result<Vec<Value>, Box<dyn std::error::Error + Send + Sync>>
            + Send
            + Sync
            + 'static,
    {
        let form = Form::Raw {
            parameters: parameters.to_vec(),
            results: results.to_vec(),
            call: Arc::new(call),
        };
        Self::named(name, form)
    }

    fn named(name: impl Into<String>, form: Form) -> Self {
        Self {
            namespace: EXTISM_USER.to_owned(),
            name: name.into(),
            form,
        }
    }

    /// Makes it a function that returns nothing, for plugins that import it as one; what it
    /// answers is dropped. It has no effect on a [`Self::raw`] function.
    #[must_use]
    pub fn without_result(mut self) -> Self {
        if let Form::Answers(call) = self.form {
            self.form = Form::Takes(call);
        }
        self
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

    /// Returns the type of the function.
    fn ty(&self, engine: &Engine) -> FuncType {
        let handle = [ValueType::I64];
        let (parameters, results) = match &self.form {
            Form::Answers(_) => (&handle[..], &handle[..]),
            Form::Takes(_) => (&handle[..], &[][..]),
            Form::Raw {
                parameters,
                results,
                ..
            } => (&parameters[..], &results[..]),
        };
        let types = |types: &[ValueType]| types.iter().map(|ty| ValType::from(*ty)).collect();
        let (parameters, results): (Vec<_>, Vec<_>) = (types(parameters), types(results));
        FuncType::new(engine, parameters, results)
    }

    /// Checks that a module imports the function with its own type.
    pub(super) fn check(&self, engine: &Engine, imported: &ExternType) -> Result<(), Fault> {
        let offered = self.ty(engine);
        let imported = match imported {
            ExternType::Func(imported) if FuncType::eq(imported, &offered) => return Ok(()),
            ExternType::Func(imported) => format!("a function of the type {imported}"),
            _ => "something that is not a function".to_owned(),
        };
        Err(Fault::HostSignature {
            name: format!("{}.{}", self.namespace, self.name),
            imported,
            offered: offered.to_string(),
        })
    }

    pub(super) fn link(
        &self,
        runtime: &'static Runtime,
        linker: &mut Linker<State>,
    ) -> wasmtime::Result<()> {
        let (namespace, name) = (&*self.namespace, self.name.clone());
        match self.form.clone() {
            Form::Answers(call) => linker.func_wrap(
                namespace,
                &self.name,
                move |mut plugin: Caller<'_, State>, input: u64| -> wasmtime::Result<u64> {
                    let output = answer(runtime, &name, &*call, &mut plugin, input)?;
                    plugin.give(&output)
                },
            )?,
            Form::Takes(call) => linker.func_wrap(
                namespace,
                &self.name,
                move |mut plugin: Caller<'_, State>, input: u64| -> wasmtime::Result<()> {
                    answer(runtime, &name, &*call, &mut plugin, input).map(drop)
                },
            )?,
            Form::Raw { results, call, .. } => {
                let ty = self.ty(&runtime.engine);
                linker.func_new(namespace, &self.name, ty, move |plugin, input, output| {
                    let mut raw = RawCall {
                        call: HostCall::of(runtime, plugin.data()),
                        caller: plugin,
                    };
                    let values: Vec<Value> = input.iter().filter_map(Value::of).collect();
                    let of = raw.call.clone();
                    let values = guarded(&name, &of, || call(&mut raw, &values))?;
                    if !values
                        .iter()
                        .map(|value| value.ty())
                        .eq(results.iter().copied())
                    {
                        let name = name.clone();
                        return Err(Fault::HostResults { name }.into());
                    }
                    for (slot, value) in output.iter_mut().zip(values) {
                        *slot = Val::from(value);
                    }
                    Ok(())
                })?
            }
        };
        Ok(())
    }
}

/// Reads the input, calls the function and returns its output.
fn answer(
    runtime: &'static Runtime,
    name: &str,
    call: &OnBytes,
    plugin: &mut Caller<'_, State>,
    input: u64,
) -> wasmtime::Result<Bytes> {
    let input = plugin.read(ARGUMENT, input, u64::MAX)?;
    let of = HostCall::of(runtime, plugin.data());
    guarded(name, &of, || call(&of, Bytes::from(input)))
}

/// Runs a function of the host; its errors and panics become the plugin's. The plugin's code does not
/// go on if the time of the call is over by then.
fn guarded<T>(
    name: &str,
    of: &HostCall,
    call: impl FnOnce() -> Result<T, BoxError>,
) -> wasmtime::Result<T> {
    let name = || name.to_owned();
    let _host = of.enter();
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(_) if of.is_cancelled() => Err(Fault::TimedOut.into()),
        Ok(Ok(output)) => Ok(output),
        Ok(Err(source)) => Err(match source.downcast::<Fault>() {
            Ok(fault) => (*fault).into(),
            Err(source) => Fault::HostFunction {
                name: name(),
                source,
            }
            .into(),
        }),
        Err(payload) => Err(Fault::HostPanicked {
            name: name(),
            message: panic_message(payload),
        }
        .into()),
    }
}

/// Returns the message of a panic. Dropping what it carries may panic as well.
fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let message = escape(text.unwrap_or("without a message"));
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    message
}

impl fmt::Debug for HostFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostFunction")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
