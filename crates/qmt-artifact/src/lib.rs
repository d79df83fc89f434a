#![doc = include_str!("../README.md")]
//!
//! reference → resolve → verify → **select** → fetch → **extract** → cache → load.
//! It reads manifests and layers through [`Registry`](qmt_oci_ref::Registry). It opens no
//! connection, unpacks no tree, verifies no signature and runs nothing.
//!
//! Specs: <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>,
//! <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
#![forbid(unsafe_code)]

mod error;
mod extract;
mod file_rule;
mod limits;
pub mod pack;
mod platform;
pub mod problem;
mod select; // Start here: which manifest is selected, and why.
pub mod sniff;
#[cfg(test)]
mod tests;

pub use self::error::ArtifactError;
pub use self::extract::{ExtractSink, Extracted, extract};
pub use self::file_rule::{FileRule, PLUGIN_TYPE_ANNOTATION};
pub use self::limits::ExtractLimits;
pub use self::platform::HostPlatform;
pub use self::select::{Selection, SelectionRequest, select};
