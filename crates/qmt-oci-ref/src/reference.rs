//! References: `[oci://][host/]repository[:tag][@digest]`.
//!
//! Grammar and normalisation: <https://github.com/distribution/reference/blob/v0.6.0/reference.go>.
//! Ours is stricter in four places: IPv6 addresses must be valid, ports must be 1 to 65535, digests
//! are sha256 or sha512, and host names lose their upper case.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{DigestError, ReferenceError, ReferenceErrorKind};
use crate::host::RegistryHost;
use crate::pinned::PinnedReference;
use crate::repository::Repository;
use crate::serde_text::serde_as_text;
use crate::tag::Tag;

/// The scheme that configs put before a reference.
const SCHEME: &str = "oci://";
const PART: &str = "reference";

/// The name of an image: a repository, and a tag or a digest or both in it.
///
/// Where both are given the digest selects and the tag is only shown. Where neither is, the tag
/// is `latest`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// Longest text that is parsed as a reference, in bytes. No well-formed one is longer.
    pub const MAX_BYTES: usize = 1024;

    /// Names `tag` or `digest` or both in `repository`; `latest` where neither is given.
    pub fn new(repository: Repository, tag: Option<Tag>, digest: Option<Digest>) -> Self {
        let tag = if digest.is_none() {
            tag.or_else(|| Some(Tag::latest()))
        } else {
            tag
        };
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

    /// Returns the registry host.
    pub fn host(&self) -> &RegistryHost {
        self.repository.host()
    }

    /// Returns the tag, if any.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Returns the digest, if any. It selects, whatever the tag says.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Pins this name to `digest`; the tag is kept to be shown.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> PinnedReference {
        PinnedReference::tagged(self.repository.clone(), self.tag.clone(), digest)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |position, kind| ReferenceError::new(text, position, kind);
        if text.len() > Self::MAX_BYTES {
            return Err(ReferenceError::too_long(text, PART, Self::MAX_BYTES));
        }
        if let Some((at, character)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            return Err(error(at, ReferenceErrorKind::character(character, PART)));
        }
        let (start, body) = match text.strip_prefix(SCHEME) {
            Some(body) => (SCHEME.len(), body),
            None => (0, text),
        };
        if body.is_empty() {
            return Err(error(start, ReferenceErrorKind::Empty));
        }
        if let Some((scheme, _)) = body.split_once("://") {
            let scheme = scheme.to_owned();
            return Err(error(start, ReferenceErrorKind::Scheme { scheme }));
        }
        let (tagged, digest) = match body.split_once('@') {
            None => (body, None),
            Some((tagged, digest)) => {
                let at = start + tagged.len() + 1;
                let kind = |cause: DigestError| error(at, ReferenceErrorKind::Digest(cause));
                (tagged, Some(digest.parse().map_err(kind)?))
            }
        };
        let (name, tag) = match tag_colon(tagged) {
            None => (tagged, None),
            Some(colon) => {
                let (name, tag) = (tagged.get(..colon), tagged.get(colon + 1..));
                let at = start + colon + 1;
                let tag: Result<Tag, _> = tag.unwrap_or_default().parse();
                let tag = tag.map_err(|cause| cause.within(text, at))?;
                (name.unwrap_or_default(), Some(tag))
            }
        };
        let repository = Repository::parse_name(name).map_err(|cause| cause.within(text, start))?;
        Ok(Self::new(repository, tag, digest))
    }
}

/// Finds the colon before the tag: the last one behind the last slash, unless an IPv6 address
/// stands alone there.
fn tag_colon(tagged: &str) -> Option<usize> {
    let last = tagged.rfind('/').map_or(0, |slash| slash + 1);
    let component = tagged.get(last..)?;
    if component.starts_with('[') {
        return None;
    }
    component.find(':').map(|colon| last + colon)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(digest) = &self.digest {
            return write!(f, "{}", self.with_digest(digest.clone()));
        }
        write!(f, "{}", self.repository)?;
        match &self.tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

serde_as_text!(Reference);

#[cfg(test)]
mod tests;
