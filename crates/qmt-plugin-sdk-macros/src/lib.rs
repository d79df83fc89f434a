#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod expand;

use proc_macro::TokenStream;

/// Exports a function of a plugin under its own name; `qmt_plugin::export` documents it.
#[proc_macro_attribute]
pub fn export(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::export(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
