//! Authorities: the signers that a policy accepts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use super::IdentityRule;
use crate::error::VerifyError;
use crate::signature::PublicKey;
use crate::signer::SignerId;

/// The issuer of the workflows of GitHub Actions.
pub(crate) const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// A signer that is accepted: an identity with its issuer, or a public key. Everything that an
/// authority requires must hold on one and the same signature.
#[derive(Clone, Debug)]
pub struct Authority {
    pub(super) kind: Kind,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) signed_after: Option<SystemTime>,
    pub(crate) log_required: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Certificate(CertificateRule),
    Key(PublicKey),
}

/// What a certificate must say.
#[derive(Clone, Debug)]
pub(super) struct CertificateRule {
    /// `None` accepts any issuer.
    pub(super) issuer: Option<String>,
    pub(super) identity: IdentityRule,
    pub(super) claims: WorkflowClaims,
}

impl Authority {
    /// Accepts certificates for `identity` that name `issuer`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if `issuer` is empty.
    pub fn certificate(
        issuer: impl Into<String>,
        identity: IdentityRule,
    ) -> Result<Self, VerifyError> {
        let issuer = issuer.into();
        if issuer.trim().is_empty() {
            let problem = format!("the issuer of {identity} is empty");
            return Err(VerifyError::policy(problem));
        }
        Ok(Self::of_certificate(Some(issuer), identity))
    }

    /// Accepts `identity` from any issuer. Every issuer that the certificate authority knows can
    /// then name that identity, so this causes a warning, and
    /// [`PolicySet::identity_required`](super::PolicySet::identity_required) refuses it.
    pub fn identity_of_any_issuer(identity: IdentityRule) -> Self {
        Self::of_certificate(None, identity)
    }

    /// Accepts signatures by the one public key in `pem`. Messages call it `name`.
    ///
    /// Keys are ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if there is no key, more than one, or one that cannot be used.
    pub fn key(name: impl Into<String>, pem: &[u8]) -> Result<Self, VerifyError> {
        let name = name.into();
        let key = PublicKey::from_pem(name.clone(), pem)
            .map_err(|problem| VerifyError::policy(format!("key `{name}`: {problem}")))?;
        Ok(Self::new(Kind::Key(key)))
    }

    fn of_certificate(issuer: Option<String>, identity: IdentityRule) -> Self {
        Self::new(Kind::Certificate(CertificateRule {
            issuer,
            identity,
            claims: WorkflowClaims::default(),
        }))
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            annotations: BTreeMap::new(),
            signed_after: None,
            log_required: true,
        }
    }

    /// Requires claims about the workflow that signed. Every issuer chooses the claims of its own
    /// certificates, so they count only together with an issuer; if none is given, that of GitHub
    /// Actions is required.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] for a key, or for a claim that is empty.
    pub fn with_claims(mut self, required: WorkflowClaims) -> Result<Self, VerifyError> {
        let is_empty = |text: &str| text.trim().is_empty();
        if required
            .all()
            .iter()
            .any(|(_, value)| value.is_some_and(is_empty))
        {
            return Err(VerifyError::policy("a workflow claim is empty"));
        }
        match &mut self.kind {
            Kind::Certificate(rule) => {
                if rule.issuer.is_none() && required != WorkflowClaims::default() {
                    rule.issuer = Some(GITHUB_ISSUER.to_owned());
                }
                rule.claims = required;
            }
            Kind::Key(key) => {
                let problem = format!("the key `{}` can't have workflow claims", key.name);
                return Err(VerifyError::policy(problem));
            }
        }
        Ok(self)
    }

    /// Requires that the signature carries the annotation `name` with `value`.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// Requires a proven signing time that is not before `time`. A timestamp is not enough, because
    /// it proves only that the signature was not made later. The signing time is the one that a
    /// transparency log recorded or, for a certificate that is valid for at most a day, the time of
    /// its issue.
    #[must_use]
    pub fn signed_after(mut self, time: SystemTime) -> Self {
        self.signed_after = Some(time);
        self
    }

    /// Accepts signatures without a transparency log entry: `transparency_log = "optional"`. An
    /// entry that is there must be valid. A certificate lives for minutes, so that without an entry
    /// a signed timestamp must prove when it was used.
    #[must_use]
    pub fn without_log(mut self) -> Self {
        self.log_required = false;
        self
    }

    /// The signer that a key stands for; `None` where a rule names identities.
    pub fn signer(&self) -> Option<SignerId> {
        self.key_of().map(PublicKey::signer)
    }

    pub(super) fn key_of(&self) -> Option<&PublicKey> {
        match &self.kind {
            Kind::Key(key) => Some(key),
            Kind::Certificate(_) => None,
        }
    }

    pub(super) fn lacks_issuer(&self) -> bool {
        matches!(&self.kind, Kind::Certificate(rule) if rule.issuer.is_none())
    }

    /// The risks of this authority, one line each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let Kind::Certificate(rule) = &self.kind else {
            return Vec::new();
        };
        let identity = &rule.identity;
        let mut warnings = Vec::new();
        if rule.issuer.is_none() {
            warnings.push(format!(
                "{identity} is accepted from any issuer; name the issuer of this identity"
            ));
        }
        if identity.accepts_all() && rule.claims.repository.is_none() {
            warnings.push(format!("{identity} accepts every signer"));
        }
        warnings
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Certificate(rule) => {
                match &rule.issuer {
                    Some(issuer) => write!(f, "{} of issuer `{issuer}`", rule.identity),
                    None => write!(f, "{} of any issuer", rule.identity),
                }?;
                let claims = rule.claims.all().into_iter();
                let mut claims = claims.filter_map(|(claim, value)| Some((claim, value?)));
                claims.try_for_each(|(claim, value)| write!(f, ", {claim} `{value}`"))
            }
            Kind::Key(key) => write!(f, "key `{}`", key.name),
        }
    }
}

/// What a CI system claims about the workflow that signed, as Fulcio writes it into certificates.
/// <https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkflowClaims {
    /// The repository, as `owner/name` on github.com or as a whole URL.
    pub repository: Option<String>,
    /// The branch or tag, such as `refs/tags/v1.0.0`.
    pub git_ref: Option<String>,
    /// What started the workflow, such as `push`.
    pub trigger: Option<String>,
    /// The name of the workflow.
    pub name: Option<String>,
    /// The commit.
    pub sha: Option<String>,
}

impl WorkflowClaims {
    /// Requires the repository `owner/name`.
    pub fn repository(repository: impl Into<String>) -> Self {
        Self {
            repository: Some(repository.into()),
            ..Self::default()
        }
    }

    pub(crate) fn all(&self) -> [(Claim, Option<&str>); 5] {
        [
            (Claim::Repository, self.repository.as_deref()),
            (Claim::Ref, self.git_ref.as_deref()),
            (Claim::Trigger, self.trigger.as_deref()),
            (Claim::Name, self.name.as_deref()),
            (Claim::Sha, self.sha.as_deref()),
        ]
    }
}

/// A claim that a policy can require.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim {
    Repository,
    Ref,
    Trigger,
    Name,
    Sha,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repository => "repository",
            Self::Ref => "ref",
            Self::Trigger => "trigger",
            Self::Name => "name",
            Self::Sha => "sha",
        })
    }
}
