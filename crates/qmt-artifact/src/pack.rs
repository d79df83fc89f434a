//! Packing: builds the image that a publisher pushes, the same bytes from the same input.
//!
//! A Wasm image has the form that QueryMT publishes and reads: the module as a layer of type
//! `application/vnd.wasm.v1.layer+wasm`, a config of the CNCF's Wasm artifact and QueryMT's
//! annotation. A native image is a plain OCI image whose one layer is a tar+gzip archive with
//! `plugin.so`, `plugin.dylib` or `plugin.dll`. More than one file makes an index.
//!
//! Spec: <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>

mod blob;
mod document;
mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, MediaType, Platform, PluginKind, RawManifest, manifest, text, time};
use serde::Serialize;

pub use self::blob::PackedBlob;
use self::blob::temporary;
use self::document::{ImageConfig, Index, Manifest, WasmConfig};
use self::file::{archive, spool};
use crate::PLUGIN_TYPE_ANNOTATION;
use crate::error::{ArtifactError, at_most};
use crate::extract::TITLE;
use crate::file_rule::annotation_of;
use crate::limits::ExtractLimits;
use crate::platform::{HostPlatform, is_unknown, is_wasm, normalized, unknown_variant};
use crate::problem::{Limit, PackProblem};
use crate::sniff::NativeFormat;

const WASM_LAYER: &str = "application/vnd.wasm.v1.layer+wasm";
const WASM_CONFIG: &str = "application/vnd.wasm.v1.config+json";
const TAR_GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

const VERSION: &str = "org.opencontainers.image.version";
const CREATED: &str = "org.opencontainers.image.created";
/// The first second of the year 10000, which RFC 3339 cannot write.
const YEAR_10000: Duration = Duration::from_hours(70_389_528);

/// What to pack.
#[derive(Clone, Debug)]
#[must_use]
pub struct PackRequest {
    wasm: Option<PathBuf>,
    native: Vec<(Platform, PathBuf)>,
    annotations: BTreeMap<String, String>,
    created: SystemTime,
    limits: ExtractLimits,
}

/// An image, ready to be pushed: first the blobs, then the manifests in their order. Layers are in
/// temporary files, which are removed with the image.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PackedImage {
    /// Configs and layers, each once.
    pub blobs: Vec<PackedBlob>,
    /// Manifests, and last the index if there is one.
    pub manifests: Vec<RawManifest>,
    /// What a tag should point to: the last of `manifests`.
    pub root: RawManifest,
}

impl PackRequest {
    /// Packs an image with `created` as its time of creation, to the second. The time of the
    /// sources (`SOURCE_DATE_EPOCH`) rather than of the build gives the same digest again.
    pub fn new(created: SystemTime) -> Self {
        Self {
            wasm: None,
            native: Vec::new(),
            annotations: BTreeMap::new(),
            created,
            limits: ExtractLimits::default(),
        }
    }

    /// Sets the limits of the hosts that the image is for (default: the default ones).
    pub fn with_limits(mut self, limits: ExtractLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds the Wasm module in the file `path`, for every host.
    pub fn with_wasm(mut self, path: impl Into<PathBuf>) -> Self {
        self.wasm = Some(path.into());
        self
    }

    /// Adds the shared library in the file `path`, for one platform.
    pub fn with_native(mut self, platform: Platform, path: impl Into<PathBuf>) -> Self {
        self.native.push((platform, path.into()));
        self
    }

    /// Adds an annotation to each manifest, and to the index if there is one.
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// Names the plugin, by `org.opencontainers.image.title`.
    pub fn with_title(self, title: impl Into<String>) -> Self {
        self.with_annotation(TITLE, title)
    }

    /// Names the plugin's version, by `org.opencontainers.image.version`.
    pub fn with_version(self, version: impl Into<String>) -> Self {
        self.with_annotation(VERSION, version)
    }
}

/// Builds the image. It blocks: it reads each file once and writes layers to temporary files. Its
/// memory does not grow with the files.
///
/// # Errors
/// [`ArtifactError::ReadFile`] where a file cannot be read, [`ArtifactError::Content`] where it is
/// not of the kind that it is packed as, [`ArtifactError::LimitExceeded`] where hosts would refuse
/// its size, [`ArtifactError::TemporaryFile`] where a temporary file cannot be written, and
/// [`ArtifactError::Pack`] where the request does not make an image.
pub fn pack(request: &PackRequest) -> Result<PackedImage, ArtifactError> {
    for name in [PLUGIN_TYPE_ANNOTATION, CREATED] {
        if request.annotations.contains_key(name) {
            let name = name.to_owned();
            return Err(pack_error(PackProblem::Annotation { name }));
        }
    }
    let since_1970 = request.created.duration_since(UNIX_EPOCH);
    if !since_1970.is_ok_and(|since_1970| since_1970 < YEAR_10000) {
        return Err(pack_error(PackProblem::Created));
    }
    let mut packer = Packer {
        request,
        created: time::rfc3339(request.created),
        blobs: Vec::new(),
        manifests: Vec::new(),
        entries: Vec::new(),
    };
    let mut native = BTreeMap::new();
    for (platform, path) in &request.native {
        let platform = normalized(platform);
        if let Some((platform, _)) = native.insert(sort_key(&platform), (platform, path)) {
            let platform = text::platform(&platform);
            return Err(pack_error(PackProblem::Twice { platform }));
        }
    }
    for (platform, path) in native.into_values() {
        packer.native(platform, path)?;
    }
    if let Some(path) = &request.wasm {
        packer.wasm(path)?;
    }
    packer.finish()
}

struct Packer<'a> {
    request: &'a PackRequest,
    created: String,
    blobs: Vec<PackedBlob>,
    manifests: Vec<RawManifest>,
    /// The manifests as entries of an index.
    entries: Vec<Descriptor>,
}

