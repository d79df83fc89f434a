//! Errors of the cache.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use qmt_oci_ref::Digest;
use qmt_storage::LayoutError;

use crate::fs::shown;

/// Where the folder of the cache is set.
const OPTION: &str = "set `cache_dir` in `[oci]` of the config (or the option of the program that \
                      overrides it)";

/// Why an operation of the cache failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The platform has no cache folder (no home folder).
    #[error(
        "this user has no cache folder, because no home folder is known; set `HOME`, or {}",
        OPTION
    )]
    NoFolder,
    /// A folder of the cache can't be created or written.
    #[error(
        "cannot create or write the cache folder `{}`; {}", path.display(), after_refusal(source)
    )]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A folder that other users could tamper with, so it is not used. It is never repaired.
    #[error("cache folder `{}` {rule}; {hint}", path.display())]
    UnsafeFolder {
        /// The folder.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
        /// The next step.
        hint: &'static str,
    },
    /// The file system refused an operation.
    #[error("cannot {action} `{}`{}", path.display(), where_full(source))]
    Io {
        /// The operation, as a verb phrase.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Another process held the lock for too long.
    #[error(
        "another process has held the lock `{}` for {} s; if no `qmt-plugins` host is running, look \
         for a stopped process that has this file open (`fuser` names it)",
        path.display(), waited.as_secs()
    )]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },
    /// A cached file differs from its record.
    #[error("cached file `{}` is damaged ({reason}); {}", path.display(), after_damage(*removed))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
        /// Whether the entry was removed, so that [`crate::Cache::begin`] fills it again.
        removed: bool,
    },
    /// Content that does not have the announced digest. Nothing was stored.
    #[error("content announced as `{expected}` hashes to `{actual}`; nothing was stored")]
    Mismatch {
        /// The announced digest.
        expected: Digest,
        /// The digest of the content.
        actual: Digest,
    },
    /// Content of another size than announced. Nothing was stored.
    #[error(
        "content of `{digest}` was announced with {expected} bytes and has {actual}; nothing was stored"
    )]
    SizeMismatch {
        /// The content's digest.
        digest: Digest,
        /// The announced size, in bytes.
        expected: u64,
        /// The size found, in bytes.
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
    /// A layout with more than an import takes. Nothing was imported.
    #[error("the image layout `{}` is not imported: {rule}", path.display())]
    Import {
        /// The layout.
        path: PathBuf,
        /// The limit that it exceeds.
        rule: &'static str,
    },
    /// A layout that can't be imported or written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl CacheError {
    /// Reports whether the same call may succeed later without a change by the operator.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Damaged { removed: true, .. } | Self::LockTimeout { .. }
        )
    }

    /// Refuses content of another size than announced.
    pub(crate) fn check_size(digest: &Digest, expected: u64, actual: u64) -> Result<(), Self> {
        if expected == actual {
            return Ok(());
        }
        Err(Self::SizeMismatch {
            digest: digest.clone(),
            expected,
            actual,
        })
    }

    /// Refuses content of another digest than announced.
    pub(crate) fn check_digest(expected: &Digest, actual: Digest) -> Result<(), Self> {
        if actual == *expected {
            return Ok(());
        }
        Err(Self::Mismatch {
            expected: expected.clone(),
            actual,
        })
    }

    /// Wraps the error of a folder that can't be created.
    pub(crate) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = shown(path);
        move |source| Self::Unwritable { path, source }
    }

    /// Wraps an I/O error with the operation and the path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = shown(path);
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Returns the error of a writer of the cache, which names its file already, else one of `path`.
    pub(crate) fn written(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let io = Self::io("write", path);
        |error| error.downcast().unwrap_or_else(io)
    }
}

fn after_refusal(cause: &io::Error) -> String {
    if is_full(cause) {
        return format!(
            "free space or inodes on its file system, or {OPTION} to a folder on another one"
        );
    }
    format!("{OPTION} to a folder that this user can write")
}

/// The next step, where the file system is full.
fn where_full(cause: &io::Error) -> String {
    if is_full(cause) {
        return format!("; {}", after_refusal(cause));
    }
    String::new()
}

fn is_full(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn after_damage(removed: bool) -> String {
    if removed {
        return "it was removed and will be fetched again".to_owned();
    }
    format!("it could not be removed: remove it, or {OPTION} to a folder that this user can write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_system_is_not_one_without_rights() {
        let text = |kind: io::ErrorKind| {
            let error = CacheError::unwritable(Path::new("/cache"))(kind.into());
            error.to_string()
        };
        let write = |kind: io::ErrorKind| {
            let error = CacheError::io("write", Path::new("/cache"))(kind.into());
            error.to_string()
        };
        let filled = write(io::ErrorKind::StorageFull);
        assert!(
            filled.contains("`/cache`; free space or inodes"),
            "{filled}"
        );
        assert!(write(io::ErrorKind::Other).ends_with("`/cache`"));
        let full = text(io::ErrorKind::StorageFull);
        assert!(full.contains("free space or inodes"), "{full}");
        assert!(!full.contains("this user can write"), "{full}");
        let denied = text(io::ErrorKind::PermissionDenied);
        assert!(denied.contains("this user can write"), "{denied}");
        let none = CacheError::NoFolder.to_string();
        for text in [full, denied, none] {
            for option in ["`cache_dir` in `[oci]`", "the option of the program"] {
                assert!(text.contains(option), "{text}");
            }
            // Other programs than the command use this crate.
            assert!(!text.contains("--") && !text.contains("QMT_"), "{text}");
        }
    }
}
