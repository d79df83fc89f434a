//! Signatures: stored evidence is parsed, checked for form, and verified. No policy.

mod annotations;
pub(crate) mod base64_text;
mod bundle;
pub(crate) mod certificate;
mod ignored;
mod key;
mod log;
pub(crate) mod protojson;
mod refusal;
mod rekor_v2;
mod statement;
mod timestamps;
mod verifier;

use std::collections::BTreeMap;
use std::fmt;

use qmt_oci_ref::{Digest, DigestAlgorithm};
use sigstore_verify::types::{
    Bundle, KindVersion, MediaType, SignatureContent, VerificationMaterialContent,
};

use self::certificate::Claims;
pub(crate) use self::ignored::Ignored;
use self::ignored::Unread;
pub(crate) use self::key::PublicKey;
pub(crate) use self::statement::{PAYLOAD_TYPE, Predicate, STATEMENT_V1, plain_text};
use self::statement::{SimpleSigning, Statement};
pub(crate) use self::verifier::{SignatureVerifier, VerifiedSignature};
use crate::evidence::{COSIGN_SIGN, Content, Item};
use crate::limits::{BundleLimits, CHAIN_MAX, ITEM_BYTES_MAX, PROOF_HASHES_MAX};
use crate::reason::Reason;

/// A signature or attestation that is well formed, about the right digest and within the limits.
/// Nothing in it is verified yet.
pub(crate) struct Signature<'a> {
    pub(crate) place: &'a str,
    pub(crate) format: Format,
    pub(crate) bundle: Bundle,
    /// What the bundle lacks because it cannot be read.
    unread: Unread,
    pub(crate) signed: Signed<'a>,
    /// What an attestation states; `None` for a signature.
    pub(crate) predicate: Option<Predicate>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The image name in a `.sig` payload.
    pub(crate) name: Option<String>,
}

/// What the signature is over.
pub(crate) enum Signed<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A DSSE envelope in the bundle, or bytes of which only the SHA-256 is known.
    Subject(&'a Digest),
}

/// The form in which a signature was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A layer under a `.sig` tag, by cosign 2.
    SimpleSigning,
    /// A layer under an `.att` tag, by cosign 2.
    Envelope,
    Bundle(MediaType),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SimpleSigning => ".sig",
            Self::Envelope => ".att",
            Self::Bundle(MediaType::Bundle0_1) => "bundle v0.1",
            Self::Bundle(MediaType::Bundle0_2) => "bundle v0.2",
            Self::Bundle(MediaType::Bundle0_3) => "bundle v0.3",
            Self::Bundle(_) => "bundle",
        })
    }
}

impl<'a> Signature<'a> {
    /// Parses an evidence item, which must be about `subject`.
    pub(crate) fn of(
        item: &'a Item,
        subject: &'a Digest,
        limits: &BundleLimits,
    ) -> Result<Self, Reason> {
        match &item.content {
            Content::Bundle { json, from_file } => {
                let (bundle, unread) = bundle::parse(json)?;
                let version = bundle.media_type();
                let format = Format::Bundle(version);
                // The version is not signed: relabelled as v0.1, a bundle may omit the proof.
                if version != MediaType::Bundle0_3 && !from_file {
                    return Err(Reason::OldBundle(format.to_string()));
                }
                let parsed = (bundle, unread);
                Self::of_statement(&item.place, format, parsed, subject, limits)
            }
            Content::SimpleSigning {
                payload,
                annotations,
            } => {
                let simple = SimpleSigning::parse(payload, subject)?;
                let (bundle, unread) = annotations::message(payload, annotations)?;
                within_limits(&bundle, limits)?;
                Ok(Self {
                    place: &item.place,
                    format: Format::SimpleSigning,
                    bundle,
                    unread,
                    signed: Signed::Bytes(payload),
                    predicate: None,
                    annotations: simple.annotations,
                    name: simple.name,
                })
            }
            Content::Envelope { json, annotations } => {
                let parsed = annotations::envelope(json, annotations)?;
                Self::of_statement(&item.place, Format::Envelope, parsed, subject, limits)
            }
        }
    }

