//! The decision: whether the accepted signatures and attestations are enough, and the report of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::time::SystemTime;

use qmt_oci_ref::text;
use qmt_oci_ref::time::rfc3339;

use super::evaluation::Accepted;
use super::summary::PINNED_ON_FIRST_USE;
use super::threshold::{self, Pair};
use super::{AttestationDemand, Authority, Check};
use crate::error::VerifyError;
use crate::reason::Reason;
use crate::report::{Rejection, RejectionCause, RejectionCode, Report};
use crate::signature::certificate::Claims;
use crate::signature::{Ignored, Predicate, Signature, VerifiedSignature};
use crate::signer::{SignerId, key_line};
use crate::verification::Verification;

impl Check<'_> {
    /// Decides by the policy. All evidence has been added.
    pub(crate) fn decide(mut self) -> Result<Verification, VerifyError> {
        // Every stored item was accepted or rejected: these are notes of what was not stored.
        let mut rejected = self.rejected.iter();
        if self.accepted.is_empty() && rejected.all(|one| one.code.is_note()) {
            return Err(VerifyError::NoSignature {
                subject: Box::new(self.subject.clone()),
                searched: self.searched.cloned().map(Box::new),
                keys_only: !self.policy.accepts_certificates(),
                rejected: self.rejected,
                unread: self.unread,
            });
        }
        // Versions are ordered by their time, which must not depend on the order of the signatures.
        self.accepted.sort_by_key(|(_, one)| Reverse(one.signed_at));
        if self.is_first_use() {
            // A stranger who may add signatures usually signs after the publisher.
            let first = first_times(&self.accepted);
            self.accepted.sort_by_cached_key(|(_, one)| {
                let time = first.get(&one.signer).copied();
                (time, one.signer.clone())
            });
        }
        let required = self.policy.require();
        let rule = self.policy.signer_rule();
        let chosen = threshold::choose(&self.accepted, required, rule, self.expected);
        let Some((primary, others)) = chosen.split_first() else {
            let pairs = threshold::pairs(&self.accepted, rule).len();
            let found = pairs.min(required.saturating_sub(1));
            let reason = Reason::NotEnough { found, required };
            let accepted = self.accepted.iter();
            let not_enough = accepted.map(|(_, one)| reason.reject(&one.place, Some(&one.signer)));
            self.rejected.extend(not_enough);
            return Err(self.refuse());
        };
        // A required attestation is not rejected because it is not a signature.
        let demands = &self.policy.attestations;
        let is_required = |index| {
            let mut attestations = self.attestations.iter();
            attestations.any(|(rejection, attestation)| {
                *rejection == index
                    && demands
                        .iter()
                        .any(|one| demanded(attestation, one).is_some())
            })
        };
        let rejected = self.rejected.iter().enumerate();
        let rejected = rejected.filter(|(index, _)| !is_required(*index));
        let rejected = rejected.map(|(_, one)| beyond_signature(one)).collect();
        for demand in demands {
            if let Err(mut unmet) = self.check_attestation(&primary.1.signer, demand) {
                // What is missing comes first: the signature itself is valid.
                unmet.extend(rejected);
                self.rejected = unmet;
                return Err(self.refuse());
            }
        }
        Ok(self.accept(primary, others, rejected))
    }

    fn is_first_use(&self) -> bool {
        self.policy.is_pin_on_first_use() && self.expected.is_none()
    }

    fn refuse(mut self) -> VerifyError {
        // Signatures by accepted signers come first: the error shows the first reason, and a
        // signature by another signer is not the cause.
        self.rejected.sort_by_key(|one| !one.code.is_condition());
        VerifyError::Refused {
            subject: Box::new(self.subject.clone()),
            scope: self.scope.to_string(),
            conditions: self.policy.conditions(),
            rejected: self.rejected,
            unread: self.unread,
            trust_root: Some(Box::new(self.trust.report(self.now))),
        }
    }

    /// Checks that one of the attestations satisfies `demand`, signed by one of the authorities or,
    /// on first use, by `signer`, the signer of the image.
    fn check_attestation(
        &self,
        signer: &SignerId,
        demand: &AttestationDemand,
    ) -> Result<(), Vec<Rejection>> {
        let mut rejected = Vec::new();
        for (_, attestation) in &self.attestations {
            let Some(predicate) = demanded(attestation, demand) else {
                continue;
            };
            let reason = match self.match_signers(attestation, Some(signer)) {
                Ok(_) => match demand.unmet(&predicate.value()) {
                    Some(unmet) => Reason::Demand(unmet),
                    None => return Ok(()),
                },
                Err(reason) => reason,
            };
            let claims = attestation.claims();
            let signer = claims.as_ref().and_then(Claims::named_signer);
            let mut rejection = reason.reject(attestation.place, signer.as_ref());
            // The line would accept this signer for the image as well.
            rejection.config_line = None;
            rejection.cause = RejectionCause::Attestation;
            rejected.push(rejection);
        }
        // Another reason says more: a defect, or what an attestation by an accepted signer states.
        if rejected.iter().all(|one| one.code.is_of_other_signer()) {
            let missing = Reason::NoAttestation {
                signer: signer.to_string(),
                predicate_type: demand.predicate_type.clone(),
            };
            let mut missing = missing.reject(&self.subject.to_string(), None);
            missing.cause = RejectionCause::NoAttestation;
            rejected.insert(0, missing);
        }
        Err(rejected)
    }

    fn accept(
        &self,
        (index, signature): &Pair<'_>,
        others: &[Pair<'_>],
        rejected: Vec<Rejection>,
    ) -> Verification {
        let signer = &signature.signer;
        let mut report = Report::of(self.subject);
        signature.describe(&mut report);
        report.scope = self.scope.to_string();
        report.conditions = self.policy.conditions();
        let authority = self.policy.authorities().get(*index);
        report.authority = match (authority, self.expected) {
            (Some(authority), _) => text::escape(&authority.to_string()),
            (None, Some(_)) => "the signer that the lockfile pins".to_owned(),
            (None, None) => PINNED_ON_FIRST_USE.to_owned(),
        };
        report.signer = Some(signer.clone());
        report.cosigners = others.iter().map(|(_, one)| one.signer.clone()).collect();
        report.first_use = self.is_first_use();
        report.differs_from_pin = self.expected.is_some_and(|expected| expected != signer);
        let key = authority.and_then(Authority::key_of);
        let logged = signature.is_logged();
        let claims = signature.claims.as_ref();
        report.config_line = match (key, claims.and_then(|one| one.release_line(logged))) {
            (Some(key), _) => Some(key_line(&key.name, logged)),
            (None, Some(line)) => Some(line),
            (None, None) if signer.lacks_issuer() => None,
            (None, None) if logged => Some(signer.config_line()),
            (None, None) => Some(signer.config_line_without_log()),
        };
        let demands = self.policy.attestations.iter();
        report.attestations = demands.map(|one| one.predicate_type.clone()).collect();
        report.trust_root = Some(self.trust.report(self.now));
        report.rejected = rejected;
        let warnings = &mut report.warnings;
        if report.first_use {
            let warning = "no signer is configured: this one is accepted, and pinned if a lockfile \
                           records it";
            warnings.push(warning.to_owned());
            let others = self.accepted.iter().map(|(_, one)| &one.signer);
            let others: BTreeSet<_> = others.filter(|other| *other != signer).collect();
            for other in others {
                let other = other.escaped();
                warnings.push(format!("{other} signed it as well, but not first"));
            }
        }
        warnings.extend(authority.into_iter().flat_map(Authority::warnings));
        if report.differs_from_pin {
            warnings.push("the lockfile pins another signer; the policy decides".to_owned());
        }
        // Of several signers, the first one: a later signature of one of them is not that of all.
        let others = others.iter().map(|(_, one)| *one);
        let signed_at = iter::once(*signature).chain(others);
        let signed_at = signed_at.filter_map(|one| one.signed_at).min();
        Verification::assertion(self.subject, signature.times.clone(), signed_at, report)
    }
}

