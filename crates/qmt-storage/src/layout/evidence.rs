//! Signatures and attestations in a layout: under the tags that cosign makes of a digest, and where
//! `cosign save` puts them, which is next to the image, under the name of the image.

use std::collections::HashSet;

use qmt_oci_ref::manifest::{ClaimLimits, Claims};
use qmt_oci_ref::{Descriptor, Digest, RawManifest, Tag};

use super::{Layout, LayoutError, LayoutIndex, MANIFEST_MAX};

/// The annotation in which `cosign save` says what an entry of `index.json` is, as in
/// `dev.cosignproject.cosign/sigs`. Hauler writes `dev.hauler/sigs`.
const KIND: &str = "kind";
/// The kinds that are not images, and how the tags end under which registries have them.
const SUFFIXES: [(&str, &str); 3] = [("sigs", ".sig"), ("atts", ".att"), ("sboms", ".sbom")];

/// Most manifests that are read for one tag.
pub(super) const MANIFESTS_MAX: usize = 64;
/// Most bytes of all of them: 8 MiB.
const BYTES_MAX: u64 = 2 * MANIFEST_MAX;

impl Layout {
    /// Reads each manifest with the tag, which is one of signatures or attestations, as its name or in
    /// a whole reference, and those that `cosign save` wrote. None: the tag is absent. One that can't be
    /// read hides no other.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if `index.json` can't be read.
    pub fn resolve_all(
        &self,
        tag: &Tag,
    ) -> Result<Vec<Result<RawManifest, LayoutError>>, LayoutError> {
        let index = self.index()?;
        let mut entries: Vec<_> = index.with_tag(tag).collect();
        entries.extend(saved_by_cosign(&index, tag));
        // A small one is the more likely to be what is looked for.
        entries.sort_by_key(|entry| entry.size());
        let mut read = Vec::new();
        let mut bytes_left = BYTES_MAX;
        for (place, entry) in entries.iter().enumerate() {
            let left = bytes_left.checked_sub(entry.size());
            let (Some(left), true) = (left, place < MANIFESTS_MAX) else {
                let rule = "it lists more under one name than is read: 64 manifests, 8 MiB";
                read.push(Err(self.invalid(rule)));
                break;
            };
            bytes_left = left;
            let limit = entry.size().min(MANIFEST_MAX);
            let manifest = self.read_manifest(entry.digest(), Some(entry), limit);
            read.push(manifest.and_then(|manifest| {
                let rule = "its `index.json` lists an image whose manifest is missing";
                manifest.ok_or_else(|| self.invalid(rule))
            }));
        }
        let damaged = index.damaged_with_tag(self, tag);
        read.extend(damaged.into_iter().take(MANIFESTS_MAX).map(Err));
        Ok(read)
    }

    /// Returns the names of the images, `@` and the digest of those without one. Signatures and whatever
    /// else is about an image are left out.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if `index.json` can't be read.
    pub fn image_names(&self) -> Result<Vec<String>, LayoutError> {
        let index = self.index()?;
        let names = self.images_of(&index).into_iter().map(|image| {
            let name = LayoutIndex::name_of(image).map(str::to_owned);
            name.unwrap_or_else(|| Self::by_digest(image))
        });
        Ok(names.collect())
    }

    /// As [`Self::image_names`], with the tag of a name that is a whole reference, as
    /// [`Self::resolve_tag`] takes it. `@` and the digest where the tag means another image.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if `index.json` can't be read.
    pub fn image_tags(&self) -> Result<Vec<String>, LayoutError> {
        let index = self.index()?;
        let tags = self.images_of(&index).into_iter().enumerate();
        let tags = tags.map(|(place, image)| {
            let Some(name) = LayoutIndex::name_of(image) else {
                return Self::by_digest(image);
            };
            let Some(tag) = LayoutIndex::tag_in(name) else {
                return name.to_owned();
            };
            let means_it = || match index.by_any_name(self, &tag) {
                Ok(found) => found.is_some_and(|found| found.digest() == image.digest()),
                Err(_) => false,
            };
            if place >= MANIFESTS_MAX || means_it() {
                tag.to_string()
            } else {
                Self::by_digest(image)
            }
        });
        Ok(tags.collect())
    }

