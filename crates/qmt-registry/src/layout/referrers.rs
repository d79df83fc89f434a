//! What refers to a digest: by `subject` in the images that a layout lists, and by the tag schema.

use qmt_oci_ref::{Descriptor, Digest, MediaType, PinnedReference, Tag};
use serde::Deserialize;

use super::Inner;
use super::index::Index;
use crate::error::RegistryError;
use crate::limits::{LAYOUT_SEARCHED_MAX, MANIFEST_MAX, REFERRERS_MAX};

impl Inner {
    /// What `index.json` lists with this `subject`, and what the tag schema lists. Both are only
    /// claims, like a registry's answer.
    pub(super) fn referrers(
        &self,
        subject: &PinnedReference,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let index = self.index()?;
        let too_many = |what, limit: usize| RegistryError::TooMany {
            what,
            limit: limit as u64,
            subject: subject.to_string(),
        };
        if index.manifests.len() > LAYOUT_SEARCHED_MAX {
            return Err(too_many(
                "images beside it in its layout",
                LAYOUT_SEARCHED_MAX,
            ));
        }
        let mut found: Vec<Descriptor> = Vec::new();
        for listed in &index.manifests {
            found.extend(self.as_referrer(listed, subject.digest())?);
        }
        if let Ok(tag) = Tag::for_digest(subject.digest(), "")
            && let Some(list) = index.by_tag(&self.path, tag.as_str())?
        {
            let what = subject.to_string();
            let list = self.manifest(&what, list.digest(), Some(list), MANIFEST_MAX)?;
            found.extend(Index::read(&self.path, list.bytes())?.manifests);
        }
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|referrer| seen.insert(referrer.digest().clone()));
        if found.len() > REFERRERS_MAX {
            return Err(too_many("referrers", REFERRERS_MAX));
        }
        Ok(found)
    }

    /// The descriptor that a referrers API would give, if `listed` refers to `subject`.
    fn as_referrer(
        &self,
        listed: &Descriptor,
        subject: &Digest,
    ) -> Result<Option<Descriptor>, RegistryError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Referrer {
            subject: Option<Descriptor>,
            artifact_type: Option<MediaType>,
            config: Option<Descriptor>,
            #[serde(default)]
            annotations: qmt_oci_ref::Annotations,
        }
        if listed.size() > MANIFEST_MAX {
            return Ok(None);
        }
        let Some(bytes) = self.source.read_blob(listed.digest(), MANIFEST_MAX)? else {
            return Ok(None); // A sparse layout: what is not there refers to nothing.
        };
        let Ok(manifest) = serde_json::from_slice::<Referrer>(&bytes) else {
            return Ok(None);
        };
        if manifest
            .subject
            .is_none_or(|claimed| claimed.digest() != subject)
        {
            return Ok(None);
        }
        let digest = listed.digest().clone();
        let mut found = Descriptor::new(listed.media_type().clone(), digest, listed.size());
        let config = manifest.config.map(|config| config.media_type().clone());
        if let Some(artifact_type) = manifest.artifact_type.or(config) {
            found = found.with_artifact_type(artifact_type);
        }
        let annotations = manifest.annotations.into_iter();
        Ok(Some(annotations.fold(found, |found, (name, value)| {
            found.with_annotation(name, value)
        })))
    }
}
