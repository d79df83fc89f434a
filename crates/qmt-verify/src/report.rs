//! Reports: what is proven and what is not, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;

use qmt_oci_ref::PinnedReference;
use serde::{Deserialize, Serialize};

use crate::signer::SignerId;

/// What one verification proved. Texts come from the publisher and are safe to print, except those
/// of `signer` and `cosigners`, which are compared with the lockfile and escaped by the caller.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The image, with its digest.
    pub subject: String,
    /// Whether verification was skipped; then nothing below is proven.
    pub skipped: bool,
    /// The scope of the policy that applied.
    pub scope: String,
    /// The keys by which that policy requires more than a signer.
    #[serde(skip)]
    pub conditions: Vec<&'static str>,
    /// The entry of the policy that is satisfied.
    pub authority: String,
    /// The signer.
    pub signer: Option<SignerId>,
    /// Further signers that the policy requires.
    pub cosigners: Vec<SignerId>,
    /// Whether no signer is configured or pinned, so that the caller pins this one.
    pub first_use: bool,
    /// Whether the lockfile pins another signer, which the policy overrides.
    pub differs_from_pin: bool,
    /// The config line that accepts exactly this signer, or its release workflow on every tag.
    pub config_line: Option<String>,
    /// Where the signature was found.
    pub found: String,
    /// `bundle v0.3`, `.sig` and so on.
    pub format: String,
    /// All identities of the certificate.
    pub identities: Vec<String>,
    /// What the CI system claims about the workflow that signed.
    pub claims: BTreeMap<String, String>,
    /// The annotations of the signature.
    pub annotations: BTreeMap<String, String>,
    /// The image name in the signed payload; not compared unless the policy says so.
    pub signed_name: Option<String>,
    /// The valid log entries.
    pub log_entries: Vec<LogEntry>,
    /// All proven signing times, RFC 3339.
    pub signed_at: Vec<String>,
    /// The checks that passed.
    pub checks: Vec<String>,
    /// The types of the attestations that the policy requires.
    pub attestations: Vec<String>,
    /// What the policy relaxes, and other risks.
    pub warnings: Vec<String>,
    /// Where the trust root came from, its version and age.
    pub trust_root: Option<TrustReport>,
    /// Other evidence items, with the reasons against them.
    pub rejected: Vec<Rejection>,
}

impl Report {
    /// A report about `subject` that claims nothing yet.
    pub(crate) fn of(subject: &PinnedReference) -> Self {
        Self {
            subject: subject.to_string(),
            ..Self::default()
        }
    }
}

/// The description of one policy, safe to print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyReport {
    /// The images that it covers.
    pub scope: String,
    /// How many of `signers` must have signed.
    pub require: usize,
    /// The accepted signers, with everything that a signature of each must have.
    pub signers: Vec<String>,
    /// What is required in addition to the signers.
    pub conditions: Vec<String>,
}

/// The trust root, the policies that use it, and the risks of both.
#[cfg(feature = "sigstore")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustSummary {
    /// The trust root.
    pub root: crate::trust::TrustRootInfo,
    /// The policies, the most specific scope first.
    pub policies: Vec<PolicyReport>,
    /// The risks, one line each.
    pub warnings: Vec<String>,
}

/// A valid transparency log entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogEntry {
    /// The index of the entry in its log, as its log signed it: in the log's current tree where
    /// Rekor v1 gave a proof and no promise.
    pub index: u64,
    /// The id of the log that signed, base64.
    pub log: String,
    /// `hashedrekord 0.0.1` and so on.
    pub kind: String,
    /// When the log recorded it, RFC 3339, where the log signed that.
    pub integrated_at: Option<String>,
}

/// The trust root of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrustReport {
    /// `embedded`, a file name, or the URL of a TUF repository.
    pub source: String,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// Seconds since it was last refreshed, where that is known.
    pub age_seconds: Option<u64>,
}

