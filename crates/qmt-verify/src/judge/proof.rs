//! Proving one signature: everything cryptographic, and nothing about who is allowed.

use std::borrow::Cow;
use std::time::SystemTime;

use sigstore_trust_root::TrustedRoot;
use sigstore_verify::crypto::{
    KeyAlgorithm, SigningScheme, VerificationKey, verify_signature_prehashed,
};
use sigstore_verify::types::{
    Artifact, Bundle, DerPublicKey, Sha256Hash, SignatureContent, TimestampVerificationData,
};
use sigstore_verify::{
    CertificateError, PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult, Verifier,
};

use super::candidate::{Candidate, Signed};
use super::certificate::Claims;
use super::facts::Facts;
use super::logs::Logs;
use super::rekor2::{self, Signatory};
use crate::fault::Fault;
use crate::limits::CLOCK_SKEW_MAX;
use crate::policy::Key;
use crate::report::rfc3339;

/// The trust root, ready for use.
pub(crate) struct Prover {
    library: Verifier,
    logs: Logs,
    knows_timestamps: bool,
}

impl Prover {
    pub(crate) fn new(root: &TrustedRoot) -> Result<Self, sigstore_verify::Error> {
        let knows_timestamps = !root.timestamp_authorities.is_empty();
        Ok(Self {
            library: Verifier::new(root)?,
            logs: Logs::new(root)?,
            knows_timestamps,
        })
    }

    /// Proves a signature with a certificate: chain, certificate log, transparency log unless the
    /// operator does without, time, signature, and that all of them speak of the same thing.
    pub(crate) fn certificate(
        &self,
        candidate: &Candidate<'_>,
        log_required: bool,
        now: SystemTime,
    ) -> Result<Facts, Fault> {
        let bundle = &candidate.bundle;
        let Some(der) = bundle.signing_certificate() else {
            return Err(Fault::NoKey);
        };
        let claims = Claims::parse(der)?;
        let logged = !bundle.verification_material.tlog_entries.is_empty();
        if !logged && log_required {
            return Err(Fault::NoLog);
        }
        if !logged && !has_timestamps(bundle) {
            return Err(Fault::Time("none is proven".to_owned()));
        }
        let signatory = Signatory::Certificate(der);
        let (rest, ours) = self.for_library(candidate, &signatory, now)?;
        let mut policy = VerificationPolicy::any_identity();
        if rest.verification_material.tlog_entries.is_empty() {
            // Every entry was checked by us just now, or none is asked for.
            policy = policy.skip_tlog_unsafe();
        }
        let result = self
            .library
            .verify(artifact(candidate)?, &rest, &policy)
            .map_err(|e| fault(&e))?;
        if !result.certificate_verified() || !result.sct_verified() {
            return Err(Fault::Certificate("it was not checked in full".to_owned()));
        }
        if logged && !result.tlog_verified() && ours == 0 {
            return Err(Fault::NoLog);
        }
        let mut facts = self.facts(candidate, claims);
        facts.times = self.times(bundle, Some(&result), now)?;
        if facts.times.is_empty() {
            return Err(Fault::Time("none is proven".to_owned()));
        }
        facts.checks.extend(["certificate", "certificate log"]);
        facts.note_log(logged);
        facts.checks.push("time");
        self.note_timestamps(bundle, &mut facts);
        Ok(facts)
    }

