//! Why one evidence item is not accepted: typed, with the cause of a library kept as its source.

use std::error::Error as _;

use qmt_oci_ref::{RegistryErrorKind, RegistryHost, text};
use sigstore_verify::{CertificateError, Error as LibraryError, TransparencyLogError};

use crate::error::BoxError;
use crate::policy::Claim;
use crate::report::{Rejection, RejectionCause, RejectionCode};
use crate::signer::{SignerId, key_line};

/// Why one evidence item is not accepted. Its text quotes the publisher, so it is shown through
/// [`text::escape`] only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error("it cannot be used: {0}")]
    Unusable(String),
    #[error("only a part of this list was read: {0}")]
    PartOfList(String),
    #[error("{0}")]
    UnexpectedAnswer(String),
    #[error("{unread} not looked at: {reason}")]
    NotRead { unread: usize, reason: String },
    #[error("it could not be read: {problem}")]
    LookupFailed {
        kind: RegistryErrorKind,
        host: RegistryHost,
        problem: String,
        hint: Option<String>,
    },
    #[error("it is signed, but not the index that lists it")]
    OnlyChild { hint: String },
    #[error("{what} cannot be read")]
    Unreadable {
        what: &'static str,
        source: BoxError,
    },
    #[error("{what}: more than {limit}")]
    TooMany { what: &'static str, limit: usize },
    #[error("is a bundle of the old format {0}, which does not prove inclusion in the log")]
    OldBundle(String),
    #[error("is about another digest, `{named}`")]
    OtherDigest { named: String },
    #[error("is an attestation of type `{predicate_type}`, not a signature")]
    Attestation { predicate_type: String },
    #[error("has the type `{found}`, expected `{expected}`")]
    OtherType {
        found: String,
        expected: &'static str,
    },
    #[error("the certificate is not valid")]
    Certificate(#[source] BoxError),
    #[error("the certificate is not valid: {0}")]
    CertificateTime(String),
    #[error("the signing time is not proven")]
    Time(#[source] BoxError),
    #[error("the transparency log entry is not valid")]
    Log(#[source] BoxError),
    /// It names a known log, and does not match what that log or the signer signed.
    #[error("the transparency log entry is not valid")]
    LogMismatch(#[source] BoxError),
    #[error("has no transparency log entry")]
    NoLog,
    #[error("is signed with `{key}`, and has no transparency log entry")]
    UnloggedKey { key: String },
    #[error("the signature is not valid")]
    Signature(#[source] BoxError),
    /// The signature of a known key, which something changed on the way.
    #[error("the signature is not valid")]
    DamagedSignature(#[source] BoxError),
    #[error("{}; the policy requires {expected}", signed_by(.found.as_deref()))]
    OtherIdentity {
        found: Option<String>,
        expected: String,
    },
    #[error("{}; the policy requires `{expected}`", issued_by(.found.as_deref()))]
    OtherIssuer {
        found: Option<String>,
        expected: String,
    },
    #[error("the certificate names two issuers, `{old}` and `{new}`")]
    IssuerConflict { old: String, new: String },
    #[error("{}; the policy requires `{expected}`", claimed(*.claim, .found.as_deref()))]
    OtherClaim {
        claim: Claim,
        found: Option<String>,
        expected: String,
    },
    #[error("{}; the policy requires `{expected}`", annotated(.name, .found.as_deref()))]
    OtherAnnotation {
        name: String,
        found: Option<String>,
        expected: String,
    },
    #[error("names the image `{found}`; `signed_name = \"match\"` requires `{expected}`")]
    OtherName { found: String, expected: String },
    #[error("was signed at {found}; the policy requires {minimum} or later")]
    TooOld { found: String, minimum: String },
    #[error("does not verify with {expected}: it is signed with another key, or damaged")]
    OtherKey { expected: String },
    #[error("is signed with a key, but the policy names no key")]
    NoKey,
    #[error("is signed with a certificate, but the policy names only keys")]
    OnlyKeys,
    #[error("is signed by {found}; the lockfile pins {pinned}")]
    OtherSigner { found: String, pinned: String },
    #[error("is valid, but only {found} of {required} required signers signed")]
    NotEnough { found: usize, required: usize },
    #[error("no attestation satisfies the policy: {0}")]
    Demand(String),
    #[error(
        "the signature by {signer} is accepted; an attestation of type `{predicate_type}` by an \
         accepted signer is missing"
    )]
    NoAttestation {
        signer: String,
        predicate_type: String,
    },
}

impl Reason {
    pub(crate) fn unreadable(what: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::Unreadable { what, source }
    }

    pub(crate) fn certificate(source: impl Into<BoxError>) -> Self {
        Self::Certificate(source.into())
    }

    pub(crate) fn time(source: impl Into<BoxError>) -> Self {
        Self::Time(source.into())
    }

    pub(crate) fn log(source: impl Into<BoxError>) -> Self {
        Self::Log(source.into())
    }

    pub(crate) fn log_mismatch(source: impl Into<BoxError>) -> Self {
        Self::LogMismatch(source.into())
    }

    pub(crate) fn signature(source: impl Into<BoxError>) -> Self {
        Self::Signature(source.into())
    }

    fn code(&self) -> RejectionCode {
        match self {
            Self::Unusable(_) | Self::PartOfList(_) => RejectionCode::Unusable,
            Self::UnexpectedAnswer(_) => RejectionCode::UnexpectedAnswer,
            Self::NotRead { .. } => RejectionCode::NotRead,
            Self::LookupFailed { .. } => RejectionCode::LookupFailed,
            Self::OnlyChild { .. } => RejectionCode::OnlyChild,
            Self::Unreadable { .. } => RejectionCode::Unreadable,
            Self::TooMany { .. } => RejectionCode::TooMany,
            Self::OldBundle(_) => RejectionCode::OldBundle,
            Self::OtherDigest { .. } => RejectionCode::OtherDigest,
            Self::Attestation { .. } => RejectionCode::Attestation,
            Self::OtherType { .. } => RejectionCode::OtherType,
            Self::Certificate(_) | Self::CertificateTime(_) => RejectionCode::Certificate,
            Self::Time(_) => RejectionCode::Time,
            Self::Log(_) | Self::LogMismatch(_) => RejectionCode::Log,
            Self::NoLog | Self::UnloggedKey { .. } => RejectionCode::NoLog,
            Self::Signature(_) | Self::DamagedSignature(_) => RejectionCode::Signature,
            Self::OtherIdentity { .. } => RejectionCode::OtherIdentity,
            Self::OtherIssuer { .. } => RejectionCode::OtherIssuer,
            Self::IssuerConflict { .. } => RejectionCode::IssuerConflict,
            Self::OtherClaim { .. } => RejectionCode::OtherClaim,
            Self::OtherAnnotation { .. } => RejectionCode::OtherAnnotation,
            Self::OtherName { .. } => RejectionCode::OtherName,
            Self::TooOld { .. } => RejectionCode::TooOld,
            Self::OtherKey { .. } => RejectionCode::OtherKey,
            Self::NoKey => RejectionCode::NoKey,
            Self::OnlyKeys => RejectionCode::OnlyKeys,
            Self::OtherSigner { .. } => RejectionCode::OtherSigner,
            Self::NotEnough { .. } => RejectionCode::NotEnough,
            Self::Demand(_) | Self::NoAttestation { .. } => RejectionCode::Demand,
        }
    }

    /// What to do about it.
    fn hint(&self) -> String {
        match self {
            Self::LookupFailed {
                kind: RegistryErrorKind::Unauthorized,
                host,
                ..
            } => format!(
                "log in with an account that may read it: `qmt-plugins login {}`",
                text::shell_word(host.as_str())
            ),
            Self::LookupFailed {
                kind: RegistryErrorKind::Network { retryable: true },
                ..
            } => "try again later".to_owned(),
            Self::LookupFailed {
                hint: Some(hint), ..
            }
            | Self::OnlyChild { hint } => hint.clone(),
            Self::PartOfList(_) => PART_OF_LIST.to_owned(),
            Self::DamagedSignature(_) => {
                "copy or export the image again together with its signatures, \
                                          or have it signed again"
                    .to_owned()
            }
            Self::CertificateTime(_) => {
                "the signature was not made while its certificate was valid; sign the image again"
                    .to_owned()
            }
            Self::LogMismatch(_) => {
                "the log entry belongs to another signature or was changed; do not use this \
                 signature"
                    .to_owned()
            }
            _ => hint(self.code()).to_owned(),
        }
    }

    /// Rejects the item found at `place`, which names `signer`.
    pub(crate) fn reject(&self, place: &str, signer: Option<&SignerId>) -> Rejection {
        let code = self.code();
        // Sources quote their own causes, so the first one says everything.
        let reason = match self.source() {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        };
        // The signature is valid and only its signer is not an accepted one.
        let only_signer = matches!(
            self,
            Self::OtherIdentity { .. }
                | Self::OtherIssuer { .. }
                | Self::OtherClaim { .. }
                | Self::OtherSigner { .. }
        );
        let named = signer.filter(|_| only_signer);
        let hint = match named {
            Some(signer) if signer.lacks_issuer() => NO_ISSUER.to_owned(),
            _ => self.hint(),
        };
        let config_line = match self {
            Self::UnloggedKey { key } => Some(key_line(key, false)),
            _ => named
                .filter(|one| !one.lacks_issuer())
                .map(SignerId::config_line),
        };
        Rejection {
            found: text::escape(place),
            signer: signer.map(SignerId::escaped),
            code,
            reason: text::escape(&reason),
            hint,
            config_line,
            cause: RejectionCause::Signature,
        }
    }
}

/// How a signature is found that the rest of a list may have.
const PART_OF_LIST: &str = "if a signature is missing, ask the owner of the repository to delete \
                            referrers that are not needed, or sign into another repository \
                            (`COSIGN_REPOSITORY`) and set `signature_repository` to it";

/// What is said of a signer whose certificate names no issuer: the config requires one.
const NO_ISSUER: &str = "its certificate names no issuer, so no config line can accept exactly \
                         this signer; sign with a certificate that names one, or with a key";

/// Sorts the errors of the Sigstore library by what an operator can do about them.
impl From<LibraryError> for Reason {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::Certificate(
                CertificateError::Expired { .. } | CertificateError::NotYetValid { .. },
            )
            | LibraryError::Timestamp(_)
            | LibraryError::TransparencyLog(TransparencyLogError::IntegratedTime(_)) => {
                Self::time(error)
            }
            LibraryError::Certificate(_) => Self::certificate(error),
            LibraryError::TransparencyLog(
                TransparencyLogError::EntryMismatch(_) | TransparencyLogError::InclusionProof(_),
            ) => Self::log_mismatch(error),
            LibraryError::TransparencyLog(_) => Self::log(error),
            LibraryError::SignatureInvalid(_) | LibraryError::ArtifactMismatch(_) => {
                Self::signature(error)
            }
            other => Self::unreadable("the bundle", other),
        }
    }
}

fn hint(code: RejectionCode) -> &'static str {
    match code {
        RejectionCode::Unusable => {
            "copy the image again with `cosign copy`, which copies its signatures too, or have it \
             signed again"
        }
        RejectionCode::NotRead | RejectionCode::TooMany => {
            "remove signatures from the registry that are not needed"
        }
        RejectionCode::LookupFailed => {
            "find out why this request fails: the signature may be in this place"
        }
        RejectionCode::UnexpectedAnswer => {
            "nothing was refused because of this; signatures were searched in all places"
        }
        RejectionCode::OnlyChild => "sign the index itself",
        RejectionCode::Unreadable | RejectionCode::OldBundle | RejectionCode::OtherType => {
            "sign the image again with a current cosign"
        }
        RejectionCode::OtherDigest => "this signature was made for another image; do not use it",
        RejectionCode::Attestation => "sign the image itself: `cosign sign`, not only `attest`",
        RejectionCode::Certificate => {
            "check that the trust root is the one of the Sigstore that signed"
        }
        RejectionCode::Time => {
            "check the clock, and that the trust root has the timestamp authority: its \
             certificates are `tsa_certs` where the config names PEM files"
        }
        RejectionCode::Log => "check that the trust root knows the log that recorded the signature",
        RejectionCode::NoLog => {
            "sign with a transparency log, or accept signatures of this signer without one with \
             `transparency_log = \"optional\"`"
        }
        RejectionCode::Signature => "the signature was not made for this content; do not use it",
        RejectionCode::OtherIdentity | RejectionCode::OtherIssuer | RejectionCode::OtherClaim => {
            "accept this signer in `[[oci.policy]]` only if you trust it"
        }
        RejectionCode::IssuerConflict => "do not use this certificate",
        RejectionCode::OtherAnnotation => "sign with the annotation that the policy requires",
        RejectionCode::OtherName => {
            "use the image under its signed name, or set `signed_name = \"any\"`"
        }
        RejectionCode::TooOld => {
            "sign the image again; a signature with a key must also be in a transparency log that \
             records the time"
        }
        RejectionCode::OtherKey | RejectionCode::NoKey => {
            "if you trust the signer, save its public key as `signer.pub` next to the config, and \
             accept it in `[[oci.policy]]`"
        }
        RejectionCode::OnlyKeys => "name the signer's issuer and identity, or sign with the key",
        RejectionCode::OtherSigner => {
            "if the new signer is intended, accept it in `[[oci.policy]]`, or remove the plugin \
             from `plugins.lock` to pin it"
        }
        RejectionCode::NotEnough => "have the other signers sign the same digest",
        RejectionCode::Demand => {
            "attach the attestation with `cosign attest`, signed by an accepted signer"
        }
    }
}

fn signed_by(found: Option<&str>) -> String {
    found.map_or_else(
        || "its certificate names no signer".to_owned(),
        |found| format!("is signed by `{found}`"),
    )
}

fn claimed(claim: Claim, found: Option<&str>) -> String {
    found.map_or_else(
        || format!("the certificate names no {claim} of a workflow"),
        |found| format!("the workflow's {claim} is `{found}`"),
    )
}

fn annotated(name: &str, found: Option<&str>) -> String {
    found.map_or_else(
        || format!("the annotation `{name}` is missing"),
        |found| format!("the annotation `{name}` is `{found}`"),
    )
}

fn issued_by(found: Option<&str>) -> String {
    found.map_or_else(
        || "its certificate names no issuer".to_owned(),
        |found| format!("the issuer of the signer is `{found}`"),
    )
}

#[cfg(test)]
mod tests;
