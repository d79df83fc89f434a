#![doc = include_str!("../README.md")]
//!
//! reference → resolve → **select** → verify → fetch → **extract** → cache → load.
//! It reads manifests and layers through two ports and opens no connection; it never unpacks a
//! tree, never judges trust and never runs what it extracts.
//!
//! Specs: <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>,
//! <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
#![forbid(unsafe_code)]

mod error;
mod extract;
mod json;
mod kind;
mod manifest;
mod pack;
mod platform;
mod select; // Start here: what an image is taken for, and why.
mod sniff;
mod source;

pub use self::error::{ArtifactError, ContentProblem, LayerProblem, Limit, PackProblem};
pub use self::extract::limits::{ExtractLimits, SelectLimits};
pub use self::extract::{ExtractSink, Extracted, extract};
pub use self::kind::{FileRule, PLUGIN_TYPE_ANNOTATION, PluginKind};
pub use self::pack::{PackRequest, PackedBlob, PackedImage, pack};
pub use self::platform::HostPlatform;
pub use self::select::{Selection, SelectionRequest, select};
pub use self::sniff::{NativeFormat, SNIFF_BYTES, Sniffed, sniff};
pub use self::source::{LayerSource, LayerStream, ManifestSource};
#[cfg(feature = "test-util")]
pub use self::source::{MockLayerSource, MockManifestSource};
