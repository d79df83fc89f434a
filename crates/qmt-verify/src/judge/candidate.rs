//! One piece of evidence, parsed and checked for form: is it about this digest, is it a signature
//! or an attestation, does it keep the limits. No cryptography yet.

use std::collections::BTreeMap;

use qmt_oci_ref::{Digest, DigestAlgorithm};
use serde_json::Value;
use sigstore_verify::types::{
    Bundle, KindVersion, MediaType, SignatureContent, VerificationMaterialContent,
};

use super::statement::{self, Statement};
use super::{certificate, legacy};
use crate::evidence::{Content, Piece};
use crate::fault::Fault;
use crate::limits::{BundleLimits, CHAIN_MAX, PROOF_HASHES_MAX};
use crate::policy::COSIGN_SIGN;
use crate::signer::SignerId;

/// A piece of evidence that is well formed and about the right digest.
pub(crate) struct Candidate<'a> {
    pub(crate) found: &'a str,
    /// For the report.
    pub(crate) format: &'static str,
    pub(crate) bundle: Bundle,
    pub(crate) signed: Signed<'a>,
    pub(crate) role: Role,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The image name in a `.sig` payload.
    pub(crate) name: Option<String>,
}

/// What the signature is over.
pub(crate) enum Signed<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A DSSE envelope in the bundle, or bytes of which only the sha256 is known.
    Subject(&'a Digest),
}

/// What the signer meant to say.
pub(crate) enum Role {
    /// "This is mine."
    Signature,
    /// "This is so about it."
    Attestation {
        predicate_type: String,
        predicate: Value,
    },
}

impl<'a> Candidate<'a> {
    /// Reads a piece from a registry, which must be about `subject`.
    pub(crate) fn of(
        piece: &'a Piece,
        subject: &'a Digest,
        limits: &BundleLimits,
    ) -> Result<Self, Fault> {
        match piece.content() {
            Content::Bundle { json, from_file } => {
                Self::of_bundle(piece.found(), json, *from_file, subject, limits)
            }
            Content::SimpleSigning {
                payload,
                annotations,
            } => {
                let simple = statement::SimpleSigning::parse(payload, subject)?;
                let candidate = Self {
                    found: piece.found(),
                    format: ".sig",
                    bundle: legacy::message(payload, annotations)?,
                    signed: Signed::Bytes(payload),
                    role: Role::Signature,
                    annotations: simple.annotations,
                    name: simple.name,
                };
                within_limits(&candidate.bundle, limits)?;
                Ok(candidate)
            }
            Content::Envelope { json, annotations } => {
                let bundle = legacy::envelope(json, annotations)?;
                Self::of_statement(piece.found(), ".att", bundle, subject, limits)
            }
        }
    }

    /// Reads a bundle about a file, whatever it says about it.
    pub(crate) fn of_file(
        digest: &'a Digest,
        content: Option<&'a [u8]>,
        json: &[u8],
        limits: &BundleLimits,
    ) -> Result<Self, Fault> {
        let bundle = parse(json)?;
        within_limits(&bundle, limits)?;
        if let SignatureContent::DsseEnvelope(envelope) = &bundle.content {
            // Statements about files may name them by SHA-512 alone, as those of npm do.
            let long = content.map(|content| Digest::of(DigestAlgorithm::Sha512, content));
            let digests: Vec<&Digest> = std::iter::once(digest).chain(&long).collect();
            Statement::parse(envelope, &digests, limits.subjects)?;
        }
        Ok(Self {
            found: "the bundle",
            format: version(&bundle),
            bundle,
            signed: content.map_or(Signed::Subject(digest), Signed::Bytes),
            role: Role::Signature,
            annotations: BTreeMap::new(),
            name: None,
        })
    }

