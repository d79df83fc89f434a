//! Why a digest is not verified.

use std::path::PathBuf;

use qmt_oci_ref::{Digest, PinnedReference, RegistryError, Repository};

use crate::report::{Rejection, RejectionCause, RejectionCode, TrustReport};

/// The cause of an error, of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a digest is not verified. Every variant means "do not load it".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Nothing that could be a signature was found for the digest.
    #[error("{}{}", unsigned(subject, searched.as_deref(), rejected), unread_items(*unread))]
    NoSignature {
        /// The image.
        subject: Box<PinnedReference>,
        /// Where signatures were looked for, if not in the image's own repository.
        searched: Option<Box<Repository>>,
        /// Whether the policy accepts nothing but keys.
        keys_only: bool,
        /// What was listed and not stored, because it cannot be a signature or is over a limit.
        rejected: Vec<Rejection>,
        /// How many items were not looked at because of a limit.
        unread: usize,
    },
    /// There are signatures, and they do not satisfy the policy.
    #[error(
        "{}{}{}",
        unsatisfied(subject, scope, rejected),
        first(rejected),
        unread_items(*unread)
    )]
    Refused {
        /// The image.
        subject: Box<PinnedReference>,
        /// The scope of the policy that applied.
        scope: String,
        /// The keys by which that policy requires more than a signer, such as `annotations`.
        conditions: Vec<&'static str>,
        /// Each evidence item with the first reason against it.
        rejected: Vec<Rejection>,
        /// How many items were not looked at because of a limit.
        unread: usize,
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
    /// A file is not the one of the digest that is verified.
    #[error("the content of the file hashes to `{actual}`, not to `{expected}`")]
    OtherContent {
        /// The digest that is verified.
        expected: Digest,
        /// The digest of the content.
        actual: Digest,
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
    /// The trust material has no key of a transparency log, and signatures must be in one.
    #[error(
        "trust root from {origin}: holds no key of a transparency log (`rekor_pub_keys`), which \
         {required_by}"
    )]
    NoLogKey {
        /// Where the material comes from.
        origin: String,
        /// What requires an entry in the log, with the verb.
        required_by: String,
    },
    /// The network may not be used, and what the last refresh stored is absent or has expired.
    #[error("the trust root of {origin} is not in the cache, or has expired")]
    NotStored {
        /// Where the material comes from.
        origin: String,
        /// Why what is stored cannot be used.
        #[source]
        source: BoxError,
    },
    /// A file of keys or trust material that the config names cannot be used.
    #[error("`{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
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

fn unsatisfied(subject: &PinnedReference, scope: &str, rejected: &[Rejection]) -> String {
    let policy = format!("the policy `{scope}`");
    if cause(rejected) != RejectionCause::Signature {
        return format!("`{subject}` does not satisfy {policy}");
    }
    match rejected.iter().filter(|one| !one.code.is_note()).count() {
        0 => format!("no signature or attestation of `{subject}` satisfies {policy}"),
        1 => format!("the only signature or attestation of `{subject}` does not satisfy {policy}"),
        many => format!(
            "none of the {many} signatures and attestations of `{subject}` satisfies {policy}"
        ),
    }
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

    /// The error about an image for which nothing at all was found.
    pub fn no_signature(subject: &PinnedReference) -> Self {
        Self::NoSignature {
            subject: Box::new(subject.clone()),
            searched: None,
            keys_only: false,
            rejected: Vec::new(),
            unread: 0,
        }
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
    match rejected.first() {
        None => String::new(),
        Some(first) if first.cause == RejectionCause::NoAttestation => {
            format!(": {}", first.reason)
        }
        Some(first) => format!(": {first}"),
    }
}

fn cause(rejected: &[Rejection]) -> RejectionCause {
    rejected
        .first()
        .map(|first| first.cause)
        .unwrap_or_default()
}

/// The message of an error about a `place` that could not be read.
fn incomplete(place: &str, refusal: Option<&VerifyError>) -> String {
    match refusal {
        None => format!("looking for signatures in {place} failed"),
        Some(VerifyError::NoSignature {
            subject, rejected, ..
        }) if is_child_signed(rejected)
            || !rejected
                .iter()
                .any(|one| one.code == RejectionCode::Unusable) =>
        {
            let child = if is_child_signed(rejected) {
                ": a manifest that this index lists is signed, but not the index itself"
            } else {
                ""
            };
            format!(
                "no signature of `{subject}` was found{child}, and looking for signatures in \
                 {place} failed"
            )
        }
        Some(other) => format!("{other}; looking for signatures in {place} failed"),
    }
}

/// The message of an error about an image that has no signature.
fn unsigned(
    subject: &PinnedReference,
    searched: Option<&Repository>,
    rejected: &[Rejection],
) -> String {
    let of = |code| rejected.iter().filter(move |one| one.code == code);
    let is_child_signed = is_child_signed(rejected);
    if !is_child_signed && let Some(first) = of(RejectionCode::Unusable).next() {
        let more = match of(RejectionCode::Unusable).count() {
            0 | 1 => String::new(),
            count => format!("; {} more cannot be used either", count - 1),
        };
        return format!("`{subject}` has no usable signature: {first}{more}");
    }
    let place = searched.map_or_else(String::new, |searched| format!(" in `{searched}`"));
    let child = if is_child_signed {
        "; a manifest that this index lists is signed, but not the index itself"
    } else {
        ""
    };
    format!(
        "`{subject}` is not signed: no bundle and no `.sig` was found for its digest{place}{child}"
    )
}

fn is_child_signed(rejected: &[Rejection]) -> bool {
    rejected
        .iter()
        .any(|one| one.code == RejectionCode::OnlyChild)
}

/// What limits kept out.
fn unread_items(unread: usize) -> String {
    match unread {
        0 => String::new(),
        1 => "; 1 more was not looked at".to_owned(),
        more => format!("; {more} more were not looked at"),
    }
}
