//! Verifies one signature: everything cryptographic, and nothing about which signers are accepted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::SystemTime;

use qmt_oci_ref::time::rfc3339;
use sigstore_trust_root::TrustedRoot;
use sigstore_verify::crypto::{
    KeyAlgorithm, SigningScheme, VerificationKey, verify_signature_prehashed,
};
use sigstore_verify::types::{
    Artifact, Bundle, DerPublicKey, Sha256Hash, SignatureBytes, SignatureContent,
    TransparencyLogEntry,
};
use sigstore_verify::{
    PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult, Verifier,
};

use super::certificate::Claims;
use super::key::PublicKey;
use super::log::TransparencyLogs;
use super::rekor_v2::{self, SigningKey};
use super::timestamps::TimestampAuthorities;
use super::{Format, Ignored, Signature, Signed};
use crate::limits::CLOCK_SKEW_MAX;
use crate::reason::Reason;
use crate::report::LogEntry;
use crate::signer::SignerId;

/// What is proven about one signature, before any policy is evaluated.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedSignature {
    pub(crate) place: String,
    pub(crate) format: Format,
    pub(crate) signer: SignerId,
    /// What the certificate says; `None` for a key.
    pub(crate) claims: Option<Claims>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The image name in a `.sig` payload.
    pub(crate) name: Option<String>,
    /// Proven times at which the signature existed.
    pub(crate) times: Vec<SystemTime>,
    /// The signing time that rules about age use; `None` where nothing proves one.
    pub(crate) signed_at: Option<SystemTime>,
    /// Entries of transparency logs, all verified.
    pub(crate) log_entries: Vec<LogEntry>,
    pub(crate) ignored: Vec<Ignored>,
}

/// The trust root, ready for use.
pub(crate) struct SignatureVerifier {
    library: Verifier,
    pub(super) logs: TransparencyLogs,
    pub(super) timestamps: TimestampAuthorities,
    pub(super) knows_certificate_logs: bool,
}

impl SignatureVerifier {
    pub(crate) fn new(root: &TrustedRoot) -> Result<Self, sigstore_verify::Error> {
        Ok(Self {
            library: Verifier::new(root)?,
            logs: TransparencyLogs::new(root)?,
            timestamps: TimestampAuthorities::new(root),
            knows_certificate_logs: !root.ctlogs.is_empty(),
        })
    }

    /// Verifies a signature with a certificate: chain, certificate log (where the trust root knows
    /// any), transparency log (may be missing unless `log_required`), time and signature, and that
    /// all of them are about the same thing. A time is required, so everything must be readable.
    pub(crate) fn certificate(
        &self,
        signature: &Signature<'_>,
        log_required: bool,
        now: SystemTime,
    ) -> Result<VerifiedSignature, Reason> {
        let (bundle, ignored) = self.without_unknown(signature, log_required);
        let Some(der) = bundle.signing_certificate() else {
            return Err(Reason::NoKey);
        };
        signature.unread.refuse()?;
        let claims = Claims::parse(der)?;
        let logged = !entries(&bundle).is_empty();
        if !logged && log_required {
            return Err(Reason::NoLog);
        }
        if !logged && !has_timestamps(&bundle) {
            return Err(Reason::time("no log entry and no timestamp"));
        }
        let signing_key = SigningKey::Certificate(der);
        let remaining = self.for_library(&bundle, signature, &signing_key, now)?;
        let has_entries = !entries(&remaining).is_empty();
        let mut policy = VerificationPolicy::any_identity();
        if !has_entries {
            // Every entry, if any, was checked by `for_library`.
            policy = policy.skip_tlog_unsafe();
        }
        if !self.knows_certificate_logs {
            policy = policy.skip_sct();
        }
        let result = self
            .library
            .verify(artifact(signature)?, &remaining, &policy)
            .map_err(|error| self.explain(error, &bundle))?;
        if !result.certificate_verified() || result.sct_verified() != self.knows_certificate_logs {
            return Err(Reason::certificate("it was not checked in full"));
        }
        if has_entries && !result.tlog_verified() {
            return Err(Reason::NoLog);
        }
        let times = self.times(&bundle, Some(&result), now)?;
        if times.is_empty() {
            return Err(Reason::time("no time is signed"));
        }
        let signed_at = recorded(&result, &times).or(claims.issued_at);
        Ok(VerifiedSignature {
            claims: Some(claims.clone()),
            times,
            signed_at,
            ..self.verified(signature, &bundle, ignored, claims.signer())
        })
    }

