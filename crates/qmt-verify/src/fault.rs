//! What can be wrong with one piece of evidence, in words and with a hint.

use crate::error::{Rejection, printable};
use crate::signer::SignerId;

impl Rejection {
    pub(crate) fn new(found: &str, signer: Option<&SignerId>, fault: &Fault) -> Self {
        Self {
            found: printable(found),
            signer: signer.map(|signer| printable(&signer.to_string())),
            code: fault.code().to_owned(),
            reason: printable(&fault.to_string()),
            hint: fault.hint(),
            config_line: signer
                .filter(|_| fault.is_about_signer())
                .map(SignerId::config_line),
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
    OtherType {
        found: String,
        expected: &'static str,
    },
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
    OtherClaim {
        claim: &'static str,
        found: String,
        expected: String,
    },
    #[error("the annotation `{name}` is `{found}`; the policy wants `{expected}`")]
    OtherAnnotation {
        name: String,
        found: String,
        expected: String,
    },
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

    /// Whether the signature is proven and only its signer is not the wanted one.
    fn is_about_signer(&self) -> bool {
        matches!(
            self,
            Self::OtherIdentity { .. }
                | Self::OtherIssuer { .. }
                | Self::OtherClaim { .. }
                | Self::OtherSigner { .. }
        )
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
                "sign with a transparency log, or set `transparency_log = \"optional\"` for this signer"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_says_what_to_do() {
        let signer = SignerId::certificate("https://issuer.example", "a\u{7}");
        let rejection = Rejection::new("tag x\n", Some(&signer), &Fault::NoLog);
        assert_eq!(rejection.code, "no-log");
        assert_eq!(rejection.found, "tag x\\n");
        assert!(rejection.signer.unwrap().contains("a\\u{7}"));
        assert_eq!(rejection.config_line, None);
        assert!(rejection.hint.contains("transparency_log"));
        let (found, expected) = ("a".to_owned(), "b".to_owned());
        let fault = Fault::OtherIdentity { found, expected };
        let line = Rejection::new("x", Some(&signer), &fault)
            .config_line
            .unwrap();
        assert!(
            line.contains("issuer = \"https://issuer.example\""),
            "{line}"
        );
    }
}