    fn of_bundle(
        found: &'a str,
        json: &[u8],
        from_file: bool,
        subject: &'a Digest,
        limits: &BundleLimits,
    ) -> Result<Self, Fault> {
        let bundle = parse(json)?;
        // The label of a bundle is not signed: who writes v0.1 on it may leave out the proof.
        if bundle.media_type() != MediaType::Bundle0_3 && !from_file {
            return Err(Fault::OldBundle(version(&bundle).to_owned()));
        }
        let format = version(&bundle);
        Self::of_statement(found, format, bundle, subject, limits)
    }

    fn of_statement(
        found: &'a str,
        format: &'static str,
        bundle: Bundle,
        subject: &'a Digest,
        limits: &BundleLimits,
    ) -> Result<Self, Fault> {
        within_limits(&bundle, limits)?;
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            return Err(Fault::OtherType {
                found: "message signature".to_owned(),
                expected: "signed statement",
            });
        };
        let statement = Statement::parse(envelope, &[subject], limits.subjects)?;
        // `.att` layers are attestations whatever they say; a signature there is none.
        let role = if statement.predicate_type == COSIGN_SIGN && format != ".att" {
            Role::Signature
        } else {
            Role::Attestation {
                predicate_type: statement.predicate_type,
                predicate: statement.predicate,
            }
        };
        Ok(Self {
            found,
            format,
            bundle,
            signed: Signed::Subject(subject),
            role,
            annotations: statement.annotations,
            name: None,
        })
    }

    pub(crate) fn has_certificate(&self) -> bool {
        self.bundle.signing_certificate().is_some()
    }

    /// Who the certificate names, proven or not; for messages only.
    pub(crate) fn claimed_signer(&self) -> Option<SignerId> {
        let der = self.bundle.signing_certificate()?;
        let claims = certificate::Claims::parse(der).ok()?;
        let identity = claims.identities.first()?;
        Some(SignerId::certificate(
            claims.issuer.unwrap_or_default(),
            identity,
        ))
    }
}

fn parse(json: &[u8]) -> Result<Bundle, Fault> {
    let unreadable = |detail: String| Fault::Unreadable {
        what: "the bundle",
        detail,
    };
    let text = std::str::from_utf8(json).map_err(|error| unreadable(error.to_string()))?;
    Bundle::from_json(text).map_err(|error| unreadable(error.to_string()))
}

fn version(bundle: &Bundle) -> &'static str {
    match bundle.media_type() {
        MediaType::Bundle0_1 => "bundle v0.1",
        MediaType::Bundle0_2 => "bundle v0.2",
        MediaType::Bundle0_3 => "bundle v0.3",
        _ => "bundle",
    }
}

/// The library has no limits of its own: 200 copies of one log entry are verified 200 times.
fn within_limits(bundle: &Bundle, limits: &BundleLimits) -> Result<(), Fault> {
    let material = &bundle.verification_material;
    at_most(
        "log entries",
        material.tlog_entries.len(),
        limits.log_entries,
    )?;
    let timestamps = &material.timestamp_verification_data.rfc3161_timestamps;
    at_most("timestamps", timestamps.len(), limits.timestamps)?;
    if let VerificationMaterialContent::X509CertificateChain { certificates } = &material.content {
        at_most("certificates", certificates.len(), CHAIN_MAX)?;
    }
    for entry in &material.tlog_entries {
        let proven = entry.inclusion_proof.is_some()
            || (entry.inclusion_promise.is_some() && bundle.media_type() == MediaType::Bundle0_1);
        if !proven {
            return Err(Fault::Log(
                "neither proves nor promises that it is included".to_owned(),
            ));
        }
        // Rekor v2 promises nothing; a promise there would be taken for a time by nobody.
        if entry.kind_version == KindVersion::HashedRekordV002 && entry.inclusion_promise.is_some()
        {
            return Err(Fault::Log("an entry of Rekor v2 has a promise".to_owned()));
        }
        if let Some(proof) = &entry.inclusion_proof {
            at_most(
                "hashes of an inclusion proof",
                proof.hashes.len(),
                PROOF_HASHES_MAX,
            )?;
        }
    }
    Ok(())
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), Fault> {
    if count > limit {
        Err(Fault::TooMany { what, limit })
    } else {
        Ok(())
    }
}