/// The earliest time at which a signature of each signer is proven to exist: the time of a log or
/// of a timestamp, and not that of the certificate, which may be older than the signature. An
/// unknown time is the last.
fn first_times(accepted: &[Accepted]) -> BTreeMap<SignerId, (bool, Option<SystemTime>)> {
    let mut first = BTreeMap::new();
    for (_, one) in accepted {
        let proven = one.times.iter().copied().min();
        let time = (proven.is_none(), proven);
        let earliest = first.entry(one.signer.clone()).or_insert(time);
        *earliest = time.min(*earliest);
    }
    first
}

/// The rejection of an image whose signature is accepted: of an attestation, it must not say that
/// the image is to be signed.
fn beyond_signature(rejection: &Rejection) -> Rejection {
    let mut rejection = rejection.clone();
    if rejection.code == RejectionCode::Attestation {
        "the image is signed, and the policy requires no attestation of this type"
            .clone_into(&mut rejection.hint);
    }
    rejection
}

/// What `attestation` states, if it is of the type that is required.
fn demanded<'a>(
    attestation: &'a Signature<'_>,
    demand: &AttestationDemand,
) -> Option<&'a Predicate> {
    let predicate = attestation.predicate.as_ref();
    predicate.filter(|predicate| predicate.kind == demand.predicate_type)
}

impl VerifiedSignature {
    /// Whether a transparency log recorded the signature.
    pub(super) fn is_logged(&self) -> bool {
        !self.log_entries.is_empty()
    }

    /// Writes what is proven into a report, safe to print.
    fn describe(&self, report: &mut Report) {
        let safe = |map: &BTreeMap<String, String>| {
            let pairs = map.iter();
            pairs
                .map(|(name, value)| (text::escape(name), text::escape(value)))
                .collect()
        };
        report.found = text::escape(&self.place);
        report.format = self.format.to_string();
        if let Some(claims) = &self.claims {
            let identities = claims.identity.iter();
            report.identities = identities.map(|one| text::escape(one)).collect();
            report.claims = safe(&claims.named());
        }
        report.annotations = safe(&self.annotations);
        report.signed_name = self.name.as_deref().map(text::escape);
        report.log_entries.clone_from(&self.log_entries);
        report.signed_at = self.times.iter().copied().map(rfc3339).collect();
        let mut checks = vec!["digest", "signature"];
        if self.claims.is_some() {
            checks.push("certificate");
            if !self.ignored.contains(&Ignored::CertificateTimestamps) {
                checks.push("certificate log");
            }
        }
        if self.is_logged() {
            checks.push("transparency log");
        }
        if !self.times.is_empty() {
            checks.push("time");
        }
        report.checks = checks.into_iter().map(ToOwned::to_owned).collect();
        let ignored = self.ignored.iter().map(|part| part.warning().to_owned());
        report.warnings.extend(ignored);
    }
}
