//! Which image is selected, and why.

use std::sync::Mutex;

use async_trait::async_trait;
use qmt_oci_ref::MediaType;
use serde_json::json;

use super::*;
use crate::error::BoxError;

mod choice;
mod single;

const WASM_LAYER: &str = "application/vnd.wasm.v1.layer+wasm";
const GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Documents in memory, and a record of what was asked for.
#[derive(Default)]
struct Store {
    documents: Mutex<Vec<(Digest, Bytes)>>,
    asked: Mutex<Vec<Digest>>,
}

#[async_trait]
impl ManifestSource for Store {
    async fn manifest(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, BoxError> {
        assert!(limit > 0);
        self.asked.lock().unwrap().push(descriptor.digest().clone());
        let documents = self.documents.lock().unwrap();
        let found = documents
            .iter()
            .find(|(digest, _)| digest == descriptor.digest());
        found
            .map(|(_, bytes)| bytes.clone())
            .ok_or_else(|| "no such document".into())
    }

    async fn config(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, BoxError> {
        self.manifest(descriptor, limit).await
    }
}

impl Store {
    fn put(&self, media_type: &str, value: &serde_json::Value) -> Descriptor {
        let bytes = serde_json::to_vec(value).unwrap();
        let descriptor = Descriptor::of(MediaType::new(media_type), &bytes);
        self.documents
            .lock()
            .unwrap()
            .push((descriptor.digest().clone(), bytes.into()));
        descriptor
    }

    /// An image with one layer; a config platform makes it one that a builder made.
    fn image(&self, layer: &str, annotation: Option<&str>, config: Option<&str>) -> Descriptor {
        let config = match config {
            Some(platform) => {
                let (os, architecture) = platform.split_once('/').unwrap();
                self.put(
                    IMAGE_CONFIG,
                    &json!({"os": os, "architecture": architecture}),
                )
            }
            None => Descriptor::of(MediaType::new(MediaType::OCI_EMPTY), b"{}"),
        };
        // Each layer another one, so that each image has a digest of its own.
        let nth = self.documents.lock().unwrap().len().to_string();
        let layer = Descriptor::of(MediaType::new(layer), nth.as_bytes());
        self.manifest_of(&json!({
            "schemaVersion": 2, "config": config, "layers": [layer],
            "annotations": annotation.map(|kind| json!({"mt.query.plugin.type": kind})),
        }))
    }

    fn manifest_of(&self, value: &serde_json::Value) -> Descriptor {
        self.put(MediaType::OCI_MANIFEST, value)
    }

    fn content(&self, descriptor: &Descriptor) -> Bytes {
        let documents = self.documents.lock().unwrap();
        let found = documents
            .iter()
            .find(|(digest, _)| digest == descriptor.digest());
        found.unwrap().1.clone()
    }

    fn index(&self, entries: &[Descriptor]) -> Descriptor {
        self.put(
            MediaType::OCI_INDEX,
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
        SelectionRequest::new(root.clone(), self.content(root))
            .with_host(HostPlatform::new(platform("linux/amd64")))
    }

    fn select(&self, root: &Descriptor) -> Result<Selection, ArtifactError> {
        self.run(self.request(root))
    }

    fn select_kind(&self, root: &Descriptor, kind: PluginKind) -> Result<Selection, ArtifactError> {
        self.run(self.request(root).with_kind(Some(kind)))
    }

    fn run(&self, request: SelectionRequest) -> Result<Selection, ArtifactError> {
        self.asked.lock().unwrap().clear();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(select(request, self))
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn platform(text: &str) -> Platform {
    let mut parts = text.split('/');
    let platform = Platform::new(parts.next().unwrap(), parts.next().unwrap());
    match parts.next() {
        Some(variant) => platform.with_variant(variant),
        None => platform,
    }
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
