//! Descriptors: what points from one document to other content.
//!
//! Spec: <https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md>

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::LazyLock;

use oci_spec::image::{MediaType, Os, Platform};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::digest::Digest;
use crate::error::DigestError;
use crate::{manifest, text};

/// Points to content: its media type, its digest and its size in bytes.
///
/// It holds an [`oci_spec::image::Descriptor`] whose digest is known to be well formed. In JSON it
/// has the OCI form. `urls` and `data` are not read: content comes from the registry alone and is
/// proven by its digest. A key that occurs twice is refused. A key that is `null` or empty counts
/// as absent, and an absent media type as the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    wire: oci_spec::image::Descriptor,
    digest: Digest,
}

impl Descriptor {
    /// Points to content of `size` bytes.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        let wire = oci_spec::image::Descriptor::new(media_type, size, wire_digest(&digest));
        Self { wire, digest }
    }

    /// Points to `content` by its SHA-256 digest.
    pub fn of(media_type: MediaType, content: &[u8]) -> Self {
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        Self::new(media_type, Digest::sha256(content), size)
    }

    /// Adds an annotation.
    #[must_use]
    pub fn with_annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let mut annotations = self.wire.annotations().clone().unwrap_or_default();
        annotations.insert(name.into(), value.into());
        self.wire.set_annotations(Some(annotations));
        self
    }

    /// Replaces all annotations.
    pub(crate) fn set_annotations(&mut self, annotations: HashMap<String, String>) {
        let annotations = (!annotations.is_empty()).then_some(annotations);
        self.wire.set_annotations(annotations);
    }

    /// Adds the platform.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.wire.set_platform(Some(platform));
        self
    }

    /// Adds the artifact type.
    #[must_use]
    pub fn with_artifact_type(mut self, artifact_type: MediaType) -> Self {
        self.wire.set_artifact_type(Some(artifact_type));
        self
    }

    /// Returns the media type of the content.
    pub fn media_type(&self) -> &MediaType {
        self.wire.media_type()
    }

    /// Returns the digest of the content.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the size of the content in bytes. It is a claim until the content is proven.
    pub fn size(&self) -> u64 {
        self.wire.size()
    }

    /// Returns the artifact type, where the content is a manifest that has one.
    pub fn artifact_type(&self) -> Option<&MediaType> {
        self.wire.artifact_type().as_ref()
    }

    /// Returns the platform, where the content is for one.
    pub fn platform(&self) -> Option<&Platform> {
        self.wire.platform().as_ref()
    }

    /// Returns the annotations.
    pub fn annotations(&self) -> &HashMap<String, String> {
        self.wire.annotations().as_ref().unwrap_or(&NO_ANNOTATIONS)
    }

    /// Returns the value of one annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations().get(name).map(String::as_str)
    }

    /// Returns the wire type of `oci-spec`.
    pub fn as_oci(&self) -> &oci_spec::image::Descriptor {
        &self.wire
    }
}

impl TryFrom<oci_spec::image::Descriptor> for Descriptor {
    type Error = DigestError;

    fn try_from(wire: oci_spec::image::Descriptor) -> Result<Self, DigestError> {
        let digest = wire.digest().to_string().parse()?;
        Ok(Self { wire, digest })
    }
}

#[expect(
    clippy::expect_used,
    reason = "the grammar of our digests is a part of the specification's"
)]
fn wire_digest(digest: &Digest) -> oci_spec::image::Digest {
    let text = digest.to_string();
    text.parse().expect("a well-formed digest")
}

static NO_ANNOTATIONS: LazyLock<HashMap<String, String>> = LazyLock::new(HashMap::new);

/// The form in JSON. `oci-spec` 0.10 writes `os_version` and `os_features` where the specification
/// says `os.version` and `os.features`, and annotations in an order that changes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    #[serde(default, deserialize_with = "null_is_default")]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<JsonPlatform>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

/// See <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md#image-index-property-descriptions>
#[derive(Serialize, Deserialize)]
pub(crate) struct JsonPlatform {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) architecture: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) os: String,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub(crate) os_version: Option<String>,
    #[serde(rename = "os.features", skip_serializing_if = "Option::is_none")]
    pub(crate) os_features: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

