#![doc = include_str!("../README.md")]
//!
//! Resolve, fetch and push: pins a mutable reference to a digest, then moves content by digest.
//!
//! reference → **resolve** → select → verify → **fetch** → extract → cache → load.
//! The only crate that talks to a registry. It never judges trust and never runs anything.
//!
//! With the feature `http` there is [`HttpRegistry`], with `layout` [`OciLayout`]; without both
//! there are the traits, which is all that a crate with a registry of its own needs. `test-util`
//! adds mocks.
//!
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>
#![forbid(unsafe_code)]

mod registry; // Start here: the seam.

#[cfg(any(feature = "http", feature = "layout"))]
mod blob;
mod credential;
#[cfg(feature = "http")]
mod credentials;
mod error;
mod events;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "layout")]
mod layout;
pub mod limits;
#[cfg(feature = "http")]
mod mirror;
mod redact;
#[cfg(feature = "http")]
mod referrers;
#[cfg(any(feature = "http", feature = "layout"))]
mod shape;

pub use self::credential::{Credential, CredentialStore};
#[cfg(feature = "http")]
pub use self::credentials::{CredentialChain, Environment, StoredIn};
pub use self::error::{Phase, RegistryError, ServerText};
pub use self::events::RegistryEvent;
#[cfg(feature = "http")]
pub use self::http::{HostOptions, HttpRegistry, HttpRegistryBuilder};
#[cfg(feature = "layout")]
pub use self::layout::OciLayout;
pub use self::limits::Limits;
#[cfg(feature = "http")]
pub use self::mirror::MirrorOptions;
pub use self::redact::RedactedUrl;
pub use self::registry::{
    BlobContent, BlobStream, RawManifest, Registry, RegistryWriter, Resolved,
};

#[cfg(feature = "test-util")]
pub use self::credential::MockCredentialStore;
#[cfg(feature = "test-util")]
pub use self::registry::{MockRegistry, MockRegistryWriter};
