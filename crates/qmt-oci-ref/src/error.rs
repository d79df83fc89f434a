//! What can be wrong with a name or a digest, and where in the text.

use std::fmt;

use crate::digest::DigestAlgorithm;

/// Most characters of a faulty text that an error repeats.
const SHOWN_MAX_CHARS: usize = 200;

/// Why a text is not a reference, repository, registry host or tag, and the byte where it went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    text: String,
    position: usize,
    fault: ReferenceFault,
}

impl ReferenceError {
    pub(crate) fn new(text: &str, position: usize, fault: ReferenceFault) -> Self {
        Self {
            text: text.to_owned(),
            position,
            fault,
        }
    }

    /// Moves the position by `offset` bytes and shows it within `whole` instead of a part of it.
    pub(crate) fn within(mut self, whole: &str, offset: usize) -> Self {
        whole.clone_into(&mut self.text);
        self.position += offset;
        self
    }

    /// Returns the byte offset, in the text that was given, at which the fault lies.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns the rule that was broken.
    pub fn fault(&self) -> &ReferenceFault {
        &self.fault
    }

    /// Draws the text with a caret below the faulty place, in two lines.
    pub fn pointer(&self) -> String {
        let before = self.text.get(..self.position).unwrap_or(&self.text);
        let indent = shown(before).chars().count();
        format!("{}\n{:indent$}^", shown(&self.text), "")
    }
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, position, fault) = (shown(&self.text), self.position, &self.fault);
        write!(
            f,
            "`{text}` is not a valid reference: at byte {position}: {fault}"
        )
    }
}

impl std::error::Error for ReferenceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            ReferenceFault::Digest(cause) => Some(cause),
            _ => None,
        }
    }
}

/// The rule of the reference grammar that a text breaks.
///
/// Grammar: <https://github.com/distribution/reference/blob/v0.6.0/reference.go>
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceFault {
    /// Nothing was given.
    #[error("it is empty; write `registry/repository:tag`")]
    Empty,
    /// A part is longer than its limit.
    #[error("the {part} is {length} bytes long, at most {limit} are allowed")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A URL scheme other than `oci://` stands before the name.
    #[error(
        "`{scheme}://` does not belong to a reference; write `oci://registry/repository` or leave it out"
    )]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A character that the part may not hold at this place.
    #[error("{} may not stand here in the {part}", shown_char(*.character))]
    Character {
        /// The character.
        character: char,
        /// Which part it stands in.
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
    /// What stands in brackets is not an IPv6 address without zone.
    #[error("`[…]` must hold an IPv6 address without zone")]
    Ipv6,
    /// A registry host without a repository.
    #[error("a registry alone is not enough; a `/` and a repository must follow")]
    NoRepository,
    /// 64 hexadecimal digits alone could be the id of an image as well.
    #[error(
        "64 hexadecimal digits are the id of an image, not a repository; put the registry before it"
    )]
    ImageId,
    /// A repository was asked for, and a tag or digest follows it.
    #[error("a repository has neither tag nor digest")]
    NotARepository,
    /// The part behind `@` is not a digest.
    #[error("the part behind `@` is not a digest")]
    Digest(#[source] DigestError),
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// There is no colon between algorithm and value.
    #[error("a digest looks like `sha256:<64 hexadecimal digits>`, this has no `:`")]
    NoAlgorithm,
    /// Only sha256 and sha512 are strong enough and registered.
    #[error("the digest algorithm `{}` is not supported; sha256 and sha512 are", shown(.name))]
    UnsupportedAlgorithm {
        /// The name given.
        name: String,
    },
    /// Too many or too few digits.
    #[error("a {algorithm} digest has {} hexadecimal digits, this has {length}", .algorithm.hex_len())]
    Length {
        /// The algorithm.
        algorithm: DigestAlgorithm,
        /// The number of bytes given.
        length: usize,
    },
    /// A character that is not a lower-case hexadecimal digit.
    #[error("{} at position {position} is not a lower-case hexadecimal digit", shown_char(*.character))]
    NotLowerHex {
        /// The character.
        character: char,
        /// Its byte offset behind the colon.
        position: usize,
    },
}

/// Makes hostile text safe to print: control and non-ASCII characters escaped, cut when long.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == SHOWN_MAX_CHARS {
            out.push('…');
            break;
        }
        push_shown(&mut out, character);
    }
    out
}

fn shown_char(character: char) -> String {
    let mut out = String::from("`");
    push_shown(&mut out, character);
    out.push('`');
    out
}

fn push_shown(out: &mut String, character: char) {
    if character.is_ascii_graphic() || character == ' ' {
        out.push(character);
    } else {
        out.extend(character.escape_unicode());
    }
}
