//! Manifests and indexes, read strictly and within bounds.
//!
//! The bytes of a manifest are signed, its `Content-Type` is not: a document that is a manifest
//! under one type and an index under another would be two things under one digest
//! (CVE-2021-41190). Nothing that two readers could read differently is accepted.
//!
//! Specs: <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>,
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md>

mod claims;
mod descriptor_set;
mod error;
mod limits;
pub mod platform_json;
mod referrers;
mod wire;

use std::collections::HashMap;

use oci_spec::image::{MediaType, Platform};
use serde::Serialize;

pub use self::claims::{ClaimLimits, ClaimedEntries, ClaimedEntry, Claims};
pub use self::descriptor_set::DescriptorSet;
pub use self::error::ManifestError;
pub use self::limits::ManifestLimits;
pub use self::referrers::Referrers;
use self::wire::Wire;
use crate::descriptor::Descriptor;
use crate::json;

pub use oci_spec::image::{Arch, Os};

/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of Docker's form of an index.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The media type of Docker's form of a manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of `{}`, for a required descriptor without content.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The artifact types under which cosign lists signatures: bundles, and those of cosign 2.
pub const SIGNATURE_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.cosign.artifact.sig.v1+json",
];
/// The artifact types of bundles begin like this; the version follows.
const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";

/// Docker's first manifest format, signed and not; nothing in it proves its content.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// OCI's withdrawn artifact manifest.
const ARTIFACT_MANIFEST: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// Media types that static file servers send and simple clients set, which claim nothing.
const GENERIC: [&str; 5] = [
    "",
    "application/octet-stream",
    "application/json",
    "binary/octet-stream",
    "text/plain",
];

/// Reports whether `media_type` is that of an index: OCI's or Docker's.
pub fn is_index(media_type: &MediaType) -> bool {
    [OCI_INDEX, DOCKER_INDEX].contains(&media_type.as_ref())
}

/// Reports whether a list of referrers says that `entry` is a signature, or does not say what it is.
pub fn may_be_signature(entry: &Descriptor) -> bool {
    match entry.artifact_type().map_or("", AsRef::as_ref) {
        "" | OCI_EMPTY => true,
        other => other.starts_with(BUNDLE_PREFIX) || SIGNATURE_TYPES.contains(&other),
    }
}

/// Reports whether `media_type` is that of a manifest of one image: OCI's or Docker's.
pub fn is_manifest(media_type: &MediaType) -> bool {
    [OCI_MANIFEST, DOCKER_MANIFEST].contains(&media_type.as_ref())
}

/// Reports whether `media_type` says nothing about the content, such as
/// `application/octet-stream` or none at all.
pub fn is_generic(media_type: &MediaType) -> bool {
    GENERIC.contains(&media_type.as_ref())
}

/// Names a platform without variant, version and features, such as `linux` and `amd64`.
pub fn platform(os: &str, architecture: &str) -> Platform {
    let mut platform = Platform::default();
    platform.set_os(Os::from(os));
    platform.set_architecture(arch(architecture));
    platform
}

/// Reads an architecture. `oci-spec` 0.10 takes `armbe` for `arm64be`.
pub(crate) fn arch(name: &str) -> Arch {
    match name {
        "armbe" => Arch::ARMbe,
        other => Arch::from(other),
    }
}

/// A manifest or an index: never both.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the specification has these two")]
pub enum Document {
    /// One image or artifact.
    Manifest(Box<Manifest>),
    /// A list of manifests.
    Index(Box<Index>),
}

/// A manifest: config, layers, subject and annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    media_type: Option<MediaType>,
    artifact_type: Option<MediaType>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    subject: Option<Descriptor>,
    annotations: HashMap<String, String>,
}

/// An index: descriptors of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    media_type: Option<MediaType>,
    artifact_type: Option<MediaType>,
    manifests: Vec<Descriptor>,
    unreadable: usize,
    subject: Option<Descriptor>,
    annotations: HashMap<String, String>,
}

impl Document {
    /// Reads `bytes` as the kind of document that `media_type` names.
    ///
    /// # Errors
    ///
    /// [`ManifestError`]: the JSON is ambiguous, a limit is exceeded, or the document is not what
    /// its media type says.
    pub fn read(
        media_type: &MediaType,
        bytes: &[u8],
        limits: &ManifestLimits,
    ) -> Result<Self, ManifestError> {
        if SCHEMA_1.contains(&media_type.as_ref()) {
            return Err(ManifestError::Schema1);
        }
        if media_type.as_ref() == ARTIFACT_MANIFEST {
            return Err(ManifestError::ArtifactManifest);
        }
        if !is_index(media_type) && !is_manifest(media_type) {
            return Err(ManifestError::NotAnImage {
                media_type: media_type.clone(),
            });
        }
        let wire = Wire::read(bytes, limits)?;
        wire.check_form(media_type)?;
        if is_index(media_type) {
            Ok(Self::Index(Box::new(wire.into_index()?)))
        } else {
            Ok(Self::Manifest(Box::new(wire.into_manifest()?)))
        }
    }

