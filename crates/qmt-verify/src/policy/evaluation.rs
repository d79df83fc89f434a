//! Policy evaluation: which authorities a verified signature satisfies, and if none, the reason of
//! the closest one. Everything that an authority requires is checked on the same signature.

use std::time::SystemTime;

use qmt_oci_ref::time::rfc3339;
use qmt_oci_ref::{PinnedReference, Reference, Repository};

use super::authority::Kind;
use super::{Authority, Policy, Scope};
use crate::reason::Reason;
use crate::report::Rejection;
use crate::signature::certificate::Claims;
use crate::signature::{Format, Signature, SignatureVerifier, VerifiedSignature};
use crate::signer::{SignerId, UNKNOWN_KEY_FILE, key_line};
use crate::trust::TrustRootInfo;

/// The indexes of the authorities that a signature satisfies, at least one; 0 on first use.
pub(super) type Accepted = (Vec<usize>, VerifiedSignature);

/// One check of a subject against its policy: the inputs, and the findings so far.
pub(crate) struct Check<'a> {
    pub(crate) signatures: &'a SignatureVerifier,
    pub(crate) trust: &'a TrustRootInfo,
    pub(crate) subject: &'a PinnedReference,
    /// Where its signatures are, if not in its own repository.
    pub(crate) searched: Option<&'a Repository>,
    pub(crate) scope: &'a Scope,
    pub(crate) policy: &'a Policy,
    /// The signer that the lockfile pins.
    pub(crate) expected: Option<&'a SignerId>,
    pub(crate) now: SystemTime,
    pub(crate) accepted: Vec<Accepted>,
    /// Attestations, each with the index of its rejection as a signature.
    pub(crate) attestations: Vec<(usize, Signature<'a>)>,
    pub(crate) rejected: Vec<Rejection>,
    /// How many items were not looked at because of a limit.
    pub(crate) unread: usize,
}

impl<'a> Check<'a> {
    /// Evaluates the policy for the evidence item at `place`.
    pub(crate) fn add(&mut self, place: &str, parsed: Result<Signature<'a>, Reason>) {
        let signature = match parsed {
            Ok(signature) => signature,
            Err(reason) => return self.rejected.push(reason.reject(place, None)),
        };
        let claims = signature.claims();
        let signer = claims.as_ref().and_then(Claims::named_signer);
        let has_key = !signature.has_certificate();
        let with_key = has_key.then(|| key_line(UNKNOWN_KEY_FILE, signature.has_log_entries()));
        let reason = if let Some(predicate) = &signature.predicate {
            let predicate_type = predicate.kind.clone();
            self.attestations.push((self.rejected.len(), signature));
            Reason::Attestation { predicate_type }
        } else {
            match self.match_signers(&signature, None) {
                Ok(accepted) => return self.accepted.extend(accepted),
                Err(reason) => reason,
            }
        };
        let mut rejection = reason.reject(place, signer.as_ref());
        if matches!(reason, Reason::OtherKey { .. } | Reason::NoKey) {
            rejection.config_line = with_key;
        } else if rejection.config_line.is_some()
            && !matches!(reason, Reason::OtherClaim { .. })
            && let Some(line) = claims.and_then(|claims| claims.release_line(true))
        {
            rejection.config_line = Some(line);
        }
        self.rejected.push(rejection);
    }

    /// Verifies a signature and finds the authorities that it satisfies, at least one. Several keys
    /// may verify one signature, which then counts as one by each of them.
    ///
    /// Of an attestation for an image by `image_signer` nothing but the signer is required: one of
    /// the authorities or, on first use, the signer of the image.
    pub(super) fn match_signers(
        &self,
        signature: &Signature<'_>,
        image_signer: Option<&SignerId>,
    ) -> Result<Vec<Accepted>, Reason> {
        if self.policy.is_pin_on_first_use() {
            let log_required = self.policy.requires_log();
            let signatures = self.signatures;
            let verified = signatures.certificate(signature, log_required, self.now)?;
            pinned(&verified, image_signer.or(self.expected))?;
            self.check_name(&verified)?;
            return Ok(vec![(vec![0], verified)]);
        }
        if signature.has_certificate() {
            self.match_certificates(signature, image_signer)
        } else {
            self.match_keys(signature, image_signer)
        }
    }

    /// Matches a certificate, verified once, against all authorities that name one.
    fn match_certificates(
        &self,
        signature: &Signature<'_>,
        image_signer: Option<&SignerId>,
    ) -> Result<Vec<Accepted>, Reason> {
        let mut certificates = self.policy.certificates().peekable();
        if certificates.peek().is_none() {
            return Err(Reason::OnlyKeys);
        }
        // A log entry may be missing if one of them permits it; `signer` checks each authority
        // again.
        let log_required = certificates.all(|(_, one)| one.log_required);
        let signatures = self.signatures;
        let verified = signatures.certificate(signature, log_required, self.now)?;
        let mut reasons = Vec::new();
        let mut satisfied = Vec::new();
        for (index, authority) in self.policy.certificates() {
            let tried = signer(authority, &verified);
            match tried.and_then(|()| self.constraints(authority, &verified, image_signer)) {
                Ok(()) => satisfied.push(index),
                Err(reason) => reasons.push(reason),
            }
        }
        if satisfied.is_empty() {
            return Err(closest(reasons, image_signer).unwrap_or(Reason::OnlyKeys));
        }
        Ok(vec![(satisfied, verified)])
    }

