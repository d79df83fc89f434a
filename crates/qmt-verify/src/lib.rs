#![doc = include_str!("../README.md")]
//!
//! Verify: who signed this digest, and is that enough.
//!
//! reference → resolve → select → **verify** → fetch → extract → cache → load.
//! Collecting finds everything that may be a signature (bundles and attestations among the
//! referrers, `.sig` and `.att` tags) through a port and decides nothing. Judging is pure: evidence, policy, trust
//! root and a time go in, a [`Verification`] of one digest or the reasons against it come out. So
//! what was collected once is judged again at each load, offline.
//!
//! Invariants: all checks hold on one and the same signature; an error while looking is never
//! "unsigned"; an empty policy never means "anyone"; nothing but the judge makes a `Verification`.
//!
//! Spec: <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>,
//! <https://docs.sigstore.dev/about/bundle/>
#![forbid(unsafe_code)]

pub mod danger;
mod error;
mod evidence;
#[cfg(feature = "sigstore")]
mod fault;
#[cfg(feature = "sigstore")]
mod judge;
mod limits;
#[cfg(feature = "sigstore")]
mod pem;
#[cfg(feature = "sigstore")]
mod policy;
mod report;
#[cfg(feature = "sigstore")]
mod sign;
mod signer;
#[cfg(feature = "sigstore")]
mod trust;
mod verification;
mod verifier; // Start here: the seam.

pub use self::error::{BoxError, Rejection, VerifyError};
#[cfg(feature = "test-util")]
pub use self::evidence::MockEvidenceSource;
pub use self::evidence::{DiscoveryOptions, Evidence, EvidenceSource, collect};
#[cfg(feature = "sigstore")]
pub use self::judge::SigstoreVerifier;
#[cfg(feature = "sigstore")]
pub use self::policy::{
    AttestationDemand, Authority, IdentityRule, Policy, PolicySet, Scope, WorkflowClaims,
};
pub use self::report::{LogEntry, Report, TrustReport};
#[cfg(feature = "sigstore")]
pub use self::sign::KeySigner;
pub use self::signer::SignerId;
#[cfg(all(feature = "sigstore", feature = "test-util"))]
pub use self::trust::MockTufTransport;
#[cfg(feature = "sigstore")]
pub use self::trust::{PemTrust, TrustRoot, TrustRootInfo, TufOptions, TufTransport};
pub use self::verification::Verification;
#[cfg(feature = "test-util")]
pub use self::verifier::MockVerifier;
pub use self::verifier::Verifier;
