//! Policy: which signers are accepted for which repositories.
//!
//! All parts of one authority (identity, issuer, claims, annotations, time) must hold on one
//! signature. An empty policy is an error and never means "anyone".

mod attestation;
mod authority;
mod decision;
mod evaluation;
mod identity;
mod scope;
mod summary;
mod threshold;

use std::cmp::Reverse;

use qmt_oci_ref::Repository;

pub use self::attestation::AttestationDemand;
pub use self::authority::{Authority, WorkflowClaims};
pub(crate) use self::authority::{Claim, GITHUB_ISSUER};
pub(crate) use self::evaluation::Check;
pub use self::identity::IdentityRule;
pub use self::scope::Scope;

use self::threshold::SignerRule;
use crate::error::VerifyError;
use crate::limits::AUTHORITIES_MAX;
use crate::signature::PublicKey;

/// All policies, each with the repositories that it covers.
#[derive(Clone, Debug)]
pub struct PolicySet {
    /// Most specific scope first.
    entries: Vec<(Scope, Policy)>,
    /// Whether a trust root without certificate transparency logs is an error.
    pub(crate) certificate_log_required: bool,
}

impl PolicySet {
    /// Combines policies. The most specific scope that covers a repository applies to it; a
    /// repository that no scope covers is refused.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if `entries` is empty, or one scope occurs twice.
    pub fn new(mut entries: Vec<(Scope, Policy)>) -> Result<Self, VerifyError> {
        if entries.is_empty() {
            let problem = "there is no policy; add one, or `**` for everything";
            return Err(VerifyError::policy(problem));
        }
        entries.sort_by_key(|(scope, _)| Reverse(scope.specificity()));
        // Equal scopes are as specific as each other, but may not be neighbours.
        for (index, (scope, _)) in entries.iter().enumerate() {
            let mut later = entries.iter().skip(index + 1);
            if later.any(|(other, _)| other == scope) {
                let problem = format!("the scope `{scope}` occurs twice");
                return Err(VerifyError::policy(problem));
            }
        }
        Ok(Self {
            entries,
            certificate_log_required: false,
        })
    }

    /// Refuses policies that do not name their signers: what `identity = "required"` means.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if a scope pins on first use, or names an identity without issuer.
    pub fn identity_required(self) -> Result<Self, VerifyError> {
        for (scope, policy) in &self.entries {
            let mut authorities = policy.authorities().iter();
            let problem = if policy.is_pin_on_first_use() {
                format!("no signer is configured for `{scope}`")
            } else if let Some(authority) = authorities.find(|one| one.lacks_issuer()) {
                format!("`{authority}` in `{scope}` names no issuer")
            } else {
                continue;
            };
            let problem = format!("`identity = \"required\"` and {problem}");
            return Err(VerifyError::policy(problem));
        }
        Ok(self)
    }

    /// Requires a trust root with certificate transparency logs where a policy accepts
    /// certificates: what `certificate_log = "required"` means. Without it, the timestamps in
    /// certificates are checked where the trust root names such a log.
    #[must_use]
    pub fn certificate_log_required(mut self) -> Self {
        self.certificate_log_required = true;
        self
    }

    /// Whether no policy accepts a certificate or requires a transparency log, so that no Sigstore
    /// instance has to be trusted.
    pub fn trusts_keys_alone(&self) -> bool {
        let mut policies = self.entries.iter().map(|(_, policy)| policy);
        policies.all(|policy| !policy.accepts_certificates() && !policy.requires_log())
    }

    /// The policy for images of `repository`, in a separate set, if
    /// [`PolicySet::trusts_keys_alone`] holds for it, whatever the other policies require.
    pub fn for_keys_alone(&self, repository: &Repository) -> Option<Self> {
        let (scope, policy) = self.for_subject(repository)?;
        let alone = Self {
            entries: vec![(scope.clone(), policy.clone())],
            certificate_log_required: self.certificate_log_required,
        };
        alone.trusts_keys_alone().then_some(alone)
    }

    /// The scopes that accept signatures without a proven signing time: those with a key that needs
    /// no transparency log.
    pub fn scopes_without_times(&self) -> Vec<String> {
        let untimed = |policy: &Policy| policy.keys().any(|(_, one, _)| !one.log_required);
        let policies = self.policies().filter(|(_, policy)| untimed(policy));
        policies.map(|(scope, _)| scope.to_string()).collect()
    }

    /// The risks of these policies, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (scope, policy) in &self.entries {
            for authority in policy.authorities() {
                let own = authority.warnings().into_iter();
                warnings.extend(own.map(|warning| format!("policy `{scope}`: {warning}")));
            }
        }
        warnings
    }

    /// The policy for images of `repository`, with its scope.
    pub fn for_subject(&self, repository: &Repository) -> Option<(&Scope, &Policy)> {
        self.policies().find(|(scope, _)| scope.covers(repository))
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = (&Scope, &Policy)> {
        self.entries.iter().map(|(scope, policy)| (scope, policy))
    }
}

/// The signers that are accepted for an image: named ones, or the first one.
#[derive(Clone, Debug)]
pub struct Policy {
    signers: Signers,
    /// Whether the name in a signed payload must be the name of the image.
    match_name: bool,
    attestations: Vec<AttestationDemand>,
}

#[derive(Clone, Debug)]
enum Signers {
    /// `require` of `authorities`, each satisfied by another signer.
    AnyOf {
        authorities: Vec<Authority>,
        require: usize,
    },
    /// Any signer with a valid certificate, which the lockfile pins.
    PinOnFirstUse { log_required: bool },
}

