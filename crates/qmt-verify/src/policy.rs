//! Policy: which signers are enough for which repositories.
//!
//! All parts of one authority (identity, issuer, claims, annotations, time) hold on one signature.
//! An empty policy is an error and never means "anyone".

mod attestation;
mod authority;
mod identity;
mod scope;

use qmt_oci_ref::Repository;

pub use self::attestation::AttestationDemand;
pub(crate) use self::attestation::COSIGN_SIGN;
pub use self::authority::{Authority, WorkflowClaims};
pub(crate) use self::authority::{Key, Kind};
pub use self::identity::IdentityRule;
pub use self::scope::Scope;

use crate::error::VerifyError;
use crate::limits::AUTHORITIES_MAX;

/// All policies, each with the repositories that it covers.
#[derive(Clone, Debug)]
pub struct PolicySet {
    /// Most specific scope first.
    entries: Vec<(Scope, Policy)>,
}

impl PolicySet {
    /// Puts policies together. The most specific scope that covers a repository decides about it;
    /// a repository that no scope covers is refused.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if there is none, or one scope occurs twice.
    pub fn new(mut entries: Vec<(Scope, Policy)>) -> Result<Self, VerifyError> {
        if entries.is_empty() {
            return Err(VerifyError::policy(
                "there is no policy; add one, or `**` for everything",
            ));
        }
        entries.sort_by(|(one, _), (other, _)| other.specificity().cmp(&one.specificity()));
        for (index, (scope, _)) in entries.iter().enumerate() {
            if entries
                .iter()
                .skip(index + 1)
                .any(|(other, _)| other == scope)
            {
                return Err(VerifyError::policy(format!(
                    "the scope `{scope}` occurs twice"
                )));
            }
        }
        Ok(Self { entries })
    }

    /// Refuses every policy that leaves it open who may sign: what `identity = "required"` means.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if a scope pins on first use, or names an identity without issuer.
    pub fn identity_required(self) -> Result<Self, VerifyError> {
        for (scope, policy) in &self.entries {
            if policy.is_pin_on_first_use() {
                return Err(VerifyError::policy(format!(
                    "`identity = \"required\"` and no signer is configured for `{scope}`"
                )));
            }
            if let Some(authority) = policy.authorities().iter().find(|one| one.lacks_issuer()) {
                return Err(VerifyError::policy(format!(
                    "`identity = \"required\"` and `{authority}` in `{scope}` names no issuer"
                )));
            }
        }
        Ok(self)
    }

    /// What in these policies deserves a second look, one line for people each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (scope, policy) in &self.entries {
            for authority in policy.authorities() {
                let told = authority.warnings().into_iter();
                warnings.extend(told.map(|warning| format!("policy `{scope}`: {warning}")));
            }
        }
        warnings
    }

    /// The policy for images of `repository`, with its scope.
    pub fn for_subject(&self, repository: &Repository) -> Option<(&Scope, &Policy)> {
        self.entries
            .iter()
            .find(|(scope, _)| scope.covers(repository))
            .map(|(scope, policy)| (scope, policy))
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = (&Scope, &Policy)> {
        self.entries.iter().map(|(scope, policy)| (scope, policy))
    }
}

/// What is enough for an image: named signers, or the first one that is seen.
#[derive(Clone, Debug)]
pub struct Policy {
    signers: Signers,
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
    /// Any signer with a valid certificate; the lockfile pins who it was.
    PinOnFirstUse,
}

impl Policy {
    /// Accepts what `require` of `authorities` signed, each of them as another signer.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if there is no authority or more than 64, or `require` is zero or
    /// more than there are authorities.
    pub fn any_of(authorities: Vec<Authority>, require: usize) -> Result<Self, VerifyError> {
        if authorities.is_empty() {
            return Err(VerifyError::policy(
                "`any_of` is empty, which would accept nobody",
            ));
        }
        if authorities.len() > AUTHORITIES_MAX {
            return Err(VerifyError::policy(format!(
                "`any_of` has over {AUTHORITIES_MAX} entries"
            )));
        }
        if require == 0 || require > authorities.len() {
            return Err(VerifyError::policy(format!(
                "`require = {require}` of {} entries of `any_of`",
                authorities.len()
            )));
        }
        Ok(Self::with(Signers::AnyOf {
            authorities,
            require,
        }))
    }

    /// Accepts any valid certificate-based signature once; after that only the signer that the
    /// lockfile pins.
    pub fn pin_on_first_use() -> Self {
        Self::with(Signers::PinOnFirstUse)
    }

    fn with(signers: Signers) -> Self {
        Self {
            signers,
            match_name: false,
            attestations: Vec::new(),
        }
    }

    /// Demands that a name in the signed payload is the name of the image, which is what
    /// `signed_name = "match"` means. Bundles carry no name and are not affected.
    #[must_use]
    pub fn with_matching_name(mut self) -> Self {
        self.match_name = true;
        self
    }

    /// Demands an attestation as well, signed by one of the same authorities.
    #[must_use]
    pub fn with_attestation(mut self, demand: AttestationDemand) -> Self {
        self.attestations.push(demand);
        self
    }

    /// Whether the first signer is taken and pinned.
    pub fn is_pin_on_first_use(&self) -> bool {
        matches!(self.signers, Signers::PinOnFirstUse)
    }

    /// The authorities, none where the first signer is taken.
    pub fn authorities(&self) -> &[Authority] {
        match &self.signers {
            Signers::AnyOf { authorities, .. } => authorities,
            Signers::PinOnFirstUse => &[],
        }
    }

    pub(crate) fn require(&self) -> usize {
        match &self.signers {
            Signers::AnyOf { require, .. } => *require,
            Signers::PinOnFirstUse => 1,
        }
    }

    pub(crate) fn matches_name(&self) -> bool {
        self.match_name
    }

    pub(crate) fn attestations(&self) -> &[AttestationDemand] {
        &self.attestations
    }
}

#[cfg(test)]
mod tests;
