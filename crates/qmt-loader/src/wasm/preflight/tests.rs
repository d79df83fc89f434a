//! One module per rule, at its limit and one above.

mod missing;
mod validate;

use super::*;

fn check(text: &str) -> Result<Preflight, WasmRefusal> {
    preflight(&wat::parse_str(text).unwrap(), &BTreeSet::new(), None)
}

fn many(item: &str, count: u64) -> String {
    item.repeat(usize::try_from(count).unwrap())
}

#[test]
fn exports_that_can_be_called_are_found_by_their_signatures() {
    let preflight = check(
        r#"(module
            (import "extism:host/env" "alloc" (func (param i64) (result i64)))
            (memory (export "memory") 1)
            (func (export "b") (result i32) (i32.const 0))
            (func (export "a"))
            (func (export "long") (result i64) (i64.const 0))
            (func (export "two") (result i32 i32) (i32.const 0) (i32.const 0))
            (func (export "parameter") (param i32))
            (func (export "_initialize"))
            (func (export "__wasm_call_ctors"))
            (export "alloc" (func 0)))"#,
    )
    .unwrap();
    assert_eq!(preflight.exports, ["a", "b"]);
    assert_eq!(preflight.imports, ["extism:host/env.alloc"]);
    assert!(!preflight.wasi);
}

#[test]
fn wasi_is_seen() {
    let module =
        r#"(module (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32))))"#;
    assert!(check(module).unwrap().wasi);
}

/// WASM-03, WASM-04: counts, each at its limit and one above.
#[test]
fn counts_are_limited() {
    let module = |body: String| format!("(module (type (func)) {body})");
    let cases: [(&str, &str, u64); 5] = [
        ("functions", "(func)", FUNCTIONS_MAX),
        ("globals", "(global i32 (i32.const 0))", GLOBALS_MAX),
        ("tables", "(table 0 funcref)", TABLES_MAX),
        ("memories", "(memory 0)", MEMORIES_MAX),
        ("data segments", "(data \"\")", SEGMENTS_MAX),
    ];
    for (name, item, limit) in cases {
        check(&module(many(item, limit))).unwrap();
        match check(&module(many(item, limit + 1))).unwrap_err() {
            WasmRefusal::TooMany { what, count, .. } => {
                assert_eq!((what, count), (name, limit + 1));
            }
            other => panic!("{other:?}"),
        }
    }
    let import = r#"(import "extism:host/env" "alloc" (func (param i64) (result i64)))"#;
    check(&module(many(import, IMPORTS_MAX))).unwrap();
    let error = check(&module(many(import, IMPORTS_MAX + 1))).unwrap_err();
    assert!(
        matches!(
            error,
            WasmRefusal::TooMany {
                what: "imports",
                ..
            }
        ),
        "{error:?}"
    );
    let exports = |count: u64| {
        let exports = (0..count).map(|name| format!("(export \"{name}\" (func 0))"));
        let exports = exports.collect::<Vec<_>>().concat();
        module(format!("(func) {exports}"))
    };
    check(&exports(EXPORTS_MAX)).unwrap();
    let error = check(&exports(EXPORTS_MAX + 1)).unwrap_err();
    assert!(
        matches!(
            error,
            WasmRefusal::TooMany {
                what: "exports",
                ..
            }
        ),
        "{error:?}"
    );
    let types = |count: u64| format!("(module {})", many("(type (func))", count));
    check(&types(TYPES_MAX)).unwrap();
    let error = check(&types(TYPES_MAX + 1)).unwrap_err();
    assert!(
        matches!(error, WasmRefusal::TooMany { what: "types", .. }),
        "{error:?}"
    );
}

/// WASM-03: features that would open another way to memory, or to the host's.
#[test]
fn features_that_are_not_offered_are_refused() {
    for (module, expected) in [
        ("(module (memory i64 1))", "64-bit memories"),
        ("(module (memory 1 2 shared))", "shared memories (threads)"),
        ("(module (memory 1 (pagesize 1)))", "custom page sizes"),
        ("(module (table i64 1 funcref))", "64-bit tables"),
        (
            "(module (type (func)) (table 1 (ref null 0)))",
            "tables of typed references",
        ),
        (
            "(module (table 1 externref))",
            "references to objects of the host (externref)",
        ),
        ("(module (type (struct)))", "garbage-collected objects"),
        ("(module (type (array i8)))", "garbage-collected objects"),
        ("(module (tag))", "exception handling"),
        (
            r#"(module (import "extism:host/env" "memory" (memory 1)))"#,
            "an imported memory",
        ),
        (
            r#"(module (import "extism:host/env" "t" (table 1 funcref)))"#,
            "an imported table",
        ),
        (
            r#"(module (import "extism:host/env" "g" (global i64)))"#,
            "an imported global",
        ),
    ] {
        match check(module).unwrap_err() {
            WasmRefusal::Feature { feature } => assert_eq!(feature, expected, "{module}"),
            other => panic!("{module}: {other:?}"),
        }
    }
    check("(module (memory 1) (table 1 funcref) (table 1 funcref))").unwrap();
}

/// WASM-04: cut anywhere, a module is an error and no panic.
#[test]
fn cut_modules_are_refused() {
    let module = wat::parse_str(
        r#"(module
            (import "extism:host/env" "alloc" (func (param i64) (result i64)))
            (memory (export "memory") 1) (table 3 funcref) (global i32 (i32.const 1))
            (func (export "f") (result i32) (i32.const 0)) (elem (i32.const 0) 0) (data "x"))"#,
    )
    .unwrap();
    preflight(&module, &BTreeSet::new(), None).unwrap();
    for len in 0..module.len() {
        // A cut between two sections leaves a module; wasmtime says what it lacks.
        if let Err(error) = preflight(&module[..len], &BTreeSet::new(), None) {
            let expected = matches!(error, WasmRefusal::NotWasm | WasmRefusal::Malformed { .. });
            assert!(expected, "{len}: {error:?}");
        }
    }
    for spot in 8..module.len() {
        let mut module = module.clone();
        module[spot] ^= 0xff;
        let _ = preflight(&module, &BTreeSet::new(), None);
    }
}
