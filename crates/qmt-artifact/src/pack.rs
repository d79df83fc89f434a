//! Packing: builds the image that a publisher pushes, the same bytes from the same input.
//!
//! A Wasm image has the form that QueryMT publishes and reads: the module as a layer of type
//! `application/vnd.wasm.v1.layer+wasm` and a config of the CNCF's Wasm artifact, under QueryMT's
//! media type. A native image is a plain OCI image whose one layer is a tar+gzip archive with
//! `plugin.so`, `plugin.dylib` or `plugin.dll`. More than one file makes an index.
//!
//! Spec: <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>

mod blob;
mod created;
mod document;
mod file;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use qmt_oci_ref::{Annotations, Descriptor, Digest, MediaType, Platform};
use serde::Serialize;

pub use self::blob::PackedBlob;
use self::document::{Empty, ImageConfig, Index, Manifest, Rootfs, WasmConfig};
use self::file::{archive, at_most, spool};
use crate::PLUGIN_TYPE_ANNOTATION;
use crate::error::{ArtifactError, Limit, PackProblem};
use crate::extract::limits::ExtractLimits;
use crate::kind::PluginKind;
use crate::platform::{HostPlatform, is_unknown, is_wasm, normalized, unknown_variant};
use crate::sniff::NativeFormat;

const WASM_LAYER: &str = "application/vnd.wasm.v1.layer+wasm";
const WASM_CONFIG: &str = "application/vnd.wasm.v1.config+json";
const TAR_GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const CREATED: &str = "org.opencontainers.image.created";

/// What to pack.
#[derive(Clone, Debug)]
pub struct PackRequest {
    wasm: Option<PathBuf>,
    native: Vec<(Platform, PathBuf)>,
    annotations: Annotations,
    created: SystemTime,
    limits: ExtractLimits,
}

/// An image, ready to be pushed: first the blobs, then the manifests in their order. Layers wait in
/// temporary files, which go when the image does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PackedImage {
    /// Configs and layers, each once.
    pub blobs: Vec<PackedBlob>,
    /// Manifests, and last the index if there is one.
    pub manifests: Vec<(Descriptor, Bytes)>,
    /// What a tag should point to; its content is the last of `manifests`.
    pub root: Descriptor,
}

impl PackRequest {
    /// Packs an image that says it was made at `created`, to the second. Take the time of the
    /// sources (`SOURCE_DATE_EPOCH`), not of the build, to get the same digest again.
    pub fn new(created: SystemTime) -> Self {
        Self {
            wasm: None,
            native: Vec::new(),
            annotations: Annotations::new(),
            created,
            limits: ExtractLimits::default(),
        }
    }

    /// Says what the hosts that this is for take; the default is what hosts take by default.
    #[must_use]
    pub fn with_limits(mut self, limits: ExtractLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds the Wasm module in the file `path`, for every host.
    #[must_use]
    pub fn with_wasm(mut self, path: impl Into<PathBuf>) -> Self {
        self.wasm = Some(path.into());
        self
    }

    /// Adds the shared library in the file `path`, for one platform.
    #[must_use]
    pub fn with_native(mut self, platform: Platform, path: impl Into<PathBuf>) -> Self {
        self.native.push((platform, path.into()));
        self
    }

    /// Adds an annotation to the image: to each manifest, and to the index if there is one.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// Names the plugin, by `org.opencontainers.image.title`.
    #[must_use]
    pub fn with_title(self, title: impl Into<String>) -> Self {
        self.with_annotation(TITLE, title)
    }

    /// Names the plugin's version, by `org.opencontainers.image.version`.
    #[must_use]
    pub fn with_version(self, version: impl Into<String>) -> Self {
        self.with_annotation(VERSION, version)
    }
}

/// Builds the image. It reads each file once, writes layers to temporary files, and does no other
/// I/O; it blocks. Its memory does not grow with the files.
///
/// # Errors
/// [`ArtifactError::ReadFile`] where a file cannot be read, [`ArtifactError::Content`] where it is
/// not what it is packed as, [`ArtifactError::TooMuch`] where hosts would refuse its size,
/// [`ArtifactError::TemporaryFile`] where there is no room, and [`ArtifactError::Pack`] where the
/// request makes no image.
pub fn pack(request: &PackRequest) -> Result<PackedImage, ArtifactError> {
    for name in [PLUGIN_TYPE_ANNOTATION, CREATED] {
        if request.annotations.contains_key(name) {
            return Err(pack_error(PackProblem::Annotation {
                name: name.to_owned(),
            }));
        }
    }
    let created = created::rfc3339(request.created);
    let (seconds, created) = created.ok_or_else(|| pack_error(PackProblem::Created))?;
    let mut packer = Packer {
        request,
        seconds,
        created,
        blobs: Vec::new(),
        manifests: Vec::new(),
    };
    let mut native: Vec<_> = request
        .native
        .iter()
        .map(|(platform, path)| (normalized(platform), path))
        .collect();
    native.sort_by_cached_key(|(platform, _)| sort_key(platform));
    let mut platforms = BTreeSet::new();
    for (platform, path) in native {
        if !platforms.insert(sort_key(&platform)) {
            let platform = platform.to_string();
            return Err(pack_error(PackProblem::Twice { platform }));
        }
        packer.native(platform, path)?;
    }
    if let Some(path) = &request.wasm {
        packer.wasm(path)?;
    }
    packer.finish()
}

struct Packer<'a> {
    request: &'a PackRequest,
    seconds: u64,
    created: String,
    blobs: Vec<PackedBlob>,
    manifests: Vec<(Descriptor, Bytes)>,
}

