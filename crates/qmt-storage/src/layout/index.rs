//! `index.json`: the images of a layout, and their names.

use std::collections::HashMap;

use qmt_oci_ref::manifest::{Index, ManifestError, ManifestLimits};
use qmt_oci_ref::{Descriptor, Digest, Reference, Tag};

use super::damaged::{self, DamagedEntry};
use super::evidence::{MANIFESTS_MAX, is_evidence};
use super::{Layout, LayoutError};

/// The annotation that names an image: a tag, or a whole reference.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation in which containerd stores the whole reference.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The annotations that hold names.
pub(super) const NAMES: [&str; 2] = [REF_NAME, CONTAINERD_NAME];

/// The images of a layout. An image may be listed under several names. Signatures that `cosign save`
/// wrote under the name of their image are listed as well; a name never means them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutIndex {
    images: Vec<Descriptor>,
    /// Entries that were left out; see [`Index::unreadable`].
    damaged: Vec<DamagedEntry>,
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
        let damaged = if index.unreadable() > 0 {
            damaged::read(bytes)?
        } else {
            Vec::new()
        };
        let images = index.into_manifests();
        Ok(Self { images, damaged })
    }

    /// Returns the content of the `index.json`.
    pub fn to_json(&self) -> Vec<u8> {
        // Descriptors always serialise: their maps have string keys.
        serde_json::to_vec(&Index::new(self.images.clone())).unwrap_or_default()
    }

    /// Reports whether entries were left out, so that writing it would remove them.
    pub(super) fn has_unreadable(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// Returns the images in their order.
    pub fn images(&self) -> &[Descriptor] {
        &self.images
    }

    /// Returns the name under which `image` is listed: a tag, or a whole reference. An empty text is
    /// not a name.
    pub fn name_of(image: &Descriptor) -> Option<&str> {
        name_in(image.annotations(), REF_NAME)
    }

    /// Returns the whole reference under which `image` is listed: as its name, or in containerd's
    /// annotation, which docker writes next to the tag.
    pub fn reference_of(image: &Descriptor) -> Option<&str> {
        names_in(image.annotations()).find(|name| name.contains('/'))
    }

    /// Returns the tag in a name, which is a tag or a whole reference.
    pub(super) fn tag_in(name: &str) -> Option<Tag> {
        tag_of(name).unwrap_or(name).parse().ok()
    }

    /// Returns the first image with that digest.
    pub fn by_digest(&self, digest: &Digest) -> Option<&Descriptor> {
        self.images.iter().find(|image| image.digest() == digest)
    }

    /// Returns the image that `reference` names: by the whole reference, else by its tag. Without
    /// digest and tag, or with the tag `latest`, a single image without a name is meant as well.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if two images have that name, because other tools might take the other
    /// one, and [`LayoutError::DamagedEntry`].
    pub(super) fn by_reference(
        &self,
        layout: &Layout,
        reference: &Reference,
    ) -> Result<Option<&Descriptor>, LayoutError> {
        let whole = reference.to_string();
        let is_whole =
            |image: &&Descriptor| names_in(image.annotations()).any(|name| name == whole);
        if let Some(image) = only_one(layout, &whole, self.named().filter(is_whole))? {
            return Ok(Some(image));
        }
        let latest = Tag::latest();
        let tag = reference.tag().unwrap_or(&latest);
        let with_tag = only_one(layout, tag.as_str(), self.by_exact_name(tag))?;
        let found = with_tag.or_else(|| self.alone(tag));
        let damaged = |name: &str| name == whole || name == tag.as_str();
        self.unless_damaged(layout, tag, damaged, found)
    }

    /// Returns the image with the tag: by its name, else by the tag in whole references, as skopeo
    /// writes them. `latest` means a single image without a name as well.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if two images have the tag, and [`LayoutError::DamagedEntry`].
    pub(super) fn by_any_name(
        &self,
        layout: &Layout,
        tag: &Tag,
    ) -> Result<Option<&Descriptor>, LayoutError> {
        let mut images: Vec<_> = self.by_exact_name(tag).collect();
        if images.is_empty() {
            let with_tag = self.with_tag(tag);
            images = with_tag.filter(|image| !is_evidence(image)).collect();
        }
        let found = only_one(layout, tag.as_str(), images.into_iter())?;
        let found = found.or_else(|| self.alone(tag));
        self.unless_damaged(layout, tag, |name| has_tag(name, tag), found)
    }

    /// Returns all entries with the tag, alone or in a whole reference, also those of signatures.
    pub(super) fn with_tag(&self, tag: &Tag) -> impl Iterator<Item = &Descriptor> {
        let entries = self.images.iter();
        entries.filter(|entry| names_in(entry.annotations()).any(|name| has_tag(name, tag)))
    }

    /// Returns the error of each damaged entry with the tag.
    pub(super) fn damaged_with_tag(&self, layout: &Layout, tag: &Tag) -> Vec<LayoutError> {
        self.errors(layout, tag, |name| has_tag(name, tag))
            .collect()
    }

    fn errors(
        &self,
        layout: &Layout,
        tag: &Tag,
        is_name: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = LayoutError> {
        // What a single image without a name would be.
        let is_latest = *tag == Tag::latest() && self.images.is_empty() && self.damaged.len() == 1;
        let is_meant = move |entry: &&DamagedEntry| {
            names_in(&entry.names).any(&is_name)
                || (is_latest && names_in(&entry.names).next().is_none())
        };
        let entries = self.damaged.iter().filter(is_meant);
        entries.map(|entry| LayoutError::DamagedEntry {
            path: layout.path().to_owned(),
            tag: tag.clone(),
            cause: entry.cause.clone(),
        })
    }

    /// Returns what was found for a tag, or the error of a damaged entry if nothing was found.
    fn unless_damaged<'a>(
        &'a self,
        layout: &Layout,
        tag: &Tag,
        is_name: impl Fn(&str) -> bool,
        found: Option<&'a Descriptor>,
    ) -> Result<Option<&'a Descriptor>, LayoutError> {
        if found.is_some() {
            return Ok(found);
        }
        match self.errors(layout, tag, is_name).next() {
            Some(error) => Err(error),
            None => Ok(None),
        }
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

/// Returns the value of an annotation that holds a name, if it is not empty.
fn name_in<'a>(annotations: &'a HashMap<String, String>, key: &str) -> Option<&'a str> {
    let name = annotations.get(key).map(String::as_str);
    name.filter(|name| !name.is_empty())
}

