//! The signature of one image, found where cosign puts it.

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, MediaType, PinnedReference, Reference, Repository};
use qmt_verify::{BoxError, EvidenceSource};
use serde_json::Value;

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A registry with one signature in it.
pub(crate) struct OneSignature {
    manifest: Bytes,
    layer: Bytes,
    is_referrer: bool,
}

impl OneSignature {
    /// Under the tag `sha256-….sig`: the payload, and the annotations of its layer.
    pub(crate) fn simple(payload: &str, annotations: &Value) -> Self {
        let layer = Descriptor::of(MediaType::new(SIMPLE_SIGNING), payload.as_bytes());
        let layer = serde_json::json!({
            "mediaType": SIMPLE_SIGNING,
            "digest": layer.digest(),
            "size": layer.size(),
            "annotations": annotations,
        });
        let manifest = serde_json::json!({ "schemaVersion": 2, "layers": [layer] });
        Self {
            manifest: manifest.to_string().into(),
            layer: payload.to_owned().into(),
            is_referrer: false,
        }
    }

    /// Among the referrers of `subject`.
    pub(crate) fn bundle(subject: &PinnedReference, bundle: Vec<u8>) -> Self {
        let layer = Descriptor::of(MediaType::new(BUNDLE), &bundle);
        let index = MediaType::new(MediaType::OCI_INDEX);
        let about = Descriptor::new(index, subject.digest().clone(), 1);
        let manifest = serde_json::json!({
            "schemaVersion": 2, "artifactType": BUNDLE, "layers": [layer], "subject": about,
        });
        Self {
            manifest: manifest.to_string().into(),
            layer: bundle.into(),
            is_referrer: true,
        }
    }
}

#[async_trait]
impl EvidenceSource for OneSignature {
    async fn referrers(&self, _: &PinnedReference) -> Result<Vec<Descriptor>, BoxError> {
        let manifest = Descriptor::of(MediaType::new(MediaType::OCI_MANIFEST), &self.manifest);
        Ok(Vec::from_iter(self.is_referrer.then_some(manifest)))
    }

    async fn manifest(&self, reference: &Reference, _: u64) -> Result<Option<Bytes>, BoxError> {
        let by_tag = reference.tag().is_some_and(|tag| {
            tag.as_str()
                .rsplit_once('.')
                .is_some_and(|(_, end)| end == "sig")
        });
        let is_asked = if self.is_referrer {
            reference.digest().is_some()
        } else {
            by_tag
        };
        Ok(is_asked.then(|| self.manifest.clone()))
    }

    async fn blob(&self, _: &Repository, _: &Descriptor, _: u64) -> Result<Bytes, BoxError> {
        Ok(self.layer.clone())
    }
}