    /// Returns the manifest, where it is one.
    pub fn into_manifest(self) -> Option<Manifest> {
        match self {
            Self::Manifest(manifest) => Some(*manifest),
            Self::Index(_) => None,
        }
    }
}

impl Manifest {
    /// Returns the descriptor of the config; that of `{}` where the manifest names none.
    pub fn config(&self) -> &Descriptor {
        &self.config
    }

    /// Returns the layers, the base layer first.
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// Returns the manifest that this one refers to.
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// Returns the artifact type: the manifest's own, else the media type of its config, as the
    /// [guidelines](https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage)
    /// say.
    pub fn artifact_type(&self) -> &MediaType {
        let own = self.artifact_type.as_ref();
        own.unwrap_or_else(|| self.config.media_type())
    }

    /// Returns the annotations.
    pub fn annotations(&self) -> &HashMap<String, String> {
        &self.annotations
    }
}

impl Index {
    /// Makes an OCI index of `manifests`.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            media_type: Some(MediaType::ImageIndex),
            artifact_type: None,
            manifests,
            unreadable: 0,
            subject: None,
            annotations: HashMap::new(),
        }
    }

    /// Reads an index that need not name its media type: a list of referrers, or the `index.json`
    /// of a layout.
    ///
    /// `null` is an empty list. An entry that is no usable descriptor, such as one whose digest is of
    /// an algorithm other than [`DigestAlgorithm`](crate::DigestAlgorithm), is left out and counted by
    /// [`Index::unreadable`].
    ///
    /// # Errors
    ///
    /// [`ManifestError`], as for [`Document::read`].
    pub fn read(bytes: &[u8], limits: &ManifestLimits) -> Result<Self, ManifestError> {
        let wire = Wire::read(bytes, limits)?;
        let media_type = match wire.media_type() {
            Some(named) if is_index(&named) => named,
            Some(media_type) => return Err(ManifestError::NotAnImage { media_type }),
            None => MediaType::ImageIndex,
        };
        wire.check_form(&media_type)?;
        wire.into_index()
    }

    /// Returns the entries in their order.
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// Returns the entries.
    pub fn into_manifests(self) -> Vec<Descriptor> {
        self.manifests
    }

    /// Returns the number of entries that were left out, because they are no usable descriptors.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Returns the manifest that this index refers to.
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// Returns the artifact type.
    pub fn artifact_type(&self) -> Option<&MediaType> {
        self.artifact_type.as_ref()
    }

    /// Returns the annotations.
    pub fn annotations(&self) -> &HashMap<String, String> {
        &self.annotations
    }
}

impl Serialize for Index {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        wire::write_index(self, serializer)
    }
}

/// Finds the media type of a manifest or index that `bytes` and their `Content-Type` agree on,
/// without reading more of it than its keys.
///
/// A generic `Content-Type` such as `application/octet-stream` claims nothing. Documents without
/// `mediaType` are OCI documents; Docker's always have one.
///
/// # Errors
///
/// [`ManifestError`]: the JSON is ambiguous, the document is neither or both, or header and
/// content differ.
pub fn detect(bytes: &[u8], declared: Option<&MediaType>) -> Result<MediaType, ManifestError> {
    let header: wire::Header = json::object(bytes)?;
    let by_fields = header.by_fields()?;
    let declared = declared.filter(|declared| !is_generic(declared));
    let named = header.media_type();
    let detected = named.clone().unwrap_or_else(|| by_fields.clone());
    if let Some(declared) = declared.filter(|declared| **declared != detected) {
        let is_of_that_form = is_index(declared) || is_manifest(declared);
        if named.is_none() && is_of_that_form && is_index(declared) == is_index(&by_fields) {
            let declared = declared.clone();
            return Err(ManifestError::MissingMediaType { declared });
        }
        return Err(ManifestError::MediaTypeMismatch {
            declared: declared.clone(),
            found: detected,
        });
    }
    if !is_index(&detected) && !is_manifest(&detected) {
        return Err(ManifestError::NotAnImage {
            media_type: detected,
        });
    }
    if is_index(&detected) != is_index(&by_fields) {
        return Err(ManifestError::MediaTypeMismatch {
            declared: detected,
            found: by_fields,
        });
    }
    Ok(detected)
}

#[cfg(test)]
mod tests;
