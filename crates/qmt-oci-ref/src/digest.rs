//! Content digests: parsed or computed, never assembled from parts.
//!
//! Grammar: <https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests>

use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::Digest as _;

use crate::error::DigestError;
use crate::serde_text::serde_as_text;

/// A hash function that a digest may name.
///
/// Other registered or well-known names (`sha384`, `md5`, `blake3`, …) are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// SHA-256, which every registry knows.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// Returns the name as it stands before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns how many hexadecimal digits a digest of this algorithm has.
    pub fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DigestAlgorithm {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::UnsupportedAlgorithm {
                name: name.to_owned(),
            }),
        }
    }
}

/// The digest of some content: an algorithm and its value in lower-case hexadecimal digits.
///
/// A value of this type is always well formed, so it is safe as a path segment and in a URL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: DigestAlgorithm,
    hex: Box<str>,
}

impl Digest {
    /// Computes the SHA-256 digest of `content`.
    pub fn sha256(content: impl AsRef<[u8]>) -> Self {
        Self::of(DigestAlgorithm::Sha256, content)
    }

    /// Computes the digest of `content` by `algorithm`.
    pub fn of(algorithm: DigestAlgorithm, content: impl AsRef<[u8]>) -> Self {
        let mut digester = Digester::new(algorithm);
        digester.update(content.as_ref());
        digester.finish()
    }

    /// Returns the hash function.
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// Returns the value: 64 or 128 lower-case hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError::NoAlgorithm)?;
        let algorithm: DigestAlgorithm = name.parse()?;
        if hex.len() != algorithm.hex_len() {
            return Err(DigestError::Length {
                algorithm,
                length: hex.len(),
            });
        }
        if let Some((position, character)) = hex
            .char_indices()
            .find(|(_, c)| !matches!(c, '0'..='9' | 'a'..='f'))
        {
            return Err(DigestError::NotLowerHex {
                character,
                position,
            });
        }
        Ok(Self {
            algorithm,
            hex: hex.into(),
        })
    }
}

serde_as_text!(Digest);

/// Computes a digest while content streams by, and counts its bytes.
#[derive(Clone)]
pub struct Digester {
    state: State,
    count: u64,
}

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Digester {
    /// Starts a digest of nothing yet.
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        let state = match algorithm {
            DigestAlgorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            DigestAlgorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        };
        Self { state, count: 0 }
    }

    /// Takes in the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
        }
        self.count = self
            .count
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// Returns how many bytes were taken in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the hash function.
    pub fn algorithm(&self) -> DigestAlgorithm {
        match self.state {
            State::Sha256(_) => DigestAlgorithm::Sha256,
            State::Sha512(_) => DigestAlgorithm::Sha512,
        }
    }

    /// Ends the content and returns its digest.
    pub fn finish(self) -> Digest {
        let algorithm = self.algorithm();
        let hex = match self.state {
            State::Sha256(hasher) => to_hex(&hasher.finalize()),
            State::Sha512(hasher) => to_hex(&hasher.finalize()),
        };
        Digest { algorithm, hex }
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digester({}, {} bytes)", self.algorithm(), self.count)
    }
}

fn to_hex(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text.into_boxed_str()
}

#[cfg(test)]
mod tests;
