//! Manifests and indexes, read strictly and within bounds.
//!
//! Specs: <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>,
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md>.

use qmt_oci_ref::{Annotations, Descriptor, Digest, MediaType, Platform};
use serde::Deserialize;

use crate::error::{ArtifactError, Limit};
use crate::extract::limits::SelectLimits;
use crate::json;

/// Docker's first manifest format, signed and not; its content is proven by nothing.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// A manifest or an index: never both.
#[derive(Debug)]
pub(crate) enum Document {
    Manifest(Box<Manifest>),
    Index(Index),
}

/// One image: config, layers and annotations.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) annotations: Annotations,
}

/// Several images.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// What selection needs of an image config.
///
/// See <https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md>
#[derive(Debug, Default)]
pub(crate) struct ImageConfig {
    pub(crate) platform: Option<Platform>,
    pub(crate) diff_ids: Vec<Digest>,
}

/// Both forms at once, so that a field of the other form is seen and not skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    media_type: Option<MediaType>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    // Docker's schema 1.
    fs_layers: Option<serde::de::IgnoredAny>,
    // OCI's withdrawn artifact manifest.
    blobs: Option<serde::de::IgnoredAny>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct RawConfig {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    os_version: Option<String>,
    #[serde(rename = "os.features")]
    os_features: Option<Vec<String>>,
    rootfs: Option<RawRootfs>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Option<Vec<Digest>>,
}

impl Document {
    /// Reads the content of `descriptor`, which must be what the descriptor says.
    pub(crate) fn parse(
        descriptor: &Descriptor,
        bytes: &[u8],
        limits: &SelectLimits,
    ) -> Result<Self, ArtifactError> {
        let digest = descriptor.digest();
        let media_type = descriptor.media_type();
        prove(
            descriptor,
            bytes,
            Limit::ManifestBytes,
            limits.manifest_bytes,
        )?;
        if SCHEMA_1.contains(&media_type.as_str()) {
            let digest = digest.clone();
            return Err(ArtifactError::SchemaVersion { digest, found: 1 });
        }
        let is_index = media_type.is_index();
        if !is_index && !media_type.is_manifest() {
            let (digest, media_type) = (digest.clone(), media_type.clone());
            return Err(ArtifactError::NotAnImage { digest, media_type });
        }
        let document = if is_index { "index" } else { "manifest" };
        let raw: Raw = json::from_slice(bytes).map_err(|source| ArtifactError::Json {
            document,
            digest: digest.clone(),
            source: source.into(),
        })?;
        raw.check_form(descriptor, document)?;
        raw.check_counts(limits)?;
        let missing = |field: &'static str| ArtifactError::Json {
            document,
            digest: digest.clone(),
            source: format!("the field `{field}` is missing").into(),
        };
        let annotations = raw.annotations.unwrap_or_default();
        if is_index {
            let manifests = raw.manifests.ok_or_else(|| missing("manifests"))?;
            return Ok(Self::Index(Index { manifests }));
        }
        let config = raw.config.ok_or_else(|| missing("config"))?;
        let layers = raw.layers.ok_or_else(|| missing("layers"))?;
        Ok(Self::Manifest(Box::new(Manifest {
            config,
            layers,
            annotations,
        })))
    }
}

impl ImageConfig {
    /// Reads the content of `descriptor`, an image config.
    pub(crate) fn parse(
        descriptor: &Descriptor,
        bytes: &[u8],
        limits: &SelectLimits,
    ) -> Result<Self, ArtifactError> {
        prove(descriptor, bytes, Limit::ConfigBytes, limits.config_bytes)?;
        let raw: RawConfig = json::from_slice(bytes).map_err(|source| ArtifactError::Json {
            document: "image config",
            digest: descriptor.digest().clone(),
            source: source.into(),
        })?;
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        let platform = named(raw.os)
            .zip(named(raw.architecture))
            .map(|(os, architecture)| {
                let mut platform = Platform::new(os, architecture);
                platform.variant = named(raw.variant);
                platform.os_version = named(raw.os_version);
                platform.os_features = raw.os_features.unwrap_or_default();
                platform
            });
        let diff_ids = raw
            .rootfs
            .and_then(|rootfs| rootfs.diff_ids)
            .unwrap_or_default();
        Ok(Self { platform, diff_ids })
    }
}

impl Raw {
    /// Refuses what could be read as something else by another reader.
    fn check_form(
        &self,
        descriptor: &Descriptor,
        document: &'static str,
    ) -> Result<(), ArtifactError> {
        let digest = descriptor.digest();
        if self.schema_version != 2 {
            let (digest, found) = (digest.clone(), self.schema_version);
            return Err(ArtifactError::SchemaVersion { digest, found });
        }
        if let Some(found) = self
            .media_type
            .as_ref()
            .filter(|found| *found != descriptor.media_type())
        {
            return Err(ArtifactError::MediaTypeMismatch {
                digest: digest.clone(),
                expected: descriptor.media_type().clone(),
                found: found.clone(),
            });
        }
        let is_index = descriptor.media_type().is_index();
        let foreign = [
            ("manifests", !is_index && self.manifests.is_some()),
            ("layers", is_index && self.layers.is_some()),
            ("config", is_index && self.config.is_some()),
            ("fsLayers", self.fs_layers.is_some()),
            ("blobs", self.blobs.is_some()),
        ];
        match foreign.into_iter().find(|(_, present)| *present) {
            Some((field, _)) => {
                let digest = digest.clone();
                Err(ArtifactError::MixedDocument {
                    document,
                    digest,
                    field,
                })
            }
            None => Ok(()),
        }
    }

    fn check_counts(&self, limits: &SelectLimits) -> Result<(), ArtifactError> {
        let count =
            |list: &Option<Vec<Descriptor>>| list.as_ref().map_or(0, |list| length(list.len()));
        at_most(Limit::Layers, count(&self.layers), limits.layers)?;
        at_most(
            Limit::IndexEntries,
            count(&self.manifests),
            limits.index_entries,
        )?;
        let descriptors = self.config.iter();
        let descriptors = descriptors.chain(self.layers.iter().flatten());
        let descriptors = descriptors.chain(self.manifests.iter().flatten());
        let maps = descriptors
            .map(Descriptor::annotations)
            .chain(&self.annotations);
        let (mut all, mut all_bytes) = (0_u64, 0_u64);
        for (name, value) in maps.flatten() {
            let bytes = length(name.len()).saturating_add(length(value.len()));
            at_most(Limit::AnnotationBytes, bytes, limits.annotation_bytes)?;
            all = all.saturating_add(1);
            all_bytes = all_bytes.saturating_add(bytes);
        }
        at_most(Limit::Annotations, all, limits.annotations)?;
        at_most(Limit::AnnotationsBytes, all_bytes, limits.annotations_bytes)
    }
}

/// Proves that `bytes` are the content of `descriptor`, and within the limit.
fn prove(
    descriptor: &Descriptor,
    bytes: &[u8],
    what: Limit,
    limit: u64,
) -> Result<(), ArtifactError> {
    at_most(what, length(bytes.len()), limit)?;
    let expected = descriptor.digest();
    let actual = Digest::of(expected.algorithm(), bytes);
    if actual != *expected || length(bytes.len()) != descriptor.size() {
        return Err(ArtifactError::DigestMismatch {
            expected: expected.clone(),
            size: descriptor.size(),
            actual,
            length: length(bytes.len()),
        });
    }
    Ok(())
}

fn at_most(what: Limit, found: u64, limit: u64) -> Result<(), ArtifactError> {
    if found > limit {
        return Err(ArtifactError::TooMuch { what, limit, found });
    }
    Ok(())
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
