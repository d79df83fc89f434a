//! One module per feature that is not offered, and the nearest one that does without it.

use wasmparser::{Validator, WasmFeatures};

use super::*;

fn validated(text: &str) -> Result<(), WasmRefusal> {
    validate(&wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// WASM-03: a feature that is not offered is named, and what does without it is accepted.
#[test]
fn features_that_are_not_offered_are_named() {
    let objects = "garbage-collected objects";
    let references = "typed function references (call_ref)";
    let exceptions = "exception handling (try_table, throw)";
    let threads = "threads (atomics and shared memories)";
    let wide = "64-bit memories or tables";
    for (feature, uses, does_not) in [
        (
            objects,
            "(module (type $s (struct (field i32))) (func (drop (struct.new_default $s))))",
            "(module (type $s (func (param i32))) (func (drop (i32.const 0))))",
        ),
        (
            objects,
            "(module (type $a (array i8))
                (func (drop (array.new_default $a (i32.const 1)))))",
            "(module (memory 1) (func (drop (i32.load8_u (i32.const 1)))))",
        ),
        (
            objects,
            "(module (func (drop (ref.i31 (i32.const 1)))))",
            "(module (func (drop (ref.null func))))",
        ),
        (
            references,
            "(module (type $t (func)) (func $f) (elem declare func $f)
                (func (call_ref $t (ref.func $f))))",
            "(module (type $t (func)) (func $f) (table funcref (elem $f))
                (func (call_indirect (type $t) (i32.const 0))))",
        ),
        (
            references,
            "(module (type $t (func)) (func $f) (elem declare func $f)
                (func (return_call_ref $t (ref.func $f))))",
            "(module (type $t (func)) (func $f) (table funcref (elem $f))
                (func (return_call_indirect (type $t) (i32.const 0))))",
        ),
        (
            references,
            "(module (type $t (func)) (func (param (ref null $t))))",
            "(module (type $t (func)) (func (param funcref)))",
        ),
        (
            exceptions,
            "(module (tag $e) (func (block $h (try_table (catch_all $h) (throw $e)))))",
            "(module (func (block $h (block (br $h)))))",
        ),
        (
            exceptions,
            "(module (tag $e) (func (throw $e)))",
            "(module (func (unreachable)))",
        ),
        (
            "legacy exception handling (try)",
            "(module (func try catch_all end))",
            "(module (func (block)))",
        ),
        (
            threads,
            "(module (memory 1 1 shared) (func (drop (i32.atomic.load (i32.const 0)))))",
            "(module (memory 1 1) (func (drop (i32.load (i32.const 0)))))",
        ),
        (
            threads,
            "(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))",
            "(module (memory 1) (func (drop (i32.load (i32.const 0)))))",
        ),
        (
            threads,
            "(module (memory 1 1 shared))",
            "(module (memory 1 1))",
        ),
        (
            "shared-everything threads",
            "(module (global (shared i32) (i32.const 0)))",
            "(module (global i32 (i32.const 0)))",
        ),
        (wide, "(module (memory i64 1))", "(module (memory i32 1))"),
        (
            wide,
            "(module (table i64 1 funcref))",
            "(module (table i32 1 funcref))",
        ),
        (
            "more than one memory",
            "(module (memory 1) (memory $m 1) (func (drop (memory.size $m))))",
            "(module (memory $m 1) (func (drop (memory.size $m))))",
        ),
        (
            "relaxed SIMD",
            "(module (func (param v128) (drop
                (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))))",
            "(module (func (param v128) (drop (i8x16.swizzle (local.get 0) (local.get 0)))))",
        ),
        (
            "custom page sizes",
            "(module (memory 1 (pagesize 1)))",
            "(module (memory 1))",
        ),
        (
            "stack switching",
            "(module (type $f (func)) (type $c (cont $f)) (func $g (type $f))
                (elem declare func $g) (func (drop (cont.new $c (ref.func $g)))))",
            "(module (type $f (func)) (func $g (type $f))
                (elem declare func $g) (func (drop (ref.func $g))))",
        ),
        (
            "wide arithmetic",
            "(module (func (result i64 i64) (i64.add128
                (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0))))",
            "(module (func (result i64) (i64.add (i64.const 0) (i64.const 0))))",
        ),
        (
            "memory control",
            "(module (memory 1) (func (memory.discard (i32.const 0) (i32.const 0))))",
            "(module (memory 1)
                (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))",
        ),
        (
            "references to objects of the host (externref)",
            "(module (table 1 externref))",
            "(module (table 1 funcref))",
        ),
        (
            "references to objects of the host (externref)",
            "(module (func (param externref)))",
            "(module (func (param funcref)))",
        ),
        (
            exceptions,
            "(module (func (param exnref) (throw_ref (local.get 0))))",
            "(module (func (unreachable)))",
        ),
        (
            "legacy exception handling (try)",
            "(module (tag $e) (func try (throw $e) catch $e end))",
            "(module (func (block (br 0))))",
        ),
    ] {
        match validated(uses) {
            Err(WasmRefusal::Feature { feature: named }) => assert_eq!(named, feature, "{uses}"),
            other => panic!("{uses}: {other:?}"),
        }
        validated(does_not).unwrap_or_else(|error| panic!("{does_not}: {error:?}"));
    }
    let component = validated("(component)");
    assert!(matches!(component, Err(WasmRefusal::Component)));
    validated("(module)").unwrap();
}

