//! The verifier by the rules of Sigstore.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use qmt_oci_ref::{Digest, DigestAlgorithm, PinnedReference, Registry, Repository, text};

use crate::discover::{DiscoveryOptions, discover};
use crate::error::VerifyError;
use crate::evidence::{About, Evidence};
use crate::limits::{BUNDLE_LIMITS, BundleLimits, lower};
use crate::policy::{Authority, Check, Policy, PolicySet, Scope};
use crate::reason::Reason;
use crate::report::{Report, TrustSummary};
use crate::signature::{Signature, SignatureVerifier};
use crate::signer::SignerId;
use crate::trust::TrustRoot;
use crate::verification::Verification;
use crate::verifier::Verifier;

/// Verifies by the rules of Sigstore. The trust root is parsed once, when the verifier is built.
pub struct SigstoreVerifier {
    signatures: SignatureVerifier,
    trust: TrustRoot,
    policies: PolicySet,
    discovery: DiscoveryOptions,
    limits: BundleLimits,
}

impl SigstoreVerifier {
    /// Prepares `trust` for verifying by `policies`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] or [`VerifyError::NoLogKey`] if `trust` lacks what a policy requires: an
    /// authority and a
    /// transparency log for certificates, and the usable key of a certificate transparency log if
    /// `trust` names any or [`PolicySet::certificate_log_required`]; a transparency log for keys; a
    /// timestamp authority for certificates that do without a log.
    pub fn new(trust: TrustRoot, policies: PolicySet) -> Result<Self, VerifyError> {
        let info = trust.describe();
        for (scope, policy) in policies.policies() {
            let certificates = policy.accepts_certificates();
            let logged = policy.requires_log();
            let timed = policy.accepts_unlogged_certificates();
            // Logs that are named and cannot be used are not the same as none.
            let certificate_log = policies.certificate_log_required || trust.names_ct_logs;
            let lacking = if certificates && info.certificate_authorities == 0 {
                "certificate authority (`fulcio_certs`)"
            } else if certificates && certificate_log && info.ct_logs == 0 {
                "key of a certificate transparency log (`ctfe_keys`)"
            } else if timed && info.timestamp_authorities == 0 && info.logs == 0 {
                "timestamp authority (`tsa_certs`)"
            } else if logged && info.logs == 0 {
                return Err(VerifyError::NoLogKey {
                    origin: info.source.clone(),
                    required_by: required_by(scope),
                });
            } else {
                continue;
            };
            let problem = format!("holds no {lacking}, which {}", required_by(scope));
            return Err(VerifyError::trust(info.source.clone(), problem));
        }
        let signatures = SignatureVerifier::new(&trust.root);
        let signatures = signatures.map_err(|source| VerifyError::TrustRoot {
            origin: info.source.clone(),
            problem: "cannot be used".to_owned(),
            source: Some(source.into()),
        })?;
        Ok(Self {
            signatures,
            trust,
            policies,
            discovery: DiscoveryOptions::default(),
            limits: BUNDLE_LIMITS,
        })
    }

    /// Trusts the public key in `pem` for every image, as `cosign verify --key` does: a signature
    /// must have an entry in the transparency log of the public Sigstore instance.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if `pem` does not hold one usable public key.
    pub fn with_key(pem: &[u8]) -> Result<Self, VerifyError> {
        Self::with_authority(Authority::key("the public key", pem)?)
    }

    /// As [`SigstoreVerifier::with_key`], for signatures without a log entry, such as those of
    /// [`KeySigner`](crate::KeySigner). An entry of a known log that can be read must be valid.
    /// Without an entry nothing proves when the signature was made, and its use of the key is not
    /// public.
    ///
    /// # Errors
    ///
    /// As [`SigstoreVerifier::with_key`].
    pub fn with_key_without_log(pem: &[u8]) -> Result<Self, VerifyError> {
        Self::with_authority(Authority::key("the public key", pem)?.without_log())
    }

    fn with_authority(authority: Authority) -> Result<Self, VerifyError> {
        let policy = Policy::any_of(vec![authority], 1)?;
        let policies = PolicySet::new(vec![(Scope::everything(), policy)])?;
        Self::new(TrustRoot::embedded()?, policies)
    }

    /// Looks for signatures as `discovery` says.
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

    /// Describes the trust root and the policies.
    pub fn summary(&self) -> TrustSummary {
        TrustSummary {
            root: self.trust.describe().clone(),
            policies: self.policies.reports(),
            warnings: self.warnings(),
        }
    }

