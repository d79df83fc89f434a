//! End-to-end scenarios through the built command. The programs `demo`, `cases` and `fixtures` are
//! what `cargo xtask demo`, `e2e` and `fixtures` start; the real tier (`tests/interop`) uses this
//! library too. The code blocks of the documents are compiled here as doc tests.
#![forbid(unsafe_code)]
#![allow(
    clippy::missing_errors_doc,
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "a library for this project's own programs: every error ends the program"
)]

pub mod case;
pub mod command;
pub mod embedded;
mod features;
pub mod image;
pub mod projects;

use std::path::{Path, PathBuf};

/// The folder that holds the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

#[cfg(doctest)]
use {qmt_cache as _, qmt_loader as _, qmt_plugin as _, qmt_plugins as _}; // The programs in the documents use them.

/// The code blocks of the documents that readers start from.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/host-authors.md")]
    struct HostAuthors;

    #[doc = include_str!("../../../docs/replace-your-loader.md")]
    struct ReplaceYourLoader;

    #[doc = include_str!("../../../docs/plugin-authors.md")]
    struct PluginAuthors;
}
