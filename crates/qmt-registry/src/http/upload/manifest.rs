//! Publishing a manifest, and entering it into its subject's list.

use http::{HeaderName, Method, header};
use qmt_oci_ref::{Descriptor, PinnedReference, Reference, Repository};

use super::super::index_media_type;
use super::super::referrers::by_tag;
use super::super::request::{Answer, Payload, send};
use super::super::retry::Attempts;
use super::{Upload, check_digest};
use crate::error::RegistryError;
use crate::redact::RedactedUrl;
use crate::referrers::{ReferrersIndex, annotations_of, fallback_tag, subject_of};
use crate::registry::RawManifest;

/// Says that the registry entered a manifest into its subject's list by itself.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// How often a list that somebody else changed at the same time is changed again.
const LIST_TRIES: usize = 3;

impl Upload<'_> {
    /// Sends a manifest, and enters it into its subject's list where the registry does not.
    ///
    /// # Errors
    ///
    /// As the trait's `push_manifest`.
    pub(crate) async fn manifest(
        &self,
        to: &Reference,
        manifest: &RawManifest,
        attempts: &mut Attempts,
    ) -> Result<PinnedReference, RegistryError> {
        let digest = manifest.digest();
        if let Some(expected) = to.digest()
            && expected != digest
        {
            let (expected, actual) = (expected.clone(), digest.clone());
            return Err(RegistryError::DigestMismatch { expected, actual });
        }
        let name = to
            .tag()
            .map_or_else(|| digest.to_string(), |tag| tag.as_str().to_owned());
        let answer = self
            .put_manifest(to.repository(), &name, manifest, attempts)
            .await?;
        check_digest(&answer, digest)?;
        if !answer.headers().contains_key(SUBJECT) {
            let refuse = |source| RegistryError::NotAManifest {
                what: to.to_string(),
                fault: "its `subject` can't be read",
                source: Some(source),
            };
            let (subject, artifact_type) = subject_of(manifest.bytes()).map_err(refuse)?;
            if let Some(subject) = subject {
                let subject =
                    PinnedReference::new(to.repository().clone(), subject.digest().clone());
                let mut entry = manifest.descriptor();
                if let Some(artifact_type) = artifact_type {
                    entry = entry.with_artifact_type(artifact_type);
                }
                for (name, value) in annotations_of(manifest.bytes()) {
                    entry = entry.with_annotation(name, value);
                }
                self.enter(&subject, entry, attempts).await?;
            }
        }
        Ok(to.with_digest(digest.clone()))
    }

    async fn put_manifest(
        &self,
        to: &Repository,
        name: &str,
        manifest: &RawManifest,
        attempts: &mut Attempts,
    ) -> Result<Answer, RegistryError> {
        let url = self.endpoint.url(to, &format!("manifests/{name}"));
        let mut call = self.call(to, Method::PUT, url);
        call.payload = Payload::Bytes(manifest.bytes().clone());
        let call = call.header(header::CONTENT_TYPE, manifest.media_type().as_str());
        send(self.context, self.auth, &call, &[200, 201], attempts).await
    }

    /// Adds `entry` to the list under the subject's tag. Two writers can overwrite one another, so
    /// the list is read again afterwards.
    async fn enter(
        &self,
        subject: &PinnedReference,
        entry: Descriptor,
        attempts: &mut Attempts,
    ) -> Result<(), RegistryError> {
        let Ok(tag) = fallback_tag(subject) else {
            return Ok(());
        };
        for _ in 0..LIST_TRIES {
            let listed = by_tag(self.context, self.auth, self.endpoint, subject, attempts).await?;
            let mut list = listed.map(|index| index.manifests).unwrap_or_default();
            if list.iter().any(|listed| listed.digest() == entry.digest()) {
                return Ok(());
            }
            list.push(entry.clone());
            let content = serde_json::to_vec(&ReferrersIndex::new(list)).map_err(|cause| {
                RegistryError::Content {
                    source: cause.into(),
                }
            })?;
            let index = RawManifest::new(index_media_type(), content.into());
            self.put_manifest(subject.repository(), tag.as_str(), &index, attempts)
                .await?;
        }
        let listed = by_tag(self.context, self.auth, self.endpoint, subject, attempts).await?;
        if listed.is_some_and(|index| index.manifests.iter().any(|e| e.digest() == entry.digest()))
        {
            return Ok(());
        }
        Err(RegistryError::UploadRefused {
            url: RedactedUrl::from(&self.endpoint.base),
            fault: "others change the list of referrers all the time; try again",
        })
    }
}