    /// Verifies a signature with `key`, and the log entries and timestamps of known logs and
    /// authorities. Unless `log_required`, entries may be missing, and entries and timestamps that
    /// cannot be read are ignored.
    pub(crate) fn key(
        &self,
        signature: &Signature<'_>,
        key: &PublicKey,
        log_required: bool,
        now: SystemTime,
    ) -> Result<VerifiedSignature, Reason> {
        let bundle = &signature.bundle;
        let Some(scheme) = scheme(signature, &key.der, key.algorithm)? else {
            let expected = format!("`{}`", key.name);
            return Err(if is_cut(raw_signature(bundle)?.as_bytes()) {
                Reason::DamagedSignature("it is longer or shorter than its first bytes say".into())
            } else if key.is_named_in(bundle) {
                let reason = format!("it names {expected}, and was damaged or changed");
                Reason::DamagedSignature(reason.into())
            } else {
                Reason::OtherKey { expected }
            });
        };
        let (bundle, ignored) = self.without_unknown(signature, log_required);
        if log_required {
            signature.unread.refuse()?;
            if entries(&bundle).is_empty() {
                return Err(Reason::NoLog);
            }
        }
        let signing_key = SigningKey::Key(&key.der);
        let mut remaining = self.for_library(&bundle, signature, &signing_key, now)?;
        if scheme == SigningScheme::EcdsaP384Sha384
            && signature.format == Format::SimpleSigning
            && let SignatureContent::MessageSignature(message) = &mut remaining.to_mut().content
        {
            // The SHA-256 digest would choose the hash; without a digest the key does.
            message.message_digest = None;
        }
        let has_entries = !entries(&remaining).is_empty();
        let mut result = None;
        // With neither there is nothing left to prove: `scheme` verified the signature.
        if has_entries || has_timestamps(&remaining) {
            let mut policy = PublicKeyVerificationPolicy::new(key.der.clone());
            if !has_entries {
                policy = policy.skip_tlog_unsafe();
            }
            result = Some(
                self.library
                    .verify(artifact(signature)?, &remaining, &policy)
                    .map_err(|error| self.explain(error, &bundle))?,
            );
        }
        let times = self.times(&bundle, result.as_ref(), now)?;
        let signed_at = result.as_ref().and_then(|result| recorded(result, &times));
        Ok(VerifiedSignature {
            times,
            signed_at,
            ..self.verified(signature, &bundle, ignored, key.signer())
        })
    }

    /// Checks the log entries that the library does not support, and returns the bundle without
    /// them.
    fn for_library<'a>(
        &self,
        bundle: &'a Bundle,
        signature: &Signature<'_>,
        signing_key: &SigningKey<'_>,
        now: SystemTime,
    ) -> Result<Cow<'a, Bundle>, Reason> {
        let mut remaining = Cow::Borrowed(bundle);
        let unsupported: Vec<_> = entries(bundle)
            .iter()
            .filter(|entry| rekor_v2::is_unsupported_by_library(entry))
            .collect();
        if unsupported.is_empty() {
            return Ok(remaining);
        }
        let bytes;
        let signed = if let Some(digest) = digest_alone(signature) {
            rekor_v2::Content::Sha256(digest)
        } else {
            bytes = message(signature)?;
            rekor_v2::Content::Bytes(&bytes)
        };
        let raw = raw_signature(bundle)?;
        for entry in unsupported {
            rekor_v2::included(entry, &self.logs.keyring, now)?;
            let body = entry.canonicalized_body.as_bytes();
            rekor_v2::is_about(body, &signed, raw, signing_key)?;
        }
        let entries = &mut remaining.to_mut().verification_material.tlog_entries;
        entries.retain(|entry| !rekor_v2::is_unsupported_by_library(entry));
        Ok(remaining)
    }

    /// The parts of the result that are the same for certificates and keys.
    fn verified(
        &self,
        signature: &Signature<'_>,
        bundle: &Bundle,
        ignored: Vec<Ignored>,
        signer: SignerId,
    ) -> VerifiedSignature {
        let entries = entries(bundle).iter();
        VerifiedSignature {
            place: signature.place.to_owned(),
            format: signature.format,
            signer,
            claims: None,
            annotations: signature.annotations.clone(),
            name: signature.name.clone(),
            times: Vec::new(),
            signed_at: None,
            log_entries: entries.map(|one| self.logs.describe(one)).collect(),
            ignored,
        }
    }

    /// All proven times. None is in the future, and each log that proves inclusion was in use then.
    fn times(
        &self,
        bundle: &Bundle,
        result: Option<&VerificationResult>,
        now: SystemTime,
    ) -> Result<Vec<SystemTime>, Reason> {
        let latest = now.checked_add(CLOCK_SKEW_MAX).unwrap_or(now);
        let proven = result.map_or(&[][..], VerificationResult::verified_timestamps);
        let times: Vec<SystemTime> = proven.iter().map(|&time| time.into()).collect();
        if let Some(ahead) = times.iter().find(|time| **time > latest) {
            let ahead = rfc3339(*ahead);
            return Err(Reason::time(format!("{ahead} is in the future")));
        }
        for entry in entries(bundle) {
            if !self.logs.were_in_use(entry, &times, now) {
                return Err(Reason::log(
                    "its log was not in use at the signing time, or is not in use now and no \
                     signing time is proven",
                ));
            }
        }
        Ok(times)
    }
}