    /// The risks of the policies and of the trust root that they use, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.policies.warnings();
        let mut policies = self.policies.policies();
        if self.trust.describe().ct_logs == 0
            && policies.any(|(_, policy)| policy.accepts_certificates())
        {
            warnings.push(format!(
                "the trust root `{}` has no key of a certificate transparency log (`ctfe_keys`), \
                 so the timestamps in certificates are not checked; \
                 `certificate_log = \"required\"` makes this an error",
                self.trust.describe().source
            ));
        }
        warnings
    }

    /// The trust root in use.
    pub fn trust_root(&self) -> &TrustRoot {
        &self.trust
    }

    /// Checks a bundle about a file rather than an image: any bundle version, a message signature
    /// or any kind of statement. `content` is the file, or `None` where only its SHA-256 is known.
    /// The policy is the one that covers everything.
    ///
    /// # Errors
    ///
    /// [`VerifyError::OtherContent`] if `content` has another digest; else as [`Verifier::check`].
    pub fn check_file(
        &self,
        digest: &Digest,
        content: Option<&[u8]>,
        bundle: &[u8],
        now: SystemTime,
    ) -> Result<Report, VerifyError> {
        let repository = "file.invalid/file".parse().map_err(|error| {
            VerifyError::policy(format!("files have no repository name: {error}"))
        })?;
        let subject = PinnedReference::new(repository, digest.clone());
        let actual = content.map(|content| Digest::of(digest.algorithm(), content));
        if let Some(actual) = actual.filter(|actual| actual != digest) {
            let expected = digest.clone();
            return Err(VerifyError::OtherContent { expected, actual });
        }
        let mut check = self.start(&subject, None, now)?;
        let parsed = Signature::of_file(digest, content, bundle, &self.limits);
        check.add("the bundle", parsed);
        Ok(check.decide()?.report().clone())
    }

    /// Starts a check of `subject`, for which there is no evidence yet.
    fn start<'a>(
        &'a self,
        subject: &'a PinnedReference,
        expected: Option<&'a SignerId>,
        now: SystemTime,
    ) -> Result<Check<'a>, VerifyError> {
        if subject.digest().algorithm() != DigestAlgorithm::Sha256 {
            return Err(VerifyError::unsupported(subject));
        }
        let repository = subject.repository();
        let Some((scope, policy)) = self.policies.for_subject(repository) else {
            return Err(VerifyError::policy(format!(
                "no policy covers `{repository}`; add a scope for it, or `**` for everything"
            )));
        };
        Ok(Check {
            signatures: &self.signatures,
            trust: self.trust.describe(),
            subject,
            searched: Some(self.discovery.searched(repository))
                .filter(|searched| *searched != repository),
            scope,
            policy,
            expected,
            now,
            accepted: Vec::new(),
            attestations: Vec::new(),
            rejected: Vec::new(),
            unread: 0,
        })
    }
}

/// Says what makes a part of the trust root necessary. A policy for everything may be one that the config
/// does not spell out.
fn required_by(scope: &Scope) -> String {
    if *scope == Scope::everything() {
        return "the accepted signers require".to_owned();
    }
    format!("the policy `{scope}` requires")
}

#[async_trait]
impl Verifier for SigstoreVerifier {
    async fn discover(
        &self,
        registry: &dyn Registry,
        subject: &PinnedReference,
    ) -> Result<Evidence, VerifyError> {
        let mut options = Cow::Borrowed(&self.discovery);
        let policy = self.policies.for_subject(subject.repository());
        if policy.is_some_and(|(_, policy)| !policy.requires_attestations()) {
            options = Cow::Owned(options.into_owned().without_required_attestations());
        }
        discover(registry, subject, &options).await
    }

    fn check(
        &self,
        subject: &PinnedReference,
        evidence: &Evidence,
        expected: Option<&SignerId>,
        now: SystemTime,
    ) -> Result<Verification, VerifyError> {
        if evidence.subject() != subject.digest() {
            return Err(VerifyError::OtherEvidence {
                subject: Box::new(subject.clone()),
                evidence: evidence.subject().clone(),
            });
        }
        let mut check = self.start(subject, expected, now)?;
        for item in &evidence.items {
            let parsed = Signature::of(item, subject.digest(), &self.limits);
            check.add(&item.place, parsed);
        }
        for note in &evidence.notes {
            let reason = note.reason.clone();
            let reason = match (note.unread, note.about) {
                (0, About::Item) => Reason::Unusable(reason),
                (0, About::List) => Reason::PartOfList(reason),
                (0, About::Place) => Reason::UnexpectedAnswer(reason),
                (unread, _) => Reason::NotRead { unread, reason },
            };
            check.unread = check.unread.saturating_add(note.unread);
            check.add(&note.place, Err(reason));
        }
        if let Some(child) = &evidence.signed_child {
            let hint = sign_index(subject, check.searched, check.policy);
            check.add(&child.to_string(), Err(Reason::OnlyChild { hint }));
        }
        for failure in &evidence.failures {
            let searched = check.searched.unwrap_or(subject.repository());
            let host = failure.source.mirror().unwrap_or(searched.host());
            let reason = Reason::LookupFailed {
                kind: failure.source.kind(),
                host: host.clone(),
                problem: text::error_line(&failure.source, None),
                hint: failure.source.hint().map(str::to_owned),
            };
            check.add(&failure.place, Err(reason));
        }
        // The signature that is missing may be in the place that could not be read, unless that one
        // can hold attestations only.
        let required = check.policy.requires_attestations();
        let mut failures = evidence.failures.iter();
        let decisive = failures.find(|one| required || !one.of_attestations);
        let decided = check.decide();
        let Some(failure) = decisive else {
            return decided;
        };
        decided.map_err(|refusal| VerifyError::Source {
            place: failure.place.clone(),
            source: failure.source.clone(),
            refusal: Some(Box::new(refusal)),
        })
    }
}

/// How to sign the index `subject`, whose signatures are searched in another repository if it is given.
fn sign_index(subject: &PinnedReference, searched: Option<&Repository>, policy: &Policy) -> String {
    if subject.repository().layout().is_some() {
        return "sign the index itself in a registry, and copy it into the layout together with its \
                signatures"
            .to_owned();
    }
    let word = |text: String| text::shell_word(&text).into_owned();
    let variable = searched.map_or_else(String::new, |one| {
        format!("COSIGN_REPOSITORY={} ", word(one.to_string()))
    });
    let key = if policy.accepts_certificates() {
        ""
    } else {
        "--key cosign.key "
    };
    let subject = word(subject.to_string());
    format!("sign the index itself: `{variable}cosign sign {key}{subject}`")
}

impl fmt::Debug for SigstoreVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigstoreVerifier")
            .field("trust", &self.trust)
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}
