//! The form of manifests and indexes in JSON.

use oci_spec::image::MediaType;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::limits::at_most;
use super::{
    ARTIFACT_MANIFEST, Index, Manifest, ManifestError, ManifestLimits, OCI_INDEX, OCI_MANIFEST,
    is_index,
};
use crate::descriptor::{Annotations, Descriptor, Entry, Optional};
use crate::{json, text};

/// A field that is there, `null`, or absent. Go programs write an empty list as `null`.
#[derive(Default)]
enum Field<T> {
    Present(T),
    Null,
    #[default]
    Absent,
}

impl<T> Field<T> {
    fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Null | Self::Absent => None,
        }
    }

    /// Returns the list; `None` only if it is absent.
    fn into_list(self) -> Option<T>
    where
        T: Default,
    {
        match self {
            Self::Present(list) => Some(list),
            Self::Null => Some(T::default()),
            Self::Absent => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Null, Self::Present))
    }
}

/// Both forms at once, so that a field of the other form is seen and not skipped.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wire {
    // Absence is no contradiction: clients read by the media type.
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Field<Vec<Descriptor>>,
    manifests: Field<Vec<Entry>>,
    // Docker's schema 1.
    fs_layers: Option<IgnoredAny>,
    // OCI's withdrawn artifact manifest.
    blobs: Option<IgnoredAny>,
    subject: Optional,
    annotations: Annotations,
}

impl Wire {
    pub(super) fn read(bytes: &[u8], limits: &ManifestLimits) -> Result<Self, ManifestError> {
        at_most("bytes", limits.manifest_bytes, bytes.len())?;
        let wire: Self = json::object(bytes)?;
        wire.check_counts(limits)?;
        Ok(wire)
    }

    pub(super) fn media_type(&self) -> Option<MediaType> {
        named(self.media_type.as_deref())
    }

    /// Refuses what another reader could read as something else.
    pub(super) fn check_form(&self, declared: &MediaType) -> Result<(), ManifestError> {
        if let Some(found) = self.schema_version.filter(|version| *version != 2) {
            return Err(ManifestError::SchemaVersion { found });
        }
        if let Some(found) = self.media_type().filter(|found| found != declared) {
            return Err(ManifestError::MediaTypeMismatch {
                declared: declared.clone(),
                found,
            });
        }
        let is_index = is_index(declared);
        let foreign = [
            ("manifests", !is_index && self.manifests.is_present()),
            ("layers", is_index && self.layers.is_present()),
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
        let layers = self.layers.as_ref().map_or(&[][..], Vec::as_slice);
        let entries = self.manifests.as_ref().map_or(&[][..], Vec::as_slice);
        at_most("layers", limits.layers, layers.len())?;
        at_most("entries", limits.index_entries, entries.len())?;
        let descriptors = self.config.iter().chain(&self.subject.0).chain(layers);
        let descriptors = descriptors.chain(entries.iter().filter_map(|entry| entry.0.as_ref()));
        let annotations = descriptors
            .flat_map(Descriptor::annotations)
            .chain(&self.annotations.0);
        let (mut all, mut all_bytes) = (0_usize, 0_usize);
        for (name, value) in annotations {
            let bytes = name.len().saturating_add(value.len());
            at_most("bytes in one annotation", limits.annotation_bytes, bytes)?;
            all = all.saturating_add(1);
            all_bytes = all_bytes.saturating_add(bytes);
        }
        at_most("annotations", limits.annotations, all)?;
        let most = limits.annotations_bytes;
        at_most("bytes in all annotations", most, all_bytes)
    }

    pub(super) fn into_manifest(self) -> Result<Manifest, ManifestError> {
        let has_layers = self.layers.is_present();
        let (media_type, layers) = (self.media_type(), self.layers.into_list());
        // An artifact without a config consists of its layers.
        let no_config = || has_layers.then(|| Descriptor::of(MediaType::EmptyJSON, b"{}"));
        let config = self.config.or_else(no_config);
        Ok(Manifest {
            media_type,
            artifact_type: named(self.artifact_type.as_deref()),
            config: config.ok_or(ManifestError::Missing { field: "config" })?,
            layers: layers.ok_or(ManifestError::Missing { field: "layers" })?,
            subject: self.subject.0,
            annotations: self.annotations.into_map().unwrap_or_default(),
        })
    }

    pub(super) fn into_index(self) -> Result<Index, ManifestError> {
        let missing = ManifestError::Missing { field: "manifests" };
        let (media_type, entries) = (self.media_type(), self.manifests.into_list());
        let entries = entries.ok_or(missing)?;
        let all = entries.len();
        let manifests: Vec<_> = entries.into_iter().filter_map(|entry| entry.0).collect();
        Ok(Index {
            media_type,
            artifact_type: named(self.artifact_type.as_deref()),
            unreadable: all.saturating_sub(manifests.len()),
            manifests,
            subject: self.subject.0,
            annotations: self.annotations.into_map().unwrap_or_default(),
        })
    }
}

/// A media type that is not empty.
fn named(media_type: Option<&str>) -> Option<MediaType> {
    let media_type = media_type.map(text::media_type);
    media_type.filter(|media_type| !media_type.as_ref().is_empty())
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
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Header {
    media_type: Option<String>,
    config: Field<IgnoredAny>,
    layers: Field<IgnoredAny>,
    manifests: Field<IgnoredAny>,
    fs_layers: Field<IgnoredAny>,
    blobs: Field<IgnoredAny>,
}

impl Header {
    pub(super) fn media_type(&self) -> Option<MediaType> {
        named(self.media_type.as_deref())
    }

    /// Returns the media type that the fields imply. A field that is `null` implies one only where
    /// no other field does.
    pub(super) fn by_fields(&self) -> Result<MediaType, ManifestError> {
        let is_manifest = self.config.is_present() || self.layers.is_present();
        if self.manifests.is_present() && (is_manifest || self.fs_layers.is_present()) {
            return Err(ManifestError::Mixed { field: "manifests" });
        }
        if self.fs_layers.is_present() {
            return Err(ManifestError::Schema1);
        }
        let is_null_list = matches!(
            (&self.manifests, &self.layers, &self.config),
            (Field::Null, Field::Absent, Field::Absent)
        );
        match (self.manifests.is_present() || is_null_list, is_manifest) {
            (true, _) => Ok(MediaType::from(OCI_INDEX)),
            (false, true) => Ok(MediaType::from(OCI_MANIFEST)),
            (false, false) if self.is_artifact_manifest() => Err(ManifestError::ArtifactManifest),
            (false, false) => Err(ManifestError::Missing { field: "manifests" }),
        }
    }

    /// Whether it is OCI's withdrawn artifact manifest, whose list of blobs may be absent.
    fn is_artifact_manifest(&self) -> bool {
        let named = self.media_type.as_deref() == Some(ARTIFACT_MANIFEST);
        named || self.blobs.is_present()
    }
}