impl Policy {
    /// Accepts images that satisfy `require` of `authorities`, each by another signer.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if there is no authority or more than 64, `require` is zero or more
    /// than there are authorities, or an authority is a key without a log and with a minimum
    /// signing time.
    pub fn any_of(authorities: Vec<Authority>, require: usize) -> Result<Self, VerifyError> {
        let requires_unproven_time = |one: &&Authority| {
            one.key_of().is_some() && !one.log_required && one.signed_after.is_some()
        };
        let count = authorities.len();
        let problem = if authorities.is_empty() {
            "`any_of` is empty and accepts no signer".to_owned()
        } else if let Some(key) = authorities.iter().find(requires_unproven_time) {
            format!(
                "`signed_after` requires a proven signing time, and a signature with {key} has \
                 none without a transparency log; remove `signed_after`, or \
                 `transparency_log = \"optional\"` of this key"
            )
        } else if count > AUTHORITIES_MAX {
            format!("`any_of` has over {AUTHORITIES_MAX} entries")
        } else if require == 0 || require > count {
            format!("`require = {require}`, and the number of entries of `any_of` is {count}")
        } else {
            return Ok(Self::with(Signers::AnyOf {
                authorities,
                require,
            }));
        };
        Err(VerifyError::policy(problem))
    }

    /// Accepts any valid certificate-based signature once; after that only the signer that the
    /// lockfile pins.
    pub fn pin_on_first_use() -> Self {
        Self::with(Signers::PinOnFirstUse { log_required: true })
    }

    /// As [`Policy::pin_on_first_use`], for signatures that may lack a transparency log entry: see
    /// [`Authority::without_log`].
    pub fn pin_on_first_use_without_log() -> Self {
        Self::with(Signers::PinOnFirstUse {
            log_required: false,
        })
    }

    fn with(signers: Signers) -> Self {
        Self {
            signers,
            match_name: false,
            attestations: Vec::new(),
        }
    }

    /// Requires that the name in a signed payload is the name of the image: what
    /// `signed_name = "match"` means. Bundles carry no name and are not affected.
    #[must_use]
    pub fn with_matching_name(mut self) -> Self {
        self.match_name = true;
        self
    }

    /// Requires an attestation as well, signed by one of the same authorities.
    #[must_use]
    pub fn with_attestation(mut self, demand: AttestationDemand) -> Self {
        self.attestations.push(demand);
        self
    }

    /// Whether the first signer is accepted and pinned.
    pub fn is_pin_on_first_use(&self) -> bool {
        matches!(self.signers, Signers::PinOnFirstUse { .. })
    }

    /// The authorities; none where the first signer is accepted.
    pub fn authorities(&self) -> &[Authority] {
        match &self.signers {
            Signers::AnyOf { authorities, .. } => authorities,
            Signers::PinOnFirstUse { .. } => &[],
        }
    }

    /// The rule by which signatures count as those of one signer towards `require`.
    fn signer_rule(&self) -> SignerRule {
        if self.authorities().iter().any(Authority::lacks_issuer) {
            SignerRule::Identity
        } else {
            SignerRule::IdentityAndIssuer
        }
    }

    fn require(&self) -> usize {
        match &self.signers {
            Signers::AnyOf { require, .. } => *require,
            Signers::PinOnFirstUse { .. } => 1,
        }
    }

    /// The keys of the config by which a signature of an accepted signer may still not be enough.
    pub(crate) fn conditions(&self) -> Vec<&'static str> {
        let any = |has: fn(&Authority) -> bool| self.authorities().iter().any(has);
        let all = [
            ("annotations", any(|one| !one.annotations.is_empty())),
            ("signed_after", any(|one| one.signed_after.is_some())),
            ("signed_name", self.match_name),
            ("attestations", !self.attestations.is_empty()),
            ("require", self.require() > 1),
        ];
        let required = all.into_iter().filter(|(_, is_required)| *is_required);
        required.map(|(key, _)| key).collect()
    }

    /// Whether a signature with a certificate can be accepted.
    pub(crate) fn accepts_certificates(&self) -> bool {
        self.is_pin_on_first_use() || self.certificates().next().is_some()
    }

    /// Whether an attestation is required in addition to the signature.
    pub(crate) fn requires_attestations(&self) -> bool {
        !self.attestations.is_empty()
    }

    /// Whether a signer must have a transparency log entry.
    pub(crate) fn requires_log(&self) -> bool {
        match &self.signers {
            Signers::AnyOf { authorities, .. } => authorities.iter().any(|one| one.log_required),
            Signers::PinOnFirstUse { log_required } => *log_required,
        }
    }

    /// Whether a certificate can be accepted without a transparency log entry.
    pub(crate) fn accepts_unlogged_certificates(&self) -> bool {
        match &self.signers {
            Signers::AnyOf { .. } => self.certificates().any(|(_, one)| !one.log_required),
            Signers::PinOnFirstUse { log_required } => !log_required,
        }
    }

    /// The authorities for certificates, each with its index.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = (usize, &Authority)> {
        let authorities = self.authorities().iter().enumerate();
        authorities.filter(|(_, one)| one.key_of().is_none())
    }

    /// The authorities that are keys, each with its index.
    fn keys(&self) -> impl Iterator<Item = (usize, &Authority, &PublicKey)> {
        let authorities = self.authorities().iter().enumerate();
        authorities.filter_map(|(index, one)| Some((index, one, one.key_of()?)))
    }
}

#[cfg(test)]
mod tests;
