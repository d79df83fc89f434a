//! The judge: evidence, policy, trust root and a time go in; a verification or the reasons against
//! it come out. Pure: no I/O, no clock of its own.

mod assign;
mod candidate;
mod case;
mod certificate;
mod facts;
mod legacy;
mod logs;
mod proof;
mod rekor2;
mod rules;
mod statement;

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use qmt_oci_ref::{Digest, DigestAlgorithm, PinnedReference};

use self::candidate::{Candidate, Role};
use self::case::{Accepted, Case, Docket};
use self::proof::Prover;
pub(crate) use self::statement::PAYLOAD_TYPE;
use crate::error::{Rejection, VerifyError, printable};
use crate::evidence::{self, DiscoveryOptions, Evidence, EvidenceSource};
use crate::fault::Fault;
use crate::limits::{BundleLimits, PIECE_BYTES_MAX};
use crate::policy::{AttestationDemand, Kind, PolicySet};
use crate::report::Report;
use crate::signer::SignerId;
use crate::trust::TrustRoot;
use crate::verification::{Proven, Verification};
use crate::verifier::Verifier;

/// Judges by the rules of Sigstore. Build it once: the trust root is parsed then, not at each call.
pub struct SigstoreVerifier {
    prover: Prover,
    trust: TrustRoot,
    policies: PolicySet,
    discovery: DiscoveryOptions,
    limits: BundleLimits,
}

impl SigstoreVerifier {
    /// Prepares `trust` for judging by `policies`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] if `trust` lacks what a policy needs: an authority, a log of
    /// certificates and a transparency log for certificates; a transparency log for keys unless
    /// they do without.
    pub fn new(trust: TrustRoot, policies: PolicySet) -> Result<Self, VerifyError> {
        let info = trust.describe();
        let lacking = |scope: &dyn fmt::Display, what: &str| {
            let problem = format!("holds no {what}, which the policy `{scope}` needs");
            Err(VerifyError::trust(info.source.clone(), problem))
        };
        for (scope, policy) in policies.policies() {
            let certificates = policy.is_pin_on_first_use()
                || policy
                    .authorities()
                    .iter()
                    .any(|one| matches!(one.kind(), Kind::Certificate { .. }));
            let logged = certificates
                || policy
                    .authorities()
                    .iter()
                    .any(|one| matches!(one.kind(), Kind::Key(key) if key.log_required));
            if certificates && info.certificate_authorities == 0 {
                return lacking(scope, "certificate authority (`fulcio_certs`)");
            }
            if certificates && info.ct_logs == 0 {
                return lacking(scope, "key of a certificate transparency log (`ctfe_keys`)");
            }
            if logged && info.logs == 0 {
                return lacking(scope, "key of a transparency log (`rekor_pub_keys`)");
            }
        }
        let prover = Prover::new(trust.root()).map_err(|source| VerifyError::TrustRoot {
            origin: info.source.clone(),
            problem: "cannot be used".to_owned(),
            source: Some(source.into()),
        })?;
        Ok(Self {
            prover,
            trust,
            policies,
            discovery: DiscoveryOptions::default(),
            limits: BundleLimits::default(),
        })
    }

    /// Looks for signatures where `discovery` says.
    #[must_use]
    pub fn with_discovery(mut self, discovery: DiscoveryOptions) -> Self {
        self.discovery = discovery;
        self
    }

    /// Lowers the transparency-log entries that one bundle may hold (default 8). A value above the
    /// one in force changes nothing.
    #[must_use]
    pub fn with_most_log_entries(mut self, most: usize) -> Self {
        self.limits.log_entries = self.limits.log_entries.min(most);
        self
    }

    /// Lowers the RFC 3161 timestamps that one bundle may hold (default 8). A value above the one in
    /// force changes nothing.
    #[must_use]
    pub fn with_most_timestamps(mut self, most: usize) -> Self {
        self.limits.timestamps = self.limits.timestamps.min(most);
        self
    }

    /// Lowers the subjects that one statement may name (default 1,024). A value above the one in
    /// force changes nothing.
    #[must_use]
    pub fn with_most_subjects(mut self, most: usize) -> Self {
        self.limits.subjects = self.limits.subjects.min(most);
        self
    }

    /// The trust root in use.
    pub fn trust_root(&self) -> &TrustRoot {
        &self.trust
    }

