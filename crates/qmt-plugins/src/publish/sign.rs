//! The referrer that holds a signature, in the form that cosign 3 writes.
//!
//! Spec: <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>

use std::time::SystemTime;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, MediaType, PinnedReference, RawManifest, time};
use qmt_verify::{KeySigner, VerifyError};
use serde_json::json;

/// A signature, ready to be pushed: blobs first, then the manifest, which refers to the image.
pub(super) struct SignatureImage {
    pub(super) blobs: [(Descriptor, Bytes); 2],
    pub(super) manifest: RawManifest,
}

/// Signs the image that `pin` and `subject` name.
pub(super) fn sign(
    signer: &KeySigner,
    pin: &PinnedReference,
    subject: &Descriptor,
) -> Result<SignatureImage, VerifyError> {
    let bundle = signer.sign(pin)?;
    let layer = Descriptor::of(MediaType::from(KeySigner::BUNDLE_MEDIA_TYPE), &bundle);
    let empty = Bytes::from_static(b"{}");
    let config = Descriptor::of(MediaType::EmptyJSON, &empty)
        .with_artifact_type(MediaType::from(KeySigner::BUNDLE_MEDIA_TYPE));
    // Annotations and platform of the subject are not part of a reference to it.
    let subject = Descriptor::new(
        subject.media_type().clone(),
        subject.digest().clone(),
        subject.size(),
    );
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "artifactType": KeySigner::BUNDLE_MEDIA_TYPE,
        "config": config,
        "layers": [layer],
        "subject": subject,
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": KeySigner::PREDICATE_TYPE,
            "org.opencontainers.image.created":
                time::rfc3339(SystemTime::now()),
        },
    });
    let manifest = RawManifest::new(MediaType::ImageManifest, manifest.to_string().into());
    Ok(SignatureImage {
        blobs: [(config, empty), (layer, bundle)],
        manifest,
    })
}
