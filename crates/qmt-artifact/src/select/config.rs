//! What selection needs of an image config.
//!
//! Spec: <https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md>

use qmt_oci_ref::manifest::{OCI_EMPTY, platform};
use qmt_oci_ref::{Descriptor, Digest, MediaType, Platform, json, text};
use serde::Deserialize;

use crate::error::ArtifactError;

/// Configs that name the platform and what the layers unpack to.
const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// Platform and unpacked layers, as far as the config names them.
#[derive(Default, Deserialize)]
pub(super) struct ImageConfig {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    os_version: Option<String>,
    #[serde(rename = "os.features")]
    os_features: Option<Vec<String>>,
    rootfs: Option<Rootfs>,
}

#[derive(Deserialize)]
struct Rootfs {
    diff_ids: Option<Vec<Digest>>,
}

impl ImageConfig {
    /// Reads the content of the config `digest`. `null` says nothing.
    pub(super) fn read(digest: &Digest, bytes: &[u8]) -> Result<Self, ArtifactError> {
        let read = json::from_slice::<Option<Self>>(bytes);
        let read = read.map_err(|source| ArtifactError::Config {
            digest: digest.clone(),
            source: source.into(),
        })?;
        Ok(read.unwrap_or_default())
    }

    pub(super) fn platform(&self) -> Option<Platform> {
        let named = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(text::escape_ascii)
        };
        let mut platform = platform(&named(&self.os)?, &named(&self.architecture)?);
        platform.set_variant(named(&self.variant));
        platform.set_os_version(named(&self.os_version));
        let features = self.os_features.clone();
        platform.set_os_features(features.filter(|features| !features.is_empty()));
        Some(platform)
    }

    /// Returns what the layers unpack to, lowest first.
    pub(super) fn into_diff_ids(self) -> Vec<Digest> {
        let diff_ids = self.rootfs.and_then(|rootfs| rootfs.diff_ids);
        diff_ids.unwrap_or_default()
    }
}

/// Reports whether the config says something. Artifact clients send `{}`.
pub(super) fn is_image_config(config: &Descriptor) -> bool {
    IMAGE_CONFIGS.contains(&config.media_type().as_ref()) && config.size() > 2
}

/// Reports whether an artifact type says nothing else than that it is an image.
pub(super) fn is_image_type(artifact_type: &MediaType) -> bool {
    let name = artifact_type.as_ref();
    name.is_empty() || name == OCI_EMPTY || IMAGE_CONFIGS.contains(&name)
}