    /// Parses a bundle about a file: a message signature, or any kind of statement.
    pub(crate) fn of_file(
        digest: &'a Digest,
        content: Option<&'a [u8]>,
        json: &[u8],
        limits: &BundleLimits,
    ) -> Result<Self, Reason> {
        if json.len() as u64 > ITEM_BYTES_MAX {
            return Err(Reason::TooMany {
                what: "bytes of the bundle",
                limit: usize::try_from(ITEM_BYTES_MAX).unwrap_or(usize::MAX),
            });
        }
        let (bundle, unread) = bundle::parse(json)?;
        within_limits(&bundle, limits)?;
        if let SignatureContent::DsseEnvelope(envelope) = &bundle.content {
            // Statements about files may name them by SHA-512 alone, as those of npm do.
            let long = content.map(|content| Digest::of(DigestAlgorithm::Sha512, content));
            let digests: Vec<&Digest> = std::iter::once(digest).chain(&long).collect();
            Statement::parse(envelope, &digests, limits.subjects)?;
        }
        Ok(Self {
            place: "the bundle",
            format: Format::Bundle(bundle.media_type()),
            bundle,
            unread,
            signed: content.map_or(Signed::Subject(digest), Signed::Bytes),
            predicate: None,
            annotations: BTreeMap::new(),
            name: None,
        })
    }

    fn of_statement(
        place: &'a str,
        format: Format,
        (bundle, unread): (Bundle, Unread),
        subject: &'a Digest,
        limits: &BundleLimits,
    ) -> Result<Self, Reason> {
        within_limits(&bundle, limits)?;
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            return Err(Reason::OtherType {
                found: "message signature".to_owned(),
                expected: "signed statement",
            });
        };
        let statement = Statement::parse(envelope, &[subject], limits.subjects)?;
        // `.att` layers are always attestations: a signature there does not count.
        let is_signature = statement.predicate.kind == COSIGN_SIGN && format != Format::Envelope;
        Ok(Self {
            place,
            format,
            bundle,
            unread,
            signed: Signed::Subject(subject),
            predicate: (!is_signature).then_some(statement.predicate),
            annotations: statement.annotations,
            name: None,
        })
    }

    pub(crate) fn has_certificate(&self) -> bool {
        self.bundle.signing_certificate().is_some()
    }

    pub(crate) fn has_log_entries(&self) -> bool {
        !self.bundle.verification_material.tlog_entries.is_empty()
    }

    /// What the certificate says, verified or not; for messages only.
    pub(crate) fn claims(&self) -> Option<Claims> {
        Claims::parse(self.bundle.signing_certificate()?).ok()
    }
}

/// The library has no limits: 200 copies of one log entry are verified 200 times.
fn within_limits(bundle: &Bundle, limits: &BundleLimits) -> Result<(), Reason> {
    let material = &bundle.verification_material;
    let entries = &material.tlog_entries;
    at_most("log entries", entries.len(), limits.log_entries)?;
    let timestamps = &material.timestamp_verification_data.rfc3161_timestamps;
    at_most("timestamps", timestamps.len(), limits.timestamps)?;
    if let VerificationMaterialContent::X509CertificateChain { certificates } = &material.content {
        at_most("certificates", certificates.len(), CHAIN_MAX)?;
    }
    for entry in entries {
        let proof = entry.inclusion_proof.as_ref();
        let promised = entry.inclusion_promise.is_some();
        if proof.is_none() && !(promised && bundle.media_type() == MediaType::Bundle0_1) {
            return Err(Reason::log(if promised {
                "it has a promise and no proof of inclusion, which this version of bundles requires"
            } else {
                "it has no proof and no promise of inclusion"
            }));
        }
        // Rekor v2 gives no promises: one in its entry must not count as a time.
        if promised && entry.kind_version == KindVersion::HashedRekordV002 {
            return Err(Reason::log("an entry of Rekor v2 has a promise"));
        }
        let hashes = proof.map_or(0, |proof| proof.hashes.len());
        at_most("hashes of an inclusion proof", hashes, PROOF_HASHES_MAX)?;
    }
    Ok(())
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), Reason> {
    if count > limit {
        return Err(Reason::TooMany { what, limit });
    }
    Ok(())
}