impl JsonPlatform {
    /// Names a platform; `None` if neither `os` nor `architecture` is given. Odd characters are
    /// escaped.
    pub(crate) fn into_platform(self) -> Option<Platform> {
        if self.os.is_empty() && self.architecture.is_empty() {
            return None;
        }
        let mut platform = Platform::default();
        let escaped = |text: Option<String>| non_empty(text).map(|text| text::escape_ascii(&text));
        platform.set_os(Os::from(&*text::escape_ascii(&self.os)));
        platform.set_architecture(manifest::arch(&text::escape_ascii(&self.architecture)));
        platform.set_variant(escaped(self.variant));
        platform.set_os_version(escaped(self.os_version));
        let features = self.os_features.unwrap_or_default();
        let features: Vec<_> = features
            .iter()
            .map(|name| text::escape_ascii(name))
            .collect();
        platform.set_os_features(Some(features).filter(|features| !features.is_empty()));
        Some(platform)
    }
}

impl From<&Platform> for JsonPlatform {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture().to_string(),
            os: platform.os().to_string(),
            os_version: platform.os_version().clone(),
            os_features: platform.os_features().clone(),
            variant: platform.variant().clone(),
        }
    }
}

impl Serialize for Descriptor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let annotations = self.annotations().iter();
        let json = Json {
            media_type: self.media_type().to_string(),
            digest: self.digest.to_string(),
            size: self.size(),
            artifact_type: self.artifact_type().map(ToString::to_string),
            platform: self.platform().map(JsonPlatform::from),
            annotations: Annotations(annotations.map(|(k, v)| (k.clone(), v.clone())).collect()),
        };
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        json.into_descriptor().map_err(D::Error::custom)
    }
}

impl Json {
    fn into_descriptor(self) -> Result<Descriptor, DigestError> {
        let (media_type, digest) = (text::media_type(&self.media_type), self.digest.parse()?);
        let mut descriptor = Descriptor::new(media_type, digest, self.size);
        let artifact_type = non_empty(self.artifact_type);
        let artifact_type = artifact_type.as_deref().map(text::media_type);
        descriptor.wire.set_artifact_type(artifact_type);
        let platform = self.platform.and_then(JsonPlatform::into_platform);
        descriptor.wire.set_platform(platform);
        descriptor.wire.set_annotations(self.annotations.into_map());
        Ok(descriptor)
    }
}

/// An entry of a list; `None` if it is not a usable descriptor, so that the other entries can still
/// be read.
pub(crate) struct Entry(pub(crate) Option<Descriptor>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(json.get()).ok()))
    }
}

/// A descriptor that may be absent, which Go programs also write as one whose fields are empty.
#[derive(Default)]
pub(crate) struct Optional(pub(crate) Option<Descriptor>);

impl<'de> Deserialize<'de> for Optional {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Identity {
            digest: Option<String>,
            size: Option<u64>,
        }
        let Some(json) = Option::<Box<RawValue>>::deserialize(deserializer)? else {
            return Ok(Self(None));
        };
        let identity = serde_json::from_str(json.get());
        let Identity { digest, size } = identity.map_err(D::Error::custom)?;
        if non_empty(digest).is_none() && size.unwrap_or_default() == 0 {
            return Ok(Self(None));
        }
        let descriptor = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        Ok(Self(Some(descriptor)))
    }
}

/// Reads a field that may be `null`, which Go programs write for an absent value.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Treats an empty text as absent.
fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Annotations in the order of their names. No name may occur twice; `null` counts as empty, also
/// as a value.
#[derive(Default, Serialize)]
pub(crate) struct Annotations(pub(crate) BTreeMap<String, String>);

impl Annotations {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_map(self) -> Option<HashMap<String, String>> {
        (!self.0.is_empty()).then(|| self.0.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnnotationsVisitor)
    }
}

struct AnnotationsVisitor;

impl<'de> Visitor<'de> for AnnotationsVisitor {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_unit<E>(self) -> Result<Annotations, E> {
        Ok(Annotations::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut annotations = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Option<String>>()? {
            if annotations
                .insert(name, value.unwrap_or_default())
                .is_some()
            {
                return Err(A::Error::custom("an annotation occurs twice"));
            }
        }
        Ok(Annotations(annotations))
    }
}

#[cfg(test)]
mod tests;
