//! Runs the functions of a native plugin; a panic in one becomes an error of that call.

use std::any::Any;

use crate::Error;

#[cfg(not(target_arch = "wasm32"))]
pub use self::native::{EXPORTS, Export};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use self::native::{FAILED, OK, call};

/// A function from bytes to bytes.
pub(crate) type Function = fn(&[u8]) -> Result<Vec<u8>, Error>;

/// Returns the message of a panic.
pub(crate) fn words(panic: &(dyn Any + Send)) -> Vec<u8> {
    let text = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.as_str(),
        (None, Some(text)) => text,
        (None, None) => "unknown",
    };
    format!("the plugin panicked: {text}").into_bytes()
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod native {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::{Function, words};

    /// The call succeeded.
    pub(crate) const OK: i32 = 0;
    /// The configuration is refused, or the function returned an error without a code.
    pub(crate) const FAILED: i32 = 1;
    /// The plugin has no such function.
    pub(crate) const UNKNOWN: i32 = 2;
    /// The function panicked.
    pub(crate) const PANICKED: i32 = 3;

    /// Everything that the attribute exports, collected by the linker.
    #[linkme::distributed_slice]
    pub static EXPORTS: [Export];

    /// An exported function.
    #[derive(Debug)]
    pub struct Export {
        pub(crate) name: &'static str,
        function: Function,
    }

    impl Export {
        /// Names a function.
        pub const fn new(name: &'static str, function: Function) -> Self {
            Self { name, function }
        }
    }

    /// Runs the function named `name`. Returns the code of `qmt_plugin.h` and the output.
    pub(crate) fn call(exports: &[Export], name: &[u8], input: &[u8]) -> (i32, Vec<u8>) {
        let export = exports.iter().find(|export| export.name.as_bytes() == name);
        let Some(Export { function, .. }) = export else {
            return (UNKNOWN, b"the plugin has no function of this name".to_vec());
        };
        // A panic cannot leave a value of this crate half changed: the function gets no `&mut`.
        match catch_unwind(AssertUnwindSafe(|| function(input))) {
            Ok(Ok(output)) => (OK, output),
            Ok(Err(error)) => (error.code(), error.into_message()),
            Err(panic) => {
                let words = words(&*panic);
                // Dropping it could panic again.
                std::mem::forget(panic);
                (PANICKED, words)
            }
        }
    }
}
