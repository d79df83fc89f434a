//! Signatures as images: what goes into a registry or a layout.

use bytes::Bytes;
use qmt_oci_ref::manifest::OCI_MANIFEST;
use qmt_oci_ref::{Descriptor, Digest};
use serde_json::{Value, json};

use super::codec::Must;

/// An image that holds signatures, ready to be pushed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignatureImage {
    /// The tag that finds it; without one it is a referrer, found by its `subject`.
    pub tag: Option<String>,
    /// The manifest's media type.
    pub manifest_media_type: String,
    /// The manifest.
    pub manifest: Bytes,
    /// The blobs that the manifest names, each with its media type.
    pub blobs: Vec<(String, Bytes)>,
}

impl SignatureImage {
    /// The manifest's digest, `sha256:…`.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }

    pub(super) fn new(tag: Option<String>, manifest: &Value, blobs: Vec<(String, Bytes)>) -> Self {
        Self {
            tag,
            manifest_media_type: OCI_MANIFEST.to_owned(),
            manifest: bytes(manifest),
            blobs,
        }
    }
}

/// The image that a referrer speaks about, as its manifest's `subject` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedSubject {
    /// The media type of the signed manifest or index.
    pub media_type: String,
    /// Its digest, `sha256:…`.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

impl SignedSubject {
    /// Describes a manifest by its parts.
    pub fn new(media_type: &str, digest: &str, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest.to_owned(),
            size,
        }
    }

    /// Describes a manifest by its bytes.
    pub fn of(media_type: &str, manifest: &[u8]) -> Self {
        Self::new(media_type, &digest(manifest), manifest.len() as u64)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }
}

impl From<&Descriptor> for SignedSubject {
    fn from(descriptor: &Descriptor) -> Self {
        Self::new(
            descriptor.media_type().as_ref(),
            &descriptor.digest().to_string(),
            descriptor.size(),
        )
    }
}

/// The tag under which cosign 2 looks for what belongs to a digest: `sha256-….sig`.
pub(super) fn tag(subject: &str, suffix: &str) -> String {
    format!("{}.{suffix}", subject.replace(':', "-"))
}

pub(super) fn digest(content: &[u8]) -> String {
    Digest::sha256(content).to_string()
}

pub(super) fn bytes(value: &Value) -> Bytes {
    serde_json::to_vec(value).must("write JSON").into()
}

/// The hex part of `sha256:<hex>`.
pub(super) fn hex_of(subject: &str) -> &str {
    let hex = subject.strip_prefix("sha256:").unwrap_or_default();
    assert!(
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "images are signed by SHA-256 digest, `{subject}` is not one"
    );
    hex
}

/// The configuration that cosign 2 writes into an image of signatures.
pub(super) fn layers_config(layers: &[Bytes]) -> Value {
    json!({
        "architecture": "",
        "created": "0001-01-01T00:00:00Z",
        "history": layers
            .iter()
            .map(|_| json!({ "created": "0001-01-01T00:00:00Z" }))
            .collect::<Vec<_>>(),
        "os": "",
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>(),
        },
        "config": {},
    })
}
