//! The form of manifests and indexes in JSON.

use oci_spec::image::{ImageIndex, ImageManifest, ImageManifestBuilder, MediaType};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    Index, Manifest, ManifestError, ManifestLimit, ManifestLimits, OCI_INDEX, OCI_MANIFEST,
    is_index,
};
use crate::descriptor::{Annotations, Descriptor};
use crate::{json, text};

/// Both forms at once, so that a field of the other form is seen and not skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    // Docker's schema 1.
    fs_layers: Option<IgnoredAny>,
    // OCI's withdrawn artifact manifest.
    blobs: Option<IgnoredAny>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Annotations,
}

impl Wire {
    pub(super) fn read(bytes: &[u8], limits: &ManifestLimits) -> Result<Self, ManifestError> {
        limits.check(ManifestLimit::ManifestBytes, bytes.len())?;
        let wire: Self = json::object(bytes)?;
        wire.check_counts(limits)?;
        Ok(wire)
    }

    pub(super) fn media_type(&self) -> Option<MediaType> {
        self.media_type.as_deref().map(text::media_type)
    }

    /// Refuses what another reader could read as something else.
    pub(super) fn check_form(&self, declared: &MediaType) -> Result<(), ManifestError> {
        if self.schema_version != 2 {
            return Err(ManifestError::SchemaVersion {
                found: self.schema_version,
            });
        }
        if let Some(found) = self.media_type().filter(|found| found != declared) {
            return Err(ManifestError::MediaTypeMismatch {
                declared: declared.clone(),
                found,
            });
        }
        let is_index = is_index(declared);
        let foreign = [
            ("manifests", !is_index && self.manifests.is_some()),
            ("layers", is_index && self.layers.is_some()),
            ("config", is_index && self.config.is_some()),
            ("fsLayers", self.fs_layers.is_some()),
            ("blobs", self.blobs.is_some()),
        ];
        match foreign.into_iter().find(|(_, present)| *present) {
            Some((field, _)) => Err(ManifestError::Mixed { field }),
            None => Ok(()),
        }
    }

    fn check_counts(&self, limits: &ManifestLimits) -> Result<(), ManifestError> {
        let count = |list: &Option<Vec<Descriptor>>| list.as_ref().map_or(0, Vec::len);
        limits.check(ManifestLimit::Layers, count(&self.layers))?;
        limits.check(ManifestLimit::IndexEntries, count(&self.manifests))?;
        let descriptors = self.config.iter().chain(&self.subject);
        let descriptors = descriptors.chain(self.layers.iter().flatten());
        let descriptors = descriptors.chain(self.manifests.iter().flatten());
        let annotations = descriptors
            .flat_map(Descriptor::annotations)
            .chain(&self.annotations.0);
        let (mut all, mut all_bytes) = (0_usize, 0_usize);
        for (name, value) in annotations {
            let bytes = name.len().saturating_add(value.len());
            limits.check(ManifestLimit::AnnotationBytes, bytes)?;
            all = all.saturating_add(1);
            all_bytes = all_bytes.saturating_add(bytes);
        }
        limits.check(ManifestLimit::Annotations, all)?;
        limits.check(ManifestLimit::AnnotationsBytes, all_bytes)
    }

    pub(super) fn into_manifest(self) -> Result<Manifest, ManifestError> {
        Ok(Manifest {
            media_type: self.media_type(),
            artifact_type: self.artifact_type.as_deref().map(text::media_type),
            config: self
                .config
                .ok_or(ManifestError::Missing { field: "config" })?,
            layers: self
                .layers
                .ok_or(ManifestError::Missing { field: "layers" })?,
            subject: self.subject,
            annotations: self.annotations.into_map().unwrap_or_default(),
        })
    }

    pub(super) fn into_index(self) -> Result<Index, ManifestError> {
        let missing = ManifestError::Missing { field: "manifests" };
        Ok(Index {
            media_type: self.media_type(),
            artifact_type: self.artifact_type.as_deref().map(text::media_type),
            manifests: self.manifests.ok_or(missing)?,
            subject: self.subject,
            annotations: self.annotations.into_map().unwrap_or_default(),
        })
    }
}

#[expect(clippy::expect_used, reason = "the three required fields are given")]
pub(super) fn manifest(manifest: &Manifest) -> ImageManifest {
    let mut wire = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .config(manifest.config.as_oci().clone())
        .layers(wire_list(&manifest.layers))
        .build()
        .expect("a whole manifest");
    wire.set_media_type(manifest.media_type.clone());
    wire.set_artifact_type(manifest.artifact_type.clone());
    wire.set_subject(manifest.subject.as_ref().map(|d| d.as_oci().clone()));
    let annotations = manifest.annotations.clone();
    wire.set_annotations((!annotations.is_empty()).then_some(annotations));
    wire
}

pub(super) fn index(index: &Index) -> ImageIndex {
    let mut wire = ImageIndex::default();
    wire.set_media_type(index.media_type.clone());
    wire.set_artifact_type(index.artifact_type.clone());
    wire.set_manifests(wire_list(&index.manifests));
    wire.set_subject(index.subject.as_ref().map(|d| d.as_oci().clone()));
    let annotations = index.annotations.clone();
    wire.set_annotations((!annotations.is_empty()).then_some(annotations));
    wire
}

fn wire_list(descriptors: &[Descriptor]) -> Vec<oci_spec::image::Descriptor> {
    descriptors.iter().map(|d| d.as_oci().clone()).collect()
}

/// Writes an index as the specification spells it.
pub(super) fn write_index<S: Serializer>(index: &Index, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Json<'a> {
        schema_version: u32,
        media_type: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        artifact_type: Option<&'a str>,
        manifests: &'a [Descriptor],
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a Descriptor>,
        #[serde(skip_serializing_if = "Annotations::is_empty")]
        annotations: Annotations,
    }
    let annotations = index.annotations.iter();
    let media_type = index.media_type.as_ref();
    Json {
        schema_version: 2,
        media_type: media_type.map_or(OCI_INDEX, AsRef::as_ref),
        artifact_type: index.artifact_type().map(AsRef::as_ref),
        manifests: &index.manifests,
        subject: index.subject.as_ref(),
        annotations: Annotations(annotations.map(|(k, v)| (k.clone(), v.clone())).collect()),
    }
    .serialize(serializer)
}

/// The keys of a document that tell what kind it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    media_type: Option<String>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

impl Header {
    pub(super) fn media_type(&self) -> Option<MediaType> {
        self.media_type.as_deref().map(text::media_type)
    }

    /// Returns the media type that the fields imply, where the document names none.
    pub(super) fn by_fields(&self) -> Result<MediaType, ManifestError> {
        let is_manifest = self.config.is_some() || self.layers.is_some();
        if self.manifests.is_some() && (is_manifest || self.fs_layers.is_some()) {
            return Err(ManifestError::Mixed { field: "manifests" });
        }
        if self.fs_layers.is_some() {
            return Err(ManifestError::Schema1);
        }
        match (self.manifests.is_some(), is_manifest) {
            (true, _) => Ok(MediaType::from(OCI_INDEX)),
            (false, true) => Ok(MediaType::from(OCI_MANIFEST)),
            (false, false) => Err(ManifestError::Missing { field: "manifests" }),
        }
    }
}
