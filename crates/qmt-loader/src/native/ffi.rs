//! The host's side of the C ABI, and the opening of libraries.
//!
//! Ownership across the ABI: an output belongs to the plugin, which frees it in `qmt_plugin_free`
//! after the host has copied it. Arguments of the host are valid until the function returns.
#![expect(
    unsafe_code,
    reason = "libraries are foreign code, and are called through raw pointers"
)]

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, size_of, transmute_copy};
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use crate::limits::MESSAGE_MAX;

type AbiVersion = unsafe extern "C" fn() -> u32;
type Call =
    unsafe extern "C" fn(*const u8, usize, *const u8, usize, *mut *mut u8, *mut usize) -> i32;
type Free = unsafe extern "C" fn(*mut u8, usize);
type Exports = unsafe extern "C" fn(*mut *mut u8, *mut usize) -> i32;
type Configure = unsafe extern "C" fn(*const u8, usize) -> i32;

/// An open library. It is never closed: threads, thread-local destructors and `atexit`
/// handlers may still need its code (rust-lang/rust#59629, #91979, #88737).
pub(super) struct Library(ManuallyDrop<libloading::Library>);

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Library")
    }
}

impl Library {
    /// Opens the file at `path`, which runs its constructors.
    ///
    /// All its symbols are resolved now, and none of them is offered to other libraries.
    pub(super) fn open(path: &Path) -> Result<Self, libloading::Error> {
        #[cfg(unix)]
        let library: libloading::Library = {
            use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
            // SAFETY: the host decided to run this library's code, constructors included:
            // its signature and its preflight hold, and the file cannot be changed any more.
            unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?.into()
        };
        #[cfg(not(unix))]
        // SAFETY: as above.
        let library = unsafe { libloading::Library::new(path) }?;
        Ok(Self(ManuallyDrop::new(library)))
    }

    /// Returns the address of a symbol, unless it is missing or null.
    pub(super) fn address(&self, symbol: &str) -> Option<*const c_void> {
        // SAFETY: a raw pointer claims nothing about what it points to.
        let found = unsafe { self.0.get::<*const c_void>(symbol) }.ok()?;
        Some(*found).filter(|address| !address.is_null())
    }

    /// Reads a symbol as a function pointer of type `T`.
    ///
    /// # Safety
    /// The symbol is a function of that type.
    unsafe fn function<T: Copy>(&self, symbol: &str) -> Option<T> {
        const { assert!(size_of::<T>() == size_of::<*const c_void>()) };
        let address = self.address(symbol)?;
        // SAFETY: the sizes are equal, and the caller vouches for the type.
        Some(unsafe { transmute_copy::<*const c_void, T>(&address) })
    }
}

/// The functions of `qmt_plugin.h` in one library.
#[derive(Clone)]
pub(super) struct Abi {
    library: Arc<Library>,
    version: AbiVersion,
    call: Call,
    free: Free,
    exports: Option<Exports>,
    configure: Option<Configure>,
}

/// What a plugin answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Output(Vec<u8>),
    Failed {
        code: i32,
        message: Vec<u8>,
    },
    TooLarge {
        size: usize,
    },
    /// There is too little memory for the input, or for a copy of the output.
    OutOfMemory,
}

/// What a call returned, in the library's memory.
pub(super) enum Answer<'a> {
    Output(&'a [u8]),
    Failed { code: i32, message: &'a [u8] },
    TooLarge { size: usize },
}

impl Answer<'_> {
    /// Copies it, if there is memory for that.
    pub(super) fn copy(&self) -> Outcome {
        match *self {
            Answer::Output(bytes) => {
                let mut output = Vec::new();
                if output.try_reserve_exact(bytes.len()).is_err() {
                    return Outcome::OutOfMemory;
                }
                output.extend_from_slice(bytes);
                Outcome::Output(output)
            }
            Answer::Failed { code, message } => Outcome::Failed {
                code,
                message: message.to_vec(),
            },
            Answer::TooLarge { size } => Outcome::TooLarge { size },
        }
    }
}

impl Abi {
    /// Finds the functions; `None` if the library does not have all that it must have.
    pub(super) fn find(library: &Arc<Library>) -> Option<Self> {
        // SAFETY: the preflight saw that the names are functions, and a library that exports
        // these names promises these types: they are what `qmt_plugin.h` is.
        unsafe {
            Some(Self {
                version: library.function("qmt_plugin_abi_version")?,
                call: library.function("qmt_plugin_call")?,
                free: library.function("qmt_plugin_free")?,
                exports: library.function("qmt_plugin_exports"),
                configure: library.function("qmt_plugin_configure"),
                library: Arc::clone(library),
            })
        }
    }

