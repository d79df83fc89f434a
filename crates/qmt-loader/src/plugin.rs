//! The trait of a loaded plugin, of any kind.

use std::any::Any;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{PluginKind, text};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::CallContext;
use crate::error::LoadError;

/// A plugin that is loaded and can be called from any thread, several times at once.
///
/// `Any` is a supertrait so that a host with an ABI of its own can reach the native library:
/// `(&*plugin as &dyn Any).downcast_ref::<NativePlugin>()`.
///
/// A plugin must not count on state between calls: calls that overlap run in different instances
/// of a Wasm module, and an instance that trapped or was stopped is discarded. A host whose calls
/// belong together makes them through a [`Plugin::lease`].
#[cfg_attr(feature = "test-util", mockall::automock)]
#[async_trait]
pub trait Plugin: Send + Sync + Any {
    /// Calls `export` with `input` and returns its output, both plain bytes.
    ///
    /// # Errors
    /// [`LoadError::UnknownExport`] and [`LoadError::NotCallable`] before anything runs;
    /// [`LoadError::PluginFailed`] where the plugin reports a failure;
    /// [`LoadError::TimedOut`], [`LoadError::OutOfFuel`], [`LoadError::OutOfMemory`] and
    /// [`LoadError::Trapped`] where it was stopped; [`LoadError::WorkerEnded`] and
    /// [`LoadError::WorkerPaused`] where the process of an isolated native plugin failed;
    /// [`LoadError::Busy`] where no instance became free in time; [`LoadError::Unloaded`] after
    /// [`Plugin::unload`].
    ///
    /// # Cancel safety
    /// Dropping the future stops a call of a Wasm or isolated native plugin, which can be called
    /// again at once. Another native call cannot be stopped: it runs to its end on its own thread
    /// and its result is dropped.
    async fn call(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError>;

    /// Calls `export` as [`Plugin::call`] does, and lets the functions of the host that the plugin
    /// reaches read `context`. Plugins that reach none have no use for it.
    ///
    /// # Errors
    /// Those of [`Plugin::call`].
    ///
    /// # Cancel safety
    /// As [`Plugin::call`].
    async fn call_with(
        &self,
        context: CallContext,
        export: &str,
        input: Bytes,
    ) -> Result<Bytes, LoadError> {
        drop(context);
        self.call(export, input).await
    }

    /// Reserves an instance for calls that belong together, which run one after the other and share
    /// its state: the memory of the module and its variables.
    ///
    /// The instance is new and is discarded with the lease, so that no state reaches another one.
    /// It counts as one of the instances that may run at the same time. If a call traps or is
    /// stopped, the lease has ended and its next call is [`LoadError::LeaseEnded`]; other calls and
    /// leases go on. The state of a native library belongs to its process: each lease of an isolated
    /// plugin has one, and all leases of another one share that of the host.
    ///
    /// # Errors
    /// [`LoadError::Busy`] where no instance became free within the time of a call, the errors of a
    /// start, [`LoadError::Unloaded`], and [`LoadError::NoLease`] from loaders without leases.
    async fn lease(&self) -> Result<Box<dyn Plugin>, LoadError> {
        Err(LoadError::NoLease { kind: self.kind() })
    }

    /// Calls `export` on this thread, which blocks until the call is done: for programs without an
    /// async runtime. From an async task, use [`Plugin::call`].
    ///
    /// # Errors
    /// Those of [`Plugin::call`].
    fn call_blocking(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError>;

    /// Returns the names that [`Plugin::call`] takes, sorted.
    fn exports(&self) -> Vec<String>;

    /// Returns the kind of the plugin.
    fn kind(&self) -> PluginKind;

    /// Refuses further calls through this handle and releases its instances. It can be called twice.
    ///
    /// A native library in the host's process stays mapped until the process ends: unloading code
    /// that may have left threads or thread-local destructors behind is not safe
    /// (rust-lang/rust#59629, #91979).
    ///
    /// # Errors
    /// None from the loaders of this crate; other loaders may fail.
    async fn unload(&self) -> Result<(), LoadError>;
}

impl dyn Plugin {
    /// Calls `export` with `input` and reads its output in the encodings of the two types, such as
    /// `Json<T>`, `Msgpack<T>`, `String` or `Vec<u8>`; see [`crate::convert`].
    ///
    /// # Errors
    /// [`LoadError::Convert`] where `input` cannot be written or the output cannot be read, and the
    /// errors of [`Plugin::call`].
    ///
    /// # Cancel safety
    /// As [`Plugin::call`].
    #[cfg(feature = "convert")]
    pub async fn call_typed<'a, In, Out>(&self, export: &str, input: In) -> Result<Out, LoadError>
    where
        In: extism_convert::ToBytes<'a>,
        Out: extism_convert::FromBytesOwned,
    {
        let failed = |what, source: extism_convert::Error| LoadError::Convert {
            what,
            export: text::escape(export),
            source: source.into(),
        };
        let input = match input.to_bytes() {
            Ok(input) => Bytes::copy_from_slice(input.as_ref()),
            Err(source) => return Err(failed("input", source)),
        };
        let output = self.call(export, input).await?;
        Out::from_bytes_owned(&output).map_err(|source| failed("output", source))
    }

    /// Calls `export` with `input` as JSON, and reads its output as JSON. No output reads as `null`,
    /// so that a plugin can answer `()` or `None` with nothing.
    ///
    /// # Errors
    /// [`LoadError::Json`] where `input` cannot be written or the output cannot be read, and the
    /// errors of [`Plugin::call`].
    ///
    /// # Cancel safety
    /// As [`Plugin::call`].
    pub async fn call_json<In, Out>(&self, export: &str, input: &In) -> Result<Out, LoadError>
    where
        In: Serialize + Sync + ?Sized,
        Out: DeserializeOwned,
    {
        let failed = |what, source: serde_json::Error| LoadError::Json {
            what,
            export: text::escape(export),
            source: source.into(),
        };
        let input = serde_json::to_vec(input).map_err(|source| failed("input", source))?;
        let output = self.call(export, input.into()).await?;
        if output.is_empty()
            && let Ok(nothing) = serde_json::from_slice(b"null")
        {
            return Ok(nothing);
        }
        serde_json::from_slice(&output).map_err(|source| failed("output", source))
    }
}
