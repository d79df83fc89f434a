//! Builders of plugin images, good ones and hostile ones.

mod archive;
mod index;
mod layer;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, MediaType, Platform, manifest};
use qmt_storage::{LAYOUT_MARKER, Layout, LayoutIndex};
use serde_json::{Map, Value, json};

pub use self::archive::{Archive, TarEntry};
pub use self::index::IndexBuilder;
pub use self::layer::Layer;
use crate::error::TestkitError;
use crate::registry::FakeRegistry;

/// Config of a Wasm artifact, as wasm-to-oci and QueryMT write it.
const WASM_CONFIG: &str = "application/vnd.wasm.v1.config+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// When every image was made: the builders know no clock.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// Builds the manifest of one platform, its config and its layers.
///
/// ```
/// use qmt_testkit::{FakeRegistry, ImageBuilder, plugins};
/// # async fn example() {
/// let registry = FakeRegistry::builder().serve().await;
/// let image = ImageBuilder::wasm(plugins::echo_wasm()).annotation("a", "b").build();
/// let manifest = image.push(&registry, "acme/echo", "1");
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ImageBuilder {
    layers: Vec<Layer>,
    platform: Platform,
    docker: bool,
    config: Option<(String, Bytes)>,
    artifact_type: Option<String>,
    subject: Option<Descriptor>,
    annotations: Map<String, Value>,
}

impl ImageBuilder {
    /// An image for linux/amd64 without layers, with a config as image builders write it.
    pub fn new() -> Self {
        Self {
            layers: Vec::new(),
            platform: manifest::platform("linux", "amd64"),
            docker: false,
            config: None,
            artifact_type: None,
            subject: None,
            annotations: Map::new(),
        }
    }

    /// A Wasm artifact: one layer that is the module as it is, as QueryMT publishes it.
    pub fn wasm(module: impl Into<Bytes>) -> Self {
        Self::wasm_as("application/vnd.wasm.v1.layer+wasm", module)
    }

    /// A Wasm artifact whose layer has another media type.
    pub fn wasm_as(media_type: &str, module: impl Into<Bytes>) -> Self {
        Self::new()
            .platform(manifest::platform("wasi", "wasm"))
            .config(WASM_CONFIG, b"{}".as_slice())
            .layer(Layer::raw(media_type, module))
    }

    /// What `FROM scratch` and `COPY plugin.wasm /plugin.wasm` make on linux/amd64: one tar+gzip
    /// layer.
    pub fn dockerfile(module: impl Into<Bytes>) -> Self {
        Self::new().layer(Layer::tar_gzip(&Archive::new().file("plugin.wasm", module)))
    }

    /// A native plugin for `platform`: one tar+gzip layer that holds the library as `file`.
    pub fn native(platform: Platform, file: &str, library: impl Into<Bytes>) -> Self {
        Self::new()
            .platform(platform)
            .layer(Layer::tar_gzip(&Archive::new().file(file, library)))
            .annotation("mt.query.plugin.type", "native")
    }

    /// Adds a layer on top.
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Sets the platform that the config names.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// Uses docker's media types for manifest, config and layers.
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }

    /// Replaces the config by any bytes.
    pub fn config(mut self, media_type: &str, bytes: impl Into<Bytes>) -> Self {
        self.config = Some((media_type.to_owned(), bytes.into()));
        self
    }

    /// Sets the manifest's `artifactType`.
    pub fn artifact_type(mut self, artifact_type: &str) -> Self {
        self.artifact_type = Some(artifact_type.to_owned());
        self
    }

    /// Makes the image a referrer of `subject`.
    pub fn subject(mut self, subject: Descriptor) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Adds an annotation to the manifest.
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    /// Makes the image. The same input makes the same bytes.
    pub fn build(&self) -> Image {
        let (config_type, config) = self.config.clone().unwrap_or_else(|| self.image_config());
        let config_descriptor = Descriptor::of(MediaType::from(config_type.as_str()), &config);
        let mut blobs = vec![(config_descriptor.clone(), config)];
        let mut layers = Vec::new();
        for layer in &self.layers {
            let descriptor = layer.descriptor(self.docker);
            layers.push(descriptor.clone());
            blobs.push((descriptor, layer.bytes().clone()));
        }
        let media_type = if self.docker {
            manifest::DOCKER_MANIFEST
        } else {
            manifest::OCI_MANIFEST
        };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config_descriptor,
            "layers": layers,
        });
        if let Some(fields) = manifest.as_object_mut() {
            if let Some(artifact_type) = &self.artifact_type {
                fields.insert("artifactType".into(), artifact_type.clone().into());
            }
            if let Some(subject) = &self.subject {
                fields.insert("subject".into(), json!(subject));
            }
            if !self.annotations.is_empty() {
                fields.insert("annotations".into(), self.annotations.clone().into());
            }
        }
        Image::new(blobs, Vec::new(), media_type, manifest.to_string())
    }

    /// The config that image builders write: platform, and the digests of the layers' content.
    fn image_config(&self) -> (String, Bytes) {
        let diff_ids: Vec<String> = self
            .layers
            .iter()
            .map(|layer| layer.diff_id().to_string())
            .collect();
        let mut config = json!({
            "created": CREATED,
            "architecture": self.platform.architecture(),
            "os": self.platform.os(),
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": self.layers.iter().map(|_| json!({
                "created": CREATED,
                "created_by": "COPY plugin.wasm /plugin.wasm",
            })).collect::<Vec<_>>(),
        });
        if let (Some(fields), Some(variant)) = (config.as_object_mut(), self.platform.variant()) {
            fields.insert("variant".into(), variant.clone().into());
        }
        let media_type = if self.docker {
            DOCKER_CONFIG
        } else {
            OCI_CONFIG
        };
        (media_type.to_owned(), config.to_string().into())
    }
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// A finished image or index with everything that hangs on it.
#[derive(Clone, Debug)]
pub struct Image {
    blobs: Vec<(Descriptor, Bytes)>,
    manifests: Vec<(Descriptor, Bytes)>,
}

