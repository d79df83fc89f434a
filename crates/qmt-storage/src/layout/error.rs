//! Why a layout can't be read or written.

use std::path::{Path, PathBuf};

use qmt_oci_ref::manifest::ManifestError;
use qmt_oci_ref::text::counted;
use qmt_oci_ref::{Descriptor, Digest, Tag};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a layout can't be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(
    clippy::exhaustive_enums,
    reason = "callers map each variant to an error of their own"
)]
pub enum LayoutError {
    /// A file or folder breaks a rule of layouts, or can't be read or written.
    #[error("image layout `{}`: {rule}", path.display())]
    Invalid {
        /// The layout, or the file in it.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
        /// The cause, if there is one.
        source: Option<BoxError>,
    },
    /// A file that is read into memory is too large for that.
    #[error("image layout `{}`: it has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file in the layout, or the archive that it is in.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Content does not have the digest that it is named by.
    #[error("content of `{expected}` hashes to `{actual}`")]
    Digest {
        /// The digest by name.
        expected: Digest,
        /// The digest of the content.
        actual: Digest,
    },
    /// Content does not have the size that its descriptor says.
    #[error("content of `{digest}` has {}, its descriptor says {expected}", counted(*.actual, "byte"))]
    Size {
        /// The digest of the content.
        digest: Digest,
        /// The size by the descriptor, in bytes.
        expected: u64,
        /// The size found, in bytes.
        actual: u64,
    },
    /// A blob that is listed as a manifest or index is not one.
    #[error("`{digest}` can't be read as a manifest")]
    Manifest {
        /// The digest of the blob.
        digest: Digest,
        /// The reason.
        source: ManifestError,
    },
    /// An entry of `index.json` can't be read.
    #[error("image layout `{}`: the entry of `{tag}` in its `index.json` is damaged: {cause}", path.display())]
    DamagedEntry {
        /// The layout.
        path: PathBuf,
        /// The tag that it has.
        tag: Tag,
        /// Why it can't be read.
        cause: String,
    },
    /// A list of referrers has entries that cannot be read. The others were read.
    #[error("{count} of the referrers of `{subject}` cannot be read: {rule}")]
    Entries {
        /// The manifest whose referrers are listed.
        subject: Digest,
        /// How many entries cannot be read.
        count: usize,
        /// The rule that the first of them breaks.
        rule: &'static str,
    },
    /// The layout has more of something than is searched or returned.
    #[error("`{subject}` has more than {limit} {what}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The manifest whose referrers are listed.
        subject: Digest,
    },
}

impl LayoutError {
    /// Reports whether the layout, or a file in it, does not exist.
    pub fn is_missing(&self) -> bool {
        let Self::Invalid {
            source: Some(source),
            ..
        } = self
        else {
            return false;
        };
        let error = source.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    pub(super) fn invalid(path: &Path, rule: &'static str) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            rule,
            source: None,
        }
    }

    /// Wraps a cause with the rule that could not be met.
    pub(super) fn because<E: Into<BoxError>>(
        path: &Path,
        rule: &'static str,
    ) -> impl Fn(E) -> Self + use<E> {
        let path = path.to_owned();
        move |cause| Self::Invalid {
            path: path.clone(),
            rule,
            source: Some(cause.into()),
        }
    }

    pub(super) fn check_size(expected: &Descriptor, actual: u64) -> Result<(), Self> {
        if expected.size() == actual {
            return Ok(());
        }
        Err(Self::Size {
            digest: expected.digest().clone(),
            expected: expected.size(),
            actual,
        })
    }
}
