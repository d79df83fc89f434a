//! Validates a whole module, function bodies included, against the features that the engine offers.

use wasmparser::{Error, Validator, WasmFeatures};

use super::{header, malformed};
use crate::error::WasmRefusal;

pub(super) const EXTERN_REFS: &str = "references to objects of the host (externref)";

/// Features that the engine does not offer, each with those that it builds on, which are listed
/// before it, and their names in messages.
pub(super) const NOT_OFFERED: [(WasmFeatures, &str); 16] = [
    (WasmFeatures::GC_TYPES, EXTERN_REFS),
    (WasmFeatures::RELAXED_SIMD, "relaxed SIMD"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::MEMORY64, "64-bit memories or tables"),
    (WasmFeatures::MULTI_MEMORY, "more than one memory"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes"),
    (WasmFeatures::MEMORY_CONTROL, "memory control"),
    (WasmFeatures::COMPACT_IMPORTS, "compact imports"),
    (
        WasmFeatures::THREADS,
        "threads (atomics and shared memories)",
    ),
    (
        WasmFeatures::EXCEPTIONS,
        "exception handling (try_table, throw)",
    ),
    (LEGACY_EXCEPTIONS, "legacy exception handling (try)"),
    (
        WasmFeatures::FUNCTION_REFERENCES,
        "typed function references (call_ref)",
    ),
    (OBJECTS, "garbage-collected objects"),
    (DESCRIPTORS, "custom descriptors"),
    (CONTINUATIONS, "stack switching"),
    (SHARED, "shared-everything threads"),
];
const LEGACY_EXCEPTIONS: WasmFeatures =
    WasmFeatures::LEGACY_EXCEPTIONS.union(WasmFeatures::EXCEPTIONS);
const OBJECTS: WasmFeatures = WasmFeatures::GC
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::FUNCTION_REFERENCES);
const DESCRIPTORS: WasmFeatures = WasmFeatures::CUSTOM_DESCRIPTORS.union(OBJECTS);
const CONTINUATIONS: WasmFeatures = WasmFeatures::STACK_SWITCHING
    .union(WasmFeatures::EXCEPTIONS)
    .union(OBJECTS);
const SHARED: WasmFeatures = WasmFeatures::SHARED_EVERYTHING_THREADS
    .union(WasmFeatures::THREADS)
    .union(OBJECTS);

/// Returns the features that the engine offers.
pub(in crate::wasm) fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::FLOATS
}

/// Validates the module `bytes`.
///
/// A valid module is read once. One that is not valid under any features is read twice, and one
/// that uses a feature which is not offered is read to its end three times in most cases.
pub(in crate::wasm) fn validate(bytes: &[u8]) -> Result<(), WasmRefusal> {
    header(bytes)?;
    let Err(error) = validate_with(WasmFeatures::empty(), bytes) else {
        return Ok(());
    };
    let all = NOT_OFFERED
        .iter()
        .fold(WasmFeatures::empty(), |all, (feature, _)| all | *feature);
    validate_with(all, bytes).map_err(malformed)?;
    match missing(bytes, &error) {
        Some(feature) => Err(WasmRefusal::Feature { feature }),
        None => Err(malformed(error)),
    }
}

/// Returns the feature without which `bytes` fail with `error`: the first that alone makes them
/// valid. Where several are missing, it is the first with which validation gets past the error.
fn missing(bytes: &[u8], error: &Error) -> Option<&'static str> {
    // The parser knows it for most features; the others need no pass then.
    let hint = error.missing_wasm_feature();
    let mut first = None;
    for (feature, name) in NOT_OFFERED {
        if hint.is_some_and(|hint| !feature.contains(hint)) {
            continue;
        }
        match validate_with(feature, bytes) {
            Ok(()) => return Some(name),
            Err(other) if is_same(&other, error) => {}
            Err(_) => first = first.or(Some(name)),
        }
    }
    first
}

fn is_same(one: &Error, other: &Error) -> bool {
    one.offset() == other.offset() && one.message() == other.message()
}

/// Validates with the features that are offered and `more`.
fn validate_with(more: WasmFeatures, bytes: &[u8]) -> Result<(), Error> {
    let mut validator = Validator::new_with_features(features() | more);
    validator.validate_all(bytes).map(drop)
}
