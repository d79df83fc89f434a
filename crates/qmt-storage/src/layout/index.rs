//! `index.json`: the images of a layout, and their names.

use std::path::Path;

use qmt_oci_ref::manifest::{Index, ManifestError, ManifestLimits};
use qmt_oci_ref::{Descriptor, Digest, Reference, Tag};

use super::LayoutError;
use super::evidence::is_evidence;

/// The annotation that names an image: a tag, or a whole reference.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation in which containerd stores the whole reference.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The images of a layout. An image may be listed under several names. Signatures that `cosign save`
/// wrote under the name of their image are listed as well; a name never means them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutIndex {
    images: Vec<Descriptor>,
    /// Entries that were left out; see [`Index::unreadable`].
    unreadable: usize,
}

impl LayoutIndex {
    /// Largest `index.json` that is read: 32 MiB, room for about 100,000 images.
    pub const BYTES_MAX: u64 = ManifestLimits::for_layouts().bytes();

    /// Reads the content of an `index.json`.
    ///
    /// # Errors
    /// [`ManifestError`] if it is not an index.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        let index = Index::read(bytes, &ManifestLimits::for_layouts())?;
        let unreadable = index.unreadable();
        let images = index.into_manifests();
        Ok(Self { images, unreadable })
    }

    /// Returns the content of the `index.json`.
    pub fn to_json(&self) -> Vec<u8> {
        // Descriptors always serialise: their maps have string keys.
        serde_json::to_vec(&Index::new(self.images.clone())).unwrap_or_default()
    }

    /// Reports whether entries were left out, so that writing it would remove them.
    pub(super) fn has_unreadable(&self) -> bool {
        self.unreadable > 0
    }

    /// Returns the images in their order.
    pub fn images(&self) -> &[Descriptor] {
        &self.images
    }

    /// Returns the name under which `image` is listed: a tag, or a whole reference.
    pub fn name_of(image: &Descriptor) -> Option<&str> {
        image.annotation(REF_NAME)
    }

    /// Returns the whole reference under which `image` is listed: as its name, or in containerd's
    /// annotation, which docker writes next to the tag.
    pub fn reference_of(image: &Descriptor) -> Option<&str> {
        let names = [REF_NAME, CONTAINERD_NAME].map(|key| image.annotation(key));
        names.into_iter().flatten().find(|name| name.contains('/'))
    }

    /// Returns the first image with that digest.
    pub fn by_digest(&self, digest: &Digest) -> Option<&Descriptor> {
        self.images.iter().find(|image| image.digest() == digest)
    }

    /// Returns the image that `reference` names: by the whole reference, else by its tag. Without
    /// digest and tag, or with the tag `latest`, a single image without a name is meant as well.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if two images have that name: other tools might take the other one.
    pub(super) fn by_reference(
        &self,
        path: &Path,
        reference: &Reference,
    ) -> Result<Option<&Descriptor>, LayoutError> {
        let whole = reference.to_string();
        let is_whole = |image: &&Descriptor| {
            let names = [REF_NAME, CONTAINERD_NAME].map(|key| image.annotation(key));
            names.contains(&Some(whole.as_str()))
        };
        if let Some(image) = only_one(path, &whole, self.named().filter(is_whole))? {
            return Ok(Some(image));
        }
        let latest = Tag::latest();
        let tag = reference.tag().unwrap_or(&latest);
        Ok(self.by_tag(path, tag)?.or_else(|| self.alone(tag)))
    }

    /// Returns the image with the tag: by its name, else by the tag in whole references, as skopeo
    /// writes them. `latest` means a single image without a name as well.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if two images have the tag.
    pub(super) fn by_any_name(
        &self,
        path: &Path,
        tag: &Tag,
    ) -> Result<Option<&Descriptor>, LayoutError> {
        only_one(path, tag.as_str(), self.all_by_any_name(tag).into_iter())
    }

    /// Returns all images with the tag, as [`Self::by_any_name`] looks for one.
    pub(super) fn all_by_any_name(&self, tag: &Tag) -> Vec<&Descriptor> {
        let exact: Vec<_> = self.by_exact_name(tag).collect();
        if !exact.is_empty() {
            return exact;
        }
        let has_tag = |image: &&Descriptor| {
            let names = [REF_NAME, CONTAINERD_NAME].map(|key| image.annotation(key));
            names
                .into_iter()
                .flatten()
                .any(|name| tag_of(name) == Some(tag.as_str()))
        };
        let whole: Vec<_> = self.named().filter(has_tag).collect();
        if whole.is_empty() {
            return self.alone(tag).into_iter().collect();
        }
        whole
    }

    /// The images that a name can mean.
    fn named(&self) -> impl Iterator<Item = &Descriptor> {
        self.images.iter().filter(|image| !is_evidence(image))
    }

    fn by_exact_name(&self, tag: &Tag) -> impl Iterator<Item = &Descriptor> {
        self.named()
            .filter(|image| Self::name_of(image) == Some(tag.as_str()))
    }

    /// The single image without a name, which `latest` means.
    fn alone(&self, tag: &Tag) -> Option<&Descriptor> {
        let mut images = self.named();
        match (images.next(), images.next()) {
            (Some(image), None) if *tag == Tag::latest() && Self::name_of(image).is_none() => {
                Some(image)
            }
            _ => None,
        }
    }

    /// Returns the image whose name is exactly `tag`.
    pub(super) fn by_tag(
        &self,
        path: &Path,
        tag: &Tag,
    ) -> Result<Option<&Descriptor>, LayoutError> {
        only_one(path, tag.as_str(), self.by_exact_name(tag))
    }

    /// Lists `image` under `name`, which no other image keeps; without a name it is listed once.
    /// Reports whether the index changed.
    pub fn list(&mut self, image: Descriptor, name: Option<&str>) -> bool {
        let image = match name {
            Some(name) => image.with_annotation(REF_NAME, name),
            None => image,
        };
        let Some(name) = Self::name_of(&image) else {
            let is_listed = self.by_digest(image.digest()).is_some();
            if !is_listed {
                self.images.push(image);
            }
            return !is_listed;
        };
        // What else has the name, and the same image without one.
        let is_replaced = |other: &Descriptor| match Self::name_of(other) {
            Some(other_name) => other_name == name && *other != image,
            None => other.digest() == image.digest(),
        };
        if self.images.contains(&image) && !self.images.iter().any(is_replaced) {
            return false;
        }
        self.images
            .retain(|other| *other != image && !is_replaced(other));
        self.images.push(image);
        true
    }

    /// Removes the images for which `is_kept` is false. Reports whether the index changed.
    pub fn retain(&mut self, is_kept: impl Fn(&Descriptor) -> bool) -> bool {
        let before = self.images.len();
        self.images.retain(is_kept);
        self.images.len() != before
    }
}

/// The tag in a whole reference.
fn tag_of(name: &str) -> Option<&str> {
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => Some(tag),
        _ => name.contains('/').then_some("latest"),
    }
}

fn only_one<'a>(
    path: &Path,
    name: &str,
    images: impl Iterator<Item = &'a Descriptor>,
) -> Result<Option<&'a Descriptor>, LayoutError> {
    let mut found: Option<&Descriptor> = None;
    for image in images {
        if let Some(found) = found
            && found.digest() != image.digest()
        {
            let (one, two) = (found.digest(), image.digest());
            let ambiguous = LayoutError::because(path, "two of its images have the same name");
            return Err(ambiguous(format!(
                "`{name}` is the name of `{one}` and of `{two}`; choose one by its digest: `@{one}`"
            )));
        }
        found = Some(image);
    }
    Ok(found)
}
