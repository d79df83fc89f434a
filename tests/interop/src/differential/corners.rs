//! The corners of the ABI, by hand: calls of `traps.wat`, and small modules.

use std::time::Duration;

use super::host::{Call, Module};

/// A module and the calls of it.
pub(super) struct Case {
    pub(super) module: Module,
    pub(super) calls: Vec<Call>,
}

/// Names begin with this.
pub(super) const GROUP: &str = "corner/";

/// Sequences of calls of `traps.wat` that say more than one call; each export is also called alone.
type Sequence = (&'static str, &'static [(&'static str, &'static [u8])]);

const SEQUENCES: &[Sequence] = &[
    (
        "input of 7 bytes",
        &[("input_tail", b"1234567"), ("input_whole", b"1234567")],
    ),
    (
        "input of 8 bytes",
        &[("input_tail", b"12345678"), ("input_whole", b"12345678")],
    ),
    (
        "input as output",
        &[("input_as_output", b"x"), ("input_as_output", b"")],
    ),
    (
        "input by handle",
        &[("input_by_handle", b"xyz"), ("input_freed", b"xyz")],
    ),
    ("config present", &[("config", b"present")]),
    ("config empty", &[("config", b"empty")]),
    ("config absent", &[("config", b"nothing")]),
    (
        "config of a word",
        &[("config", "schl\u{fc}ssel".as_bytes())],
    ),
    (
        "variable kept",
        &[("set", b"value"), ("get", b""), ("get", b"")],
    ),
    (
        "variable replaced",
        &[("set", b"1"), ("set", b"22"), ("get", b"")],
    ),
    (
        "variable removed",
        &[
            ("set", b"1"),
            ("remove", b""),
            ("get", b""),
            ("remove", b""),
        ],
    ),
    (
        "variable set to nothing",
        &[("set", b"1"), ("set", b""), ("get", b"")],
    ),
    (
        "variable of no name",
        &[("set_of_null", b""), ("get_of_null", b"")],
    ),
    (
        "variable is its own key",
        &[("set_to_its_own_key", b""), ("get", b"")],
    ),
    ("variable after a wrong one", &[("set_freed_value", b"key")]),
    (
        "variable after an error",
        &[("set", b"1"), ("error_with_success", b""), ("get", b"")],
    ),
    (
        "error is not kept",
        &[("error_is_not_kept", b""), ("error_is_not_kept", b"x")],
    ),
    (
        "output is not kept",
        &[
            ("output_with_code", b""),
            ("output_freed", b""),
            ("log_null", b""),
        ],
    ),
    (
        "an instance lasts",
        &[
            ("count", b""),
            ("count", b""),
            ("code", b""),
            ("count", b""),
        ],
    ),
    (
        "an instance lasts after failures",
        &[("count_then_fail", b""), ("count", b"")],
    ),
    (
        "a command ends its instance",
        &[("count", b""), ("_start", b""), ("count", b"")],
    ),
    (
        "a command ends its variables",
        &[("set", b"1"), ("_start", b""), ("get", b"")],
    ),
    ("log of lines", &[("log_input", b"one\ntwo\x1b[2J\tthree")]),
    ("log of much", &[("log_input", &[b'x'; 100_000])]),
    (
        "request to a host that is not granted",
        &[(
            "request_of_input",
            br#"{"url":"http://127.0.0.1:1/","method":"GET","headers":{}}"#,
        )],
    ),
    (
        "request without a host",
        &[("request_of_input", br#"{"url":"file:///etc/passwd"}"#)],
    ),
    (
        "host function",
        &[
            ("reverse", b"abc"),
            ("reverse", b""),
            ("reverse", &[0; 70_000]),
        ],
    ),
    ("no such export", &[("nothing", b"")]),
];

/// Modules with one defect, or one feature, each.
const MODULES: &[(&str, &str, &[&str])] = &[
    (
        "result i64",
        r#"(module (func (export "call") (result i64) (i64.const 0)))"#,
        &["call"],
    ),
    (
        "result f64",
        r#"(module (func (export "call") (result f64) (f64.const 0)))"#,
        &["call"],
    ),
    (
        "two results",
        r#"(module (func (export "call") (result i32 i32) (i32.const 0) (i32.const 0)))"#,
        &["call"],
    ),
    (
        "a parameter",
        r#"(module (func (export "call") (param i32)))"#,
        &["call"],
    ),
    ("no memory", r#"(module (func (export "call")))"#, &["call"]),
    (
        "start function traps",
        r#"(module (func $start (unreachable)) (start $start) (func (export "call")))"#,
        &["call"],
    ),
    (
        "constructors before a reactor",
        r#"(module (global $g (mut i32) (i32.const 0))
          (func (export "__wasm_call_ctors")
            (global.set $g (i32.add (global.get $g) (i32.const 1))))
          (func (export "_initialize")
            (global.set $g (i32.add (global.get $g) (i32.const 10))))
          (func (export "call") (result i32) (global.get $g)))"#,
        &["call", "call"],
    ),
    (
        "reactor",
        r#"(module (global $g (mut i32) (i32.const 0))
          (func (export "_initialize")
            (global.set $g (i32.add (global.get $g) (i32.const 10))))
          (func (export "call") (result i32) (global.get $g)))"#,
        &["call", "call"],
    ),
    (
        "constructors of a wrong type",
        r#"(module (global $g (mut i32) (i32.const 0))
          (func (export "__wasm_call_ctors") (param i32) (global.set $g (i32.const 1)))
          (func (export "_initialize") (global.set $g (i32.const 10)))
          (func (export "call") (result i32) (global.get $g)))"#,
        &["call"],
    ),
    (
        "haskell",
        r#"(module (global $g (mut i32) (i32.const 0))
          (func (export "hs_init") (param $a i32) (param $b i32)
            (global.set $g (i32.add (i32.mul (global.get $g) (i32.const 3))
              (i32.add (i32.const 1) (i32.or (local.get $a) (local.get $b))))))
          (func (export "_initialize")
            (global.set $g (i32.add (global.get $g) (i32.const 10))))
          (func (export "call") (result i32) (global.get $g)))"#,
        &["call"],
    ),
    (
        "initialiser traps",
        r#"(module (func (export "_initialize") (unreachable)) (func (export "call")))"#,
        &["call"],
    ),
    (
        "exits with success",
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "call") (call $exit (i32.const 0))))"#,
        &["call"],
    ),
    (
        "exits with a status",
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "call") (call $exit (i32.const 3))))"#,
        &["call"],
    ),
    (
        "sleeps beyond its time",
        r#"(module (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "call") (result i32)
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 700000000))
            (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
            (loop $forever (br $forever)) (i32.const 0)))"#,
        &["call"],
    ),
    (
        "unknown import",
        r#"(module (import "extism:host/user" "nothing" (func)) (func (export "call")))"#,
        &["call"],
    ),
    (
        "unknown import of extism",
        r#"(module (import "extism:host/env" "nothing" (func)) (func (export "call")))"#,
        &["call"],
    ),
    (
        "import of a wrong type",
        r#"(module (import "extism:host/env" "alloc" (func (param i32))) (func (export "call")))"#,
        &["call"],
    ),
    (
        "import of the shared memory",
        r#"(module (import "extism:host/env" "memory" (memory 0)) (func (export "call")))"#,
        &["call"],
    ),
    (
        "typed function references",
        r#"(module (type $t (func)) (func $f (type $t)) (elem declare func $f)
          (func (export "call") (call_ref $t (ref.func $f))))"#,
        &["call"],
    ),
    (
        "tail calls",
        r#"(module (func $f (result i32) (i32.const 4))
          (func (export "call") (result i32) (return_call $f)))"#,
        &["call"],
    ),
    (
        "vectors",
        r#"(module (func (export "call") (result i32)
            (i32x4.extract_lane 2 (i32x4.splat (i32.const 6)))))"#,
        &["call"],
    ),
    (
        "two memories",
        r#"(module (memory 1) (memory 1) (func (export "call") (result i32) (memory.size 1)))"#,
        &["call"],
    ),
    (
        "memory of the whole limit",
        r#"(module (memory 1024) (func (export "call") (result i32) (memory.size)))"#,
        &["call"],
    ),
    (
        "memory above the limit",
        r#"(module (memory 1025) (func (export "call") (result i32) (memory.size)))"#,
        &["call"],
    ),
    ("not Wasm", "", &["call"]),
];

