//! The rules that a Wasm module can break.

use std::collections::BTreeMap;

use qmt_oci_ref::text::counted;

use super::BoxError;
use super::text::suggested;

/// Why some bytes are not a Wasm module that can run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmRefusal {
    /// The magic number is missing.
    #[error("it does not begin with the Wasm magic `\\0asm`")]
    NotWasm,
    /// The text format.
    #[error("it is Wasm text; convert it with `wat2wasm`")]
    Text,
    /// A compressed file, or an archive.
    #[error("it is {format}, not the module itself; unpack it first")]
    Packed {
        /// What it is, such as "a gzip file".
        format: &'static str,
    },
    /// Precompiled code, which would have to be trusted as machine code.
    #[error("it is precompiled machine code (.cwasm); publish the module itself")]
    Precompiled,
    /// A component.
    #[error(
        "it is a Wasm component (WASI preview 2); only core modules are run, so build it for \
         wasm32-wasip1 or wasm32-unknown-unknown"
    )]
    Component,
    /// Another version of the format.
    #[error("it is version {version} of the Wasm format; this host runs version 1")]
    Version {
        /// The version found.
        version: u16,
    },
    /// Too many bytes.
    #[error("it has {}, more than the {limit} that a module may have", counted(*.size, "byte"))]
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
    /// The sections do not parse, or a function body breaks a rule of Wasm.
    #[error("it is not a valid module")]
    Malformed {
        /// Where and why, escaped.
        source: BoxError,
    },
    /// A feature that this host does not offer.
    #[error("it uses {feature}, which this host does not offer")]
    Feature {
        /// The feature.
        feature: &'static str,
    },
    /// It imports what the host does not offer.
    #[error("it imports what this host does not offer: {}", suggested(.missing))]
    MissingImports {
        /// `module.name` of each, and the offered function with the nearest name: `name` in the
        /// same module, otherwise `module.name`.
        missing: BTreeMap<String, Option<String>>,
    },
    /// A memory or table that is larger at its start than it may ever become.
    #[error("it starts with {size} {what}, more than the limit of {limit}; raise `{raise}`")]
    StartsTooLarge {
        /// What is too large: bytes of a memory, or elements of a table.
        what: &'static str,
        /// How many there are.
        size: u64,
        /// The limit.
        limit: u64,
        /// The name of the limit.
        raise: &'static str,
    },
}
