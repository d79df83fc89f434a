//! Tampered signatures: each is good except for one thing, which has a name.
//!
//! A verifier that accepts one of them is broken. Those with [`Defect::Policy`] are valid
//! cryptography, and only a rule about the content or the signer can refuse them.

use super::ca::LeafDefect;
use super::identity::{ISSUER_V1, Identity, SubjectName};
use super::rekor::EntryDefect;
use super::sct::SctDefect;
use super::signing::{LogKind, Signer, Signing};

/// The two forms in which cosign attaches a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// cosign 2: a layer of the `.sig` image.
    Simple,
    /// cosign 3: a Sigstore bundle.
    Bundle,
}

/// Which part of a verifier must find the defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// A signature, hash, time or chain does not hold.
    Cryptography,
    /// Everything holds; the content is not what a signature of this image by this signer says.
    Policy,
}

macro_rules! tampered {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// One thing that is wrong with an otherwise good signature.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Tampered {
            $($(#[$doc])+ $name,)+
        }

        impl Tampered {
            /// Every kind of tampering.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

tampered! {
    /// The certificate had expired ten minutes before the signature was logged.
    ExpiredCertificate,
    /// The certificate begins ten minutes after the signature was logged.
    NotYetValidCertificate,
    /// The certificate is from an authority of the same names that is not trusted.
    UnknownCa,
    /// The issuing authority, which the trusted root lists, had expired (CVE-2026-24122).
    ExpiredCa,
    /// The certificate is for TLS servers.
    NoCodeSigning,
    /// The certificate has an unknown critical extension.
    UnknownCriticalExtension,
    /// No certificate log saw the certificate.
    MissingSct,
    /// Another key signed the SCT under the log's name.
    SctByWrongKey,
    /// An untrusted log signed the SCT.
    SctOfUnknownLog,
    /// The SCT is for another certificate.
    SctOfOtherCertificate,
    /// The certificate's two issuer claims name different issuers.
    ConflictingIssuers,
    /// The certificate names a second identity.
    SecondName,
    /// The certificate has no subject name.
    NoName,

    /// The signature is noise; certificate and log entry agree on it (the log did not look).
    GarbageSignature,
    /// The signature is over another payload.
    ForeignSignature,
    /// A byte follows the signature; certificate and log entry agree on it.
    TrailingByte,
    /// The signature is the logged one with the other of its two values for `s`: both verify.
    MalleatedSignature,
    /// Another key than the certificate's (or the named one) signed.
    OtherKey,

    /// The entry is a genuine one, of another signature by the same signer (CVE-2022-36056).
    ForeignEntry,
    /// The entry holds this signature over the hash of another payload.
    EntryOfOtherPayload,
    /// The entry holds another signature over this payload.
    EntryOfOtherSignature,
    /// The entry holds this signature with another certificate or key (CVE-2026-22703).
    EntryOfOtherSigner,
    /// The entry is in an untrusted log.
    UnknownLog,
    /// There is no entry.
    MissingEntry,
    /// The log accepted the entry only after the certificate had expired.
    LoggedAfterExpiry,
    /// Another key signed the entry timestamp under the log's name.
    SetByWrongKey,
    /// The integrated time was changed after the log signed it.
    TamperedIntegratedTime,
    /// The entry has no signed entry timestamp.
    MissingSet,
    /// The bundle's entry has no proof of inclusion.
    MissingProof,
    /// The proof is for the leaf before.
    WrongProofIndex,
    /// The proof's hashes lead elsewhere.
    BrokenProof,
    /// Another key signed the checkpoint under the log's name.
    CheckpointByWrongKey,
    /// The checkpoint is genuine, of another tree.
    CheckpointOfOtherTree,

    /// The timestamp is genuine and after the certificate's end, the log's time is not.
    TimestampOutsideCertificate,
    /// The timestamp is over another signature.
    ForeignTimestamp,
    /// The timestamp is from an authority of the same names that is not trusted.
    TimestampByUnknownAuthority,
    /// The timestamp names the authority's certificate, and another key made it (CVE-2026-39984).
    TimestampByOtherKey,
    /// The time in the timestamp was changed after it was signed.
    TamperedTimestamp,

    /// The payload names another image.
    WrongSubject,
    /// The payload is not a signature: another `critical.type`, or another predicate.
    WrongType,
    /// The payload is not JSON.
    MalformedPayload,
    /// The payload names no image.
    NoSubject,
    /// The payload names the image by SHA-512 only.
    OtherDigestAlgorithm,
    /// The envelope says that it holds plain text.
    WrongPayloadType,
    /// The envelope holds two signatures, one of them noise.
    TwoSignatures,
    /// The bundle calls itself v0.1, which needs no proof of inclusion, and has none.
    OldBundle,
}

impl Tampered {
    /// Whether the defect applies to such a signature; if not, signing panics.
    pub fn applies(self, format: Format, signing: &Signing) -> bool {
        let keyless = matches!(signing.signer, Signer::Keyless(_));
        let v1 = matches!(signing.log, LogKind::RekorV1 | LogKind::RekorV1Intoto);
        let v2 = signing.log == LogKind::RekorV2;
        let bundle = format == Format::Bundle;
        match self {
            Self::ExpiredCertificate
            | Self::NotYetValidCertificate
            | Self::UnknownCa
            | Self::ExpiredCa
            | Self::NoCodeSigning
            | Self::UnknownCriticalExtension
            | Self::MissingSct
            | Self::SctByWrongKey
            | Self::SctOfUnknownLog
            | Self::SctOfOtherCertificate
            | Self::ConflictingIssuers
            | Self::SecondName
            | Self::NoName => keyless,
            Self::GarbageSignature
            | Self::ForeignSignature
            | Self::TrailingByte
            | Self::OtherKey
            | Self::WrongSubject
            | Self::WrongType
            | Self::MalformedPayload
            | Self::NoSubject => true,
            Self::ForeignEntry
            | Self::EntryOfOtherPayload
            | Self::EntryOfOtherSignature
            | Self::EntryOfOtherSigner
            | Self::UnknownLog
            | Self::MissingEntry => v1 || v2,
            Self::MalleatedSignature => (v1 || v2) && signing.signs_with_p256(),
            Self::LoggedAfterExpiry => keyless && v1,
            // A bundle whose proof holds needs no promise, unless the promise is its only time.
            Self::MissingSet => v1 && (!bundle || (keyless && !signing.timestamp)),
            Self::SetByWrongKey | Self::TamperedIntegratedTime => v1,
            Self::MissingProof
            | Self::WrongProofIndex
            | Self::BrokenProof
            | Self::CheckpointByWrongKey
            | Self::CheckpointOfOtherTree => bundle && (v1 || v2),
            Self::TimestampOutsideCertificate => keyless && signing.timestamp,
            Self::ForeignTimestamp
            | Self::TimestampByUnknownAuthority
            | Self::TimestampByOtherKey
            | Self::TamperedTimestamp => signing.timestamp,
            Self::OtherDigestAlgorithm | Self::WrongPayloadType | Self::TwoSignatures => bundle,
            Self::OldBundle => bundle && v1,
        }
    }

    /// The part of a verifier that must find the defect.
    pub fn defect(self, format: Format) -> Defect {
        match (self, format) {
            (
                Self::ConflictingIssuers
                | Self::SecondName
                | Self::NoName
                | Self::WrongType
                | Self::OldBundle,
                _,
            )
            | (Self::WrongSubject | Self::MalformedPayload | Self::NoSubject, Format::Simple) => {
                Defect::Policy
            }
            _ => Defect::Cryptography,
        }
    }

    /// The name in words, for messages: `expired certificate`.
    pub fn name(self) -> String {
        let mut words = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !words.is_empty() {
                words.push(' ');
            }
            words.push(letter.to_ascii_lowercase());
        }
        words
    }

    /// Panics if the defect does not apply to such a signature.
    pub(super) fn require(self, format: Format, signing: &Signing) {
        assert!(
            self.applies(format, signing),
            "the defect `{}` does not apply to {format:?} with {signing:?}",
            self.name()
        );
    }
}

/// The identity in the certificate of a tampered signature.
pub(super) fn altered(identity: &Identity, tampered: Option<Tampered>) -> Identity {
    let identity = identity.clone();
    match tampered {
        Some(Tampered::ConflictingIssuers) => {
            identity.with_claim(ISSUER_V1, "https://issuer.stranger.test")
        }
        Some(Tampered::SecondName) => {
            identity.with_name(SubjectName::Email("second@stranger.test".to_owned()))
        }
        Some(Tampered::NoName) => Identity {
            names: Vec::new(),
            ..identity
        },
        _ => identity,
    }
}

/// The defect of the certificate.
pub(super) fn leaf_defect(tampered: Option<Tampered>) -> Option<LeafDefect> {
    Some(match tampered? {
        Tampered::NoCodeSigning => LeafDefect::NoCodeSigning,
        Tampered::UnknownCriticalExtension => LeafDefect::StrangeCriticalExtension,
        Tampered::MissingSct => LeafDefect::NoSct,
        Tampered::SctByWrongKey => LeafDefect::Sct(SctDefect::WrongKey),
        Tampered::SctOfUnknownLog => LeafDefect::Sct(SctDefect::UnknownLog),
        Tampered::SctOfOtherCertificate => LeafDefect::Sct(SctDefect::OtherCertificate),
        _ => return None,
    })
}

/// The defect of the log entry.
pub(super) fn entry_defect(tampered: Option<Tampered>) -> Option<EntryDefect> {
    Some(match tampered? {
        Tampered::SetByWrongKey => EntryDefect::SetByWrongKey,
        Tampered::TamperedIntegratedTime => EntryDefect::TamperedTime,
        Tampered::MissingSet => EntryDefect::NoSet,
        Tampered::MissingProof => EntryDefect::NoProof,
        Tampered::WrongProofIndex => EntryDefect::WrongIndex,
        Tampered::BrokenProof => EntryDefect::BrokenProof,
        Tampered::CheckpointByWrongKey => EntryDefect::CheckpointByWrongKey,
        Tampered::CheckpointOfOtherTree => EntryDefect::CheckpointOfOtherTree,
        _ => return None,
    })
}