    /// Matches a signature by a key against each key of the policy.
    fn match_keys(
        &self,
        signature: &Signature<'_>,
        image_signer: Option<&SignerId>,
    ) -> Result<Vec<Accepted>, Reason> {
        let mut reasons = Vec::new();
        let mut accepted: Vec<Accepted> = Vec::new();
        for (index, authority, key) in self.policy.keys() {
            let log_required = authority.log_required;
            let tried = self.signatures.key(signature, key, log_required, self.now);
            let tried = tried.map_err(|reason| match reason {
                Reason::NoLog => Reason::UnloggedKey {
                    key: key.name.clone(),
                },
                other => other,
            });
            let tried = tried.and_then(|verified| {
                self.constraints(authority, &verified, image_signer)?;
                Ok(verified)
            });
            match tried {
                Ok(verified) => {
                    let mut known = accepted.iter_mut();
                    match known.find(|(_, one)| one.signer == verified.signer) {
                        Some((satisfied, _)) => satisfied.push(index),
                        None => accepted.push((vec![index], verified)),
                    }
                }
                Err(reason) => reasons.push(reason),
            }
        }
        if accepted.is_empty() {
            return Err(closest(reasons, image_signer).unwrap_or(Reason::NoKey));
        }
        Ok(accepted)
    }

    /// Checks what an authority requires in addition to the signer.
    fn constraints(
        &self,
        authority: &Authority,
        verified: &VerifiedSignature,
        image_signer: Option<&SignerId>,
    ) -> Result<(), Reason> {
        if image_signer.is_some() {
            return Ok(());
        }
        for (name, expected) in &authority.annotations {
            let found = verified.annotations.get(name);
            if found != Some(expected) {
                return Err(Reason::OtherAnnotation {
                    name: name.clone(),
                    found: found.cloned(),
                    expected: expected.clone(),
                });
            }
        }
        if let Some(minimum) = authority.signed_after {
            let signed_at = verified.signed_at;
            if signed_at.is_none_or(|signed_at| signed_at < minimum) {
                let found = signed_at.map(rfc3339);
                let found = found.unwrap_or_else(|| "an unproven time".to_owned());
                let minimum = rfc3339(minimum);
                return Err(Reason::TooOld { found, minimum });
            }
        }
        self.check_name(verified)
    }

    /// Compares the name in a `.sig` payload with the image's if the policy requires it. Bundles
    /// have none.
    fn check_name(&self, verified: &VerifiedSignature) -> Result<(), Reason> {
        if !self.policy.match_name || verified.format != Format::SimpleSigning {
            return Ok(());
        }
        let expected = self.subject.repository();
        let signed = verified.name.as_deref();
        // Parsed, so that all names of Docker Hub are equal.
        let named = signed.and_then(|name| name.parse::<Reference>().ok());
        if named.as_ref().map(Reference::repository) == Some(expected) {
            return Ok(());
        }
        Err(Reason::OtherName {
            found: signed.unwrap_or("nothing").to_owned(),
            expected: expected.to_string(),
        })
    }
}

/// Checks that a certificate names an identity, and the `expected` signer if there is one.
fn pinned(verified: &VerifiedSignature, expected: Option<&SignerId>) -> Result<(), Reason> {
    let claims = verified.claims.as_ref();
    if claims.is_none_or(|claims| claims.identity.is_none()) {
        return Err(Reason::certificate("it names no identity"));
    }
    match expected {
        Some(expected) if *expected != verified.signer => Err(Reason::OtherSigner {
            found: verified.signer.to_string(),
            pinned: expected.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Checks that an authority for certificates accepts the signer, and a missing log entry.
fn signer(authority: &Authority, verified: &VerifiedSignature) -> Result<(), Reason> {
    let (Kind::Certificate(rule), Some(claims)) = (&authority.kind, &verified.claims) else {
        return Err(Reason::OnlyKeys);
    };
    if let Some(expected) = &rule.issuer
        && claims.issuer.as_ref() != Some(expected)
    {
        return Err(Reason::OtherIssuer {
            found: claims.issuer.clone(),
            expected: expected.clone(),
        });
    }
    let found = claims.identity.as_deref();
    if !found.is_some_and(|found| rule.identity.accepts(found)) {
        return Err(Reason::OtherIdentity {
            found: found.map(str::to_owned),
            expected: rule.identity.expected(found),
        });
    }
    claims.check(&rule.claims)?;
    if authority.log_required && !verified.is_logged() {
        return Err(Reason::NoLog);
    }
    Ok(())
}

/// The reason to report, of those for which the authorities do not accept a signature. For
/// attestations, which have an `image_signer`, the first one counts.
fn closest(reasons: Vec<Reason>, image_signer: Option<&SignerId>) -> Option<Reason> {
    let mut reasons = reasons.into_iter();
    match image_signer {
        Some(_) => reasons.next(),
        None => reasons.reduce(closer),
    }
}

/// Of two reasons the one that got further, because its authority is the closer one. Two of the
/// same kind are merged.
fn closer(one: Reason, other: Reason) -> Reason {
    let rank = |reason: &Reason| match reason {
        Reason::OtherKey { .. } => 0,
        Reason::OtherIssuer { .. } => 1,
        Reason::OtherIdentity { .. } => 2,
        Reason::OtherClaim { .. } => 3,
        Reason::OtherAnnotation { .. } => 4,
        Reason::TooOld { .. } => 5,
        Reason::OtherName { .. } => 6,
        // Defects of the signature itself come first.
        _ => 7,
    };
    match (one, other) {
        (Reason::OtherKey { expected: one }, Reason::OtherKey { expected: other }) => {
            Reason::OtherKey {
                expected: format!("{one} or {other}"),
            }
        }
        (
            Reason::OtherIdentity { found, expected },
            Reason::OtherIdentity {
                expected: other, ..
            },
        ) if expected != other => Reason::OtherIdentity {
            found,
            expected: format!("{expected} or {other}"),
        },
        (one, other) if rank(&other) > rank(&one) => other,
        (one, _) => one,
    }
}

#[cfg(test)]
mod tests;