/// Returns the names of an entry, the most complete one first. Where it has a name of its own that is
/// not a plain tag, containerd's annotation counts only if it names the same: hauler stores the name
/// of the image there for its signatures too.
fn names_in(annotations: &HashMap<String, String>) -> impl Iterator<Item = &str> {
    let own = name_in(annotations, REF_NAME);
    let whole = name_in(annotations, CONTAINERD_NAME);
    let is_tag = |own: &str| own.parse().is_ok_and(|tag: Tag| !tag.stands_for_digest());
    let whole = whole.filter(|whole| own.is_none_or(|own| is_tag(own) || is_end_of(own, whole)));
    whole.into_iter().chain(own)
}

/// Reports whether `own` is a whole reference, or its last parts.
fn is_end_of(own: &str, whole: &str) -> bool {
    let start = whole.strip_suffix(own);
    let is_end = start.is_some_and(|start| start.is_empty() || start.ends_with(['/', ':', '@']));
    is_end || tag_of(whole) == Some(own)
}

/// Reports whether a name is the tag, or a whole reference with that tag.
fn has_tag(name: &str, tag: &Tag) -> bool {
    name == tag.as_str() || tag_of(name) == Some(tag.as_str())
}

/// The tag in a whole reference.
fn tag_of(name: &str) -> Option<&str> {
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => Some(tag),
        _ => name.contains('/').then_some("latest"),
    }
}

/// Returns the image with a name that all of `images` have. If there are several, those that have it
/// from containerd do not count if their own name is another one, or if they are about another image.
fn only_one<'a>(
    layout: &Layout,
    name: &str,
    images: impl Iterator<Item = &'a Descriptor>,
) -> Result<Option<&'a Descriptor>, LayoutError> {
    let mut images: Vec<_> = images.collect();
    if two_of(&images).is_some() && images.len() <= MANIFESTS_MAX {
        let is_meant = |image: &&&Descriptor| match LayoutIndex::name_of(image) {
            Some(own) => {
                let whole = name_in(image.annotations(), CONTAINERD_NAME);
                let is_same = whole.is_some_and(|whole| is_end_of(own, whole));
                own == name || tag_of(own) == Some(name) || is_same
            }
            None => !layout.has_subject(image),
        };
        let meant: Vec<_> = images.iter().filter(is_meant).copied().collect();
        if !meant.is_empty() {
            images = meant;
        }
    }
    let Some((one, two)) = two_of(&images) else {
        return Ok(images.first().copied());
    };
    let ambiguous = LayoutError::because(layout.path(), "two of its images have the same name");
    Err(ambiguous(format!(
        "`{name}` is the name of `{one}` and of `{two}`; choose one by its digest: `@{one}`"
    )))
}

/// Returns two different digests, if there are.
fn two_of<'a>(images: &[&'a Descriptor]) -> Option<(&'a Digest, &'a Digest)> {
    let one = images.first()?.digest();
    let other = images.iter().find(|image| image.digest() != one)?;
    Some((one, other.digest()))
}
