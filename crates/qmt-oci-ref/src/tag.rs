//! A tag: a name within a repository that may move.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{ReferenceError, ReferenceErrorKind};
use crate::serde_text::serde_as_text;

const PART: &str = "tag";

/// A tag: a letter, digit or underscore, then at most 127 more of these, dots and hyphens.
///
/// Grammar: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests>
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// Longest tag, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Returns `latest`, which stands in where neither tag nor digest is given.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// Returns the tag under which a registry without the referrers API stores the list for
    /// `subject`: `sha256-<hex>`, of which at most 64 digits are used.
    ///
    /// See <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema>
    pub fn for_referrers(subject: &Digest) -> Self {
        let (algorithm, hex) = (subject.algorithm(), subject.hex());
        Self(format!("{algorithm}-{hex:.64}").into())
    }

    /// Reports whether this has the form `sha256-<hex>`, with or without a prefix and suffix such
    /// as cosign's `.sig`: a tag that is read in the search for signatures of that digest.
    pub fn stands_for_digest(&self) -> bool {
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let mut after_prefix = self.0.split("sha256-").skip(1);
        after_prefix.any(|text| {
            let hex = text.as_bytes().get(..64);
            hex.is_some_and(|hex| hex.iter().all(is_hex))
        })
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |position, kind| Err(ReferenceError::new(text, position, kind));
        if text.is_empty() {
            return error(0, ReferenceErrorKind::MissingPart { part: PART });
        }
        if text.len() > Self::MAX_BYTES {
            return Err(ReferenceError::too_long(text, PART, Self::MAX_BYTES));
        }
        for (at, character) in text.char_indices() {
            let word = character.is_ascii_alphanumeric() || character == '_';
            if !(word || (at > 0 && matches!(character, '.' | '-'))) {
                return error(at, ReferenceErrorKind::character(character, PART));
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Tag);

#[cfg(test)]
mod tests;
