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
    /// It is not a lockfile of this version.
    #[error(
        "the lockfile {} is damaged or of another version; restore it, or remove it to resolve and \
         pin every plugin again", .path.display()
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
    /// The lockfile would change, and `--locked` or `--frozen` forbids that.
    #[error(
        "the entry for `{name}` in the lockfile {} would change ({change}), and `--locked` forbids \
         changes; run `qmt-plugins lock`", .path.display()
    )]
    WouldChange {
        /// The file.
        path: PathBuf,
        /// The provider.
        name: String,
        /// What differs.
        change: String,
    },
    /// Another process has pinned another signer for the same plugin meanwhile.
    #[error(
        "another process wrote an entry for `{name}` to the lockfile {} meanwhile, and this one has \
         {change}; run the command again", .path.display()
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
