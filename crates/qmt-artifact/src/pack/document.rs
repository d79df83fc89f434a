//! The documents that packing writes. The order of fields is the order of bytes, on which published
//! digests depend.

use std::collections::BTreeMap;

use qmt_oci_ref::{Descriptor, Digest, Platform};
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
    created: &'a str,
    architecture: String,
    os: String,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    os_version: Option<&'a str>,
    #[serde(rename = "os.features", skip_serializing_if = "Option::is_none")]
    os_features: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    config: Empty,
    rootfs: Rootfs<'a>,
}

impl<'a> ImageConfig<'a> {
    /// Describes an image of one layer that unpacks to `diff_id`.
    pub(super) fn new(created: &'a str, platform: &'a Platform, diff_id: &'a Digest) -> Self {
        let features = platform.os_features().as_deref();
        Self {
            created,
            architecture: platform.architecture().to_string(),
            os: platform.os().to_string(),
            os_version: platform.os_version().as_deref(),
            os_features: features.filter(|features| !features.is_empty()),
            variant: platform.variant().as_deref(),
            config: Empty {},
            rootfs: Rootfs {
                kind: "layers",
                diff_ids: [diff_id],
            },
        }
    }
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Rootfs<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    diff_ids: [&'a Digest; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u8,
    pub(super) media_type: &'static str,
    pub(super) config: Descriptor,
    pub(super) layers: [Descriptor; 1],
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index<'a> {
    pub(super) schema_version: u8,
    pub(super) media_type: &'static str,
    pub(super) manifests: &'a [Descriptor],
    pub(super) annotations: BTreeMap<String, String>,
}
