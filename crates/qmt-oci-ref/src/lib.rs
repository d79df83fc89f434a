#![doc = include_str!("../README.md")]
//!
//! **reference** → resolve → select → verify → fetch → extract → cache → load.
//! The vocabulary that every other crate speaks. It does no I/O, is not async, and builds in seconds.
#![forbid(unsafe_code)]

mod descriptor;
mod digest;
mod error;
mod host;
mod media_type;
mod pinned;
mod platform;
mod reference; // Start here: the grammar.
mod repository;
mod serde_text;
mod tag;

pub use self::descriptor::{Annotations, Descriptor};
pub use self::digest::{Digest, DigestAlgorithm, Digester};
pub use self::error::{DigestError, ReferenceError, ReferenceFault};
pub use self::host::RegistryHost;
pub use self::media_type::MediaType;
pub use self::pinned::PinnedReference;
pub use self::platform::Platform;
pub use self::reference::{REFERENCE_MAX_BYTES, Reference};
pub use self::repository::{REPOSITORY_MAX_BYTES, Repository};
pub use self::tag::{TAG_MAX_BYTES, Tag};
