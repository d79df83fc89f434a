//! The documents that packing writes; the order of fields is the order of bytes.

use qmt_oci_ref::{Annotations, Descriptor, Digest, Platform};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WasmConfig<'a> {
    pub(super) created: &'a str,
    pub(super) architecture: &'a str,
    pub(super) os: &'a str,
    pub(super) layer_digests: [&'a Digest; 1],
}

#[derive(Serialize)]
pub(super) struct ImageConfig<'a> {
    pub(super) created: &'a str,
    #[serde(flatten)]
    pub(super) platform: &'a Platform,
    pub(super) config: Empty,
    pub(super) rootfs: Rootfs<'a>,
}

#[derive(Serialize)]
pub(super) struct Empty {}

#[derive(Serialize)]
pub(super) struct Rootfs<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) diff_ids: [&'a Digest; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u8,
    pub(super) media_type: &'static str,
    pub(super) config: Descriptor,
    pub(super) layers: [Descriptor; 1],
    pub(super) annotations: Annotations,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index<'a> {
    pub(super) schema_version: u8,
    pub(super) media_type: &'static str,
    pub(super) manifests: Vec<&'a Descriptor>,
    pub(super) annotations: Annotations,
}
