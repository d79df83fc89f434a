//! The decision: whether what was heard is enough for the policy, and what is said of it.

use super::candidate::{Candidate, Role};
use super::case::{Case, Docket};
use super::{SigstoreVerifier, assign, rules};
use crate::error::{Rejection, VerifyError, printable};
use crate::fault::Fault;
use crate::policy::AttestationDemand;
use crate::report::Report;
use crate::verification::{Proven, Verification};

/// Whether `candidate` is an attestation of the type that is asked for.
fn is_of(candidate: &Candidate<'_>, demand: &AttestationDemand) -> bool {
    matches!(&candidate.role, Role::Attestation { predicate_type, .. }
        if predicate_type == demand.predicate_type())
}

impl SigstoreVerifier {
    pub(super) fn decide(
        &self,
        case: &Case<'_>,
        docket: Docket,
    ) -> Result<Verification, VerifyError> {
        let Docket {
            accepted,
            attestations,
            mut rejected,
        } = docket;
        let refuse = |rejected| {
            let (subject, scope) = (Box::new(case.subject.clone()), case.scope.clone());
            Err(VerifyError::Refused {
                subject,
                scope,
                rejected,
                trust_root: Some(Box::new(self.trust.describe().report(case.now))),
            })
        };
        // Each piece was accepted or has its rejection: these are notes of what was not even taken.
        if accepted.is_empty() && rejected.iter().all(|one| one.code == "left-aside") {
            return Err(VerifyError::NoSignature {
                subject: Box::new(case.subject.clone()),
                rejected,
            });
        }
        let Some(chosen) = assign::choose(&accepted, case) else {
            let required = case.policy.require();
            for one in &accepted {
                // One signature may satisfy several entries of the policy.
                let shown = printable(&one.facts.found);
                if rejected.iter().any(|told: &Rejection| told.found == shown) {
                    continue;
                }
                let found = assign::signers(&accepted).min(required.saturating_sub(1));
                let fault = Fault::NotEnough { found, required };
                rejected.push(Rejection::new(&one.facts.found, Some(&one.signer), &fault));
            }
            return refuse(rejected);
        };
        // That an attestation is no signature is no fault of one that is asked for.
        let demanded: Vec<String> = attestations
            .iter()
            .filter(|candidate| {
                case.policy
                    .attestations()
                    .iter()
                    .any(|demand| is_of(candidate, demand))
            })
            .map(|candidate| printable(candidate.found))
            .collect();
        rejected.retain(|one| one.code != "attestation" || !demanded.contains(&one.found));
        let mut satisfied = Vec::new();
        for demand in case.policy.attestations() {
            if let Err(mut why) = self.attested(case, &chosen, demand, &attestations) {
                // What is missing comes first: the signature itself was good.
                why.append(&mut rejected);
                return refuse(why);
            }
            satisfied.push(demand.predicate_type().to_owned());
        }
        Ok(self.grant(case, &chosen, satisfied, rejected))
    }

    /// Whether one of the attestations satisfies `demand`, signed by one of the authorities or, on
    /// first use, by the signer of the image.
    fn attested(
        &self,
        case: &Case<'_>,
        chosen: &assign::Chosen<'_>,
        demand: &AttestationDemand,
        attestations: &[Candidate<'_>],
    ) -> Result<(), Vec<Rejection>> {
        let mut why = Vec::new();
        for candidate in attestations {
            let Role::Attestation { predicate, .. } = &candidate.role else {
                continue;
            };
            if !is_of(candidate, demand) {
                continue;
            }
            let problem = match demand.lacks(predicate) {
                Some(lacking) => Fault::Demand(lacking),
                None => match rules::attester(&self.prover, case, candidate, chosen.signer()) {
                    Ok(()) => return Ok(()),
                    Err(fault) => fault,
                },
            };
            why.push(Rejection::new(
                candidate.found,
                candidate.claimed_signer().as_ref(),
                &problem,
            ));
        }
        if why.is_empty() {
            let fault = Fault::Demand(format!(
                "there is none of type `{}`",
                demand.predicate_type()
            ));
            why.push(Rejection::new(&case.subject.to_string(), None, &fault));
        }
        Err(why)
    }

    /// Says what was proven.
    fn grant(
        &self,
        case: &Case<'_>,
        chosen: &assign::Chosen<'_>,
        attestations: Vec<String>,
        rejected: Vec<Rejection>,
    ) -> Verification {
        let facts = chosen.facts();
        let signer = chosen.signer().clone();
        let mut report = Report::of(case.subject);
        facts.describe(&mut report);
        report.scope.clone_from(&case.scope);
        report.authority = printable(chosen.authority());
        report.cosigners = chosen.cosigners();
        report.first_use = case.policy.is_pin_on_first_use() && case.expected.is_none();
        report.differs_from_pin = case.expected.is_some_and(|expected| *expected != signer);
        report.config_line = Some(if facts.is_logged() {
            signer.config_line()
        } else {
            signer.config_line_without_log()
        });
        report.attestations = attestations;
        report.trust_root = Some(self.trust.describe().report(case.now));
        report.rejected = rejected;
        if report.first_use {
            report.warnings.push(
                "no signer is configured: this one is taken, and pinned at first use".to_owned(),
            );
        }
        if let Some(authority) = case.policy.authorities().get(chosen.index()) {
            report.warnings.extend(authority.warnings());
        }
        if report.differs_from_pin {
            report
                .warnings
                .push("the lockfile pins another signer; the policy decides".to_owned());
        }
        report.signer = Some(signer.clone());
        let proven = Proven {
            signer,
            times: facts.times.clone(),
        };
        Verification::assertion(case.subject, Some(proven), report)
    }
}
