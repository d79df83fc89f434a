//! The table `[oci]`: trust, policy, cache. The keys of the QueryMT manual keep their meaning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qmt_artifact::ExtractLimits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::provider::NativeRule;
use super::value::{ByteSize, OneOrMany, Span};

/// How plugins are resolved, verified and cached.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct OciConfig {
    /// Loads plugins without verifying signatures. Native plugins then require `native` or
    /// `allow.native` of their provider.
    pub insecure_skip_signature: bool,
    /// Where native code may run, for providers without a key `native`. An accepted
    /// signature is still required. Default: in this process.
    pub native: Option<NativeRule>,
    /// Refuses to load isolated plugins where the kernel lacks a part of the confinement, instead of
    /// warning. Default: false.
    pub require_confinement: bool,
    /// Trusts the public-good Sigstore instance through its TUF repository. Default: true, unless
    /// other trust material is given. Keys without a transparency log require none of it.
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
    /// The TUF repository of a private Sigstore instance; requires `tuf_root`.
    pub tuf_url: Option<String>,
    /// The initial root metadata of that repository, from a trusted source.
    pub tuf_root: Option<PathBuf>,
    /// The signer's e-mail address, from the certificate.
    pub cert_email: Option<String>,
    /// The OIDC issuer of the signer's certificate.
    pub cert_issuer: Option<String>,
    /// The signer's URI from the certificate, such as that of a GitHub workflow.
    pub cert_url: Option<String>,
    /// The GitHub repository whose workflow signed, `owner/name`. `cert_issuer` is that of GitHub
    /// Actions then, unless it is given.
    pub github_workflow_repository: Option<String>,
    /// Public keys of signers: PEM files. A signature by any of them is enough.
    pub public_keys: OneOrMany<PathBuf>,
    /// Whether a signature must be in a transparency log, by a key as well. A signer of `policy` can
    /// have a rule of its own.
    pub transparency_log: TransparencyRule,
    /// Whether the timestamps of certificate transparency logs in certificates must be checked.
    /// Default: they are checked where the trust material names such a log.
    pub certificate_log: Option<TransparencyRule>,
    /// Trusted signers per scope. The most specific scope that matches applies.
    pub policy: Vec<PolicyConfig>,
    /// What to do if no constraint is given.
    pub identity: IdentityRule,
    /// A repository that stores the signatures of images in registries, instead of that of each image.
    pub signature_repository: Option<String>,
    /// When a tag is resolved again.
    pub pull_policy: PullPolicy,
    /// The time after which a tag is resolved again. Default: never.
    pub refresh_after: Option<Span>,
    /// The folder of the cache.
    pub cache_dir: Option<PathBuf>,
    /// The size to which `cache prune` reduces the cache.
    pub cache_max_size: Option<ByteSize>,
    /// The maximum size of an artifact, packed and unpacked.
    pub max_artifact_size: Option<ByteSize>,
    /// How many plugins are worked on at the same time.
    pub parallel: Option<usize>,
    /// The maximum time of one operation with a registry, with retries and the download.
    pub timeout: Option<Span>,
    /// Allows environment variables `QMT_OCI__…` to change what decides about trust.
    pub allow_env_override: bool,
}

impl OciConfig {
    /// Reports whether trust material is given, apart from keys of signers.
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

    /// Reports whether `[oci]` itself names a signer, outside of `policy`.
    pub fn has_flat_constraints(&self) -> bool {
        self.cert_email.is_some()
            || self.cert_issuer.is_some()
            || self.cert_url.is_some()
            || self.github_workflow_repository.is_some()
            || !self.public_keys.is_empty()
    }

    /// Reports whether the config forbids every Sigstore instance, so that only keys are accepted.
    pub fn trusts_keys_alone(&self) -> bool {
        self.use_sigstore_tuf_data == Some(false) && !self.has_own_trust()
    }

