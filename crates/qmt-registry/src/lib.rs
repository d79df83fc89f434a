#![doc = include_str!("../README.md")]
//!
//! Resolve, fetch and push: pins a mutable reference to a digest, then moves content by digest.
//!
//! reference → **resolve** → verify → select → **fetch** → extract → cache → load.
//! The only crate that talks to a registry. It never decides about trust and never runs anything.
//!
//! The feature `http` has [`HttpRegistry`], `layout` has [`OciLayout`]; both implement
//! [`Registry`](qmt_oci_ref::Registry) and [`RegistryWriter`]. `test-util` adds mocks.
//!
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>
#![forbid(unsafe_code)]

#[cfg(any(feature = "http", feature = "layout"))]
mod blob;
pub mod credentials;
pub mod error;
mod events;
#[cfg(feature = "http")]
mod http; // Start here: `client`.
#[cfg(feature = "layout")]
mod layout;
pub mod limits;
#[cfg(feature = "http")]
mod mirror;
mod offline;
#[cfg(feature = "http")]
mod place;
mod redact;
mod writer;

/// The cause of a failure, of whatever type the library that reports it has.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub use self::error::ClientError;
pub use self::events::RegistryEvent;
#[cfg(feature = "http")]
pub use self::http::{HostOptions, HttpRegistry, HttpRegistryBuilder};
#[cfg(feature = "layout")]
pub use self::layout::OciLayout;
#[cfg(feature = "http")]
pub use self::mirror::{MirrorOptions, Mirrors};
pub use self::offline::Offline;
pub use self::redact::RedactedUrl;
#[cfg(feature = "test-util")]
pub use self::writer::MockRegistryWriter;
pub use self::writer::{BlobContent, RegistryWriter};