    /// Judges a bundle about a file rather than an image: any bundle version, a message signature
    /// or any kind of statement. `content` is the file, or `None` where only its sha256 is known.
    /// The policy is the one that covers everything.
    ///
    /// # Errors
    ///
    /// As [`Verifier::judge`].
    pub fn judge_file(
        &self,
        digest: &Digest,
        content: Option<&[u8]>,
        bundle: &[u8],
        now: SystemTime,
    ) -> Result<Report, VerifyError> {
        let repository = "file.invalid/file".parse().map_err(|error| {
            VerifyError::policy(format!("the name of a file has no place: {error}"))
        })?;
        let subject = PinnedReference::new(repository, digest.clone());
        if digest.algorithm() != DigestAlgorithm::Sha256
            || content.is_some_and(|content| Digest::sha256(content) != *digest)
        {
            return Err(VerifyError::UnsupportedDigest {
                subject: Box::new(subject),
            });
        }
        let case = self.case(&subject, None, now)?;
        let mut docket = Docket::default();
        if bundle.len() as u64 > PIECE_BYTES_MAX {
            let fault = Fault::LeftAside(format!("is over {PIECE_BYTES_MAX} bytes"));
            docket
                .rejected
                .push(Rejection::new("the bundle", None, &fault));
        } else {
            match Candidate::of_file(digest, content, bundle, &self.limits) {
                Ok(candidate) => self.hear(&case, &candidate, &mut docket),
                Err(fault) => docket
                    .rejected
                    .push(Rejection::new("the bundle", None, &fault)),
            }
        }
        self.decide(&case, docket)
            .map(|verification| verification.report().clone())
    }

    fn case<'a>(
        &'a self,
        subject: &'a PinnedReference,
        expected: Option<&'a SignerId>,
        now: SystemTime,
    ) -> Result<Case<'a>, VerifyError> {
        let (scope, policy) = self
            .policies
            .for_subject(subject.repository())
            .ok_or_else(|| {
                VerifyError::policy(format!(
                    "no policy covers `{}`; add a scope for it, or `**` for everything",
                    subject.repository()
                ))
            })?;
        Ok(Case {
            subject,
            policy,
            scope: scope.to_string(),
            expected,
            now,
        })
    }

    /// Hears one signature: proves it, and notes which authorities it satisfies.
    fn hear(&self, case: &Case<'_>, candidate: &Candidate<'_>, docket: &mut Docket) {
        let found = candidate.found.to_owned();
        let claimed = candidate.claimed_signer();
        match rules::signatures(&self.prover, case, candidate) {
            Ok(mut accepted) => docket.accepted.append(&mut accepted),
            Err(fault) => docket
                .rejected
                .push(Rejection::new(&found, claimed.as_ref(), &fault)),
        }
    }

    fn decide(&self, case: &Case<'_>, docket: Docket) -> Result<Verification, VerifyError> {
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
                let found = assign::signers(&accepted).min(required.saturating_sub(1));
                let fault = Fault::NotEnough { found, required };
                rejected.push(Rejection::new(&one.facts.found, Some(&one.signer), &fault));
            }
            return refuse(rejected);
        };
        let mut satisfied = Vec::new();
        for demand in case.policy.attestations() {
            if let Err(mut why) = self.attested(case, &chosen, demand, &attestations) {
                rejected.append(&mut why);
                return refuse(rejected);
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
            let Role::Attestation {
                predicate_type,
                predicate,
            } = &candidate.role
            else {
                continue;
            };
            if predicate_type != demand.predicate_type() {
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
        report.config_line = Some(signer.config_line());
        report.attestations = attestations;
        report.trust_root = Some(self.trust.describe().report(case.now));
        report.rejected = rejected;
        if report.first_use {
            report
                .warnings
                .push("no signer is configured: this one is pinned now".to_owned());
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

#[async_trait]
impl Verifier for SigstoreVerifier {
    async fn collect(
        &self,
        source: &dyn EvidenceSource,
        subject: &PinnedReference,
    ) -> Result<Evidence, VerifyError> {
        evidence::collect(source, subject, &self.discovery).await
    }

    fn judge(
        &self,
        subject: &PinnedReference,
        evidence: &Evidence,
        expected: Option<&SignerId>,
        now: SystemTime,
    ) -> Result<Verification, VerifyError> {
        if subject.digest().algorithm() != DigestAlgorithm::Sha256 {
            return Err(VerifyError::UnsupportedDigest {
                subject: Box::new(subject.clone()),
            });
        }
        if evidence.subject() != subject.digest() {
            return Err(VerifyError::OtherEvidence {
                subject: Box::new(subject.clone()),
                evidence: evidence.subject().clone(),
            });
        }
        let case = self.case(subject, expected, now)?;
        let mut docket = Docket::default();
        for piece in evidence.pieces() {
            match Candidate::of(piece, subject.digest(), &self.limits) {
                Ok(candidate) => match &candidate.role {
                    Role::Signature => self.hear(&case, &candidate, &mut docket),
                    Role::Attestation { predicate_type, .. } => {
                        let predicate_type = predicate_type.clone();
                        let fault = Fault::Attestation { predicate_type };
                        let signer = candidate.claimed_signer();
                        docket.rejected.push(Rejection::new(
                            piece.found(),
                            signer.as_ref(),
                            &fault,
                        ));
                        docket.attestations.push(candidate);
                    }
                },
                Err(fault) => docket
                    .rejected
                    .push(Rejection::new(piece.found(), None, &fault)),
            }
        }
        for note in evidence.notes() {
            let fault = Fault::LeftAside(note.reason.clone());
            docket
                .rejected
                .push(Rejection::new(&note.found, None, &fault));
        }
        self.decide(&case, docket)
    }
}

impl fmt::Debug for SigstoreVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigstoreVerifier")
            .field("trust", &self.trust)
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}
