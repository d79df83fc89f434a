//! The only unsafe code of this crate: the C interface of native plugins, and Extism's of Wasm.
//!
//! Ownership across the C interface: the plugin allocates an output, and frees it in
//! `qmt_plugin_free`, after the host has copied it. Arguments of the host are valid until the function
//! returns.
#![expect(
    unsafe_code,
    reason = "both interfaces name symbols and pass raw pointers or handles"
)]

#[cfg(not(target_arch = "wasm32"))]
pub use self::native::config;
#[cfg(target_arch = "wasm32")]
pub use self::wasm::{config, run};

/// Exports `$call`, a function from bytes to bytes, as `$name`.
///
/// Only the symbols are unsafe here: two definitions of one symbol would conflict. The compiler
/// refuses the second one, of `$symbol` in a native library and of `$name` in a Wasm module.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($name:literal, $symbol:literal, $call:path) => {
        #[cfg(target_arch = "wasm32")]
        #[unsafe(export_name = $name)]
        extern "C" fn __qmt_plugin_export() -> i32 {
            $crate::__private::run($call)
        }

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            #[$crate::__private::linkme::distributed_slice($crate::__private::EXPORTS)]
            #[linkme(crate = $crate::__private::linkme)]
            static EXPORT: $crate::__private::Export = $crate::__private::Export::new($name, $call);

            #[unsafe(export_name = $symbol)]
            static NAME: u8 = 0;
        };
    };
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::collections::BTreeMap;
    use std::ptr;
    use std::slice;
    use std::sync::OnceLock;

    use crate::abi::{Mark, VERSION};
    use crate::guarded::{self, EXPORTS, FAILED, OK};

    static CONFIG: OnceLock<BTreeMap<String, String>> = OnceLock::new();

    /// Returns a value of the plugin's configuration: `[providers.config]` of the operator.
    ///
    /// Returns `None` if the key is missing or its value is empty, and in tests of the plugin, which
    /// have no host.
    pub fn config(key: &str) -> Option<String> {
        CONFIG
            .get()?
            .get(key)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    #[used]
    #[unsafe(export_name = "qmt_plugin_abi")]
    static ABI_MARK: Mark = Mark::CURRENT;

    #[unsafe(no_mangle)]
    extern "C" fn qmt_plugin_abi_version() -> u32 {
        VERSION
    }

    /// Runs one function.
    ///
    /// # Safety
    /// `export` and `input` are readable for their lengths, `out` and `out_len` writable or null.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn qmt_plugin_call(
        export: *const u8,
        export_len: usize,
        input: *const u8,
        input_len: usize,
        out: *mut *mut u8,
        out_len: *mut usize,
    ) -> i32 {
        // SAFETY: the caller guarantees both.
        let (export, input) = unsafe { (bytes(export, export_len), bytes(input, input_len)) };
        let (code, output) = guarded::call(&EXPORTS, export, input);
        // SAFETY: the caller guarantees it.
        unsafe { give(output, out, out_len) };
        code
    }

    /// Lists the functions, one per line.
    ///
    /// # Safety
    /// `out` and `out_len` are writable or null.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn qmt_plugin_exports(out: *mut *mut u8, out_len: *mut usize) -> i32 {
        let names: Vec<&str> = EXPORTS.iter().map(|export| export.name).collect();
        // SAFETY: the caller guarantees it.
        unsafe { give(names.join("\n").into_bytes(), out, out_len) };
        OK
    }

    /// Stores the configuration, a JSON object of strings, once.
    ///
    /// # Safety
    /// `json` is readable for `json_len` bytes.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn qmt_plugin_configure(json: *const u8, json_len: usize) -> i32 {
        // SAFETY: the caller guarantees it.
        let json = unsafe { bytes(json, json_len) };
        let config = serde_json::from_slice(json).ok();
        match config.map(|config| CONFIG.set(config)) {
            Some(Ok(())) => OK,
            Some(Err(_)) | None => FAILED,
        }
    }

    /// Frees an output.
    ///
    /// # Safety
    /// `pointer` and `len` are an output of this library that was not freed before, or null.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn qmt_plugin_free(pointer: *mut u8, len: usize) {
        if !pointer.is_null() {
            // SAFETY: `give` made it from a box of this length.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(pointer, len)) });
        }
    }

    /// Borrows an argument of the host; a null pointer is an empty slice.
    ///
    /// # Safety
    /// The pointer is null, or readable for the length while the result is in use.
    unsafe fn bytes<'a>(pointer: *const u8, len: usize) -> &'a [u8] {
        if pointer.is_null() || len == 0 {
            return &[];
        }
        // SAFETY: the caller guarantees it.
        unsafe { slice::from_raw_parts(pointer, len) }
    }

    /// Passes an output to the host, which frees it with [`qmt_plugin_free`].
    ///
    /// # Safety
    /// Both pointers are writable or null.
    unsafe fn give(output: Vec<u8>, out: *mut *mut u8, out_len: *mut usize) {
        if output.is_empty() || out.is_null() || out_len.is_null() {
            return;
        }
        let output = Box::into_raw(output.into_boxed_slice());
        // SAFETY: neither is null, and the caller guarantees the rest.
        unsafe {
            out_len.write(output.len());
            out.write(output.cast());
        }
    }

    #[cfg(test)]
    mod tests;
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use std::sync::Once;

    use extism_pdk::{Memory, extism, input_bytes};

    use crate::guarded::{Function, words};

    /// Returns a value of the plugin's configuration: `[providers.config]` of the operator.
    ///
    /// Returns `None` if the key is missing or its value is empty.
    pub fn config(key: &str) -> Option<String> {
        extism_pdk::config::get(key).ok().flatten()
    }

    /// Runs one function with the input of the call, and sets its output or its error.
    pub fn run(function: Function) -> i32 {
        static ONCE: Once = Once::new();
        // A panic ends the instance; its message is that of the failed call.
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|panic| fail(&words(panic.payload()))));
        });
        match function(&input_bytes()) {
            Ok(output) => {
                if let Ok(output) = Memory::from_bytes(output) {
                    output.set_output();
                }
                0
            }
            Err(error) => {
                let code = error.code();
                fail(&error.into_message());
                code
            }
        }
    }

    fn fail(message: &[u8]) {
        if let Ok(message) = Memory::from_bytes(message) {
            // SAFETY: the handle is that of the block allocated above.
            unsafe { extism::error_set(message.offset()) };
        }
    }
}