/// One evidence item that is not accepted, and the first reason against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rejection {
    /// Where the item was found, such as `referrer sha256:…` or `tag sha256-….sig, layer 1`.
    pub found: String,
    /// The signer that the item names, if any, with odd characters escaped. Not proven where
    /// `reason` is about the signature.
    pub signer: Option<SignerId>,
    /// The kind of reason.
    pub code: RejectionCode,
    /// The first reason.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
    /// The line of `[[oci.policy]]` that would accept this signer, or its release workflow on every
    /// tag, where only the signer, or its signature without a log, is not accepted.
    pub config_line: Option<String>,
    #[serde(skip)]
    pub(crate) cause: RejectionCause,
}

/// Why an image with this rejection is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RejectionCause {
    /// No signature is accepted.
    #[default]
    Signature,
    /// The signature is accepted, and a required attestation is not.
    #[cfg_attr(
        not(feature = "sigstore"),
        expect(dead_code, reason = "only signatures that are checked are accepted")
    )]
    Attestation,
    /// The signature is accepted, and a required attestation is missing.
    NoAttestation,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.found, self.reason)
    }
}

/// The kind of reason against an evidence item. Displayed and serialised as a stable word, such as
/// `other-identity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RejectionCode {
    /// It was listed, and cannot be used as it is in the registry.
    // The word is part of stored reports.
    #[serde(rename = "left-aside")]
    Unusable,
    /// The place answered in an unexpected way, which changed nothing.
    UnexpectedAnswer,
    /// It is over a limit of the search, so it was not looked at.
    NotRead,
    /// It could not be read, so its content is not known.
    LookupFailed,
    /// The image is an index, and a manifest that it lists is signed instead of the index itself.
    OnlyChild,
    /// It cannot be parsed.
    Unreadable,
    /// It is over a limit.
    TooMany,
    /// It is a bundle of an old format.
    OldBundle,
    /// It is about another digest.
    OtherDigest,
    /// It is an attestation, not a signature.
    Attestation,
    /// It has another type than expected.
    OtherType,
    /// The certificate is not valid.
    Certificate,
    /// The signing time is not proven.
    Time,
    /// The transparency log entry is not valid.
    Log,
    /// It has no transparency log entry.
    NoLog,
    /// The signature is not valid.
    Signature,
    /// The certificate names another identity.
    OtherIdentity,
    /// The certificate names another issuer.
    OtherIssuer,
    /// The certificate names two issuers.
    IssuerConflict,
    /// The workflow is another one.
    OtherClaim,
    /// An annotation is missing or has another value.
    OtherAnnotation,
    /// The signed name is another one.
    OtherName,
    /// It was signed before the minimum time.
    TooOld,
    /// It is signed with another key.
    OtherKey,
    /// It is signed with a key and the policy names none.
    NoKey,
    /// It is signed with a certificate and the policy names only keys.
    OnlyKeys,
    /// It is signed by another signer than the pinned one.
    OtherSigner,
    /// Further signers are required.
    NotEnough,
    /// A required attestation is missing or not accepted.
    Demand,
}

impl RejectionCode {
    /// Whether this is about something that was listed as a signature and not read, be it damaged
    /// or over a limit.
    pub fn is_found(self) -> bool {
        matches!(self, Self::Unusable | Self::NotRead)
    }

    /// Whether the policy accepts the signer, and what it requires in addition is not met.
    pub fn is_condition(self) -> bool {
        matches!(
            self,
            Self::OtherAnnotation | Self::OtherName | Self::TooOld | Self::NotEnough | Self::Demand
        )
    }

    /// Whether the policy does not accept the signer.
    #[cfg(feature = "sigstore")]
    pub(crate) fn is_of_other_signer(self) -> bool {
        matches!(
            self,
            Self::OtherIdentity
                | Self::OtherIssuer
                | Self::OtherClaim
                | Self::OtherSigner
                | Self::OtherKey
                | Self::NoKey
                | Self::OnlyKeys
        )
    }

    /// Whether this is about a place, and not about a signature that was found there.
    pub(crate) fn is_note(self) -> bool {
        matches!(
            self,
            Self::Unusable
                | Self::UnexpectedAnswer
                | Self::NotRead
                | Self::LookupFailed
                | Self::OnlyChild
        )
    }
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
