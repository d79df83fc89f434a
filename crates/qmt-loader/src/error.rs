//! Why a plugin was not loaded, or a call failed.

mod kind;
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
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The artifact went to the loader of another kind.
    #[error("plugin `{plugin}` is {artifact}, and this loader loads {loader} plugins")]
    KindMismatch {
        /// The plugin's name.
        plugin: String,
        /// The kind that the loader loads.
        loader: PluginKind,
        /// The kind of the artifact.
        artifact: PluginKind,
    },
    /// The content is not a Wasm module that can run here.
    #[error("plugin `{plugin}` is refused as a Wasm plugin")]
    WasmRefused {
        /// The plugin's name.
        plugin: String,
        /// The rule that it breaks.
        #[source]
        reason: WasmRefusal,
    },
    /// The content is not a shared library that can be opened here. None of its code ran.
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
        /// The error of the operating system, if there is one.
        source: Option<io::Error>,
    },
    /// This process gets too few threads or too little memory for the Wasm engine or its plugins.
    #[error("the Wasm engine cannot run in this process")]
    Engine {
        /// What the engine lacks.
        source: BoxError,
    },
    /// The compiler refused the module, although its sections looked right.
    #[error("plugin `{plugin}` does not compile")]
    Compile {
        /// The plugin's name.
        plugin: String,
        /// The error of the compiler.
        source: BoxError,
    },
    /// The module cannot be linked to the functions that it imports.
    #[error("plugin `{plugin}` does not fit the functions of this host")]
    Link {
        /// The plugin's name.
        plugin: String,
        /// The import, and what does not match.
        source: BoxError,
    },
    /// The module was not compiled in time. A compilation that has begun goes on in the background.
    #[error(
        "plugin `{plugin}` was not compiled within {limit:?}; the host can raise `Limits::compile_timeout`"
    )]
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
    #[error("plugin `{plugin}` does not start")]
    Start {
        /// The plugin's name.
        plugin: String,
        /// What went wrong.
        source: BoxError,
    },
    /// The plugin has no function of that name that can be called.
    #[error("plugin `{plugin}` has no export `{export}`; it has: {}", text::known(.export, .known))]
    UnknownExport {
        /// The plugin's name.
        plugin: String,
        /// The name that was requested.
        export: String,
        /// The exports of the plugin.
        known: Vec<String>,
    },
    /// The library does not implement `qmt_plugin.h`, so only its symbols are available.
    #[error("plugin `{plugin}` has no `qmt_plugin_call`: the host can only use its symbols")]
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
        /// The export.
        export: String,
        /// The limit.
        limit: Duration,
    },
    /// The call used up its fuel and was stopped.
    #[error("`{export}` of plugin `{plugin}` ran out of its {limit} units of fuel")]
    OutOfFuel {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// The limit.
        limit: u64,
    },
    /// The call exceeded its memory limit and was stopped.
    #[error(
        "`{export}` of plugin `{plugin}` needs more than the {limit} bytes of memory it may use"
    )]
    OutOfMemory {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The plugin's code trapped, or a host function it called failed.
    #[error("`{export}` of plugin `{plugin}` trapped")]
    Trapped {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// The trap.
        source: BoxError,
    },
    /// The plugin reported that the call failed.
    #[error("`{export}` of plugin `{plugin}` failed: {message}")]
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
    #[error("the {what} of `{export}` is not JSON of the type of the call")]
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
    #[error("the {what} of `{export}` cannot be converted to the type of the call")]
    Convert {
        /// `input` or `output`.
        what: &'static str,
        /// The export.
        export: String,
        /// The error of the encoding.
        source: BoxError,
    },
    /// Host code panicked during the call, or its thread could not run.
    #[error("the host failed while it called `{export}` of plugin `{plugin}`")]
    Host {
        /// The plugin's name.
        plugin: String,
        /// The export.
        export: String,
        /// What happened to the thread.
        source: BoxError,
    },
    /// An earlier call of the lease trapped, was stopped, or exited, so that its state is lost.
    #[error("the lease of plugin `{plugin}` ended when a call failed or exited; take a new one")]
    LeaseEnded {
        /// The plugin's name.
        plugin: String,
    },
    /// The loader of this plugin has no leases.
    #[error("this loader of {kind} plugins has no leases")]
    NoLease {
        /// The plugin's kind.
        kind: PluginKind,
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
        /// The error of the dynamic loader.
        source: BoxError,
    },
    /// The process has opened as many plugin libraries as it may; they are never unloaded.
    #[error(
        "plugin `{plugin}` can't be opened: this process has {limit} libraries open, and none is ever closed; restart the host"
    )]
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
        /// The name that was requested.
        symbol: String,
    },
    /// A symbol was requested as a type that is not the size of a pointer.
    #[error("symbol `{symbol}` of plugin `{plugin}` was requested as a type that is not a pointer")]
    SymbolType {
        /// The plugin's name.
        plugin: String,
        /// The name that was requested.
        symbol: String,
    },
    /// A symbol of a library that is open in another process.
    #[error(
        "symbol `{symbol}` of plugin `{plugin}` cannot be used: the plugin is isolated in another process; load it with `Isolation::InProcess` (`native = \"in-process\"`)"
    )]
    IsolatedSymbol {
        /// The plugin's name.
        plugin: String,
        /// The name that was requested.
        symbol: String,
    },
    /// The plugin cannot be isolated in a worker process. None of its code ran.
    #[error("plugin `{plugin}` cannot be isolated: {rule}")]
    Isolation {
        /// The plugin's name.
        plugin: String,
        /// The rule that is broken.
        rule: &'static str,
        /// The error of the operating system, if there is one.
        source: Option<io::Error>,
    },
    /// The kernel lacks parts of the confinement that the host requires. No code of the plugin ran.
    #[error(
        "plugin `{plugin}` cannot be isolated: the kernel lacks required parts of the confinement: {missing}"
    )]
    Unconfined {
        /// The plugin's name.
        plugin: String,
        /// The names of the missing parts.
        missing: String,
    },
    /// The worker process of an isolated plugin ended during the call. The next call starts another.
    #[error("the process of plugin `{plugin}` ended during `{export}`: {end}")]
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
    #[error(
        "plugin `{plugin}` is paused for {wait:?}, because {failures} of its processes failed in a row"
    )]
    WorkerPaused {
        /// The plugin's name.
        plugin: String,
        /// How many failed since the last call that succeeded.
        failures: u32,
        /// How long the pause lasts from now on.
        wait: Duration,
    },
    /// The library uses another version of `qmt_plugin.h`.
    #[error("plugin `{plugin}` uses version {found} of the plugin ABI, this host uses {supported}")]
    AbiVersion {
        /// The plugin's name.
        plugin: String,
        /// The version of the library.
        found: u32,
        /// The version of this host.
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
    /// A file or folder of the loader could not be used.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The folder is for code that is run unchecked, and other users can write to it.
    #[error("`{}` is not private: {rule}", .path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What it must be.
        rule: &'static str,
    },
}
