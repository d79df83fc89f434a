//! Why a plugin was not loaded, or a call not answered.

mod native;
mod text;
mod wasm;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use qmt_oci_ref::Digest;

pub use self::native::NativeRefusal;
use self::text::listed;
#[cfg(any(feature = "native", feature = "wasm"))]
pub(crate) use self::text::shown;
pub use self::wasm::WasmRefusal;
use crate::loader::Kind;

/// A cause that comes from a library below.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a plugin was not loaded, or a call not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The artifact went to the loader of another kind.
    #[error("plugin `{plugin}` is {artifact}, and this loader loads {loader} plugins")]
    KindMismatch {
        /// The plugin's name.
        plugin: String,
        /// What the loader loads.
        loader: Kind,
        /// What the artifact is said to be.
        artifact: Kind,
    },
    /// The content is no Wasm module that may run here.
    #[error("plugin `{plugin}` is refused as a Wasm plugin")]
    WasmRefused {
        /// The plugin's name.
        plugin: String,
        /// The rule that it breaks.
        #[source]
        reason: WasmRefusal,
    },
    /// The content is no shared library that may be opened here. None of its code ran.
    #[error("plugin `{plugin}` is refused as a native plugin")]
    NativeRefused {
        /// The plugin's name.
        plugin: String,
        /// The rule that it breaks.
        #[source]
        reason: NativeRefusal,
    },
    /// A right cannot be given as it is written.
    #[error("`{grant}` cannot be granted to plugin `{plugin}`: {rule}")]
    Grant {
        /// The plugin's name.
        plugin: String,
        /// The entry of [`crate::Allow`] or [`crate::Limits`].
        grant: String,
        /// What an entry must be.
        rule: &'static str,
        /// What the operating system said, if it was asked.
        source: Option<io::Error>,
    },
    /// The compiler refused the module, although its sections looked right.
    #[error("plugin `{plugin}` does not compile")]
    Compile {
        /// The plugin's name.
        plugin: String,
        /// What the compiler said.
        source: BoxError,
    },
    /// Compiling took too long. It goes on in the background and its result is cached.
    #[error(
        "compiling plugin `{plugin}` took longer than {limit:?}; raise the compile time-out, or try again once it is in the cache"
    )]
    CompileTimedOut {
        /// The plugin's name.
        plugin: String,
        /// The limit.
        limit: Duration,
    },
    /// The module could not be linked or its start function failed.
    #[error("plugin `{plugin}` does not start")]
    Start {
        /// The plugin's name.
        plugin: String,
        /// What went wrong.
        source: BoxError,
    },
    /// The plugin has no function of that name that can be called.
    #[error("plugin `{plugin}` has no export `{export}`; it has: {}", listed(.known))]
    UnknownExport {
        /// The plugin's name.
        plugin: String,
        /// What was asked for.
        export: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The library does not implement `qmt_plugin.h`, so that only its symbols can be had.
    #[error(
        "plugin `{plugin}` has no `qmt_plugin_call`; the host can use its symbols, `call` cannot"
    )]
    NotCallable {
        /// The plugin's name.
        plugin: String,
    },
    /// The input is larger than the plugin's memory.
    #[error(
        "the input of {size} bytes is larger than the {limit} bytes that plugin `{plugin}` may use"
    )]
    InputTooLarge {
        /// The plugin's name.
        plugin: String,
        /// The input's size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The output is larger than the plugin's memory.
    #[error(
        "the output of {size} bytes is larger than the {limit} bytes that plugin `{plugin}` may use"
    )]
    OutputTooLarge {
        /// The plugin's name.
        plugin: String,
        /// The output's size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// All instances were busy for as long as the call may take.
    #[error(
        "plugin `{plugin}` is busy: none of its {instances} instances became free within {limit:?}"
    )]
    Busy {
        /// The plugin's name.
        plugin: String,
        /// How many there are.
        instances: usize,
        /// The limit.
        limit: Duration,
    },
    /// The call took too long and was stopped.
    #[error("`{export}` of plugin `{plugin}` took longer than {limit:?}")]
    TimedOut {
        /// The plugin's name.
        plugin: String,
        /// What was called.
        export: String,
        /// The limit.
        limit: Duration,
    },
    /// The call used up its fuel and was stopped.
    #[error("`{export}` of plugin `{plugin}` ran out of its {limit} units of fuel")]
    OutOfFuel {
        /// The plugin's name.
        plugin: String,
        /// What was called.
        export: String,
        /// The limit.
        limit: u64,
    },
    /// The call wanted more memory than it may have and was stopped.
    #[error(
        "`{export}` of plugin `{plugin}` needs more than the {limit} bytes of memory it may use"
    )]
    OutOfMemory {
        /// The plugin's name.
        plugin: String,
        /// What was called.
        export: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The plugin's code trapped, or a host function it called failed.
    #[error("`{export}` of plugin `{plugin}` trapped")]
    Trapped {
        /// The plugin's name.
        plugin: String,
        /// What was called.
        export: String,
        /// The trap.
        source: BoxError,
    },
    /// The plugin says itself that the call failed.
    #[error("`{export}` of plugin `{plugin}` failed: {message}")]
    PluginFailed {
        /// The plugin's name.
        plugin: String,
        /// What was called.
        export: String,
        /// The plugin's words, cut at 1 KiB, control characters escaped.
        message: String,
    },
    /// Host code panicked during the call, or its thread could not run.
    #[error("the host failed while it called `{export}` of plugin `{plugin}`")]
    Host {
        /// The plugin's name.
        plugin: String,
        /// What was called.
        export: String,
        /// What happened to the thread.
        source: BoxError,
    },
    /// The plugin was unloaded.
    #[error("plugin `{plugin}` is unloaded")]
    Unloaded {
        /// The plugin's name.
        plugin: String,
    },
    /// The content is not what its digest says.
    #[error("the copy of plugin `{plugin}` hashes to `{actual}` instead of `{expected}`")]
    DigestMismatch {
        /// The plugin's name.
        plugin: String,
        /// What the artifact names.
        expected: Digest,
        /// What the copy hashes to.
        actual: Digest,
    },
    /// The operating system could not open the library. Its code may have begun to run.
    #[error("the library of plugin `{plugin}` cannot be opened")]
    Open {
        /// The plugin's name.
        plugin: String,
        /// What the dynamic loader said.
        source: BoxError,
    },
    /// The process has opened as many plugin libraries as it may; they are never unloaded.
    #[error("plugin `{plugin}` would be native library number {}; restart the host to drop old ones", .limit + 1)]
    TooManyLibraries {
        /// The plugin's name.
        plugin: String,
        /// How many a process may open.
        limit: usize,
    },
    /// The library has no such symbol.
    #[error("plugin `{plugin}` exports no symbol `{symbol}`")]
    MissingSymbol {
        /// The plugin's name.
        plugin: String,
        /// What was asked for.
        symbol: String,
    },
    /// A symbol was asked for as a type that is not the size of a pointer.
    #[error("symbol `{symbol}` of plugin `{plugin}` was asked for as a type that is no pointer")]
    SymbolType {
        /// The plugin's name.
        plugin: String,
        /// What was asked for.
        symbol: String,
    },
    /// The library speaks another version of `qmt_plugin.h`.
    #[error(
        "plugin `{plugin}` speaks version {found} of the plugin ABI, this host speaks {supported}"
    )]
    AbiVersion {
        /// The plugin's name.
        plugin: String,
        /// What the library says.
        found: u32,
        /// What we speak.
        supported: u32,
    },
    /// The library is open with another configuration; it takes one in the life of a process.
    #[error(
        "plugin `{plugin}` is already open with another configuration, and native plugins take it once; use the same one, or another process"
    )]
    Configured {
        /// The plugin's name.
        plugin: String,
    },
    /// A file or folder of ours could not be used.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder would hold code that is run as it is, and others may write to it.
    #[error("`{}` is not private: {rule}", .path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What it must be.
        rule: &'static str,
    },
}

impl LoadError {
    /// Returns whether the same call may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::CompileTimedOut { .. })
    }
}

#[cfg(test)]
mod tests;
