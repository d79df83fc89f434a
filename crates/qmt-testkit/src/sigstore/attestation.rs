//! Attestations: statements about an image that are no signatures of it.
//!
//! Specs: <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>,
//! <https://slsa.dev/spec/v1.0/provenance>, <https://slsa.dev/spec/v0.2/provenance>.

use std::fmt::Display;

use bytes::Bytes;
use serde_json::{Value, json};

use super::PrivateSigstore;
use super::bundle::{SignedBundle, subjects};
use super::codec::Must;
use super::entry::{IN_TOTO, Signed};
use super::image::{SignatureImage, tag};
use super::signing::{LogKind, Signing, Style};
use super::simple::{DEFAULT_REFERENCE, SIGNATURE, SimpleSigning, annotations, layered};
use super::tampered::{Format, Tampered};
use crate::image::OCI_CONFIG;

/// The predicate of SLSA provenance, version 1.
pub const SLSA_V1: &str = "https://slsa.dev/provenance/v1";

/// The predicate of SLSA provenance, version 0.2.
pub const SLSA_V02: &str = "https://slsa.dev/provenance/v0.2";

/// The media type of a layer that holds an attestation of cosign 2.
pub const DSSE_ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
const STATEMENT_V01: &str = "https://in-toto.io/Statement/v0.1";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What is attested.
#[derive(Clone, Debug)]
pub struct Attestation {
    predicate_type: String,
    predicate: Value,
}

impl Attestation {
    /// Any predicate, given as JSON text.
    ///
    /// # Panics
    ///
    /// Where `predicate` is not JSON.
    pub fn new(predicate_type: &str, predicate: &str) -> Self {
        Self {
            predicate_type: predicate_type.to_owned(),
            predicate: serde_json::from_str(predicate).must("read the predicate"),
        }
    }

    /// Provenance as GitHub's workflow writes it: `builder` built it from the repository `source`
    /// (`https://github.com/owner/name`) at `git_ref`.
    pub fn slsa_v1(builder: &str, source: &str, git_ref: &str) -> Self {
        let predicate = json!({
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": { "workflow": {
                    "ref": git_ref,
                    "repository": source,
                    "path": ".github/workflows/release.yml",
                } },
                "resolvedDependencies": [{
                    "uri": format!("git+{source}@{git_ref}"),
                    "digest": { "gitCommit": COMMIT },
                }],
            },
            "runDetails": {
                "builder": { "id": builder },
                "metadata": { "invocationId": format!("{source}/actions/runs/42/attempts/1") },
            },
        });
        Self {
            predicate_type: SLSA_V1.to_owned(),
            predicate,
        }
    }

    /// Provenance in the older form, as slsa-github-generator writes it.
    pub fn slsa_v02(builder: &str, source: &str, git_ref: &str) -> Self {
        let from = json!({
            "uri": format!("git+{source}@{git_ref}"),
            "digest": { "sha1": COMMIT },
        });
        let mut config = from.clone();
        config["entryPoint"] = ".github/workflows/release.yml".into();
        let predicate = json!({
            "builder": { "id": builder },
            "buildType": "https://github.com/slsa-framework/slsa-github-generator/container@v1",
            "invocation": { "configSource": config },
            "materials": [from],
        });
        Self {
            predicate_type: SLSA_V02.to_owned(),
            predicate,
        }
    }

    /// The type of the predicate.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    fn statement(&self, statement_type: &str, subjects: &Value) -> Value {
        json!({
            "_type": statement_type,
            "subject": subjects,
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        })
    }
}

/// One attestation in cosign 2's form: an envelope as layer, and its annotations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimpleAttestation {
    /// The layer: a DSSE envelope.
    pub envelope: Bytes,
    /// The annotations on the layer's descriptor.
    pub annotations: std::collections::BTreeMap<String, String>,
}

impl SimpleAttestation {
    /// The image under the tag `sha256-….att` of `subject` (`sha256:…`), one layer each.
    pub fn image(subject: impl Display, attestations: &[Self]) -> SignatureImage {
        let layers: Vec<SimpleSigning> = attestations
            .iter()
            .map(|attestation| SimpleSigning {
                payload: attestation.envelope.clone(),
                annotations: attestation.annotations.clone(),
            })
            .collect();
        let (manifest, blobs) = layered(OCI_CONFIG, DSSE_ENVELOPE, &layers);
        SignatureImage::new(Some(tag(&subject.to_string(), "att")), &manifest, blobs)
    }
}

impl PrivateSigstore {
    /// Attests something about the image `subject` (`sha256:…`) as cosign 3 does.
    ///
    /// # Panics
    ///
    /// If the request is contradictory: another digest algorithm, a defect that does not apply here.
    pub fn attest_bundle(
        &self,
        subject: impl Display,
        attestation: &Attestation,
        signing: &Signing,
    ) -> SignedBundle {
        refuse_wrong_type(signing);
        let subjects = subjects(&subject.to_string(), signing, None);
        let statement = attestation.statement(STATEMENT_V1, &subjects);
        self.bundle(&statement, attestation.predicate_type(), signing)
    }

    /// Attests something about the image `subject` (`sha256:…`) as cosign 2 does.
    ///
    /// The timestamp of such an attestation is over the whole envelope.
    ///
    /// # Panics
    ///
    /// If the request is contradictory: another digest algorithm, a log of Rekor v2, a defect that does
    /// not apply here.
    pub fn attest_simple(
        &self,
        subject: impl Display,
        attestation: &Attestation,
        signing: &Signing,
    ) -> SimpleAttestation {
        refuse_wrong_type(signing);
        assert!(
            signing.log != LogKind::RekorV2,
            "the annotations of an `.att` layer have no form for entries of Rekor v2"
        );
        if let Some(tampered) = signing.tampered {
            tampered.require(Format::Simple, signing);
        }
        let reference = signing
            .docker_reference
            .as_deref()
            .unwrap_or(DEFAULT_REFERENCE);
        let subjects = subjects(&subject.to_string(), signing, Some(reference));
        let text = attestation.statement(STATEMENT_V01, &subjects).to_string();
        let signed = Signed::Envelope {
            payload: match signing.tampered {
                Some(Tampered::MalformedPayload) => text.replace(':', " ").into_bytes(),
                _ => text.into_bytes(),
            },
            r#type: IN_TOTO.to_owned(),
        };
        let material = self.material(&signed, signing, Style::Cosign2);
        let mut annotations = annotations(&material);
        annotations.insert(SIGNATURE.to_owned(), String::new());
        annotations.insert(
            "predicateType".to_owned(),
            attestation.predicate_type.clone(),
        );
        SimpleAttestation {
            envelope: signed.envelope(&material.signature).to_string().into(),
            annotations,
        }
    }
}

fn refuse_wrong_type(signing: &Signing) {
    assert!(
        signing.tampered != Some(Tampered::WrongType),
        "an attestation has the type that it is given"
    );
}
