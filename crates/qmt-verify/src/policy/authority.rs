//! Authorities: one way in which a signature can be enough.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use qmt_oci_ref::Digest;
use sigstore_verify::crypto::{KeyAlgorithm, VerificationKey, validate_raw_public_key};
use sigstore_verify::types::DerPublicKey;

use super::IdentityRule;
use crate::error::VerifyError;
use crate::pem;
use crate::signer::SignerId;

/// One signer that is enough: an issuer with an identity, or a public key. Everything that an
/// authority says holds on one and the same signature.
#[derive(Clone, Debug)]
pub struct Authority {
    kind: Kind,
    annotations: BTreeMap<String, String>,
    signed_after: Option<SystemTime>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Certificate {
        issuer: Option<String>,
        identity: IdentityRule,
        claims: WorkflowClaims,
        log_required: bool,
    },
    Key(Key),
}

/// A public key that the operator trusts.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// What the operator calls it: the file name.
    pub(crate) name: String,
    pub(crate) der: DerPublicKey,
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) fingerprint: String,
    pub(crate) log_required: bool,
}

impl Authority {
    /// Accepts certificates in which `issuer` vouches for `identity`.
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
            return Err(VerifyError::policy(format!(
                "the issuer of {identity} is empty"
            )));
        }
        Ok(Self::new(Kind::Certificate {
            issuer: Some(issuer),
            identity,
            claims: WorkflowClaims::default(),
            log_required: true,
        }))
    }

    /// Accepts `identity` whoever vouches for it. Any issuer that the certificate authority knows
    /// can then name that identity, so this is warned about, and refused by
    /// [`PolicySet::identity_required`](super::PolicySet::identity_required).
    pub fn identity_of_any_issuer(identity: IdentityRule) -> Self {
        Self::new(Kind::Certificate {
            issuer: None,
            identity,
            claims: WorkflowClaims::default(),
            log_required: true,
        })
    }

    /// Accepts signatures by the one public key in `pem`. `name` is what messages call it.
    ///
    /// Keys are ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] if there is no key, more than one, or one that cannot be used.
    pub fn key(name: impl Into<String>, pem: &[u8]) -> Result<Self, VerifyError> {
        let name = name.into();
        let refuse = |problem: String| VerifyError::policy(format!("key `{name}`: {problem}"));
        let blocks = pem::blocks(pem).map_err(refuse)?;
        let der = match blocks.as_slice() {
            [block] if block.label == "PUBLIC KEY" => DerPublicKey::new(block.der.clone()),
            [block] if block.label.contains("PRIVATE") => {
                return Err(refuse("is a private key; name the public one".to_owned()));
            }
            [block] => {
                return Err(refuse(format!(
                    "is a `{}`, not a `PUBLIC KEY`",
                    block.label
                )));
            }
            [] => return Err(refuse("holds no key in PEM form".to_owned())),
            more => {
                return Err(refuse(format!(
                    "holds {} keys where one belongs",
                    more.len()
                )));
            }
        };
        let algorithm = usable(&der).map_err(refuse)?;
        let fingerprint = Digest::sha256(der.as_bytes()).to_string();
        Ok(Self::new(Kind::Key(Key {
            name,
            der,
            algorithm,
            fingerprint,
            log_required: true,
        })))
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            annotations: BTreeMap::new(),
            signed_after: None,
        }
    }

    /// Demands claims about the workflow that signed. Without effect on keys, which is an error.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Policy`] for a key, or for a claim that is empty.
    pub fn with_claims(mut self, wanted: WorkflowClaims) -> Result<Self, VerifyError> {
        if wanted
            .all()
            .iter()
            .any(|(_, value)| value.is_some_and(|text| text.trim().is_empty()))
        {
            return Err(VerifyError::policy("a workflow claim is empty"));
        }
        match &mut self.kind {
            Kind::Certificate { claims, .. } => *claims = wanted,
            Kind::Key(key) => {
                return Err(VerifyError::policy(format!(
                    "the key `{}` says nothing about a workflow",
                    key.name
                )));
            }
        }
        Ok(self)
    }

    /// Demands that the signature carries the annotation `name` with `value`.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// Demands a proven time of signing that is not before `time`.
    #[must_use]
    pub fn signed_after(mut self, time: SystemTime) -> Self {
        self.signed_after = Some(time);
        self
    }

    /// Accepts signatures that no transparency log recorded: `transparency_log = "optional"`. An
    /// entry that is there must hold all the same. A certificate lives for minutes, so a signed
    /// timestamp must then prove when it was used.
    #[must_use]
    pub fn without_log(mut self) -> Self {
        match &mut self.kind {
            Kind::Key(Key { log_required, .. }) | Kind::Certificate { log_required, .. } => {
                *log_required = false;
            }
        }
        self
    }

    /// The signer that a key stands for; `None` where an identity is named by a rule.
    pub fn signer(&self) -> Option<SignerId> {
        match &self.kind {
            Kind::Key(key) => Some(SignerId::key(key.fingerprint.clone())),
            Kind::Certificate { .. } => None,
        }
    }

    pub(crate) fn lacks_issuer(&self) -> bool {
        matches!(self.kind, Kind::Certificate { issuer: None, .. })
    }

    pub(crate) fn needs_log(&self) -> bool {
        match &self.kind {
            Kind::Key(Key { log_required, .. }) | Kind::Certificate { log_required, .. } => {
                *log_required
            }
        }
    }

    /// What deserves a second look, for people.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let Kind::Certificate {
            issuer, identity, ..
        } = &self.kind
        else {
            return Vec::new();
        };
        let mut warnings = Vec::new();
        if issuer.is_none() {
            warnings.push(format!(
                "{identity} is accepted from any issuer; name the one that vouches for it"
            ));
        }
        if identity.accepts_everybody() && !self.names_repository() {
            warnings.push(format!("{identity} accepts everybody"));
        }
        warnings
    }

    fn names_repository(&self) -> bool {
        matches!(&self.kind, Kind::Certificate { claims, .. } if claims.repository.is_some())
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(crate) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    pub(crate) fn minimum_time(&self) -> Option<SystemTime> {
        self.signed_after
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Certificate {
                issuer: Some(issuer),
                identity,
                ..
            } => {
                write!(f, "{identity} of issuer `{issuer}`")
            }
            Kind::Certificate {
                issuer: None,
                identity,
                ..
            } => {
                write!(f, "{identity} of any issuer")
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
    /// Demands `owner/name`.
    pub fn repository(repository: impl Into<String>) -> Self {
        Self {
            repository: Some(repository.into()),
            ..Self::default()
        }
    }

    pub(crate) fn all(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("repository", self.repository.as_deref()),
            ("ref", self.git_ref.as_deref()),
            ("trigger", self.trigger.as_deref()),
            ("name", self.name.as_deref()),
            ("sha", self.sha.as_deref()),
        ]
    }
}

/// Whether the key is of a kind and size that we can and want to verify with.
fn usable(der: &DerPublicKey) -> Result<KeyAlgorithm, String> {
    let unusable = |error: sigstore_verify::crypto::Error| format!("cannot be used: {error}");
    let algorithm = KeyAlgorithm::from_spki(der).map_err(unusable)?;
    if !matches!(
        algorithm,
        KeyAlgorithm::EcdsaP256
            | KeyAlgorithm::EcdsaP384
            | KeyAlgorithm::Ed25519
            | KeyAlgorithm::Rsa
    ) {
        return Err("is of a kind that cosign does not sign with".to_owned());
    }
    let key = VerificationKey::from_spki(der).map_err(unusable)?;
    validate_raw_public_key(key.scheme(), key.as_bytes()).map_err(unusable)?;
    Ok(algorithm)
}