/// The time of calls that do not end: as short as a busy machine allows.
const SHORT: Duration = Duration::from_millis(400);

/// Makes all cases.
pub(super) fn cases() -> anyhow::Result<Vec<Case>> {
    let traps = Module::text("", include_str!("traps.wat"))?;
    let named = |name: &str, mut module: Module| {
        module.name = format!("{GROUP}{name}");
        module
    };
    let alone = exports(include_str!("traps.wat")).map(|export| {
        let mut module = named(export, traps.clone());
        if export == "spin" {
            module.timeout = SHORT;
        }
        let calls = vec![Call::new(export, [])];
        Case { module, calls }
    });
    let sequences = SEQUENCES.iter().map(|(name, calls)| {
        let calls = calls
            .iter()
            .map(|(export, input)| Call::new(*export, *input));
        Case {
            module: named(name, traps.clone()),
            calls: calls.collect(),
        }
    });
    let mut cases: Vec<Case> = alone.chain(sequences).collect();
    cases.extend(variables(&traps));
    for (name, text, exports) in MODULES {
        let wasm = match *text {
            "" => b"not Wasm".to_vec(),
            text => wat::parse_str(text)?,
        };
        let mut module = named(name, Module::new("", wasm));
        if text.contains("$forever") {
            module.timeout = SHORT;
        }
        let calls = exports
            .iter()
            .map(|export| Call::new(*export, []))
            .collect();
        cases.push(Case { module, calls });
    }
    Ok(cases)
}

/// The limit of variables: a mebibyte, with what Extism counts for each one.
fn variables(traps: &Module) -> Vec<Case> {
    const LIMIT: usize = 1024 * 1024;
    const OVERHEAD: usize = size_of::<String>() + size_of::<Vec<u8>>();
    let most = LIMIT - OVERHEAD - "first".len();
    let rest = LIMIT - 600_000 - 2 * OVERHEAD - "first".len() - "second".len();
    let set = |export: &str, size: usize| Call::new(export, vec![b'v'; size]);
    let get = || Call::new("get", []);
    let cases = [
        ("variables up to the limit", vec![set("set", most), get()]),
        (
            "variables above the limit",
            vec![set("set", most + 1), get()],
        ),
        (
            "two variables up to the limit",
            vec![set("set", 600_000), set("set_two", rest), get()],
        ),
        (
            "two variables above the limit",
            vec![set("set", 600_000), set("set_two", rest + 1)],
        ),
        (
            "a large variable replaced",
            vec![set("set", 600_000), set("set", 600_000), get()],
        ),
    ];
    cases
        .into_iter()
        .map(|(name, calls)| {
            let mut module = traps.clone();
            module.name = format!("{GROUP}{name}");
            Case { module, calls }
        })
        .collect()
}

/// Returns the functions that a text exports.
fn exports(text: &str) -> impl Iterator<Item = &str> {
    text.split("(func (export \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
}
