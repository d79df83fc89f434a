//! The trait of a loaded plugin, whatever it is made of.

use std::any::Any;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::LoadError;
use crate::loader::Kind;

/// A plugin that is loaded and can be called from any thread, several times at once.
///
/// `Any` is a supertrait so that a host with an ABI of its own can reach the native library:
/// `(&*plugin as &dyn Any).downcast_ref::<NativePlugin>()`.
///
/// A plugin must not count on state between calls: calls that overlap run in different instances
/// of a Wasm module, and an instance that trapped or was stopped is thrown away.
#[cfg_attr(feature = "test-util", mockall::automock)]
#[async_trait]
pub trait Plugin: Send + Sync + Any {
    /// Calls `export` with `input` and returns its output, both plain bytes.
    ///
    /// # Errors
    /// [`LoadError::UnknownExport`] and [`LoadError::NotCallable`] before anything runs;
    /// [`LoadError::PluginFailed`] where the plugin itself says that it failed;
    /// [`LoadError::TimedOut`], [`LoadError::OutOfFuel`], [`LoadError::OutOfMemory`] and
    /// [`LoadError::Trapped`] where it was stopped; [`LoadError::Busy`] where no instance became
    /// free in time; [`LoadError::Unloaded`] after [`Plugin::unload`].
    ///
    /// # Cancel safety
    /// Dropping the future stops a Wasm call; the plugin can be called again at once. A native call
    /// cannot be stopped: it runs to its end on its own thread and its result is dropped.
    async fn call(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError>;

    /// Returns the names that [`Plugin::call`] takes, sorted.
    fn exports(&self) -> Vec<String>;

    /// Returns what the plugin is made of.
    fn kind(&self) -> Kind;

    /// Refuses further calls through this handle and gives instances back. Doing it twice is fine.
    ///
    /// A native library stays mapped until the process ends: unloading code that may have left
    /// threads or thread-local destructors behind is not safe (rust-lang/rust#59629, #91979).
    ///
    /// # Errors
    /// None of the loaders here fails; the error is there for loaders of others.
    async fn unload(&self) -> Result<(), LoadError>;
}
