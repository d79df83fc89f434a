//! The judge: evidence, policy, trust root and a time go in; a verification or the reasons against
//! it come out. Pure: no I/O, no clock of its own.

mod assign;
mod candidate;
mod case;
mod certificate;
mod decide;
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
use crate::error::{Rejection, VerifyError};
use crate::evidence::{self, DiscoveryOptions, Evidence, EvidenceSource};
use crate::fault::Fault;
use crate::limits::{BundleLimits, PIECE_BYTES_MAX, lower};
use crate::policy::{Authority, Kind, PolicySet};
use crate::report::Report;
use crate::signer::SignerId;
use crate::trust::TrustRoot;
use crate::verification::Verification;
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
    /// certificates and a transparency log for certificates; a transparency log for keys; for
    /// certificates that do without a log, a timestamp authority.
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
            let logged = policy.is_pin_on_first_use()
                || policy.authorities().iter().any(Authority::needs_log);
            let timed = policy
                .authorities()
                .iter()
                .any(|one| matches!(one.kind(), Kind::Certificate { .. }) && !one.needs_log());
            if certificates && info.certificate_authorities == 0 {
                return lacking(scope, "certificate authority (`fulcio_certs`)");
            }
            if certificates && info.ct_logs == 0 {
                return lacking(scope, "key of a certificate transparency log (`ctfe_keys`)");
            }
            if timed && info.timestamp_authorities == 0 && info.logs == 0 {
                return lacking(scope, "timestamp authority (`tsa_certs`)");
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

    lower! {
        /// Lowers the transparency-log entries that one bundle may hold (default 8).
        with_most_log_entries: usize => limits.log_entries;
        /// Lowers the RFC 3161 timestamps that one bundle may hold (default 8).
        with_most_timestamps: usize => limits.timestamps;
        /// Lowers the subjects that one statement may name (default 1,024).
        with_most_subjects: usize => limits.subjects;
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
