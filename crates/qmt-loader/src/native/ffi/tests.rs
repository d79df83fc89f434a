//! Symbols of a library.

/// A symbol is a pointer to what the library has.
#[cfg(unix)]
#[test]
fn symbols_are_used_as_what_they_are() {
    use super::{Library, Symbol};
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