/// The earliest of the proven `times`, if a log recorded the signature at one of them. Timestamps
/// alone prove no age: one can be requested for an old signature at any time.
fn recorded(result: &VerificationResult, times: &[SystemTime]) -> Option<SystemTime> {
    result.integrated_time()?;
    times.iter().min().copied()
}

pub(super) fn entries(bundle: &Bundle) -> &[TransparencyLogEntry] {
    &bundle.verification_material.tlog_entries
}

fn has_timestamps(bundle: &Bundle) -> bool {
    let timestamps = &bundle.verification_material.timestamp_verification_data;
    !timestamps.rfc3161_timestamps.is_empty()
}

/// The scheme by which `key` signed what `signature` is over; `None` if it did not sign that.
fn scheme(
    signature: &Signature<'_>,
    key: &DerPublicKey,
    algorithm: KeyAlgorithm,
) -> Result<Option<SigningScheme>, Reason> {
    let raw = raw_signature(&signature.bundle)?;
    let content = &signature.bundle.content;
    let over_message = matches!(content, SignatureContent::MessageSignature(_));
    let mut schemes = vec![algorithm.default_signing_scheme()];
    if over_message && algorithm == KeyAlgorithm::EcdsaP384 {
        // cosign 2 hashes with SHA-256 for every curve.
        schemes.push(SigningScheme::EcdsaP384Sha256);
    }
    let digest = digest_alone(signature);
    for scheme in schemes {
        let valid = if let Some(digest) = &digest {
            verify_signature_prehashed(key, digest, raw, scheme).is_ok()
        } else {
            let message = message(signature)?;
            VerificationKey::from_spki_with_scheme(key, scheme)
                .is_ok_and(|key| key.verify(&message, raw).is_ok())
        };
        if valid {
            return Ok(Some(scheme));
        }
    }
    Ok(None)
}

/// Whether a signature begins as those of ECDSA do, but has another length than it says there. One
/// of Ed25519 (64 bytes) or RSA (256 bytes or more) may begin so by chance.
fn is_cut(signature: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    let [SEQUENCE, length @ ..0x80, content @ ..] = signature else {
        return false;
    };
    content.len() != usize::from(*length) && signature.len() != 64 && signature.len() < 256
}

/// The SHA-256 of the bytes that were signed, where the signature is over a message of which
/// nothing else is known.
fn digest_alone(signature: &Signature<'_>) -> Option<Vec<u8>> {
    match (&signature.bundle.content, &signature.signed) {
        (SignatureContent::MessageSignature(_), Signed::Subject(digest)) => {
            Some(hex::decode(digest.hex()).unwrap_or_default())
        }
        _ => None,
    }
}

/// The bytes that were signed.
fn message<'a>(signature: &'a Signature<'_>) -> Result<Cow<'a, [u8]>, Reason> {
    match (&signature.bundle.content, &signature.signed) {
        (SignatureContent::DsseEnvelope(envelope), _) => Ok(Cow::Owned(envelope.pae())),
        (_, Signed::Bytes(bytes)) => Ok(Cow::Borrowed(bytes)),
        (_, Signed::Subject(_)) => Err(rekor_v2::content_needed()),
    }
}

pub(super) fn raw_signature(bundle: &Bundle) -> Result<&SignatureBytes, Reason> {
    match &bundle.content {
        SignatureContent::MessageSignature(message) => Ok(&message.signature),
        SignatureContent::DsseEnvelope(envelope) => Ok(&envelope.signature.sig),
        _ => Err(Reason::unreadable("the bundle", "unknown content")),
    }
}

fn artifact<'a>(signature: &'a Signature<'_>) -> Result<Artifact<'a>, Reason> {
    match signature.signed {
        Signed::Bytes(bytes) => Ok(Artifact::from_blob(bytes)),
        Signed::Subject(digest) => Sha256Hash::from_hex(digest.hex())
            .map(Artifact::from_digest)
            .map_err(Reason::signature),
    }
}

#[cfg(test)]
mod tests;
