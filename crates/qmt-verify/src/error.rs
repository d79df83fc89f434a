//! Why something is not verified: one error for the stage, one reason per rejected signature.

use std::fmt;

use qmt_oci_ref::{Digest, PinnedReference};
use serde::{Deserialize, Serialize};

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
        subject: PinnedReference,
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
        subject: PinnedReference,
        /// The scope of the policy that applied.
        scope: String,
        /// Each piece of evidence with the first thing that is wrong with it.
        rejected: Vec<Rejection>,
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
    #[error("looking for signatures of `{subject}` took longer than {limit_seconds} s")]
    Timeout {
        /// What was to be verified.
        subject: PinnedReference,
        /// The limit in seconds.
        limit_seconds: u64,
    },
    /// The digest is of a kind that no signature format names.
    #[error("`{subject}` cannot be verified: signatures name sha256 digests only")]
    UnsupportedDigest {
        /// What was to be verified.
        subject: PinnedReference,
    },
    /// The evidence belongs to another digest than the one asked about.
    #[error("the evidence is about `{evidence}`, not about `{subject}`")]
    OtherEvidence {
        /// What was to be verified.
        subject: PinnedReference,
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

    /// Whether asking again may help: only where the registry could not be asked.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Source { .. } | Self::Timeout { .. })
    }

    pub(crate) fn policy(problem: impl Into<String>) -> Self {
        Self::Policy { problem: problem.into() }
    }

    #[cfg(feature = "sigstore")]
    pub(crate) fn trust(origin: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::TrustRoot { origin: origin.into(), problem: problem.into(), source: None }
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
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.found, self.reason)
    }
}

impl Rejection {
    pub(crate) fn new(found: &str, signer: Option<String>, fault: &Fault) -> Self {
        Self {
            found: printable(found),
            signer: signer.map(|signer| printable(&signer)),
            code: fault.code().to_owned(),
            reason: printable(&fault.to_string()),
            hint: fault.hint(),
        }
    }
}

