//! Why a plugin was not loaded, or a call failed.

mod kind;
mod message;
mod native;
mod text;
mod wasm;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use qmt_oci_ref::{Digest, PluginKind};

pub use self::kind::LoadErrorKind;
pub use self::native::{NativeRefusal, WorkerEnd};
pub use self::wasm::WasmRefusal;

/// A cause that comes from a library below.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a plugin was not loaded, or a call failed.
///
/// `{}` shows the message alone, `{:#}` also its causes and the hint on one line, and `{:?}` the
/// same on several lines, so that an error that `main` returns can be read.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The artifact went to the loader of another kind.
    KindMismatch {
        /// The plugin's name.
        plugin: String,
        /// The kind that the loader loads.
        loader: PluginKind,
        /// The kind of the artifact.
        artifact: PluginKind,
    },
    /// The content is not a Wasm module that can run here.
    WasmRefused {
        /// The plugin's name.
        plugin: String,
        /// The rule that it breaks.
        #[source]
        reason: WasmRefusal,
    },
    /// The content is not a shared library that can be opened here. None of its code ran.
    NativeRefused {
        /// The plugin's name.
        plugin: String,
        /// The rule that it breaks.
        #[source]
        reason: NativeRefusal,
    },
    /// A right cannot be given as it is written.
    Grant {
        /// The plugin's name.
        plugin: String,
        /// The entry of [`crate::Allow`] or [`crate::Limits`].
        grant: String,
        /// What an entry must be.
        rule: &'static str,
        /// The error of the operating system, if there is one.
        source: Option<io::Error>,
    },
    /// This process gets too few threads or too little memory for the Wasm engine or its plugins.
    Engine {
        /// What the engine lacks.
        source: BoxError,
    },
    /// The compiler refused the module, although its sections looked right.
    Compile {
        /// The plugin's name.
        plugin: String,
        /// The error of the compiler.
        source: BoxError,
    },
    /// The module cannot be linked to the functions that it imports.
    Link {
        /// The plugin's name.
        plugin: String,
        /// The import, and what does not match.
        source: BoxError,
    },
    /// The module was not compiled in time. A compilation that has begun goes on in the background.
    CompileTimedOut {
        /// The plugin's name.
        plugin: String,
        /// The limit.
        limit: Duration,
        /// Whether a later load can succeed within the same limit. False if compiling this module
        /// took too long and there is no cache folder for the result.
        can_retry: bool,
    },
    /// The module could not be linked, its start function failed, or the library refused to start.
    Start {
        /// The plugin's name.
        plugin: String,
        /// What went wrong.
        source: BoxError,
    },
    /// The plugin has no function of that name that can be called.
    UnknownExport {
        /// The plugin's name.
        plugin: String,
        /// The name that was requested.
        export: String,
        /// The exports of the plugin.
        known: Vec<String>,
    },
    /// The library does not implement `qmt_plugin.h`, so only its symbols are available.
    NotCallable {
        /// The plugin's name.
        plugin: String,
    },
    /// The input is larger than the plugin's memory.
    InputTooLarge {
        /// The plugin's name.
        plugin: String,
        /// The input's size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The output is larger than the plugin's memory.
    OutputTooLarge {
        /// The plugin's name.
        plugin: String,
        /// The output's size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// All instances were busy for as long as the call may take.
    Busy {
        /// The plugin's name.
        plugin: String,
        /// How many there are.
        instances: usize,
        /// The limit.
        limit: Duration,
    },
    /// The call took too long and was stopped.
    TimedOut {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// The limit.
        limit: Duration,
    },
    /// The call used up its fuel and was stopped.
    OutOfFuel {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// The limit.
        limit: u64,
    },
    /// The call exceeded its memory limit and was stopped.
    OutOfMemory {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The plugin's code trapped, or a host function it called failed.
    Trapped {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// The trap.
        source: BoxError,
    },
    /// The plugin reported that the call failed.
    PluginFailed {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// The code that the export returned.
        code: i32,
        /// The plugin's message, escaped, at most 1,024 characters.
        message: String,
        /// The plugin's message as it wrote it, at most 64 KiB of it; empty if it reported none.
        detail: Bytes,
    },
    /// Input or output of [`call_json`](trait.Plugin.html#method.call_json) is no JSON of its type.
    Json {
        /// `input` or `output`.
        what: &'static str,
        /// The export.
        export: String,
        /// The error of the JSON library.
        source: BoxError,
    },
    /// The input or output of [`call_typed`](trait.Plugin.html#method.call_typed) is not of its type.
    #[cfg(feature = "convert")]
    Convert {
        /// `input` or `output`.
        what: &'static str,
        /// The export.
        export: String,
        /// The error of the encoding.
        source: BoxError,
    },
    /// Host code panicked during the call, or its thread could not run.
    Host {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// What happened to the thread.
        source: BoxError,
    },
    /// An earlier call of the lease trapped, was stopped, or exited, so that its state is lost.
    LeaseEnded {
        /// The plugin's name.
        plugin: String,
    },
    /// The loader of this plugin has no leases.
    NoLease {
        /// The plugin's kind.
        kind: PluginKind,
    },
    /// The plugin was unloaded.
    Unloaded {
        /// The plugin's name.
        plugin: String,
    },
    /// The content is not what its digest says.
    DigestMismatch {
        /// The plugin's name.
        plugin: String,
        /// What the artifact names.
        expected: Digest,
        /// What the copy hashes to.
        actual: Digest,
    },
    /// The operating system could not open the library. Its code may have begun to run.
    Open {
        /// The plugin's name.
        plugin: String,
        /// The error of the dynamic loader.
        source: BoxError,
    },
    /// The process has opened as many plugin libraries as it may; they are never unloaded.
    TooManyLibraries {
        /// The plugin's name.
        plugin: String,
        /// How many a process may open.
        limit: usize,
    },
    /// The library has no such symbol.
    MissingSymbol {
        /// The plugin's name.
        plugin: String,
        /// The name that was requested.
        symbol: String,
    },
    /// A symbol was requested as a type that is not the size of a pointer.
    SymbolType {
        /// The plugin's name.
        plugin: String,
        /// The name that was requested.
        symbol: String,
    },
    /// A symbol of a library that is open in another process.
    IsolatedSymbol {
        /// The plugin's name.
        plugin: String,
        /// The name that was requested.
        symbol: String,
    },
    /// The plugin cannot be isolated in a worker process. None of its code ran.
    Isolation {
        /// The plugin's name.
        plugin: String,
        /// The rule that is broken.
        rule: &'static str,
        /// The error of the operating system, if there is one.
        source: Option<io::Error>,
    },
    /// The kernel lacks parts of the confinement that the host requires. No code of the plugin ran.
    Unconfined {
        /// The plugin's name.
        plugin: String,
        /// The names of the missing parts.
        missing: String,
    },
    /// The worker process of an isolated plugin ended during the call. The next call starts another.
    WorkerEnded {
        /// The plugin's name.
        plugin: String,
        /// The export, or `(open)` while the library was opened.
        export: String,
        /// How it ended.
        end: WorkerEnd,
    },
    /// Worker processes failed so often that the next one may not start within the time of the
    /// call.
    WorkerPaused {
        /// The plugin's name.
        plugin: String,
        /// How many failed since the last call that succeeded.
        failures: u32,
        /// How long the pause lasts from now on.
        wait: Duration,
    },
    /// The library uses another version of `qmt_plugin.h`.
    AbiVersion {
        /// The plugin's name.
        plugin: String,
        /// The version of the library.
        found: u32,
        /// The version of this host.
        supported: u32,
    },
    /// The library is open with another configuration; it takes one in the life of a process.
    Configured {
        /// The plugin's name.
        plugin: String,
    },
    /// A file or folder of the loader could not be used.
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The folder is for code that is run unchecked, and other users can write to it.
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What it must be.
        rule: &'static str,
    },
}