impl Packer<'_> {
    fn wasm(&mut self, path: &Path) -> Result<(), ArtifactError> {
        let most = (Limit::WasmBytes, self.request.limits.wasm_bytes);
        let module = spool(path, PluginKind::Wasm, &HostPlatform::current(), most)?;
        let layer = self
            .blob(module.into_blob(WASM_LAYER)?)
            .with_annotation(TITLE, "plugin.wasm");
        // A module that needs no WASI is `wasip1` as well: the artifact has no word for it.
        let config = WasmConfig {
            created: &self.created,
            architecture: "wasm",
            os: "wasip1",
            layer_digests: [layer.digest()],
        };
        let config = self.blob(PackedBlob::in_memory(WASM_CONFIG, json(&config)?));
        self.manifest(
            config,
            layer,
            PluginKind::Wasm,
            Platform::new("wasi", "wasm"),
        )
    }

    fn native(&mut self, platform: Platform, path: &Path) -> Result<(), ArtifactError> {
        let named = !platform.os.is_empty() && !platform.architecture.is_empty();
        if !named || is_wasm(&platform) || is_unknown(&platform) {
            let platform = platform.to_string();
            return Err(pack_error(PackProblem::Platform { platform }));
        }
        if let Some(known) = unknown_variant(&platform) {
            let platform = platform.to_string();
            return Err(pack_error(PackProblem::Variant { platform, known }));
        }
        let limits = &self.request.limits;
        let host = HostPlatform::new(platform.clone());
        let most = (Limit::UnpackedBytes, limits.unpacked_bytes);
        let library = spool(path, PluginKind::Native, &host, most)?;
        let extension = NativeFormat::of_os(&platform.os).extension();
        let name = format!("plugin.{extension}");
        let (archive, diff_id, unpacked) = archive(library, &name, self.seconds)?;
        let packed = archive.length();
        let by_ratio = packed
            .saturating_mul(limits.ratio)
            .saturating_add(limits.ratio_slack_bytes);
        at_most(Limit::UnpackedBytes, limits.unpacked_bytes, unpacked)?;
        at_most(Limit::ArchiveBytes, limits.archive_bytes, packed)?;
        at_most(Limit::Ratio, by_ratio, unpacked)?;
        let layer = self.blob(archive.into_blob(TAR_GZIP_LAYER)?);
        let config = ImageConfig {
            created: &self.created,
            platform: &platform,
            config: Empty {},
            rootfs: Rootfs {
                kind: "layers",
                diff_ids: [&diff_id],
            },
        };
        let config = self.blob(PackedBlob::in_memory(IMAGE_CONFIG, json(&config)?));
        self.manifest(config, layer, PluginKind::Native, platform)
    }

    fn manifest(
        &mut self,
        config: Descriptor,
        layer: Descriptor,
        kind: PluginKind,
        platform: Platform,
    ) -> Result<(), ArtifactError> {
        let mut annotations = self.annotations();
        annotations.insert(
            PLUGIN_TYPE_ANNOTATION.to_owned(),
            kind.annotation().to_owned(),
        );
        let manifest = Manifest {
            schema_version: 2,
            media_type: MediaType::OCI_MANIFEST,
            config,
            layers: [layer],
            annotations,
        };
        let bytes = json(&manifest)?;
        let descriptor = Descriptor::of(MediaType::new(MediaType::OCI_MANIFEST), &bytes)
            .with_platform(platform)
            .with_annotation(PLUGIN_TYPE_ANNOTATION, kind.annotation());
        self.manifests.push((descriptor, bytes.into()));
        Ok(())
    }

    fn finish(mut self) -> Result<PackedImage, ArtifactError> {
        let root = match self.manifests.as_slice() {
            [] => return Err(pack_error(PackProblem::Nothing)),
            [(only, _)] => Descriptor::new(
                only.media_type().clone(),
                only.digest().clone(),
                only.size(),
            ),
            several => {
                let index = Index {
                    schema_version: 2,
                    media_type: MediaType::OCI_INDEX,
                    manifests: several.iter().map(|(descriptor, _)| descriptor).collect(),
                    annotations: self.annotations(),
                };
                let bytes = json(&index)?;
                let root = Descriptor::of(MediaType::new(MediaType::OCI_INDEX), &bytes);
                self.manifests.push((root.clone(), bytes.into()));
                root
            }
        };
        Ok(PackedImage {
            blobs: self.blobs,
            manifests: self.manifests,
            root,
        })
    }

    fn annotations(&self) -> Annotations {
        let mut annotations = self.request.annotations.clone();
        annotations.insert(CREATED.to_owned(), self.created.clone());
        annotations
    }

    /// Takes `blob` unless it is there already.
    fn blob(&mut self, blob: PackedBlob) -> Descriptor {
        let descriptor = blob.descriptor.clone();
        if !self.blobs.iter().any(|own| own.descriptor == descriptor) {
            self.blobs.push(blob);
        }
        descriptor
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ArtifactError> {
    serde_json::to_vec(value).map_err(|source| ArtifactError::Json {
        document: "packed document",
        digest: Digest::sha256([]),
        source: source.into(),
    })
}

fn sort_key(platform: &Platform) -> (String, String, Option<String>, Option<String>) {
    let platform = platform.clone();
    (
        platform.os,
        platform.architecture,
        platform.variant,
        platform.os_version,
    )
}

fn pack_error(reason: PackProblem) -> ArtifactError {
    ArtifactError::Pack { reason }
}

#[cfg(test)]
mod tests;
