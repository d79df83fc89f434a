//! Why a plugin was not loaded, or a call not answered.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use qmt_oci_ref::Digest;

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

/// Why some bytes are no Wasm module that may run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmRefusal {
    /// Not even the magic number is there.
    #[error("it does not begin with the Wasm magic `\\0asm`")]
    NotWasm,
    /// The text format.
    #[error("it is WebAssembly text; compile it to the binary format first")]
    Text,
    /// Something that a compiler made of a module: running it would mean trusting it as machine code.
    #[error("it is precompiled machine code (.cwasm); publish the module itself")]
    Precompiled,
    /// A component.
    #[error("it is a WebAssembly component; Extism runs core modules")]
    Component,
    /// Another version of the format.
    #[error("it is version {version} of the Wasm format; this host runs version 1")]
    Version {
        /// The version found.
        version: u16,
    },
    /// Too many bytes.
    #[error("it has {size} bytes, more than the {limit} that a module may have")]
    TooLarge {
        /// The size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Too many of something.
    #[error("it has {count} {what}, more than the {limit} that are allowed")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// The sections do not parse.
    #[error("its sections cannot be read")]
    Malformed {
        /// Where and why.
        source: BoxError,
    },
    /// A feature that this host does not offer.
    #[error("it uses {feature}, which this host does not offer")]
    Feature {
        /// The feature.
        feature: &'static str,
    },
    /// It imports what the host does not offer.
    #[error("it imports what this host does not offer: {}", listed(.missing))]
    MissingImports {
        /// `module.name` of each.
        missing: Vec<String>,
    },
    /// A memory or table that is larger at its start than it may ever become.
    #[error("it starts with {what} of {size}, more than the limit of {limit}")]
    StartsTooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes or elements.
        size: u64,
        /// The limit in the same unit.
        limit: u64,
    },
}

/// Why some bytes are no shared library that may be opened here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeRefusal {
    /// None of the formats we know.
    #[error("it is no ELF, Mach-O or PE file")]
    UnknownFormat,
    /// Too many bytes.
    #[error("it has {size} bytes, more than the {limit} that a library may have")]
    TooLarge {
        /// The size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Made for another system.
    #[error("it is made for {found}, and this host is {expected}")]
    WrongPlatform {
        /// What the file is made for.
        found: String,
        /// What runs here.
        expected: String,
    },
    /// An executable, an object file, a core dump.
    #[error("it is {found}, not a shared library")]
    NotALibrary {
        /// What it is.
        found: &'static str,
    },
    /// A table or segment lies outside of the file, or contradicts another one.
    #[error("it is damaged or truncated: {what}")]
    Malformed {
        /// What does not hold.
        what: &'static str,
    },
    /// It says itself where its libraries are searched.
    #[error(
        "it carries the library search path `{path}` (RPATH or RUNPATH), by which it could load what nobody verified; link without it"
    )]
    SearchPath {
        /// The path.
        path: String,
    },
    /// It needs a library that is not on the list.
    #[error(
        "it needs `{library}`, which is not on the list of libraries that plugins may need; link it statically, or allow it"
    )]
    Library {
        /// The library.
        library: String,
    },
    /// It makes the stack executable.
    #[error("it asks for an executable stack; link with `-z noexecstack`")]
    ExecutableStack,
    /// Its code is patched while it is loaded.
    #[error("its code must be changed to load it (text relocations); compile with `-fPIC`")]
    TextRelocations,
    /// Memory that is writable and executable.
    #[error("it has a segment that is writable and executable at once")]
    WritableCode,
    /// It speaks another version of `qmt_plugin.h`.
    #[error("it speaks version {found} of the plugin ABI, this host speaks {supported}")]
    AbiVersion {
        /// What the file says.
        found: u32,
        /// What we speak.
        supported: u32,
    },
    /// It implements a part of `qmt_plugin.h`.
    #[error(
        "it exports `qmt_plugin_call` but not `{missing}`; a plugin implements all of `qmt_plugin.h`"
    )]
    IncompleteAbi {
        /// The first function that is missing.
        missing: &'static str,
    },
    /// A name of `qmt_plugin.h` is data where it must be a function, or the other way round.
    #[error("its symbol `{symbol}` is not {expected}")]
    SymbolKind {
        /// The symbol.
        symbol: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

/// Names at most ten of `names`, so that a message stays readable.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", shown(name)))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text += " and ";
        text += &(names.len() - SHOWN).to_string();
        text += " more";
    }
    text
}

/// The bytes of a plugin's own words that are shown.
pub(crate) const SHOWN_MAX: usize = 1024;

/// Makes text that a plugin chose fit to be shown: control characters escaped, cut at 1 KiB.
pub(crate) fn shown(text: &str) -> String {
    let mut result = String::new();
    for character in text.chars() {
        if result.len() >= SHOWN_MAX {
            result.push('…');
            break;
        }
        // Bidirectional controls can reorder what a reader sees, as ANSI escapes can.
        let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if reorders || (character.is_control() && character != '\t') {
            result.extend(character.escape_unicode());
        } else {
            result.push(character);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WASM-10: ANSI escapes never reach a terminal.
    #[test]
    fn text_of_a_plugin_is_escaped_and_cut() {
        assert_eq!(shown("a\u{1b}[31mb\tc\nd"), "a\\u{1b}[31mb\tc\\u{a}d");
        assert_eq!(shown("\u{202e}gnp"), "\\u{202e}gnp");
        assert_eq!(shown(&"x".repeat(SHOWN_MAX)).len(), SHOWN_MAX);
        assert_eq!(
            shown(&"x".repeat(SHOWN_MAX + 1)).len(),
            SHOWN_MAX + '…'.len_utf8()
        );
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed(&[]), "none");
        let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        assert!(listed(&names[..10]).ends_with("`9`"));
        assert!(listed(&names).ends_with("`9` and 1 more"));
    }
}
