//! The referrers of a digest: images listed with that `subject`, and the referrers tag schema.

use std::collections::BTreeSet;

use qmt_oci_ref::manifest::{Document, Index, ManifestLimits};
use qmt_oci_ref::{Descriptor, Digest, RawManifest, Tag};

use super::{Layout, LayoutError, MANIFEST_MAX};

/// Most images of a layout that are searched.
const SEARCHED_MAX: usize = 100_000;

impl Layout {
    /// Returns the descriptors of what refers to `subject`, each digest once: the images that
    /// `index.json` lists with this subject, and those that the tag schema lists. All of them are
    /// only claims, as in the answer of a registry.
    ///
    /// # Errors
    /// [`LayoutError::TooMany`] above `limit` referrers or 100,000 images; other variants if the
    /// list of the tag schema is not an index.
    pub fn referrers(
        &self,
        subject: &Digest,
        limit: usize,
    ) -> Result<Vec<Descriptor>, LayoutError> {
        let index = self.index()?;
        let too_many = |what, limit| LayoutError::TooMany {
            what,
            limit,
            subject: subject.clone(),
        };
        if index.images().len() > SEARCHED_MAX {
            return Err(too_many("images next to it in its layout", SEARCHED_MAX));
        }
        let mut found: Vec<Descriptor> = Vec::new();
        for listed in index.images() {
            found.extend(self.as_referrer(listed, subject)?);
        }
        if let Ok(tag) = Tag::for_digest(subject, "")
            && let Some(list) = index.by_tag(&self.path, &tag)?
            && let Some(list) = self.read_manifest(list.digest(), Some(list), MANIFEST_MAX)?
        {
            let entries = Index::read(list.bytes(), &ManifestLimits::for_layouts());
            let entries = entries.map_err(|source| LayoutError::Manifest {
                digest: list.digest().clone(),
                source,
            })?;
            found.extend(entries.into_manifests());
        }
        let mut seen = BTreeSet::new();
        found.retain(|referrer| seen.insert(referrer.digest().clone()));
        if found.len() > limit {
            return Err(too_many("referrers", limit));
        }
        Ok(found)
    }

    /// The descriptor that the referrers API of a registry would return, if `listed` refers to
    /// `subject`.
    fn as_referrer(
        &self,
        listed: &Descriptor,
        subject: &Digest,
    ) -> Result<Option<Descriptor>, LayoutError> {
        if listed.size() > MANIFEST_MAX {
            return Ok(None);
        }
        let Some(file) = self.blob(listed.digest())? else {
            return Ok(None); // A sparse layout: an absent manifest refers to nothing.
        };
        let bytes = file.read_all(MANIFEST_MAX)?;
        let Ok(raw) = RawManifest::read(bytes.into(), None, listed.digest().algorithm()) else {
            return Ok(None);
        };
        let limits = if raw.is_index() {
            ManifestLimits::default()
        } else {
            ManifestLimits::for_signatures()
        };
        let (claimed, artifact_type, annotations) =
            match Document::read(raw.media_type(), raw.bytes(), &limits) {
                Ok(Document::Manifest(manifest)) => (
                    manifest.subject().cloned(),
                    Some(manifest.artifact_type().clone()),
                    manifest.annotations().clone(),
                ),
                Ok(Document::Index(index)) => (
                    index.subject().cloned(),
                    index.artifact_type().cloned(),
                    index.annotations().clone(),
                ),
                Err(_) => return Ok(None),
            };
        if claimed.is_none_or(|claimed| claimed.digest() != subject) {
            return Ok(None);
        }
        let digest = listed.digest().clone();
        let mut found = Descriptor::new(listed.media_type().clone(), digest, listed.size());
        if let Some(artifact_type) = artifact_type {
            found = found.with_artifact_type(artifact_type);
        }
        Ok(Some(
            annotations.into_iter().fold(found, |found, (name, value)| {
                found.with_annotation(name, value)
            }),
        ))
    }
}
