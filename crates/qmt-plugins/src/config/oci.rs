//! The table `[oci]`: trust, policy, cache. The keys of the QueryMT manual keep their meaning.

use std::collections::BTreeMap;
use std::path::PathBuf;

use qmt_artifact::ExtractLimits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{ByteSize, OneOrMany, Span};

/// How plugins are resolved, verified and cached.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct OciConfig {
    /// Loads plugins without looking at signatures. Native plugins then need `allow.native`.
    pub insecure_skip_signature: bool,
    /// Trusts the public-good Sigstore by its TUF repository. Unset means yes, unless trust
    /// material of one's own is given.
    pub use_sigstore_tuf_data: Option<bool>,
    /// Public keys of transparency logs: PEM files, each with one or many.
    pub rekor_pub_keys: OneOrMany<PathBuf>,
    /// Certificates of certificate authorities: PEM files, each with one or many.
    pub fulcio_certs: OneOrMany<PathBuf>,
    /// Public keys of certificate transparency logs: PEM files, each with one or many.
    pub ctfe_keys: OneOrMany<PathBuf>,
    /// Certificate chains of timestamp authorities: PEM files, one chain each.
    pub tsa_certs: OneOrMany<PathBuf>,
    /// A Sigstore trusted root in JSON, or `embedded` for the public-good one that is built in.
    pub trusted_root: Option<String>,
    /// The TUF repository of a private Sigstore; needs `tuf_root`.
    pub tuf_url: Option<String>,
    /// The first root metadata of that repository, fetched in a way that you trust.
    pub tuf_root: Option<PathBuf>,
    /// The signer's e-mail address, from the certificate.
    pub cert_email: Option<String>,
    /// The OIDC issuer that vouched for the signer.
    pub cert_issuer: Option<String>,
    /// The signer's URI from the certificate, such as that of a GitHub workflow.
    pub cert_url: Option<String>,
    /// The GitHub repository whose workflow signed, `owner/name`.
    pub github_workflow_repository: Option<String>,
    /// Public keys of signers: PEM files. A signature by any of them is enough.
    pub public_keys: OneOrMany<PathBuf>,
    /// Whom to trust per scope. The most specific scope that matches wins.
    pub policy: Vec<PolicyConfig>,
    /// What to do where no constraint is given.
    pub identity: IdentityRule,
    /// A repository in which signatures are kept instead of beside the images.
    pub signature_repository: Option<String>,
    /// When to ask the registry again.
    pub pull_policy: PullPolicy,
    /// How long a tag is taken as resolved before it is asked for again. Unset means for good.
    pub refresh_after: Option<Span>,
    /// The folder of the cache.
    pub cache_dir: Option<PathBuf>,
    /// How large the cache may grow before old entries go.
    pub cache_max_size: Option<ByteSize>,
    /// How large an artifact may be, packed and unpacked.
    pub max_artifact_size: Option<ByteSize>,
    /// How many plugins are worked on at the same time.
    pub parallel: Option<usize>,
    /// How long one request to a registry may take to be answered.
    pub timeout: Option<Span>,
    /// Lets environment variables `QMT_OCI__…` change what decides over trust.
    pub allow_env_override: bool,
}

impl OciConfig {
    /// Reports whether trust material of one's own is given, apart from keys of signers.
    pub fn has_own_trust(&self) -> bool {
        self.trusted_root.is_some() || self.tuf_url.is_some() || self.has_pem_trust()
    }

    /// Reports whether any PEM file of a Sigstore instance is given.
    pub fn has_pem_trust(&self) -> bool {
        [
            &self.rekor_pub_keys,
            &self.fulcio_certs,
            &self.ctfe_keys,
            &self.tsa_certs,
        ]
        .into_iter()
        .any(|files| !files.is_empty())
    }

    /// Reports whether any of the flat keys names a signer.
    pub fn has_flat_constraints(&self) -> bool {
        self.cert_email.is_some()
            || self.cert_issuer.is_some()
            || self.cert_url.is_some()
            || self.github_workflow_repository.is_some()
            || !self.public_keys.is_empty()
    }

