//! Indexes: one name for images of several platforms.

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Platform, manifest};
use serde_json::{Map, Value, json};

use super::{Image, ImageBuilder, Layer};

/// Builds an image index.
///
/// ```
/// use qmt_oci_ref::manifest;
/// use qmt_testkit::{ImageBuilder, IndexBuilder, plugins};
/// let wasm = ImageBuilder::wasm(plugins::echo_wasm()).build();
/// let platform = manifest::platform("linux", "riscv64");
/// let native = ImageBuilder::native(platform.clone(), "plugin.so", b"\x7fELF".as_slice()).build();
/// let index = IndexBuilder::new()
///     .platform(&native, platform)
///     .wasm(&wasm)
///     .attestation(&native)
///     .build();
/// assert_eq!(index.manifests().len(), 4);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct IndexBuilder {
    blobs: Vec<(Descriptor, Bytes)>,
    children: Vec<(Descriptor, Bytes)>,
    entries: Vec<Descriptor>,
    annotations: Map<String, Value>,
    docker: bool,
}

impl IndexBuilder {
    /// An index without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image for a platform.
    pub fn platform(self, image: &Image, platform: Platform) -> Self {
        self.entry(image, image.root().clone().with_platform(platform))
    }

    /// Adds an image for `wasi/wasm`.
    pub fn wasm(self, image: &Image) -> Self {
        self.platform(image, manifest::platform("wasi", "wasm"))
    }

    /// Adds an image or index without a platform: for an index, this nests it.
    pub fn nested(self, image: &Image) -> Self {
        self.entry(image, image.root().clone())
    }

    /// Adds what `docker buildx` adds for provenance: a manifest for `unknown/unknown` that names
    /// the digest of `image`.
    pub fn attestation(self, image: &Image) -> Self {
        let statement = Layer::raw("application/vnd.in-toto+json", b"{}".as_slice());
        let manifest = ImageBuilder::new()
            .platform(manifest::platform("unknown", "unknown"))
            .layer(statement.annotation(
                "in-toto.io/predicate-type",
                "https://slsa.dev/provenance/v0.2",
            ))
            .build();
        let descriptor = manifest
            .root()
            .clone()
            .with_platform(manifest::platform("unknown", "unknown"))
            .with_annotation(
                "vnd.docker.reference.digest",
                image.root().digest().to_string(),
            )
            .with_annotation("vnd.docker.reference.type", "attestation-manifest");
        self.entry(&manifest, descriptor)
    }

    /// Adds an image under a descriptor of choice, which may lie.
    pub fn entry(mut self, image: &Image, descriptor: Descriptor) -> Self {
        self.blobs.extend_from_slice(image.blobs());
        self.children.extend_from_slice(image.manifests());
        self.entries.push(descriptor);
        self
    }

    /// Adds an annotation to the index.
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    /// Uses docker's media type.
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// Makes the index. The same input makes the same bytes.
    pub fn build(&self) -> Image {
        let media_type = if self.docker {
            manifest::DOCKER_INDEX
        } else {
            manifest::OCI_INDEX
        };
        let mut index = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": self.entries,
        });
        if let Some(fields) = index.as_object_mut()
            && !self.annotations.is_empty()
        {
            fields.insert("annotations".into(), self.annotations.clone().into());
        }
        Image::new(
            self.blobs.clone(),
            self.children.clone(),
            media_type,
            index.to_string(),
        )
    }
}