impl Image {
    /// `children` are the manifests that `manifest` names, if it is an index.
    fn new(
        blobs: Vec<(Descriptor, Bytes)>,
        children: Vec<(Descriptor, Bytes)>,
        media_type: &str,
        manifest: String,
    ) -> Self {
        let bytes = Bytes::from(manifest);
        let mut manifests = children;
        manifests.push((Descriptor::of(MediaType::from(media_type), &bytes), bytes));
        Self { blobs, manifests }
    }

    /// Wraps a manifest that the test wrote itself, with the blobs that it names.
    pub fn from_manifest(
        media_type: &str,
        manifest: impl Into<Bytes>,
        blobs: impl IntoIterator<Item = (Descriptor, Bytes)>,
    ) -> Self {
        let bytes = manifest.into();
        let root = Descriptor::of(MediaType::from(media_type), &bytes);
        Self {
            blobs: blobs.into_iter().collect(),
            manifests: vec![(root, bytes)],
        }
    }

    /// Media type, digest and size of the manifest or index on top.
    pub fn root(&self) -> &Descriptor {
        &self.top().0
    }

    /// The bytes of the manifest or index on top.
    pub fn root_bytes(&self) -> &Bytes {
        &self.top().1
    }

    fn top(&self) -> &(Descriptor, Bytes) {
        let Some(top) = self.manifests.last() else {
            unreachable!("every constructor puts a manifest in");
        };
        top
    }

    /// All manifests and indexes; what an index names comes before it.
    pub fn manifests(&self) -> &[(Descriptor, Bytes)] {
        &self.manifests
    }

    /// Configs and layers.
    pub fn blobs(&self) -> &[(Descriptor, Bytes)] {
        &self.blobs
    }

    /// Puts everything into a registry, and tags what is on top. Returns [`root`](Self::root).
    pub fn push<'a>(
        &self,
        registry: &FakeRegistry,
        repository: &str,
        tag: impl Into<Option<&'a str>>,
    ) -> Descriptor {
        for (_, bytes) in &self.blobs {
            registry.put_blob(repository, bytes.clone());
        }
        for (descriptor, bytes) in &self.manifests {
            let media_type = descriptor.media_type().as_ref();
            registry.put_manifest(repository, None, media_type, bytes.clone());
        }
        if let Some(tag) = tag.into() {
            registry.retag(repository, tag, self.root().digest());
        }
        self.root().clone()
    }

    /// Writes everything into an OCI image layout, which is made if it is not there, and lists what
    /// is on top in `index.json`. An entry of the same tag is replaced.
    ///
    /// # Errors
    ///
    /// [`File`](TestkitError::File) if the folder cannot be written,
    /// [`Layout`](TestkitError::Layout) if it is not a layout.
    pub fn write_layout<'a>(
        &self,
        folder: &Path,
        tag: impl Into<Option<&'a str>>,
    ) -> Result<(), TestkitError> {
        let entries = if folder.join("index.json").exists() {
            Layout::open(folder)?.index()?.images().to_vec()
        } else {
            Vec::new()
        };
        for (name, bytes) in self.layout_files(entries, tag.into()) {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|source| file_error(parent, source))?;
            }
            fs::write(&path, bytes).map_err(|source| file_error(&path, source))?;
        }
        Ok(())
    }

    /// The same layout as the entries of a tar archive.
    pub fn layout_archive<'a>(&self, tag: impl Into<Option<&'a str>>) -> Archive {
        self.layout_files(Vec::new(), tag.into())
            .into_iter()
            .fold(Archive::new(), |archive, (name, bytes)| {
                archive.file(name, bytes)
            })
    }

    /// Names and contents of the files of a layout whose `index.json` lists `entries` already.
    fn layout_files(
        &self,
        mut entries: Vec<Descriptor>,
        tag: Option<&str>,
    ) -> Vec<(String, Bytes)> {
        let mut entry = self.root().clone();
        if let Some(tag) = tag {
            entries.retain(|entry| LayoutIndex::name_of(entry) != Some(tag));
            entry = entry.with_annotation(REF_NAME, tag);
        }
        entries.push(entry);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": manifest::OCI_INDEX,
            "manifests": entries,
        });
        let marker = Bytes::from_static(LAYOUT_MARKER);
        let mut files = vec![
            ("oci-layout".to_owned(), marker),
            ("index.json".to_owned(), index.to_string().into()),
        ];
        let mut seen = BTreeSet::new();
        for (descriptor, bytes) in self.blobs.iter().chain(&self.manifests) {
            let digest = descriptor.digest();
            if seen.insert(digest) {
                let name = format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
                files.push((name, bytes.clone()));
            }
        }
        files
    }
}

/// The annotation that names an entry of `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn file_error(path: &Path, source: std::io::Error) -> TestkitError {
    TestkitError::File {
        path: path.to_owned(),
        source,
    }
}
