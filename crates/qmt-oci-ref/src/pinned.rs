//! A reference that names a digest: what the stages after *resolve* receive.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{DigestError, ReferenceError, ReferenceErrorKind};
use crate::reference::Reference;
use crate::repository::Repository;
use crate::serde_text::serde_as_text;
use crate::tag::Tag;

/// A repository and a digest in it. The tag, if any, is only shown: it selects nothing any more.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PinnedReference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Digest,
}

impl PinnedReference {
    /// Pins `digest` in `repository`.
    pub fn new(repository: Repository, digest: Digest) -> Self {
        Self::tagged(repository, None, digest)
    }

    pub(crate) fn tagged(repository: Repository, tag: Option<Tag>, digest: Digest) -> Self {
        Self {
            repository,
            tag,
            digest,
        }
    }

    /// Returns the repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Returns the digest: the only part that selects content.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the tag that was resolved, for people to read.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }
}

impl From<PinnedReference> for Reference {
    fn from(pin: PinnedReference) -> Self {
        Self::new(pin.repository, pin.tag, Some(pin.digest))
    }
}

impl FromStr for PinnedReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let reference: Reference = text.parse()?;
        let Some(digest) = reference.digest() else {
            let kind = ReferenceErrorKind::Digest(DigestError::NoAlgorithm);
            return Err(ReferenceError::new(text, text.len(), kind));
        };
        Ok(reference.with_digest(digest.clone()))
    }
}

impl fmt::Display for PinnedReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        match (self.repository.layout(), &self.tag) {
            (Some(_), _) if self.repository.ends_like_tag() => f.write_str("/")?,
            // `oci-layout://` takes a tag or a digest.
            (Some(_), _) | (None, None) => {}
            (None, Some(tag)) => write!(f, ":{tag}")?,
        }
        write!(f, "@{}", self.digest)
    }
}

serde_as_text!(PinnedReference);