    /// Reports whether there is no Sigstore instance to vouch for anybody: keys alone count.
    pub fn trusts_keys_alone(&self) -> bool {
        self.use_sigstore_tuf_data == Some(false) && !self.has_own_trust()
    }

    /// How large an artifact may be that is fetched or published.
    pub(crate) fn extract_limits(&self) -> ExtractLimits {
        let limits = ExtractLimits::default();
        match self.max_artifact_size {
            Some(size) => limits.with_artifact_bytes(size.bytes()),
            None => limits,
        }
    }
}

/// Whom to trust for the images of one scope.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// Which images: `ghcr.io/my-org/**`, `ghcr.io/my-org/plugin`, or `**` for all.
    pub scope: String,
    /// Signers, any of which is enough unless `require` asks for more.
    #[serde(default)]
    pub any_of: Vec<AuthorityConfig>,
    /// How many different entries of `any_of` must have signed.
    #[serde(default = "one")]
    pub require: usize,
    /// Whether the name in a `.sig` payload must be that of this repository.
    #[serde(default)]
    pub signed_name: SignedNameRule,
    /// Annotations that the signature must carry.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The earliest time of signing, RFC 3339.
    #[serde(default)]
    pub signed_after: Option<String>,
    /// Attestations that must be there as well, signed by one of `any_of`.
    #[serde(default)]
    pub attestations: Vec<AttestationConfig>,
}

impl PolicyConfig {
    /// Trusts any of `authorities` for the images of `scope`.
    pub fn new(scope: impl Into<String>, authorities: Vec<AuthorityConfig>) -> Self {
        Self {
            scope: scope.into(),
            any_of: authorities,
            require: one(),
            signed_name: SignedNameRule::default(),
            annotations: BTreeMap::new(),
            signed_after: None,
            attestations: Vec::new(),
        }
    }
}

fn one() -> usize {
    1
}

/// One signer: either an identity with its issuer, or a key. All that is given must hold on one
/// signature.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AuthorityConfig {
    /// The OIDC issuer.
    pub issuer: Option<String>,
    /// The exact identity: e-mail address, URI or DNS name.
    pub identity: Option<String>,
    /// A regular expression that the whole identity must match.
    pub identity_regex: Option<String>,
    /// The GitHub repository of the workflow, `owner/name`.
    pub github_repository: Option<String>,
    /// The git ref that the workflow ran for.
    pub github_ref: Option<String>,
    /// The event that triggered the workflow.
    pub github_trigger: Option<String>,
    /// The workflow's name.
    pub github_workflow: Option<String>,
    /// The commit that the workflow ran for.
    pub github_sha: Option<String>,
    /// A public key: PEM file.
    pub key: Option<PathBuf>,
    /// Whether a signature by this signer must be in a transparency log. Without one, a certificate
    /// needs a signed timestamp.
    pub transparency_log: TransparencyRule,
}

/// An attestation that a policy demands.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AttestationConfig {
    /// The predicate type, such as `https://slsa.dev/provenance/v1`.
    pub predicate_type: String,
    /// The builder's id (SLSA provenance).
    pub builder: Option<String>,
    /// The source repository (SLSA provenance).
    pub source: Option<String>,
    /// The build type (SLSA provenance).
    pub build_type: Option<String>,
    /// The workflow file that built it (SLSA provenance).
    pub workflow: Option<String>,
    /// Fields of the predicate, by JSON pointer, and the text that each must hold.
    pub fields: BTreeMap<String, String>,
}

/// What to do where no constraint is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IdentityRule {
    /// Remember the signer of the first load in the lockfile and refuse another one later.
    #[default]
    PinOnFirstUse,
    /// Refuse to load.
    Required,
}

/// Whether a signature must be in a transparency log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TransparencyRule {
    /// It must.
    #[default]
    Required,
    /// It need not.
    Optional,
}

/// Whether the name in a `.sig` payload counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SignedNameRule {
    /// Any name will do: images are copied between registries all the time.
    #[default]
    Any,
    /// It must be the repository that the image is pulled from.
    Match,
}

/// When to ask the registry again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PullPolicy {
    /// When the cache does not hold it, or `refresh_after` has passed.
    #[default]
    IfNotPresent,
    /// At every start.
    Always,
    /// Never: what the cache does not hold is an error.
    Never,
}
