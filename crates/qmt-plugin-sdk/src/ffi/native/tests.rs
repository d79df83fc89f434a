//! The C interface as a host uses it, without a library between them.

use super::*;
use crate::Error;
use crate::guarded::native::{PANICKED, UNKNOWN};

#[crate::export]
fn echo(input: &[u8]) -> Vec<u8> {
    input.to_vec()
}

#[crate::export]
fn fails() -> Result<(), Error> {
    Err(Error::new("no luck").with_code(7))
}

#[crate::export]
fn panics(how: u8) {
    match how {
        0 => panic!("oh"),
        1 => panic!("at the {}", "disco"),
        _ => std::panic::panic_any(7),
    }
}

#[crate::export]
#[deprecated]
fn old() {}

/// Calls with pointers, and frees the output.
fn call(export: &str, input: &[u8]) -> (i32, Vec<u8>) {
    let (mut out, mut out_len) = (ptr::null_mut(), 0);
    // SAFETY: slices are readable, the two variables are writable, and the output is freed once.
    unsafe {
        let (name, len) = (export.as_ptr(), export.len());
        let (input, input_len) = (input.as_ptr(), input.len());
        let code = qmt_plugin_call(name, len, input, input_len, &raw mut out, &raw mut out_len);
        let output = bytes(out, out_len).to_vec();
        qmt_plugin_free(out, out_len);
        (code, output)
    }
}

/// NAT-04: the plugin frees what it allocated.
#[test]
fn outputs_are_freed_by_the_plugin() {
    assert_eq!(call("echo", b"x"), (OK, b"x".to_vec()));
    assert_eq!(call("echo", b""), (OK, Vec::new()));
    assert_eq!(call("fails", b""), (7, b"no luck".to_vec()));
    assert_eq!(call("missing", b"").0, UNKNOWN);
    assert_eq!(qmt_plugin_abi_version(), VERSION);
}

/// NAT-05: a panic becomes an error, with any payload.
#[test]
fn panics_do_not_cross() {
    for (how, words) in [("0", "oh"), ("1", "at the disco"), ("2", "unknown")] {
        let words = format!("the plugin panicked: {words}");
        assert_eq!(call("panics", how.as_bytes()), (PANICKED, words.into()));
    }
}

/// NAT-04: null pointers are empty arguments, and outputs that are not wanted.
#[test]
fn null_pointers_are_accepted() {
    let (none, nowhere, no_length) = (ptr::null(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: null pointers are allowed everywhere.
    unsafe {
        let code = qmt_plugin_call(none, 1, none, 1, nowhere, no_length);
        assert_eq!(code, UNKNOWN);
        assert_eq!(qmt_plugin_exports(nowhere, no_length), OK);
        qmt_plugin_free(ptr::null_mut(), 0);
    }
}

#[test]
fn exports_are_listed_one_per_line() {
    let (mut out, mut out_len) = (ptr::null_mut(), 0);
    // SAFETY: the two variables are writable, and the output is freed once.
    unsafe {
        assert_eq!(qmt_plugin_exports(&raw mut out, &raw mut out_len), OK);
        let mut names: Vec<&[u8]> = bytes(out, out_len).split(|byte| *byte == b'\n').collect();
        names.sort_unstable();
        assert_eq!(names, [&b"echo"[..], b"fails", b"old", b"panics"]);
        qmt_plugin_free(out, out_len);
    }
}

#[test]
fn configuration_is_an_object_of_strings_and_set_once() {
    // SAFETY: slices are readable.
    let configure = |json: &[u8]| unsafe { qmt_plugin_configure(json.as_ptr(), json.len()) };
    for bad in [&b""[..], b"[]", b"{\"a\": 1}", b"\xff"] {
        assert_eq!(configure(bad), FAILED);
    }
    assert_eq!(config("a"), None);
    assert_eq!(configure(b"{\"a\": \"b\", \"empty\": \"\"}"), OK);
    assert_eq!(config("a").as_deref(), Some("b"));
    assert_eq!(config("b"), None);
    // As in Wasm, where no value and an empty one are the same.
    assert_eq!(config("empty"), None);
    assert_eq!(configure(b"{}"), FAILED);
}
