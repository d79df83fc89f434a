//! The signature of one image, found where cosign puts it.

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digester, MediaType, PinnedReference, RawManifest, Reference, Registry,
    RegistryError, RegistryErrorKind, Repository,
};
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
        let layer = Descriptor::of(MediaType::from(SIMPLE_SIGNING), payload.as_bytes());
        let layer = serde_json::json!({
            "mediaType": SIMPLE_SIGNING,
            "digest": layer.digest(),
            "size": layer.size(),
            "annotations": annotations,
        });
        let manifest = serde_json::json!({
            "schemaVersion": 2, "config": empty_config(), "layers": [layer],
        });
        Self {
            manifest: manifest.to_string().into(),
            layer: payload.to_owned().into(),
            is_referrer: false,
        }
    }

    /// Among the referrers of `subject`.
    pub(crate) fn bundle(subject: &PinnedReference, bundle: Vec<u8>) -> Self {
        let layer = Descriptor::of(MediaType::from(BUNDLE), &bundle);
        let about = Descriptor::new(MediaType::ImageIndex, subject.digest().clone(), 1);
        let manifest = serde_json::json!({
            "schemaVersion": 2, "artifactType": BUNDLE, "config": empty_config(),
            "layers": [layer], "subject": about,
        });
        Self {
            manifest: manifest.to_string().into(),
            layer: bundle.into(),
            is_referrer: true,
        }
    }
}

fn empty_config() -> Descriptor {
    Descriptor::of(MediaType::EmptyJSON, b"{}")
}

impl OneSignature {
    fn raw(&self) -> RawManifest {
        RawManifest::new(MediaType::ImageManifest, self.manifest.clone())
    }
}

fn not_found() -> RegistryError {
    RegistryError::new(RegistryErrorKind::NotFound, "not found")
}

#[async_trait]
impl Registry for OneSignature {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        let tag = reference.tag().map(|tag| tag.as_str().rsplit_once('.'));
        match tag {
            Some(Some((_, "sig"))) if !self.is_referrer => Ok(self.raw()),
            _ => Err(not_found()),
        }
    }

    async fn manifest(&self, _: &PinnedReference, _: u64) -> Result<RawManifest, RegistryError> {
        if self.is_referrer {
            Ok(self.raw())
        } else {
            Err(not_found())
        }
    }

    async fn blob(
        &self,
        _: &Repository,
        _: &Descriptor,
        _: Digester,
    ) -> Result<BlobStream, RegistryError> {
        let chunk = Ok(self.layer.clone());
        Ok(Box::pin(futures_util::stream::iter([chunk])))
    }

    async fn referrers(&self, _: &PinnedReference) -> Result<Referrers, RegistryError> {
        let manifest = self.raw().descriptor();
        Ok(Vec::from_iter(self.is_referrer.then_some(manifest)).into())
    }
}
