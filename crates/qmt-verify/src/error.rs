//! Why something is not verified: one error for the stage, one reason per rejected signature.

use std::fmt;
use std::time::Duration;

use qmt_oci_ref::{Digest, PinnedReference};
use serde::{Deserialize, Serialize};

use crate::report::TrustReport;

/// The cause that a port hands over.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a digest is not verified. Every variant means "do not load it".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Nothing that could be a signature was found for the digest.
    #[error("`{subject}` is not signed: no bundle and no `.sig` was found for its digest")]
    NoSignature {
        /// What was to be verified.
        subject: Box<PinnedReference>,
        /// What was found and cannot be a signature, and what was left aside because of a limit.
        rejected: Vec<Rejection>,
    },
    /// There are signatures, and none of them is enough.
    #[error(
        "none of the {} signature(s) or attestation(s) of `{subject}` satisfies the policy `{scope}`{}",
        rejected.len(),
        First(rejected)
    )]
    Refused {
        /// What was to be verified.
        subject: Box<PinnedReference>,
        /// The scope of the policy that applied.
        scope: String,
        /// Each piece of evidence with the first thing that is wrong with it.
        rejected: Vec<Rejection>,
        /// The trust root that was asked.
        trust_root: Option<Box<TrustReport>>,
    },
    /// Looking for signatures failed, which is not the same as finding none.
    #[error("looking for signatures in {place} failed")]
    Source {
        /// Where we looked.
        place: String,
        /// What the registry client said.
        #[source]
        source: BoxError,
    },
    /// The registry answered a request by digest with other content.
    #[error("{place} gave content that hashes to `{actual}` where `{expected}` was asked for")]
    WrongContent {
        /// Where we looked.
        place: String,
        /// What was asked for.
        expected: Digest,
        /// What arrived.
        actual: Digest,
    },
    /// Looking for signatures took longer than it may.
    #[error("looking for signatures of `{subject}` took longer than {limit:?}")]
    Timeout {
        /// What was to be verified.
        subject: Box<PinnedReference>,
        /// The limit.
        limit: Duration,
    },
    /// The digest is of a kind that no signature format names.
    #[error("`{subject}` cannot be verified: signatures name sha256 digests only")]
    UnsupportedDigest {
        /// What was to be verified.
        subject: Box<PinnedReference>,
    },
    /// The evidence belongs to another digest than the one asked about.
    #[error("the evidence is about `{evidence}`, not about `{subject}`")]
    OtherEvidence {
        /// What was to be verified.
        subject: Box<PinnedReference>,
        /// What the evidence was collected for.
        evidence: Digest,
    },
    /// Stored evidence cannot be read.
    #[error("stored signature evidence is unusable: {problem}")]
    Evidence {
        /// What is wrong with it.
        problem: String,
    },
    /// The trust material is missing, unreadable, empty or not enough for the policy.
    #[error("trust root from {origin}: {problem}")]
    TrustRoot {
        /// Where the material comes from.
        origin: String,
        /// What is wrong and what to do.
        problem: String,
        /// The cause, where there is one.
        #[source]
        source: Option<BoxError>,
    },
    /// A key that is to sign can't be used. The message never shows any of it.
    #[error("the signing key can't be used: {problem}")]
    SigningKey {
        /// What is wrong and what to do.
        problem: String,
    },
    /// The policy contradicts itself, is empty or does not cover the subject.
    #[error("verification policy: {problem}")]
    Policy {
        /// What is wrong and what to do.
        problem: String,
    },
}

impl VerifyError {
    /// The rejected pieces of evidence, where the error is about signatures.
    pub fn rejections(&self) -> &[Rejection] {
        match self {
            Self::NoSignature { rejected, .. } | Self::Refused { rejected, .. } => rejected,
            _ => &[],
        }
    }

    /// The trust root that signatures were judged by, where it came to that.
    pub fn trust_root(&self) -> Option<&TrustReport> {
        match self {
            Self::Refused { trust_root, .. } => trust_root.as_deref(),
            _ => None,
        }
    }

    /// Whether asking again may help: only where the registry could not be asked.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Source { .. } | Self::Timeout { .. })
    }

    pub(crate) fn policy(problem: impl Into<String>) -> Self {
        Self::Policy {
            problem: problem.into(),
        }
    }

    #[cfg(feature = "sigstore")]
    pub(crate) fn trust(origin: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::TrustRoot {
            origin: origin.into(),
            problem: problem.into(),
            source: None,
        }
    }
}

/// The first reason of the first rejection, for the one line that most people read.
struct First<'a>(&'a [Rejection]);

impl fmt::Display for First<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first() {
            Some(rejection) => write!(f, ": {rejection}"),
            None => Ok(()),
        }
    }
}

/// One piece of evidence that is not enough, and the first thing that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rejection {
    /// Where the piece was found, such as `referrer sha256:…` or `tag sha256-….sig, layer 1`.
    pub found: String,
    /// Who signed it, as far as that is known. Not proven where `reason` is about the proof.
    pub signer: Option<String>,
    /// A stable word for the kind of fault, such as `other-identity`.
    pub code: String,
    /// The first thing that is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
    /// The line of `[[oci.policy]]` that would accept this signer, where everything but the signer
    /// holds.
    pub config_line: Option<String>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.found, self.reason)
    }
}

/// Makes text from outside safe to show: control characters become escapes, and it is cut.
pub(crate) fn printable(text: &str) -> String {
    /// Longer text helps nobody.
    const CHARS_MAX: usize = 1024;
    let mut shown = String::with_capacity(text.len().min(CHARS_MAX));
    for (count, character) in text.chars().enumerate() {
        if count == CHARS_MAX {
            shown.push('…');
            break;
        }
        if character.is_control() || is_bidi(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Characters that reorder or hide what stands beside them.
fn is_bidi(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(printable("grün"), "grün");
        assert_eq!(printable(&"x".repeat(1024)).chars().count(), 1024);
        assert_eq!(printable(&"x".repeat(1025)).chars().count(), 1025);
        assert!(printable(&"x".repeat(9000)).ends_with('…'));
    }
}