impl Packer<'_> {
    fn wasm(&mut self, path: &Path) -> Result<(), ArtifactError> {
        let limit = (Limit::WasmBytes, self.request.limits.wasm_bytes);
        let module = spool(path, PluginKind::Wasm, &HostPlatform::current(), limit)?;
        let layer = self.add_blob(module.into_blob(WASM_LAYER)?);
        let layer = layer.with_annotation(TITLE, "plugin.wasm");
        // The artifact has no name for a module that uses no WASI, so that is `wasip1` as well.
        let config = WasmConfig {
            created: &self.created,
            architecture: "wasm",
            os: "wasip1",
            layer_digests: [layer.digest()],
        };
        let config = PackedBlob::in_memory(WASM_CONFIG, json(&config)?);
        let platform = manifest::platform("wasi", "wasm");
        self.add_manifest(config, layer, PluginKind::Wasm, platform)
    }

    fn native(&mut self, platform: Platform, path: &Path) -> Result<(), ArtifactError> {
        check_platform(&platform)?;
        let limits = &self.request.limits;
        let host = HostPlatform::new(&platform);
        let limit = (Limit::UnpackedBytes, limits.unpacked_bytes);
        let library = spool(path, PluginKind::Native, &host, limit)?;
        let name = NativeFormat::of_os(platform.os()).file_name();
        let seconds = time::seconds(self.request.created);
        let (archive, diff_id, unpacked) = archive(library, name, seconds).map_err(temporary)?;
        let packed = archive.length();
        at_most(Limit::UnpackedBytes, limits.unpacked_bytes, unpacked)?;
        at_most(Limit::ArchiveBytes, limits.archive_bytes, packed)?;
        at_most(Limit::Ratio, limits.by_ratio(packed), unpacked)?;
        let layer = self.add_blob(archive.into_blob(TAR_GZIP_LAYER)?);
        let config = ImageConfig::new(&self.created, &platform, &diff_id);
        let config = PackedBlob::in_memory(IMAGE_CONFIG, json(&config)?);
        self.add_manifest(config, layer, PluginKind::Native, platform)
    }

    fn add_manifest(
        &mut self,
        config: PackedBlob,
        layer: Descriptor,
        kind: PluginKind,
        platform: Platform,
    ) -> Result<(), ArtifactError> {
        let mut annotations = self.annotations();
        let kind = annotation_of(kind);
        annotations.insert(PLUGIN_TYPE_ANNOTATION.to_owned(), kind.to_owned());
        let bytes = json(&Manifest {
            schema_version: 2,
            media_type: manifest::OCI_MANIFEST,
            config: self.add_blob(config),
            layers: [layer],
            annotations,
        })?;
        let raw = RawManifest::new(MediaType::ImageManifest, Bytes::from(bytes));
        let entry = raw.descriptor().with_platform(platform);
        self.entries
            .push(entry.with_annotation(PLUGIN_TYPE_ANNOTATION, kind));
        self.manifests.push(raw);
        Ok(())
    }

    fn finish(mut self) -> Result<PackedImage, ArtifactError> {
        if self.manifests.len() > 1 {
            let bytes = json(&Index {
                schema_version: 2,
                media_type: manifest::OCI_INDEX,
                manifests: &self.entries,
                annotations: self.annotations(),
            })?;
            let index = RawManifest::new(MediaType::ImageIndex, Bytes::from(bytes));
            self.manifests.push(index);
        }
        let root = self.manifests.last().cloned();
        Ok(PackedImage {
            root: root.ok_or_else(|| pack_error(PackProblem::Nothing))?,
            blobs: self.blobs,
            manifests: self.manifests,
        })
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.request.annotations.clone();
        annotations.insert(CREATED.to_owned(), self.created.clone());
        annotations
    }

    /// Adds `blob` unless it was added before.
    fn add_blob(&mut self, blob: PackedBlob) -> Descriptor {
        let descriptor = blob.descriptor.clone();
        let mut blobs = self.blobs.iter();
        if !blobs.any(|other| other.descriptor == descriptor) {
            self.blobs.push(blob);
        }
        descriptor
    }
}

fn check_platform(platform: &Platform) -> Result<(), ArtifactError> {
    let (os, architecture) = (platform.os(), platform.architecture());
    let is_empty = os.to_string().is_empty() || architecture.to_string().is_empty();
    let is_other = is_empty || is_wasm(platform) || is_unknown(platform);
    let known = unknown_variant(platform);
    let platform = text::platform(platform);
    match known {
        _ if is_other => Err(pack_error(PackProblem::Platform { platform })),
        Some(known) => Err(pack_error(PackProblem::Variant { platform, known })),
        None => Ok(()),
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ArtifactError> {
    serde_json::to_vec(value).map_err(|error| {
        let reason = error.to_string();
        pack_error(PackProblem::Json { reason })
    })
}

fn sort_key(platform: &Platform) -> (String, String, Option<String>, Option<String>) {
    (
        platform.os().to_string(),
        platform.architecture().to_string(),
        platform.variant().clone(),
        platform.os_version().clone(),
    )
}

fn pack_error(reason: PackProblem) -> ArtifactError {
    ArtifactError::Pack { reason }
}

#[cfg(test)]
mod tests;
