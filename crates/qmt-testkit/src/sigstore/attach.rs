//! Puts signatures into the fake registry, as cosign pushes them.

use std::fmt::Display;

use qmt_oci_ref::Descriptor;
use qmt_oci_ref::manifest::OCI_INDEX;
use serde_json::{Value, json};

use crate::registry::FakeRegistry;

use super::bundle::SignedBundle;
use super::codec::Must;
use super::image::{SignatureImage, SignedSubject, bytes};
use super::simple::SimpleSigning;

/// Pushes the `.sig` image of `subject` (`sha256:…`) with these signatures, in place of one that
/// is there.
pub fn attach_simple(
    registry: &FakeRegistry,
    repository: &str,
    subject: impl Display,
    signatures: &[SimpleSigning],
) -> Descriptor {
    SimpleSigning::image(subject, signatures).push(registry, repository)
}

/// Pushes the referrer of `subject` with this bundle.
pub fn attach_bundle(
    registry: &FakeRegistry,
    repository: &str,
    subject: impl Into<SignedSubject>,
    bundle: &SignedBundle,
) -> Descriptor {
    bundle.referrer(&subject.into()).push(registry, repository)
}

impl SignatureImage {
    /// Pushes blobs, manifest and tag into `repository` of `registry`.
    pub fn push(&self, registry: &FakeRegistry, repository: &str) -> Descriptor {
        for (_, content) in &self.blobs {
            registry.put_blob(repository, content.clone());
        }
        registry.put_manifest(
            repository,
            self.tag.as_deref(),
            &self.manifest_media_type,
            self.manifest.clone(),
        )
    }

    /// Pushes a referrer, and lists it under the tag `sha256-…` of its subject, as clients do
    /// where the registry has no referrers API.
    ///
    /// # Panics
    ///
    /// Where the image has no `subject`.
    pub fn push_listed_by_tag(&self, registry: &FakeRegistry, repository: &str) -> Descriptor {
        let pushed = self.push(registry, repository);
        let manifest: Value = serde_json::from_slice(&self.manifest).must("read its own manifest");
        let tag = manifest["subject"]["digest"]
            .as_str()
            .must("find the subject of a referrer")
            .replace(':', "-");
        let mut listed: Vec<Value> = registry
            .manifest(repository, &tag)
            .and_then(|(_, index)| serde_json::from_slice::<Value>(&index).ok())
            .and_then(|index| index["manifests"].as_array().cloned())
            .unwrap_or_default();
        let mut entry = json!({
            "mediaType": self.manifest_media_type,
            "digest": pushed.digest().to_string(),
            "size": pushed.size(),
            "artifactType": manifest["artifactType"],
        });
        if let Some(annotations) = manifest.get("annotations") {
            entry["annotations"] = annotations.clone();
        }
        listed.push(entry);
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed });
        registry.put_manifest(repository, tag.as_str(), OCI_INDEX, bytes(&index));
        pushed
    }
}
