//! What can be wrong with a name or a digest, and where in the text.

use std::borrow::Cow;
use std::fmt;

use crate::digest::DigestAlgorithm;
use crate::text::{escape_ascii, quoted, without_credentials};

/// Why a text is not a reference, repository, registry host or tag, and the byte where it went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    text: String,
    position: usize,
    kind: ReferenceErrorKind,
}

impl ReferenceError {
    pub(crate) fn new(text: &str, position: usize, kind: ReferenceErrorKind) -> Self {
        match without_credentials(text) {
            Cow::Borrowed(_) => Self {
                text: text.to_owned(),
                position,
                kind,
            },
            Cow::Owned(text) => Self {
                text,
                position: 0,
                kind: ReferenceErrorKind::Credentials,
            },
        }
    }

    /// The error for `text`, a `part` that is longer than `limit` bytes.
    pub(crate) fn too_long(text: &str, part: &'static str, limit: usize) -> Self {
        let length = text.len();
        let kind = ReferenceErrorKind::TooLong {
            part,
            length,
            limit,
        };
        Self::new(text, limit, kind)
    }

    /// Moves the position by `offset` bytes and shows it within `whole` instead of a part of it.
    pub(crate) fn within(self, whole: &str, offset: usize) -> Self {
        Self::new(whole, self.position + offset, self.kind)
    }

    /// Returns the byte offset, in the text that was given, at which the rule is broken.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns the rule that was broken.
    pub fn kind(&self) -> &ReferenceErrorKind {
        &self.kind
    }

    /// Draws the text with a caret below the place, in two lines.
    pub fn pointer(&self) -> String {
        let before = self.text.get(..self.position).unwrap_or(&self.text);
        let indent = escape_ascii(before).chars().count();
        format!("{}\n{:indent$}^", escape_ascii(&self.text), "")
    }
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, position, kind) = (escape_ascii(&self.text), self.position, &self.kind);
        write!(
            f,
            "`{text}` is not a valid reference: at byte {position}: {kind}"
        )
    }
}

impl std::error::Error for ReferenceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

/// The rule of the reference grammar that a text breaks.
///
/// Grammar: <https://github.com/distribution/reference/blob/v0.6.0/reference.go>
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceErrorKind {
    /// Nothing was given.
    #[error("it is empty; write `registry/repository:tag`")]
    Empty,
    /// It has a password or a query. Neither is shown.
    #[error("a name has no user, password or query; `qmt-plugins login` stores credentials")]
    Credentials,
    /// A part is longer than its limit.
    #[error("the {part} is {length} bytes long; at most {limit} are allowed")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A URL scheme. Only a reference may begin with one, which is `oci://`.
    #[error("`{scheme}://` is not allowed here; write the name without it: `registry/repository`")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A character that is not allowed at this place.
    #[error("{} is not allowed here in the {part}", quoted(*.character))]
    Character {
        /// The character.
        character: char,
        /// The part that it is in.
        part: &'static str,
    },
    /// Repositories are lower case.
    #[error("`{character}` is upper case; repository names are lower case")]
    UpperCase {
        /// The character.
        character: char,
    },
    /// A part that must not be empty is.
    #[error("the {part} is empty")]
    MissingPart {
        /// Which part.
        part: &'static str,
    },
    /// The port is not a number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// The text in brackets is not an IPv6 address, or has a zone.
    #[error("`[…]` must contain an IPv6 address without a zone")]
    Ipv6,
    /// The host is an IPv4 address in a form that programs read in different ways.
    #[error("an IPv4 address has four numbers from 0 to 255 without leading zeros")]
    Ipv4,
    /// A registry host without a repository.
    #[error("a registry alone is not enough; a `/` and a repository must follow")]
    NoRepository,
    /// 64 hexadecimal digits alone could be the id of an image as well.
    #[error("64 hexadecimal digits are an image ID, not a repository; put the registry in front")]
    ImageId,
    /// A repository was asked for, and a tag or digest follows it.
    #[error("a repository must not have a tag or digest")]
    NotARepository,
    /// The part after `@` is not a digest.
    #[error("the part after `@` is not a digest")]
    Digest(#[source] DigestError),
}

impl ReferenceErrorKind {
    pub(crate) fn character(character: char, part: &'static str) -> Self {
        Self::Character { character, part }
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// There is no colon between algorithm and value.
    #[error("a digest looks like `sha256:<64 hexadecimal digits>`; this one has no `:`")]
    NoAlgorithm,
    /// Only sha256 and sha512 are strong enough and registered.
    #[error("the digest algorithm `{}` is not supported; sha256 and sha512 are", escape_ascii(.name))]
    UnsupportedAlgorithm {
        /// The name given.
        name: String,
    },
    /// Too many or too few digits.
    #[error("a {algorithm} digest has {} hexadecimal digits; this one has {length}", .algorithm.hex_len())]
    Length {
        /// The algorithm.
        algorithm: DigestAlgorithm,
        /// The number of bytes given.
        length: usize,
    },
    /// A character that is not a lower-case hexadecimal digit.
    #[error("{} at position {position} is not a lower-case hexadecimal digit", quoted(*.character))]
    NotLowerHex {
        /// The character.
        character: char,
        /// Its byte offset after the colon.
        position: usize,
    },
}
