//! The rules that a shared library can break.

use qmt_oci_ref::text::counted;

/// Why some bytes are not a shared library that can be opened here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeRefusal {
    /// None of the formats we know.
    #[error("it is not an ELF, Mach-O or PE file")]
    UnknownFormat,
    /// Too many bytes.
    #[error("it has {}, more than `library_max`, which is {limit}", counted(*.size, "byte"))]
    TooLarge {
        /// The size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Made for another system.
    #[error("it is built for {found}, this host is {expected}")]
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
    /// It sets the search path of its libraries.
    #[error(
        "it carries the library search path `{path}` (RPATH or RUNPATH), by which it could load unverified code; link without it"
    )]
    SearchPath {
        /// The path.
        path: String,
    },
    /// It requires a library that is not on the list.
    #[error(
        "it requires `{library}`, which is not on the list of allowed libraries; link it statically, or allow it with `allow.libraries`"
    )]
    Library {
        /// The library.
        library: String,
    },
    /// It makes the stack executable.
    #[error("it requests an executable stack; link with `-z noexecstack`")]
    ExecutableStack,
    /// Its code is patched while it is loaded.
    #[error("its code must be changed to load it (text relocations); compile with `-fPIC`")]
    TextRelocations,
    /// Memory that is writable and executable.
    #[error(
        "it has a segment that is writable and executable; link without `-N` (`--omagic`), and without a linker script that merges code and data"
    )]
    WritableCode,
    /// It uses another version of `qmt_plugin.h`.
    #[error("it uses version {found} of the plugin ABI, this host uses {supported}")]
    AbiVersion {
        /// The version of the library.
        found: u32,
        /// The version of this host.
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

/// How the worker process of an isolated native plugin ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerEnd {
    /// It exited by itself.
    #[error("it exited with {code}")]
    Exited {
        /// The exit code.
        code: i32,
    },
    /// A signal ended it: an abort, a fault of its code, or a limit of processor time.
    #[error("signal {signal} ended it")]
    Killed {
        /// The number of the signal, such as 6 (abort) or 11 (segmentation fault).
        signal: i32,
    },
    /// It closed its connection to the host and was ended.
    #[error("it closed its connection to the host")]
    Disconnected,
    /// It sent a message that is not valid at this point, and was ended.
    #[error("it sent {what}")]
    Invalid {
        /// What it sent.
        what: &'static str,
    },
}
