//! The referrer that holds a signature, in the form that cosign 3 writes.
//!
//! Spec: <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>

use std::time::SystemTime;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, MediaType, PinnedReference};
use qmt_registry::RawManifest;
use qmt_verify::{KeySigner, VerifyError};
use serde_json::json;

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

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
    let layer = Descriptor::of(MediaType::new(KeySigner::BUNDLE_MEDIA_TYPE), &bundle);
    let empty = Bytes::from_static(b"{}");
    let config = Descriptor::of(MediaType::new(EMPTY), &empty)
        .with_artifact_type(MediaType::new(KeySigner::BUNDLE_MEDIA_TYPE));
    // What the subject says about itself besides does not belong into a link to it.
    let subject = Descriptor::new(
        subject.media_type().clone(),
        subject.digest().clone(),
        subject.size(),
    );
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": KeySigner::BUNDLE_MEDIA_TYPE,
        "config": config,
        "layers": [layer],
        "subject": subject,
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": KeySigner::PREDICATE_TYPE,
            "org.opencontainers.image.created":
                humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        },
    });
    let manifest = RawManifest::new(
        MediaType::new(MediaType::OCI_MANIFEST),
        manifest.to_string().into(),
    );
    Ok(SignatureImage {
        blobs: [(config, empty), (layer, bundle)],
        manifest,
    })
}