    fn by_digest(image: &Descriptor) -> String {
        format!("@{}", image.digest())
    }

    /// The entries that are images.
    fn images_of<'a>(&self, index: &'a LayoutIndex) -> Vec<&'a Descriptor> {
        let mut read = 0_usize;
        let images = index.images().iter().filter(|image| {
            if let Some(name) = LayoutIndex::name_of(image) {
                !is_evidence(image) && !stands_for_digest(name)
            } else {
                read = read.saturating_add(1);
                read > MANIFESTS_MAX || !self.has_subject(image)
            }
        });
        images.collect()
    }

    /// Reports whether an entry of `index` is signatures or something else that is about an image of
    /// it. An entry with a tag of its own is an image, even if it has a `subject`.
    pub fn is_about_another(&self, index: &LayoutIndex, entry: &Descriptor) -> bool {
        let is_listed = |subject: Digest| index.by_digest(&subject).is_some();
        is_evidence(entry)
            || match LayoutIndex::name_of(entry) {
                Some(name) if !name.contains('@') => stands_for_digest(name),
                Some(_) | None => self.subject_of(entry).is_some_and(is_listed),
            }
    }

    /// Reports whether the manifest says that it is about another one.
    pub(super) fn has_subject(&self, image: &Descriptor) -> bool {
        self.subject_of(image).is_some()
    }

    /// The manifest that this one says that it is about.
    fn subject_of(&self, image: &Descriptor) -> Option<Digest> {
        let bytes = self.blob(image.digest()).ok()??.read_all(MANIFEST_MAX);
        let claims = Claims::read(&bytes.ok()?, ClaimLimits::nothing());
        claims.ok()?.subject
    }
}

/// Reports whether the tag in a name is one that cosign or the referrers tag schema makes of a digest.
fn stands_for_digest(name: &str) -> bool {
    let tag = name.rsplit(':').next().unwrap_or(name);
    tag.parse().is_ok_and(|tag: Tag| tag.stands_for_digest())
}

/// Reports whether `cosign save` marked the entry as signatures, attestations or SBOMs.
pub(super) fn is_evidence(entry: &Descriptor) -> bool {
    SUFFIXES.iter().any(|(kind, _)| is_kind(entry, kind))
}

fn is_kind(entry: &Descriptor, kind: &str) -> bool {
    let named = entry.annotation(KIND);
    named.and_then(|named| Some(named.rsplit_once('/')?.1)) == Some(kind)
}

/// The entries that `cosign save` wrote for the digest that `tag` is made of: they have the name of
/// the image, or no name that says whose they are.
fn saved_by_cosign<'a>(index: &'a LayoutIndex, tag: &Tag) -> Vec<&'a Descriptor> {
    let of_kind =
        |(kind, suffix): &(&'static str, &str)| Some((*kind, tag.as_str().strip_suffix(suffix)?));
    let Some((kind, subject)) = SUFFIXES.iter().find_map(of_kind) else {
        return Vec::new();
    };
    // A prefix of the tag is the choice of the reader.
    let is_subject = |image: &Descriptor| {
        let digest = image.digest();
        subject.ends_with(&format!("{}-{}", digest.algorithm(), digest.hex()))
    };
    let (mut own_names, mut other_names) = (HashSet::new(), HashSet::new());
    for image in index.images().iter().filter(|image| !is_evidence(image)) {
        let names = if is_subject(image) {
            &mut own_names
        } else {
            &mut other_names
        };
        names.insert(LayoutIndex::name_of(image));
    }
    let is_theirs = |name| {
        let is_of_other = other_names.contains(&Some(name)) || stands_for_digest(name);
        own_names.contains(&Some(name)) || !is_of_other
    };
    let entries = index.images().iter();
    entries
        .filter(|entry| !own_names.is_empty() && is_kind(entry, kind))
        .filter(|entry| LayoutIndex::name_of(entry).is_none_or(is_theirs))
        .collect()
}