/// What is wrong with one piece of evidence. Its text is made from the publisher's words, so it is
/// shown through [`printable`] only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("left aside: {0}")]
    LeftAside(String),
    #[error("{what} cannot be read: {detail}")]
    Unreadable { what: &'static str, detail: String },
    #[error("{what}: more than {limit}")]
    TooMany { what: &'static str, limit: usize },
    #[error("is a bundle of the old format {0}, which does not prove inclusion in the log")]
    OldBundle(String),
    #[error("is about `{named}`, another digest")]
    OtherDigest { named: String },
    #[error("is an attestation of type `{predicate_type}`, which is no signature")]
    Attestation { predicate_type: String },
    #[error("has the type `{found}` where `{expected}` belongs")]
    OtherType { found: String, expected: &'static str },
    #[error("the certificate does not hold: {0}")]
    Certificate(String),
    #[error("the signed time does not hold: {0}")]
    Time(String),
    #[error("the transparency log entry does not hold: {0}")]
    Log(String),
    #[error("has no transparency log entry")]
    NoLog,
    #[error("the signature does not hold: {0}")]
    Signature(String),
    #[error("is signed for `{found}`; the policy wants {expected}")]
    OtherIdentity { found: String, expected: String },
    #[error("the signer was vouched for by `{found}`; the policy wants `{expected}`")]
    OtherIssuer { found: String, expected: String },
    #[error("the certificate names two issuers, `{old}` and `{new}`")]
    IssuerConflict { old: String, new: String },
    #[error("the workflow's {claim} is `{found}`; the policy wants `{expected}`")]
    OtherClaim { claim: &'static str, found: String, expected: String },
    #[error("the annotation `{name}` is `{found}`; the policy wants `{expected}`")]
    OtherAnnotation { name: String, found: String, expected: String },
    #[error("names the image `{found}`; `signed_name = \"match\"` wants `{expected}`")]
    OtherName { found: String, expected: String },
    #[error("was signed at {found}; the policy wants nothing before {minimum}")]
    TooOld { found: String, minimum: String },
    #[error("is not signed with {expected}")]
    OtherKey { expected: String },
    #[error("is signed with a key and the policy names no key")]
    NoKey,
    #[error("is signed with a certificate and the policy names only keys")]
    OnlyKeys,
    #[error("is signed by {found}; the lockfile pins {pinned}")]
    OtherSigner { found: String, pinned: String },
    #[error("holds, but only {found} of {required} required signers signed")]
    NotEnough { found: usize, required: usize },
    #[error("no attestation satisfies the demand: {0}")]
    Demand(String),
}

impl Fault {
    fn code(&self) -> &'static str {
        match self {
            Self::LeftAside(_) => "left-aside",
            Self::Unreadable { .. } => "unreadable",
            Self::TooMany { .. } => "too-many",
            Self::OldBundle(_) => "old-bundle",
            Self::OtherDigest { .. } => "other-digest",
            Self::Attestation { .. } => "attestation",
            Self::OtherType { .. } => "other-type",
            Self::Certificate(_) => "certificate",
            Self::Time(_) => "time",
            Self::Log(_) => "log",
            Self::NoLog => "no-log",
            Self::Signature(_) => "signature",
            Self::OtherIdentity { .. } => "other-identity",
            Self::OtherIssuer { .. } => "other-issuer",
            Self::IssuerConflict { .. } => "issuer-conflict",
            Self::OtherClaim { .. } => "other-claim",
            Self::OtherAnnotation { .. } => "other-annotation",
            Self::OtherName { .. } => "other-name",
            Self::TooOld { .. } => "too-old",
            Self::OtherKey { .. } => "other-key",
            Self::NoKey => "no-key",
            Self::OnlyKeys => "only-keys",
            Self::OtherSigner { .. } => "other-signer",
            Self::NotEnough { .. } => "not-enough",
            Self::Demand(_) => "demand",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::LeftAside(_) | Self::TooMany { .. } => {
                "remove signatures from the registry that are not needed"
            }
            Self::Unreadable { .. } | Self::OldBundle(_) | Self::OtherType { .. } => {
                "sign the image again with a current cosign"
            }
            Self::OtherDigest { .. } => "this signature was made for another image; do not use it",
            Self::Attestation { .. } => "sign the image itself: `cosign sign`, not only `attest`",
            Self::Certificate(_) => {
                "check that the trust root is the one of the Sigstore that signed"
            }
            Self::Time(_) => "check the clock, and that the trust root knows the timestamp authority",
            Self::Log(_) => "check that the trust root knows the log that recorded the signature",
            Self::NoLog => {
                "sign with a transparency log, or set `transparency_log = \"optional\"` for this key"
            }
            Self::Signature(_) => "the signature was not made for this content; do not use it",
            Self::OtherIdentity { .. } | Self::OtherIssuer { .. } | Self::OtherClaim { .. } => {
                "accept this signer in `[[oci.policy]]` only if it is one of yours"
            }
            Self::IssuerConflict { .. } => "do not use this certificate",
            Self::OtherAnnotation { .. } => "sign with the annotation that the policy asks for",
            Self::OtherName { .. } => {
                "use the image under its signed name, or set `signed_name = \"any\"`"
            }
            Self::TooOld { .. } => "sign the image again",
            Self::OtherKey { .. } | Self::NoKey => {
                "add the signer's public key to `public_keys` only if it is one of yours"
            }
            Self::OnlyKeys => "name the signer's issuer and identity, or sign with the key",
            Self::OtherSigner { .. } => {
                "if the new signer is meant, accept it in `[[oci.policy]]` or renew the lock"
            }
            Self::NotEnough { .. } => "have the other signers sign the same digest",
            Self::Demand(_) => "attach the attestation with `cosign attest`, signed by an accepted signer",
        }
        .to_owned()
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

    #[test]
    fn every_rejection_says_what_to_do() {
        let fault = Fault::NoLog;
        let rejection = Rejection::new("tag x", None, &fault);
        assert_eq!(rejection.code, "no-log");
        assert!(rejection.hint.contains("transparency_log"));
    }
}