    /// Proves a signature with `key`: signature, transparency log unless the operator does without,
    /// timestamps where there are any.
    pub(crate) fn key(
        &self,
        candidate: &Candidate<'_>,
        key: &Key,
        now: SystemTime,
    ) -> Result<Facts, Fault> {
        let bundle = &candidate.bundle;
        let material = &bundle.verification_material;
        let Some(scheme) = scheme(candidate, &key.der, key.algorithm)? else {
            return Err(Fault::OtherKey {
                expected: format!("`{}`", key.name),
            });
        };
        let logged = !material.tlog_entries.is_empty();
        if !logged && key.log_required {
            return Err(Fault::NoLog);
        }
        let (mut rest, _) = self.for_library(candidate, &Signatory::Key(&key.der), now)?;
        if scheme == SigningScheme::EcdsaP384Sha384
            && candidate.format == ".sig"
            && let SignatureContent::MessageSignature(message) = &mut rest.to_mut().content
        {
            // The digest that we gave it (sha256) would choose the hash; without one, the key does.
            message.message_digest = None;
        }
        let has_entries = !rest.verification_material.tlog_entries.is_empty();
        let mut result = None;
        // With neither there is nothing left to prove: the signature holds, as seen above.
        if has_entries || has_timestamps(&rest) {
            let mut policy = PublicKeyVerificationPolicy::new(key.der.clone());
            if !has_entries {
                policy = policy.skip_tlog_unsafe();
            }
            let verified = self
                .library
                .verify(artifact(candidate)?, &rest, &policy)
                .map_err(|e| fault(&e))?;
            result = Some(verified);
        }
        let times = self.times(bundle, result.as_ref(), now)?;
        let mut facts = self.facts(candidate, Claims::default());
        facts.note_log(logged);
        if !times.is_empty() {
            facts.checks.push("time");
        }
        facts.times = times;
        self.note_timestamps(bundle, &mut facts);
        Ok(facts)
    }

    /// Checks the log entries that the library cannot read. Returns the bundle without them, and
    /// how many there were.
    ///
    /// Where the trust root knows no timestamp authority at all, timestamps are left out too: they
    /// then prove nothing, as if nobody had added them, and the library would refuse the rest.
    fn for_library<'a>(
        &self,
        candidate: &'a Candidate<'_>,
        signatory: &Signatory<'_>,
        now: SystemTime,
    ) -> Result<(Cow<'a, Bundle>, usize), Fault> {
        let bundle = &candidate.bundle;
        let entries = &bundle.verification_material.tlog_entries;
        let ours = entries
            .iter()
            .filter(|entry| rekor2::is_ours(entry))
            .count();
        let drops_timestamps = !self.knows_timestamps && has_timestamps(bundle);
        if ours == 0 && !drops_timestamps {
            return Ok((Cow::Borrowed(bundle), 0));
        }
        let mut rest = bundle.clone();
        if drops_timestamps {
            rest.verification_material.timestamp_verification_data =
                TimestampVerificationData::default();
        }
        if ours == 0 {
            return Ok((Cow::Owned(rest), 0));
        }
        let bytes;
        let signed = if let (SignatureContent::MessageSignature(_), Signed::Subject(digest)) =
            (&bundle.content, &candidate.signed)
        {
            rekor2::Content::Sha256(hex::decode(digest.hex()).unwrap_or_default())
        } else {
            bytes = message(candidate)?;
            rekor2::Content::Bytes(&bytes)
        };
        for entry in entries.iter().filter(|entry| rekor2::is_ours(entry)) {
            rekor2::check(
                entry,
                &signed,
                signature(bundle)?,
                signatory,
                self.logs.keyring(),
                now,
            )?;
        }
        rest.verification_material
            .tlog_entries
            .retain(|entry| !rekor2::is_ours(entry));
        Ok((Cow::Owned(rest), ours))
    }

    fn facts(&self, candidate: &Candidate<'_>, claims: Claims) -> Facts {
        let entries = &candidate.bundle.verification_material.tlog_entries;
        let entries = entries.iter().map(|entry| self.logs.describe(entry));
        Facts::of(candidate, claims, entries.collect())
    }

    fn note_timestamps(&self, bundle: &Bundle, facts: &mut Facts) {
        if !self.knows_timestamps && has_timestamps(bundle) {
            facts
                .warnings
                .push("its timestamp was ignored: the trust root knows no such authority");
        }
    }

    /// All proven times: none lies ahead of us, and each log that proves inclusion was in use then.
    fn times(
        &self,
        bundle: &Bundle,
        result: Option<&VerificationResult>,
        now: SystemTime,
    ) -> Result<Vec<SystemTime>, Fault> {
        let latest = now.checked_add(CLOCK_SKEW_MAX).unwrap_or(now);
        let proven = result.map_or(&[][..], VerificationResult::verified_timestamps);
        let times: Vec<SystemTime> = proven.iter().map(|&time| time.into()).collect();
        if let Some(ahead) = times.iter().find(|time| **time > latest) {
            return Err(Fault::Time(format!("{} is yet to come", rfc3339(*ahead))));
        }
        for entry in &bundle.verification_material.tlog_entries {
            if !self.logs.were_in_use(entry, &times, now) {
                return Err(Fault::Log(
                    "its log was not in use when it was signed, or is not now where nothing says \
                     when"
                        .to_owned(),
                ));
            }
        }
        Ok(times)
    }
}

