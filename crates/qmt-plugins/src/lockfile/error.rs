//! Why the lockfile cannot be used, or may not be changed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use qmt_oci_ref::text;

/// Why the lockfile can't be used.
///
/// `{:?}` shows message and causes, so that an error that `main` returns can be read.
#[derive(thiserror::Error)]
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
    /// Every user could change the signers that it pins.
    #[error(
        "the lockfile {} can be written by every user, so the signers that it pins can't be relied \
         on; run `chmod o-w` on it", .path.display()
    )]
    WritableByAll {
        /// The file.
        path: PathBuf,
    },
    /// It is a lockfile of another version.
    #[error(
        "the lockfile {} has version {found}, and this program reads version {supported}; use the \
         `qmt-plugins` that wrote it, or update this one", .path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is read and written.
        supported: u32,
    },
    /// It is not a lockfile.
    #[error(
        "the lockfile {} is damaged; restore it, or resolve its merge conflict; \
         removing it makes the next start resolve and pin every plugin again", .path.display()
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
    /// Another process has been changing it for too long.
    #[error(
        "another process has held the lock {} of the lockfile for {} s; look for a stopped process \
         that has this file open (`fuser` names it)", .path.display(), .waited.as_secs()
    )]
    Busy {
        /// The file that is locked.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },
    /// The lockfile would change, and `--locked` or `--frozen` forbids that.
    #[error(
        "the entry for `{}` in the lockfile {} would change ({change}), and `{flag}` forbids \
         changes", text::escape(name), .path.display()
    )]
    WouldChange {
        /// The file.
        path: PathBuf,
        /// The provider.
        name: String,
        /// What differs.
        change: String,
        /// The option that forbids changes.
        flag: &'static str,
    },
    /// Another process has locked the same plugin to another digest or signer meanwhile.
    #[error(
        "another process wrote an entry for `{}` to the lockfile {} meanwhile, and this one has \
         {change}; run the command again", text::escape(name), .path.display()
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

/// `main` shows the errors that it returns in this form.
impl fmt::Debug for LockfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::error_report(self, None))
    }
}
