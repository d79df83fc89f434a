//! End-to-end scenarios through the command, and what the documents promise. All of it is in the
//! tests; the library holds the code blocks of the documents, which are compiled as doc tests.
#![forbid(unsafe_code)]

#[cfg(doctest)]
use qmt_plugins as _; // The documents' host programs need it.

/// The code blocks of the documents that readers start from.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/host-authors.md")]
    struct HostAuthors;

    #[doc = include_str!("../../docs/plugin-authors.md")]
    struct PluginAuthors;
}
