//! Simple signing: what cosign 2 writes into the image `sha256-….sig`.
//!
//! Spec: <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>.

use std::collections::BTreeMap;
use std::fmt::Display;

use bytes::Bytes;
use qmt_oci_ref::manifest::OCI_MANIFEST;
use serde_json::{Value, json};

use super::PrivateSigstore;
use super::codec::{base64, certificate_pem};
use super::entry::{Signed, SignerProof};
use super::image::{SignatureImage, SignedSubject, bytes, digest, hex_of, layers_config, tag};
use super::key::sha512;
use super::signing::{LogKind, Material, Signing, Style};
use super::tampered::{Format, Tampered};
use crate::image::OCI_CONFIG;

/// The media type of a layer that holds a payload.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The artifact type of a referrer that holds such layers.
pub const SIMPLE_SIGNING_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// The annotation that holds the signature.
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The annotation that holds the certificate.
pub(super) const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// The annotation that holds the intermediate and the root.
pub(super) const CHAIN: &str = "dev.sigstore.cosign/chain";
/// The annotation that holds the log entry.
pub(super) const BUNDLE: &str = "dev.sigstore.cosign/bundle";
/// The annotation that holds the timestamp.
pub(super) const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

pub(super) const DEFAULT_REFERENCE: &str = "localhost/plugin";
const TYPE: &str = "cosign container image signature";

/// One signature in cosign 2's form: a layer and its annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimpleSigning {
    /// The layer: what is signed.
    pub payload: Bytes,
    /// The annotations on the layer's descriptor: signature, certificate, log entry, timestamp.
    pub annotations: BTreeMap<String, String>,
}

impl SimpleSigning {
    /// The image under the tag `sha256-….sig` of `subject` (`sha256:…`), one layer a signature.
    pub fn image(subject: impl Display, signatures: &[Self]) -> SignatureImage {
        let subject = subject.to_string();
        let (manifest, blobs) = layered(OCI_CONFIG, SIMPLE_SIGNING, signatures);
        SignatureImage::new(Some(tag(&subject, "sig")), &manifest, blobs)
    }

    /// The referrer that `cosign sign --registry-referrers-mode=oci-1-1` writes.
    pub fn referrer(subject: &SignedSubject, signatures: &[Self]) -> SignatureImage {
        let (mut manifest, blobs) = layered(SIMPLE_SIGNING_ARTIFACT, SIMPLE_SIGNING, signatures);
        manifest["subject"] = subject.to_json();
        manifest["artifactType"] = SIMPLE_SIGNING_ARTIFACT.into();
        SignatureImage::new(None, &manifest, blobs)
    }
}

impl PrivateSigstore {
    /// Signs the image `subject` (`sha256:…`) as cosign 2 does.
    ///
    /// # Panics
    ///
    /// If the request is contradictory: another digest algorithm, a log of Rekor v2 (whose entries
    /// have no form in annotations), a defect that does not apply to such a signature.
    pub fn sign_simple(&self, subject: impl Display, signing: &Signing) -> SimpleSigning {
        let subject = subject.to_string();
        assert!(
            !matches!(signing.log, LogKind::RekorV2 | LogKind::RekorV1Intoto),
            "a `.sig` layer has no form for entries of {:?}",
            signing.log
        );
        if let Some(tampered) = signing.tampered {
            tampered.require(Format::Simple, signing);
        }
        let payload = payload(&subject, signing);
        let signed = Signed::Payload(payload.clone());
        let material = self.material(&signed, signing, Style::Cosign2);
        let mut annotations = annotations(&material);
        annotations.insert(SIGNATURE.to_owned(), base64(&material.signature));
        SimpleSigning {
            payload: payload.into(),
            annotations,
        }
    }
}

/// Certificate, chain, log entry and timestamp as annotations.
pub(super) fn annotations(material: &Material) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    if let SignerProof::Certificate(leaf) = &material.proof {
        out.insert(CERTIFICATE.to_owned(), certificate_pem(leaf));
        let chain: String = material
            .chain
            .iter()
            .map(|der| certificate_pem(der))
            .collect();
        out.insert(CHAIN.to_owned(), chain.trim_end().to_owned());
    }
    if let Some(entry) = &material.entry {
        out.insert(BUNDLE.to_owned(), entry.to_annotation());
    }
    if let Some(token) = material.timestamps.first() {
        let value = json!({ "SignedRFC3161Timestamp": base64(token) });
        out.insert(TIMESTAMP.to_owned(), value.to_string());
    }
    out
}

/// A manifest over layers that carry annotations, and its blobs.
pub(super) fn layered(
    config_type: &str,
    layer_type: &str,
    layers: &[SimpleSigning],
) -> (Value, Vec<(String, Bytes)>) {
    let contents: Vec<Bytes> = layers.iter().map(|layer| layer.payload.clone()).collect();
    let config = bytes(&layers_config(&contents));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": config_type, "size": config.len(), "digest": digest(&config) },
        "layers": layers
            .iter()
            .map(|layer| json!({
                "mediaType": layer_type,
                "size": layer.payload.len(),
                "digest": digest(&layer.payload),
                "annotations": layer.annotations,
            }))
            .collect::<Vec<_>>(),
    });
    let blobs = std::iter::once((config_type.to_owned(), config))
        .chain(contents.into_iter().map(|c| (layer_type.to_owned(), c)))
        .collect();
    (manifest, blobs)
}

/// The payload, in the very order in which cosign writes it.
fn payload(subject: &str, signing: &Signing) -> Vec<u8> {
    let hex = hex_of(subject);
    let named = match signing.tampered {
        Some(Tampered::WrongSubject) => digest(subject.as_bytes()),
        Some(Tampered::NoSubject) => String::new(),
        Some(Tampered::OtherDigestAlgorithm) => {
            format!("sha512:{}", hex::encode(sha512(hex.as_bytes())))
        }
        _ => subject.to_owned(),
    };
    let r#type = match signing.tampered {
        Some(Tampered::WrongType) => "atomic container signature",
        _ => TYPE,
    };
    let reference = signing
        .docker_reference
        .as_deref()
        .unwrap_or(DEFAULT_REFERENCE);
    let optional = if signing.annotations.is_empty() {
        Value::Null
    } else {
        json!(signing.annotations)
    };
    let text = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":{}}},"image":{{"docker-manifest-digest":{}}},"type":{}}},"optional":{optional}}}"#,
        Value::from(reference),
        Value::from(named),
        Value::from(r#type),
    );
    match signing.tampered {
        Some(Tampered::MalformedPayload) => text.replace(':', " ").into_bytes(),
        _ => text.into_bytes(),
    }
}
