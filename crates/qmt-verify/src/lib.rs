#![doc = include_str!("../README.md")]
//!
//! Verify: which signers signed this digest, and whether the policy accepts them.
//!
//! reference → resolve → **verify** → select → fetch → extract → cache → load.
//! Discovery finds everything that may be a signature and decides nothing. A check is pure: it
//! takes evidence, policy, trust root and a time, and returns a [`Verification`] of one digest or
//! the reasons against it. So stored evidence is checked again at each load, offline.
//!
//! Invariants: all checks hold on one and the same signature; an error during discovery is never
//! "unsigned"; an empty policy never means "anyone"; only a check makes a [`Verification`].
//!
//! Spec: <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>,
//! <https://docs.sigstore.dev/about/bundle/>
#![forbid(unsafe_code)]

pub mod danger;
mod discover;
mod error;
mod evidence;
mod limits;
#[cfg(feature = "sigstore")]
mod pem;
#[cfg(feature = "sigstore")]
pub mod policy;
#[cfg(feature = "sigstore")]
mod reason;
pub mod report;
#[cfg(feature = "sigstore")]
mod sign;
#[cfg(feature = "sigstore")]
mod signature;
mod signer;
#[cfg(feature = "sigstore")]
mod sigstore;
#[cfg(feature = "sigstore")]
pub mod trust;
mod verification;
mod verifier; // Start here: the seam.

pub use self::discover::{DiscoveryOptions, discover};
pub use self::error::{BoxError, VerifyError};
pub use self::evidence::Evidence;
#[cfg(feature = "sigstore")]
pub use self::sign::KeySigner;
pub use self::signer::SignerId;
#[cfg(feature = "sigstore")]
pub use self::sigstore::SigstoreVerifier;
pub use self::verification::Verification;
#[cfg(feature = "test-util")]
pub use self::verifier::MockVerifier;
pub use self::verifier::Verifier;
