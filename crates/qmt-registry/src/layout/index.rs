//! `index.json`: which images a layout has, and under which names.

use std::path::Path;

use qmt_oci_ref::{Descriptor, Digest, MediaType, Reference, Tag};
use serde::{Deserialize, Serialize};

use super::fault;
use crate::error::RegistryError;

/// The annotation that names an image: a tag, or a whole reference.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation in which containerd keeps the whole reference.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The images of a layout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    #[serde(default = "index_type")]
    media_type: MediaType,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: index_type(),
            manifests: Vec::new(),
        }
    }
}

impl Index {
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, RegistryError> {
        // A list would be read as the fields in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(fault(path, "an index in it is malformed", None));
        }
        let index: Self = serde_json::from_slice(bytes)
            .map_err(|cause| fault(path, "an index in it is malformed", Some(cause.into())))?;
        if index.schema_version != 2 || !index.media_type.is_index() {
            return Err(fault(
                path,
                "an index in it is of another version or kind",
                None,
            ));
        }
        Ok(index)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Descriptors always serialise: their maps have string keys.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn by_digest(&self, digest: &Digest) -> Option<&Descriptor> {
        self.manifests.iter().find(|image| image.digest() == digest)
    }

    /// The image that `reference` means by its tag.
    pub(super) fn by_name(
        &self,
        path: &Path,
        reference: &Reference,
    ) -> Result<Option<&Descriptor>, RegistryError> {
        let whole = reference.to_string();
        let is_whole = |image: &&Descriptor| {
            [REF_NAME, CONTAINERD_NAME].iter().any(|key| {
                image
                    .annotations()
                    .get(*key)
                    .is_some_and(|name| *name == whole)
            })
        };
        if let Some(image) = only_one(path, self.manifests.iter().filter(is_whole))? {
            return Ok(Some(image));
        }
        let latest = Tag::latest();
        let tag = reference.tag().unwrap_or(&latest);
        if let Some(image) = self.by_tag(path, tag.as_str())? {
            return Ok(Some(image));
        }
        match self.manifests.as_slice() {
            [image] if *tag == latest && name_of(image).is_none() => Ok(Some(image)),
            _ => Ok(None),
        }
    }

    /// The image with exactly this name.
    pub(super) fn by_tag(
        &self,
        path: &Path,
        tag: &str,
    ) -> Result<Option<&Descriptor>, RegistryError> {
        only_one(
            path,
            self.manifests
                .iter()
                .filter(|image| name_of(image) == Some(tag)),
        )
    }

    /// Lists `image`, whose name moves to it. An image without a name is listed once.
    pub(super) fn list(&mut self, image: Descriptor) {
        let name = name_of(&image).map(str::to_owned);
        if name.is_none() && self.by_digest(image.digest()).is_some() {
            return;
        }
        self.manifests.retain(|other| match name_of(other) {
            Some(other) => Some(other) != name.as_deref(),
            None => other.digest() != image.digest(),
        });
        self.manifests.push(image);
    }
}

fn name_of(image: &Descriptor) -> Option<&str> {
    image.annotations().get(REF_NAME).map(String::as_str)
}

/// Two images of one name are refused: other tools might take the other one.
fn only_one<'a>(
    path: &Path,
    images: impl Iterator<Item = &'a Descriptor>,
) -> Result<Option<&'a Descriptor>, RegistryError> {
    let mut found: Option<&Descriptor> = None;
    for image in images {
        if found.is_some_and(|found| found.digest() != image.digest()) {
            return Err(fault(path, "two of its images have the same name", None));
        }
        found = Some(image);
    }
    Ok(found)
}

fn index_type() -> MediaType {
    MediaType::new(MediaType::OCI_INDEX)
}
