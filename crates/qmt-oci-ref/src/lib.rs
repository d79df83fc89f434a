#![doc = include_str!("../README.md")]
//!
//! **reference** → resolve → verify → select → fetch → extract → cache → load.
//! The vocabulary that every other crate uses. It performs no I/O, requires no async runtime, and
//! builds in seconds.
#![forbid(unsafe_code)]

pub mod address;
mod descriptor;
mod digest;
mod error;
mod host;
pub mod json;
mod kind;
pub mod manifest;
mod pinned;
mod reference; // Start here: the grammar.
mod registry;
mod repository;
mod serde_text;
mod tag;
pub mod text;
pub mod time;

pub use oci_spec::image::{MediaType, Platform};

pub use self::descriptor::Descriptor;
pub use self::digest::{Digest, DigestAlgorithm, Digester};
pub use self::error::{DigestError, ReferenceError, ReferenceErrorKind};
pub use self::host::RegistryHost;
pub use self::kind::PluginKind;
pub use self::pinned::PinnedReference;
pub use self::reference::Reference;
#[cfg(feature = "test-util")]
pub use self::registry::MockRegistry;
pub use self::registry::{BlobStream, RawManifest, Registry, RegistryError, RegistryErrorKind};
pub use self::repository::Repository;
pub use self::tag::Tag;
