//! Which image is selected, and why.

use bytes::Bytes;
use qmt_oci_ref::manifest::{OCI_EMPTY, OCI_INDEX, OCI_MANIFEST};
use qmt_oci_ref::{MediaType, manifest};
use serde_json::json;

use super::*;
use crate::tests::{TestRegistry, repository};

mod choice;
mod config;
mod single;

const WASM_LAYER: &str = "application/vnd.wasm.v1.layer+wasm";
const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAR_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

impl SelectionRequest {
    /// Sets other limits than the default ones.
    fn with_limits(mut self, limits: SelectLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// Documents in memory, and a record of what was requested.
#[derive(Default)]
struct Store(TestRegistry);

impl Store {
    fn put(&self, media_type: &str, value: &serde_json::Value) -> Descriptor {
        let bytes = serde_json::to_vec(value).unwrap();
        let descriptor = Descriptor::of(MediaType::from(media_type), &bytes);
        self.0.put(descriptor.digest().clone(), bytes);
        descriptor
    }

    /// An image with one layer; with a config platform, as a builder makes it.
    fn image(&self, layer: &str, annotation: Option<&str>, config: Option<&str>) -> Descriptor {
        let config = match config {
            Some(platform) => {
                let (os, architecture) = platform.split_once('/').unwrap();
                self.put(
                    IMAGE_CONFIG,
                    &json!({"os": os, "architecture": architecture}),
                )
            }
            None => Descriptor::of(MediaType::EmptyJSON, b"{}"),
        };
        // Layers differ, so that images do.
        let nth = self.0.content.lock().unwrap().len().to_string();
        let layer = Descriptor::of(MediaType::from(layer), nth.as_bytes());
        self.manifest_of(&json!({
            "schemaVersion": 2, "config": config, "layers": [layer],
            "annotations": annotation.map(|kind| json!({"mt.query.plugin.type": kind})),
        }))
    }

    fn manifest_of(&self, value: &serde_json::Value) -> Descriptor {
        self.put(OCI_MANIFEST, value)
    }

    fn content(&self, descriptor: &Descriptor) -> Bytes {
        self.0.get(descriptor.digest()).unwrap()
    }

    fn index(&self, entries: &[Descriptor]) -> Descriptor {
        self.put(
            OCI_INDEX,
            &json!({"schemaVersion": 2, "manifests": entries}),
        )
    }

    fn native(&self, platform: &str) -> Descriptor {
        on(platform, self.image(GZIP_LAYER, None, Some(base(platform))))
    }

    fn wasm(&self) -> Descriptor {
        on("wasi/wasm", self.image(WASM_LAYER, None, None))
    }

    fn request(&self, root: &Descriptor) -> SelectionRequest {
        let root = RawManifest::new(root.media_type().clone(), self.content(root));
        SelectionRequest::new(root).with_host(HostPlatform::new(&platform("linux/amd64")))
    }

    fn select(&self, root: &Descriptor) -> Result<Selection, ArtifactError> {
        self.run(self.request(root))
    }

    fn select_kind(&self, root: &Descriptor, kind: PluginKind) -> Result<Selection, ArtifactError> {
        self.run(self.request(root).with_kind(Some(kind)))
    }

    fn run(&self, request: SelectionRequest) -> Result<Selection, ArtifactError> {
        self.0.requests.lock().unwrap().clear();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(select(request, &self.0, &repository()))
    }

    fn requests(&self) -> usize {
        self.0.requests.lock().unwrap().len()
    }
}

fn platform(text: &str) -> Platform {
    let mut parts = text.split('/');
    let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
    let mut platform = manifest::platform(os, architecture);
    platform.set_variant(parts.next().map(str::to_owned));
    platform
}

/// `os/architecture` without the variant.
fn base(text: &str) -> &str {
    text.match_indices('/')
        .nth(1)
        .map_or(text, |(at, _)| &text[..at])
}

fn on(text: &str, descriptor: Descriptor) -> Descriptor {
    descriptor.with_platform(platform(text))
}