    /// Accepts the signatures of `authority` and no others, whatever signers the config names.
    pub fn accept_only(&mut self, authority: AuthorityConfig) {
        *self = Self {
            policy: vec![PolicyConfig::new("**", vec![authority])],
            cert_email: None,
            cert_url: None,
            cert_issuer: None,
            github_workflow_repository: None,
            public_keys: OneOrMany::default(),
            insecure_skip_signature: false,
            ..std::mem::take(self)
        };
    }

    /// Trusts the `trusted_root` that is given, and no other material.
    pub fn trust_only(&mut self, trusted_root: String) {
        *self = Self {
            trusted_root: Some(trusted_root),
            use_sigstore_tuf_data: None,
            tuf_url: None,
            tuf_root: None,
            fulcio_certs: OneOrMany::default(),
            rekor_pub_keys: OneOrMany::default(),
            ctfe_keys: OneOrMany::default(),
            tsa_certs: OneOrMany::default(),
            ..std::mem::take(self)
        };
    }

    /// Lists the keys whose signatures must be in a transparency log. Keys of `policy` come with
    /// the index of the policy and that of its entry.
    pub(crate) fn keys_with_required_log(&self) -> Vec<(Option<(usize, usize)>, &Path)> {
        let is_required = |log: TransparencyRule| log == TransparencyRule::Required;
        let mut keys = Vec::new();
        if is_required(self.transparency_log) {
            let flat = self.public_keys.as_slice().iter();
            keys.extend(flat.map(|key| (None, key.as_path())));
        }
        for (index, policy) in self.policy.iter().enumerate() {
            for (entry, authority) in policy.any_of.iter().enumerate() {
                let log = authority.transparency_log.unwrap_or(self.transparency_log);
                if let Some(key) = &authority.key
                    && is_required(log)
                {
                    keys.push((Some((index, entry)), key.as_path()));
                }
            }
        }
        keys
    }

    /// Returns the limits for artifacts that are fetched or published.
    pub(crate) fn extract_limits(&self) -> ExtractLimits {
        let limits = ExtractLimits::default();
        match self.max_artifact_size {
            Some(size) => limits.with_artifact_bytes(size.bytes()),
            None => limits,
        }
    }
}

/// The trusted signers for the images of one scope.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// Which images: `ghcr.io/my-org/**`, `ghcr.io/my-org/plugin`, or `**` for all.
    pub scope: String,
    /// Signers. One of them must have signed, or as many as `require` says.
    #[serde(default)]
    pub any_of: Vec<AuthorityConfig>,
    /// How many different entries of `any_of` must have signed.
    #[serde(default = "one")]
    pub require: usize,
    /// Whether the name in a `.sig` payload must be that of this repository.
    #[serde(default)]
    pub signed_name: SignedNameRule,
    /// Annotations that the signature must have.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The earliest time of signing, RFC 3339.
    #[serde(default)]
    pub signed_after: Option<String>,
    /// Attestations that are required as well, signed by one of `any_of`.
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

/// One signer: an identity with its issuer, or a key. One signature must meet everything that is
/// given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AuthorityConfig {
    /// The OIDC issuer. It is that of GitHub Actions where a claim of a workflow is given without it.
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
    /// requires a signed timestamp. Default: `transparency_log` of `[oci]`.
    pub transparency_log: Option<TransparencyRule>,
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
    /// Pin the signer of the first load in the lockfile, and refuse another one later.
    #[default]
    PinOnFirstUse,
    /// Refuse to load.
    Required,
}

/// Whether something must be in a transparency log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TransparencyRule {
    /// An entry is required.
    #[default]
    Required,
    /// An entry is optional.
    Optional,
}

/// Whether the name in a `.sig` payload is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SignedNameRule {
    /// Every name is accepted, because images are copied between registries.
    #[default]
    Any,
    /// It must be the repository that the image is pulled from.
    Match,
}

/// When a tag is resolved again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PullPolicy {
    /// If it is not in the cache, or `refresh_after` has passed.
    #[default]
    IfNotPresent,
    /// At every start.
    Always,
    /// Never: a plugin that is not in the cache is an error.
    Never,
}
