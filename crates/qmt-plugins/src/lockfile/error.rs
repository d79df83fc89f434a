//! Why the lockfile cannot be used, or may not be changed.

use std::path::PathBuf;

/// Why the lockfile can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockfileError {
    /// It can't be read.
    #[error("the lockfile {} can't be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what we write.
    #[error(
        "the lockfile {} is damaged or of another version; restore it, or remove it and have every \
         plugin resolved and pinned anew", .path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It can't be written.
    #[error("the lockfile {} can't be written", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `--locked` was asked for, and something would change.
    #[error(
        "the lockfile {} has another entry for `{name}` than would be written now ({change}), and \
         `--locked` forbids to change it; run `qmt-plugins lock`", .path.display()
    )]
    WouldChange {
        /// The file.
        path: PathBuf,
        /// The provider.
        name: String,
        /// What differs.
        change: String,
    },
    /// Another process has just pinned another signer for the same plugin.
    #[error(
        "the lockfile {} has got an entry for `{name}` from another process meanwhile, with {change} \
         here; run it again", .path.display()
    )]
    Raced {
        /// The file.
        path: PathBuf,
        /// The provider.
        name: String,
        /// What differs.
        change: String,
    },
}
