//! The referrers of a digest: images listed with that `subject`, and the referrers tag schema.

use qmt_oci_ref::manifest::{ClaimLimits, ClaimedEntries, Claims, DescriptorSet};
use qmt_oci_ref::{Descriptor, Digest, Tag};

use super::evidence::MANIFESTS_MAX;
use super::{Layout, LayoutError, MANIFEST_MAX};

/// Most images of a layout that are searched.
const SEARCHED_MAX: usize = 100_000;

/// What refers to a digest, as far as it could be read.
#[derive(Debug, Default)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a result that callers take apart"
)]
pub struct Referrers {
    /// The descriptors, each digest once. All of them are only claims.
    pub listed: Vec<Descriptor>,
    /// The first reason why these are not all.
    pub missing: Option<LayoutError>,
}

impl Layout {
    /// Returns what refers to `subject`, at most `limit` descriptors: the images that `index.json`
    /// lists with this subject, and those that the tag schema lists. One that cannot be read hides
    /// no other.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if `index.json` cannot be read.
    pub fn referrers(&self, subject: &Digest, limit: usize) -> Result<Referrers, LayoutError> {
        let index = self.index()?;
        let mut search = Search {
            limit,
            subject,
            annotations_left: ClaimLimits::REFERRERS_ANNOTATIONS,
            listed: DescriptorSet::new(limit),
            missing: None,
        };
        if index.images().len() > SEARCHED_MAX {
            search.too_many("images next to it in its layout", SEARCHED_MAX);
        }
        for listed in index.images().iter().take(SEARCHED_MAX) {
            match search.as_referrer(self, listed) {
                Ok(Some(referrer)) => search.add(referrer),
                Ok(None) => {}
                Err(error) => search.miss(error),
            }
        }
        let tag = Tag::for_referrers(subject);
        let mut lists: Vec<_> = index.with_tag(&tag).collect();
        lists.sort_by_key(|list| list.size());
        if lists.len() > MANIFESTS_MAX {
            search.too_many("lists of referrers", MANIFESTS_MAX);
        }
        for list in lists.into_iter().take(MANIFESTS_MAX) {
            if let Err(error) = self.add_tagged(list.digest(), &mut search) {
                search.miss(error);
            }
        }
        for error in index.damaged_with_tag(self, &tag) {
            search.miss(error);
        }
        Ok(Referrers {
            listed: search.listed.into_vec(),
            missing: search.missing,
        })
    }

    /// Adds what a list of the tag schema names.
    fn add_tagged(&self, digest: &Digest, search: &mut Search<'_>) -> Result<(), LayoutError> {
        // Some registries take the tag for the digest, and so do copies of what they hold.
        if digest == search.subject {
            return Ok(());
        }
        let Some(claims) = search.read(self, digest, usize::MAX)? else {
            return Ok(());
        };
        if claims.is_index() {
            search.add_all(claims.manifests.unwrap_or_default());
        }
        Ok(())
    }
}

/// A search for the referrers of one digest.
struct Search<'a> {
    limit: usize,
    subject: &'a Digest,
    annotations_left: usize,
    listed: DescriptorSet,
    missing: Option<LayoutError>,
}

impl Search<'_> {
    fn miss(&mut self, error: LayoutError) {
        self.missing.get_or_insert(error);
    }

    fn too_many(&mut self, what: &'static str, limit: usize) {
        let subject = self.subject.clone();
        self.miss(LayoutError::TooMany {
            what,
            limit,
            subject,
        });
    }

    fn add(&mut self, referrer: Descriptor) {
        if !self.listed.add(referrer) {
            self.too_many("referrers", self.limit);
        }
    }

    fn add_all(&mut self, list: ClaimedEntries) {
        let is_cut = list.count > list.read.len();
        self.annotations_left = self.annotations_left.saturating_sub(list.annotation_bytes);
        let (mut count, mut first) = (0_usize, None);
        for entry in list.read {
            match entry {
                Ok(entry) => self.add(entry.descriptor),
                Err(rule) => {
                    count = count.saturating_add(1);
                    first.get_or_insert(rule);
                }
            }
        }
        if is_cut {
            self.too_many("referrers", self.limit);
        }
        if let Some(rule) = first {
            let subject = self.subject.clone();
            self.miss(LayoutError::Entries {
                subject,
                count,
                rule,
            });
        }
    }

    /// Reads what `digest` claims, with at most `entries` entries of a list.
    fn read(
        &mut self,
        layout: &Layout,
        digest: &Digest,
        entries: usize,
    ) -> Result<Option<Claims>, LayoutError> {
        let Some(file) = layout.blob(digest)? else {
            return Ok(None); // A sparse layout: an absent manifest refers to nothing.
        };
        let bytes = file.read_all(MANIFEST_MAX)?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            let expected = digest.clone();
            return Err(LayoutError::Digest { expected, actual });
        }
        let limits = ClaimLimits {
            entries: entries.min(self.limit.saturating_add(1)),
            both_ends: false,
            annotations_each: ClaimLimits::REFERRER_ANNOTATIONS,
            annotations_all: self.annotations_left,
            annotation_names: None,
        };
        // What is not a manifest refers to nothing.
        Ok(Claims::read(&bytes, limits).ok())
    }

    /// The descriptor that the referrers API of a registry would return, if `listed` refers to
    /// the subject.
    fn as_referrer(
        &mut self,
        layout: &Layout,
        listed: &Descriptor,
    ) -> Result<Option<Descriptor>, LayoutError> {
        if listed.size() > MANIFEST_MAX {
            return Ok(None);
        }
        let Some(claims) = self.read(layout, listed.digest(), 0)? else {
            return Ok(None);
        };
        if claims.subject.as_ref() != Some(self.subject) {
            return Ok(None);
        }
        let digest = listed.digest().clone();
        let mut found = Descriptor::new(listed.media_type().clone(), digest, listed.size());
        if let Some(artifact_type) = claims.artifact_type.or(claims.config_type) {
            found = found.with_artifact_type(artifact_type);
        }
        let mut annotations = claims.annotations;
        let bytes: usize = annotations.iter().map(|(k, v)| k.len() + v.len()).sum();
        match self.annotations_left.checked_sub(bytes) {
            Some(left) => self.annotations_left = left,
            None => annotations.clear(),
        }
        Ok(Some(
            annotations.into_iter().fold(found, |found, (name, value)| {
                found.with_annotation(name, value)
            }),
        ))
    }
}