/// WASM-03: each feature that the engine offers, in a module that is not valid without it.
#[test]
fn features_that_are_offered_pass() {
    for (feature, module) in [
        (
            WasmFeatures::MUTABLE_GLOBAL,
            r#"(module (global (export "g") (mut i32) (i32.const 0)))"#,
        ),
        (
            WasmFeatures::SATURATING_FLOAT_TO_INT,
            "(module (func (drop (i32.trunc_sat_f32_s (f32.const 0)))))",
        ),
        (
            WasmFeatures::SIGN_EXTENSION,
            "(module (func (drop (i32.extend8_s (i32.const 0)))))",
        ),
        (
            WasmFeatures::REFERENCE_TYPES,
            "(module (table 1 funcref) (func (drop (table.size 0))))",
        ),
        (
            WasmFeatures::MULTI_VALUE,
            "(module (func (result i32 i32) (i32.const 0) (i32.const 0)))",
        ),
        (
            WasmFeatures::BULK_MEMORY,
            "(module (memory 1)
                (func (memory.copy (i32.const 0) (i32.const 0) (i32.const 0))))",
        ),
        (
            WasmFeatures::SIMD,
            "(module (func (drop (i32x4.splat (i32.const 0)))))",
        ),
        (
            WasmFeatures::TAIL_CALL,
            "(module (func $f (return_call $f)))",
        ),
        (
            WasmFeatures::EXTENDED_CONST,
            "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))",
        ),
        (WasmFeatures::FLOATS, "(module (func (drop (f64.const 0))))"),
    ] {
        validated(module).unwrap_or_else(|error| panic!("{module}: {error:?}"));
        let bytes = wat::parse_str(module).unwrap();
        let mut without = Validator::new_with_features(features() - feature);
        assert!(without.validate_all(&bytes).is_err(), "{module}");
    }
}

/// Of several features that are not offered, the error names the first.
#[test]
fn the_first_of_several_features_is_named() {
    for (module, expected) in [
        (
            "(module (memory i64 1) (table 1 externref) (tag))",
            "references to objects of the host (externref)",
        ),
        (
            "(module (memory i64 1) (tag $e) (func try (throw $e) catch $e end))",
            "64-bit memories or tables",
        ),
        (
            "(module (func (param v128) (drop
                (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))
                (func try catch_all end))",
            "relaxed SIMD",
        ),
    ] {
        match validated(module) {
            Err(WasmRefusal::Feature { feature }) => assert_eq!(feature, expected, "{module}"),
            other => panic!("{module}: {other:?}"),
        }
    }
}

/// WASM-10: names of exports do not reach a terminal as they are.
#[test]
fn messages_are_escaped() {
    let refused = validated(r#"(module (func (export "\1b[31m")) (func (export "\1b[31m")))"#);
    match refused {
        Err(WasmRefusal::Malformed { source }) => {
            let message = source.to_string();
            assert!(message.contains("\\u{1b}[31m"), "{message}");
            assert!(!message.contains('\u{1b}'), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

/// A feature of a newer parser is offered, named, or of components.
#[test]
fn the_lists_of_features_are_complete() {
    let components = WasmFeatures::all()
        .iter_names()
        .filter(|(name, _)| name.starts_with("CM") || *name == "COMPONENT_MODEL")
        .fold(WasmFeatures::empty(), |all, (_, feature)| all | feature);
    let named = super::super::validate::NOT_OFFERED
        .into_iter()
        .fold(WasmFeatures::empty(), |all, (feature, _)| all | feature);
    assert_eq!(features() & (named | components), WasmFeatures::empty());
    assert_eq!(features() | named | components, WasmFeatures::all());
}

/// WASM-04: what is not valid under any features is malformed, whatever features it uses.
#[test]
fn invalid_modules_are_malformed() {
    for module in [
        "(module (func (result i32)))",
        "(module (func (drop (i32.add (i32.const 0) (i64.const 0)))))",
        "(module (tag) (func (result i32)))",
        "(module (memory i64 1) (func (drop (i32.load (i32.const 0)))))",
    ] {
        let refused = validated(module);
        assert!(
            matches!(refused, Err(WasmRefusal::Malformed { .. })),
            "{module}: {refused:?}"
        );
    }
    let bytes = wat::parse_str("(module (func (result i32) (i32.const 7)))").unwrap();
    validate(&bytes).unwrap();
    for len in 9..bytes.len() {
        // A cut after the types leaves a module.
        let cut = validate(&bytes[..len]);
        let expected = matches!(cut, Ok(()) | Err(WasmRefusal::Malformed { .. }));
        assert!(expected, "{len}: {cut:?}");
    }
}
