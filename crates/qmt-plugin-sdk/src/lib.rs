#![doc = include_str!("../README.md")]
#![deny(unsafe_code)] // `ffi.rs` alone may expect it.

#[cfg(test)]
extern crate self as qmt_plugin; // What the attribute expands to names it.

pub mod abi;
#[cfg(feature = "export")]
mod codec;
#[cfg(feature = "export")]
mod error;
#[cfg(feature = "export")]
mod ffi;
#[cfg(feature = "export")]
mod guarded;

#[cfg(feature = "export")]
pub use self::error::Error;
#[cfg(feature = "export")]
pub use self::ffi::config;
/// Exports a function under its own name: start here.
///
/// It takes nothing or one input, and returns nothing, a value, or a `Result` of a value and an
/// error: one that converts into [`Error`], or a box such as `Box<dyn std::error::Error>` or
/// `anyhow::Error`.
///
/// | type | on the way in | on the way out |
/// |---|---|---|
/// | `Vec<u8>`, `&[u8]` | the bytes | the bytes (`Vec<u8>`, `&'static [u8]`) |
/// | `String`, `&str` | UTF-8, or the call fails | the text (`String`, `&'static str`) |
/// | `()` | no parameter | no bytes |
/// | any other | JSON, by `serde::Deserialize`; no bytes are `null` | JSON, by `serde::Serialize` |
///
/// ```
/// # use qmt_plugin::Error;
/// #[derive(serde::Deserialize)]
/// struct Numbers {
///     numbers: Vec<f64>,
/// }
///
/// #[qmt_plugin::export]
/// fn mean(input: Numbers) -> Result<f64, Error> {
///     if input.numbers.is_empty() {
///         return Err(Error::new("no numbers").with_code(7));
///     }
///     Ok(input.numbers.iter().sum::<f64>() / input.numbers.len() as f64)
/// }
/// # fn main() { assert_eq!(mean(Numbers { numbers: vec![1.0, 2.0] }).unwrap(), 1.5); }
/// ```
///
/// The function stays as it is and can be called in tests. It must not be `async`, generic, or part of
/// an `impl` or a trait; what it returns borrows nothing. A plugin has one function of each name:
///
/// ```compile_fail
/// mod one {
///     #[qmt_plugin::export]
///     fn greet() {}
/// }
/// mod two {
///     #[qmt_plugin::export]
///     fn greet() {}
/// }
/// # fn main() {}
/// ```
///
/// A type that is neither bytes nor text implements serde's traits:
///
/// ```compile_fail,E0277
/// struct Opaque;
/// #[qmt_plugin::export]
/// fn take(_: Opaque) {}
/// # fn main() {}
/// ```
///
/// ```compile_fail
/// struct Opaque;
/// #[qmt_plugin::export]
/// fn give() -> Result<Opaque, qmt_plugin::Error> {
///     Ok(Opaque)
/// }
/// # fn main() {}
/// ```
///
/// A text or number is no error of a `Result`; `map_err(Error::new)` makes one of a text:
///
/// ```compile_fail,E0277
/// #[qmt_plugin::export]
/// fn give() -> Result<u32, u32> {
///     Err(7)
/// }
/// # fn main() {}
/// ```
#[cfg(feature = "export")]
pub use qmt_plugin_sdk_macros::export;

/// What the attribute expands to.
#[cfg(feature = "export")]
#[doc(hidden)]
pub mod __private {
    pub use crate::codec::{
        Borrowed, Converts, Fails, Failure, Output, Plain, Returned, borrow, decode,
    };
    #[cfg(target_arch = "wasm32")]
    pub use crate::ffi::run;
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::guarded::{EXPORTS, Export};
    #[cfg(not(target_arch = "wasm32"))]
    pub use linkme;

    /// What a call ends with.
    pub type Answer = Result<Vec<u8>, crate::Error>;
}
