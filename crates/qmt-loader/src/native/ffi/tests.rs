//! Both sides of the ABI in one process, without a library between them.

use super::*;
use crate::native::guarded::{FAILED, OK, PANICKED, UNKNOWN};

const EXPORTS: &[(&str, Function)] = &[
    ("echo", |input| Ok(input.to_vec())),
    ("fails", |_| Err("no luck".to_owned())),
    ("panics", |_| panic!("at the {}", "disco")),
    ("panics_with_text", |_| panic!("oh")),
    ("panics_with_more", |_| std::panic::panic_any(7)),
];

/// Calls as a host does: with pointers, and giving the output back.
fn call_as_host(export: &str, input: &[u8]) -> (i32, Vec<u8>) {
    let (mut out, mut out_len) = (ptr::null_mut(), 0);
    // SAFETY: slices are readable, the two variables are writable, and the output goes back once.
    unsafe {
        let code = call(
            EXPORTS,
            (export.as_ptr(), export.len()),
            (input.as_ptr(), input.len()),
            (&raw mut out, &raw mut out_len),
        );
        let output = bytes((out, out_len)).to_vec();
        free(out, out_len);
        (code, output)
    }
}

/// NAT-04: who allocates also frees.
#[test]
fn outputs_go_back_to_whom_they_came_from() {
    assert_eq!(call_as_host("echo", b"x"), (OK, b"x".to_vec()));
    assert_eq!(call_as_host("echo", b""), (OK, Vec::new()));
    assert_eq!(call_as_host("fails", b""), (FAILED, b"no luck".to_vec()));
    assert_eq!(call_as_host("missing", b"").0, UNKNOWN);
}

/// NAT-05: a panic becomes an error, whatever it carries.
#[test]
fn panics_do_not_cross() {
    for (export, words) in [
        ("panics", "the plugin panicked: at the disco"),
        ("panics_with_text", "the plugin panicked: oh"),
        ("panics_with_more", "the plugin panicked: unknown"),
    ] {
        assert_eq!(call_as_host(export, b""), (PANICKED, words.into()));
    }
}

/// NAT-04: null pointers are nothing, in every place.
#[test]
fn null_pointers_are_nothing() {
    // SAFETY: null pointers are allowed everywhere.
    unsafe {
        let none = (ptr::null(), 0);
        let nowhere = (ptr::null_mut(), ptr::null_mut());
        assert_eq!(call(EXPORTS, none, none, nowhere), UNKNOWN);
        assert_eq!(exports(EXPORTS, nowhere), OK);
        assert_eq!(
            configure(
                |json| if json.is_empty() {
                    Ok(())
                } else {
                    Err(String::new())
                },
                ptr::null(),
                0
            ),
            OK
        );
        assert_eq!(configure(|_| Err(String::new()), ptr::null(), 0), FAILED);
        assert_eq!(configure(|_| panic!(), ptr::null(), 0), PANICKED);
        free(ptr::null_mut(), 0);
    }
}

#[test]
fn exports_are_listed_one_a_line() {
    let (mut out, mut out_len) = (ptr::null_mut(), 0);
    // SAFETY: the two variables are writable, and the output goes back once.
    unsafe {
        assert_eq!(exports(&EXPORTS[..2], (&raw mut out, &raw mut out_len)), OK);
        assert_eq!(bytes((out, out_len)), b"echo\nfails");
        free(out, out_len);
    }
}

/// A symbol is a pointer to what the library has.
#[cfg(all(feature = "native", unix))]
#[test]
fn symbols_are_used_as_what_they_are() {
    use std::sync::Arc;

    // The C library is there in every process.
    let name = if cfg!(target_os = "linux") {
        "libc.so.6"
    } else {
        "libSystem.B.dylib"
    };
    let library = Arc::new(Library::open(std::path::Path::new(name)).unwrap());
    let address = library.address("abs").unwrap();
    let symbol = Symbol::<unsafe extern "C" fn(i32) -> i32>::new(library.clone(), address).unwrap();
    // SAFETY: that is the signature of `abs`.
    assert_eq!(unsafe { symbol.clone().get()(-5) }, 5);
    assert!(Symbol::<u8>::new(library.clone(), address).is_none());
    assert!(Symbol::<(usize, usize)>::new(library, address).is_none());
}
