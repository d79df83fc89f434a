//! Why a digest is not verified.

use qmt_oci_ref::{Digest, PinnedReference, RegistryError};

use crate::report::{Rejection, RejectionCode, TrustReport};

/// The cause of an error, of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a digest is not verified. Every variant means "do not load it".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Nothing that could be a signature was found for the digest.
    #[error("`{subject}` is not signed: {}", unsigned(rejected))]
    NoSignature {
        /// The image.
        subject: Box<PinnedReference>,
        /// What was listed and not stored, because it cannot be a signature or is over a limit.
        rejected: Vec<Rejection>,
    },
    /// There are signatures, and they do not satisfy the policy.
    #[error(
        "none of the {} signature(s) or attestation(s) of `{subject}` satisfies the policy `{scope}`{}",
        rejected.iter().filter(|one| !one.code.is_note()).count(),
        first(rejected)
    )]
    Refused {
        /// The image.
        subject: Box<PinnedReference>,
        /// The scope of the policy that applied.
        scope: String,
        /// Each evidence item with the first reason against it.
        rejected: Vec<Rejection>,
        /// The trust root in use.
        trust_root: Option<Box<TrustReport>>,
    },
    /// A place that may hold signatures could not be read, and those found elsewhere do not satisfy
    /// the policy. That is not the same as finding none.
    #[error("{}", incomplete(place, refusal.as_deref()))]
    Source {
        /// The name of the place: the referrers, a tag, a referrer or a layer.
        place: String,
        /// The error of the registry.
        source: RegistryError,
        /// Why what was found elsewhere is not enough; `None` where no place could be read.
        refusal: Option<Box<Self>>,
    },
    /// The digest is not SHA-256, the only one that signature formats name.
    #[error("`{subject}` cannot be verified: signatures name sha256 digests only")]
    UnsupportedDigest {
        /// The image.
        subject: Box<PinnedReference>,
    },
    /// The evidence belongs to another digest.
    #[error("the evidence is about `{evidence}`, not about `{subject}`")]
    OtherEvidence {
        /// The image.
        subject: Box<PinnedReference>,
        /// The digest that the evidence was discovered for.
        evidence: Digest,
    },
    /// Stored evidence cannot be read.
    #[error("stored signature evidence cannot be used: {problem}")]
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
    /// A signing key cannot be used. The message never shows any part of it.
    #[error("the signing key cannot be used: {problem}")]
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
    /// The rejected evidence items, where the error is about signatures.
    pub fn rejections(&self) -> &[Rejection] {
        match self {
            Self::NoSignature { rejected, .. } | Self::Refused { rejected, .. } => rejected,
            Self::Source {
                refusal: Some(refusal),
                ..
            } => refusal.rejections(),
            _ => &[],
        }
    }

    /// The trust root that signatures were checked with, if any were.
    pub fn trust_root(&self) -> Option<&TrustReport> {
        match self {
            Self::Refused { trust_root, .. } => trust_root.as_deref(),
            Self::Source {
                refusal: Some(refusal),
                ..
            } => refusal.trust_root(),
            _ => None,
        }
    }

    /// Whether a retry may help: only where the registry can answer another time.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Source { source, .. } if source.is_retryable())
    }

    /// Refuses a digest that signatures cannot name.
    pub(crate) fn unsupported(subject: &PinnedReference) -> Self {
        Self::UnsupportedDigest {
            subject: Box::new(subject.clone()),
        }
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

/// The first rejection, so that the one line of the error shows a reason.
fn first(rejected: &[Rejection]) -> String {
    let first = rejected.first();
    first.map(|one| format!(": {one}")).unwrap_or_default()
}

/// The message of an error about a `place` that could not be read.
fn incomplete(place: &str, refusal: Option<&VerifyError>) -> String {
    match refusal {
        None => format!("looking for signatures in {place} failed"),
        Some(VerifyError::NoSignature { subject, .. }) => format!(
            "no signature of `{subject}` was found, and looking for signatures in {place} failed"
        ),
        Some(other) => format!("{other}; looking for signatures in {place} failed"),
    }
}

/// What was found for a digest that has no signature.
fn unsigned(rejected: &[Rejection]) -> String {
    let of = |code| rejected.iter().filter(move |one| one.code == code);
    let rest = if of(RejectionCode::OnlyChild).count() > 0 {
        "; a manifest that this index lists is signed, but not the index itself".to_owned()
    } else if let Some(first) = of(RejectionCode::LeftAside).next() {
        let count = of(RejectionCode::LeftAside).count();
        format!("; {count} item(s) cannot be used: {first}")
    } else {
        String::new()
    };
    format!("no bundle and no `.sig` was found for its digest{rest}")
}
