//! Why the cache could not do what it was asked for.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qmt_oci_ref::Digest;

/// Why the cache could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The platform names no cache folder (no home folder).
    #[error("this platform names no cache folder; set `cache_dir` in the config")]
    NoFolder,
    /// A folder that others could tamper with, so it is not used. It is never "repaired".
    #[error("cache folder `{}` {rule}; {hint}", path.display())]
    UnsafeFolder {
        /// The folder.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// The file system refused. The cause says why.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process held the lock for too long.
    #[error(
        "another process has held `{}` for {} s; if no `qmt-plugins` host is at work, look for a \
         stopped process that has this file open (`fuser` names it)",
        path.display(), waited.as_secs()
    )]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },
    /// A cached file is not what its record promises. The entry was dropped; fetch it again.
    #[error("cached file `{}` is damaged ({reason}); it was dropped and is fetched again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Content that is not what it was announced to be. Nothing was kept.
    #[error("content announced as `{expected}` hashes to `{actual}`; nothing was kept")]
    Mismatch {
        /// The digest that was promised.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// Content of another size than announced. Nothing was kept.
    #[error(
        "content of `{digest}` was announced with {expected} bytes and has {actual}; nothing was kept"
    )]
    SizeMismatch {
        /// The content's digest.
        digest: Digest,
        /// The size that was promised, in bytes.
        expected: u64,
        /// The size that came, in bytes.
        actual: u64,
    },
    /// Content above a limit.
    #[error("`{digest}` has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The content's digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A record that must not be written.
    #[error("the record of `{manifest}` {rule}")]
    InvalidRecord {
        /// The manifest that the record is about.
        manifest: Digest,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// An export that would be incomplete.
    #[error(
        "`{missing}`, which `{root}` needs, is not in the cache; pull it again before the export"
    )]
    Incomplete {
        /// The root that was to be exported.
        root: Digest,
        /// The blob that is absent or damaged.
        missing: Digest,
    },
    /// A layout that cannot be imported.
    #[error("`{}` is not an OCI image layout that can be imported: {rule}", path.display())]
    InvalidLayout {
        /// The layout.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl CacheError {
    /// Whether a cached entry was found damaged and dropped, so that fetching again helps.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether the same call may succeed later without any change by the operator.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::LockTimeout { .. })
    }

    /// Wraps an I/O error with what was tried and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
