//! Packing: builds the image that a publisher pushes, the same bytes from the same input.
//!
//! A Wasm image has the form that QueryMT publishes and reads: the module as a layer of type
//! `application/vnd.wasm.v1.layer+wasm` and a config of the CNCF's Wasm artifact, under QueryMT's
//! media type. A native image is a plain OCI image whose one layer is a tar+gzip archive with
//! `plugin.so`, `plugin.dylib` or `plugin.dll`. More than one file makes an index.
//!
//! Spec: <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>

mod created;
mod document;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use qmt_oci_ref::{Annotations, Descriptor, Digest, MediaType, Platform};
use serde::Serialize;

use self::document::{Empty, ImageConfig, Index, Manifest, Rootfs, WasmConfig};
use crate::PLUGIN_TYPE_ANNOTATION;
use crate::error::{ArtifactError, Limit, PackProblem, shown};
use crate::extract::limits::{RATIO, RATIO_SLACK_BYTES, UNPACKED_BYTES, WASM_BYTES};
use crate::extract::rule::judge;
use crate::kind::PluginKind;
use crate::platform::{HostPlatform, is_unknown, is_wasm, normalized};
use crate::sniff::{NativeFormat, SNIFF_BYTES};

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
}

/// An image in memory, ready to be pushed: first the blobs, then the manifests in their order.
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

/// A config or layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PackedBlob {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes.
    pub content: Bytes,
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
        }
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

/// Builds the image. It reads the files and does no other I/O; it blocks.
///
/// # Errors
/// [`ArtifactError::ReadFile`] where a file cannot be read, [`ArtifactError::Content`] where it is
/// not what it is packed as, [`ArtifactError::TooMuch`] where hosts would refuse its size, and
/// [`ArtifactError::Pack`] where the request makes no image.
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
        let module = read(path, Limit::WasmBytes, WASM_BYTES)?;
        check(path, &module, PluginKind::Wasm, &HostPlatform::current())?;
        let layer = self
            .blob(WASM_LAYER, module)
            .with_annotation(TITLE, "plugin.wasm");
        // A module that needs no WASI is `wasip1` as well: the artifact has no word for it.
        let config = WasmConfig {
            created: &self.created,
            architecture: "wasm",
            os: "wasip1",
            layer_digests: [layer.digest()],
        };
        let config = json(&config)?;
        let config = self.blob(WASM_CONFIG, config);
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
        let library = read(path, Limit::UnpackedBytes, UNPACKED_BYTES)?;
        check(
            path,
            &library,
            PluginKind::Native,
            &HostPlatform::new(platform.clone()),
        )?;
        let extension = NativeFormat::of_os(&platform.os).extension();
        let archive = tar(&format!("plugin.{extension}"), &library, self.seconds);
        let archive = archive.map_err(|source| read_error(path, source))?;
        let diff_id = Digest::sha256(&archive);
        let packed = gzip(&archive).map_err(|source| read_error(path, source))?;
        let most = length(&packed)
            .saturating_mul(RATIO)
            .saturating_add(RATIO_SLACK_BYTES);
        if length(&archive) > most {
            let (what, found) = (Limit::Ratio, length(&archive));
            return Err(ArtifactError::TooMuch {
                what,
                limit: most,
                found,
            });
        }
        let layer = self.blob(TAR_GZIP_LAYER, packed);
        let config = ImageConfig {
            created: &self.created,
            platform: &platform,
            config: Empty {},
            rootfs: Rootfs {
                kind: "layers",
                diff_ids: [&diff_id],
            },
        };
        let config = json(&config)?;
        let config = self.blob(IMAGE_CONFIG, config);
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

    fn blob(&mut self, media_type: &str, content: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor::of(MediaType::new(media_type), &content);
        if !self.blobs.iter().any(|blob| blob.descriptor == descriptor) {
            let content = content.into();
            self.blobs.push(PackedBlob {
                descriptor: descriptor.clone(),
                content,
            });
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

/// Makes an archive of one file, owned by root and last changed when the image was created.
fn tar(name: &str, content: &[u8], seconds: u64) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(length(content));
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(seconds);
    header.set_entry_type(tar::EntryType::Regular);
    let mut builder = tar::Builder::new(Vec::with_capacity(content.len().saturating_add(4096)));
    builder.append_data(&mut header, name, content)?;
    builder.into_inner()
}

/// Compresses without a time and a name in the header.
fn gzip(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::new(6));
    encoder.write_all(content)?;
    encoder.finish()
}

fn read(path: &Path, what: Limit, limit: u64) -> Result<Vec<u8>, ArtifactError> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(|source| read_error(path, source))?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|source| read_error(path, source))?;
    let found = length(&content);
    if found > limit {
        return Err(ArtifactError::TooMuch { what, limit, found });
    }
    Ok(content)
}

fn check(
    path: &Path,
    content: &[u8],
    kind: PluginKind,
    host: &HostPlatform,
) -> Result<(), ArtifactError> {
    let prefix = content.get(..SNIFF_BYTES).unwrap_or(content);
    judge(prefix, Some(kind), host)
        .map(drop)
        .map_err(|found| ArtifactError::Content {
            file: shown(path.as_os_str().as_encoded_bytes()),
            found,
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

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn read_error(path: &Path, source: std::io::Error) -> ArtifactError {
    ArtifactError::ReadFile {
        path: path.to_owned(),
        source,
    }
}

fn pack_error(reason: PackProblem) -> ArtifactError {
    ArtifactError::Pack { reason }
}

#[cfg(test)]
mod tests;