fn has_timestamps(bundle: &Bundle) -> bool {
    let stamps = &bundle.verification_material.timestamp_verification_data;
    !stamps.rfc3161_timestamps.is_empty()
}

/// How the signature was made with `key` over what the candidate says it is over, if it was.
fn scheme(
    candidate: &Candidate<'_>,
    key: &DerPublicKey,
    algorithm: KeyAlgorithm,
) -> Result<Option<SigningScheme>, Fault> {
    let signature = signature(&candidate.bundle)?;
    let over_message = matches!(
        candidate.bundle.content,
        SignatureContent::MessageSignature(_)
    );
    let mut schemes = vec![algorithm.default_signing_scheme()];
    if over_message && algorithm == KeyAlgorithm::EcdsaP384 {
        // cosign 2 hashes with SHA-256 whatever the curve.
        schemes.push(SigningScheme::EcdsaP384Sha256);
    }
    for scheme in schemes {
        let held = if let (Signed::Subject(digest), true) = (&candidate.signed, over_message) {
            let digest = hex::decode(digest.hex()).unwrap_or_default();
            verify_signature_prehashed(key, &digest, signature, scheme).is_ok()
        } else {
            let message = message(candidate)?;
            VerificationKey::from_spki_with_scheme(key, scheme)
                .is_ok_and(|key| key.verify(&message, signature).is_ok())
        };
        if held {
            return Ok(Some(scheme));
        }
    }
    Ok(None)
}

/// The bytes that were signed.
fn message<'a>(candidate: &'a Candidate<'_>) -> Result<Cow<'a, [u8]>, Fault> {
    match (&candidate.bundle.content, &candidate.signed) {
        (SignatureContent::DsseEnvelope(envelope), _) => Ok(Cow::Owned(envelope.pae())),
        (_, Signed::Bytes(bytes)) => Ok(Cow::Borrowed(bytes)),
        (_, Signed::Subject(_)) => Err(Fault::Signature(
            "its content is needed, not only its digest".to_owned(),
        )),
    }
}

fn signature(bundle: &Bundle) -> Result<&sigstore_verify::types::SignatureBytes, Fault> {
    match &bundle.content {
        SignatureContent::MessageSignature(message) => Ok(&message.signature),
        SignatureContent::DsseEnvelope(envelope) => Ok(&envelope.signature.sig),
        _ => Err(Fault::Unreadable {
            what: "the bundle",
            detail: "unknown content".to_owned(),
        }),
    }
}

fn artifact<'a>(candidate: &'a Candidate<'_>) -> Result<Artifact<'a>, Fault> {
    match candidate.signed {
        Signed::Bytes(bytes) => Ok(Artifact::from_blob(bytes)),
        Signed::Subject(digest) => Sha256Hash::from_hex(digest.hex())
            .map(Artifact::from_digest)
            .map_err(|error| Fault::Signature(error.to_string())),
    }
}

/// Sorts the library's errors by what an operator can do about them.
fn fault(error: &sigstore_verify::Error) -> Fault {
    use sigstore_verify::Error;
    match error {
        Error::Certificate(
            CertificateError::Expired { .. } | CertificateError::NotYetValid { .. },
        )
        | Error::Timestamp(_) => Fault::Time(error.to_string()),
        Error::Certificate(_) => Fault::Certificate(error.to_string()),
        Error::TransparencyLog(_) => Fault::Log(error.to_string()),
        Error::SignatureInvalid(_) | Error::ArtifactMismatch(_) => {
            Fault::Signature(error.to_string())
        }
        other => Fault::Unreadable {
            what: "the bundle",
            detail: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