    pub(super) fn version(&self) -> u32 {
        // SAFETY: it takes nothing and is a function of the header.
        unsafe { (self.version)() }
    }

    /// Calls `export` and copies its answer.
    pub(super) fn call(&self, export: &str, input: &[u8], limit: u64) -> Outcome {
        self.call_with(export, input, limit, |answer| answer.copy())
    }

    /// Calls `export` and passes its answer to `take`. Outputs above `limit` bytes are freed and not
    /// read; of the message of a failure, the first 64 KiB are passed.
    pub(super) fn call_with<T>(
        &self,
        export: &str,
        input: &[u8],
        limit: u64,
        take: impl FnOnce(Answer<'_>) -> T,
    ) -> T {
        let (mut out, mut out_len) = (ptr::null_mut(), 0);
        // SAFETY: both slices live until the call returns, and both pointers are writable.
        let code = unsafe {
            (self.call)(
                export.as_ptr(),
                export.len(),
                input.as_ptr(),
                input.len(),
                &raw mut out,
                &raw mut out_len,
            )
        };
        self.answer(code, (out, out_len), limit, take)
    }

    /// Lists what `call` takes; `None` if the library does not say.
    pub(super) fn exports(&self, limit: u64) -> Option<Outcome> {
        let exports = self.exports?;
        let (mut out, mut out_len) = (ptr::null_mut(), 0);
        // SAFETY: both pointers are writable.
        let code = unsafe { exports(&raw mut out, &raw mut out_len) };
        Some(self.answer(code, (out, out_len), limit, |answer| answer.copy()))
    }

    /// Hands over the configuration; `None` if the library takes none.
    pub(super) fn configure(&self, json: &[u8]) -> Option<i32> {
        let configure = self.configure?;
        // SAFETY: the slice lives until the call returns.
        Some(unsafe { configure(json.as_ptr(), json.len()) })
    }

    /// Passes an output, or the first bytes of a failure's message, to `take`, and gives the memory
    /// back to the library.
    fn answer<T>(
        &self,
        code: i32,
        (out, out_len): (*mut u8, usize),
        limit: u64,
        take: impl FnOnce(Answer<'_>) -> T,
    ) -> T {
        let most = if code == 0 { limit } else { MESSAGE_MAX };
        let length = out_len.min(usize::try_from(most).unwrap_or(usize::MAX));
        let is_too_large = code == 0 && length < out_len && !out.is_null();
        let bytes = if out.is_null() || is_too_large {
            &[]
        } else {
            // SAFETY: the library says that it is readable for at least that length, which is
            // within what a slice may have. It is freed below, after the last use.
            unsafe { std::slice::from_raw_parts(out, length) }
        };
        let taken = take(match code {
            0 if is_too_large => Answer::TooLarge { size: out_len },
            0 => Answer::Output(bytes),
            code => Answer::Failed {
                code,
                message: bytes,
            },
        });
        if !out.is_null() {
            // SAFETY: it came from this library with this length, and goes back once.
            unsafe { (self.free)(out, out_len) };
        }
        taken
    }
}

impl fmt::Debug for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Abi")
            .field("library", &self.library)
            .finish_non_exhaustive()
    }
}

/// A symbol of a native plugin, as a pointer or function pointer of type `T`.
///
/// It keeps the library mapped, for as long as it lives and beyond.
pub struct Symbol<T> {
    library: Arc<Library>,
    address: *const c_void,
    of: PhantomData<T>,
}

// SAFETY: it is an address within a library that stays mapped; what `T` is good for on another
// thread is part of what a caller of `get` vouches for.
unsafe impl<T> Send for Symbol<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Symbol<T> {}

impl<T: Copy> Symbol<T> {
    /// Makes a symbol, if `T` has the size of a pointer.
    pub(super) fn new(library: Arc<Library>, address: *const c_void) -> Option<Self> {
        (size_of::<T>() == size_of::<*const c_void>()).then_some(Self {
            library,
            address,
            of: PhantomData,
        })
    }

    /// Returns the address, which is never null.
    pub fn as_ptr(&self) -> *const c_void {
        self.address
    }

    /// Returns the symbol as a value of type `T`.
    ///
    /// # Safety
    /// The symbol is what `T` says: a function of exactly that signature and calling
    /// convention, or data that a pointer of that type may point to.
    pub unsafe fn get(&self) -> T {
        // SAFETY: `new` saw that the sizes are equal, and the caller vouches for the type.
        unsafe { transmute_copy::<*const c_void, T>(&self.address) }
    }
}

impl<T> Clone for Symbol<T> {
    fn clone(&self) -> Self {
        Self {
            library: Arc::clone(&self.library),
            address: self.address,
            of: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Symbol<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Symbol").field(&self.address).finish()
    }
}

#[cfg(test)]
mod tests;
