//! Attestations verify as what they are, and carry the predicate that they were given.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_testkit::{
    Attestation, DSSE_ENVELOPE, Identity, LogKind, PrivateSigstore, SLSA_V1, SLSA_V02, Signing,
    SimpleAttestation, Tampered,
};
use serde_json::Value;

use super::verify::{DIGEST, Judge};

const BUILDER: &str = "https://github.com/my-org/builders/.github/workflows/build.yml@refs/tags/v1";
const SOURCE: &str = "https://github.com/my-org/my-plugin";

fn signing() -> Signing {
    Signing::keyless(Identity::github(
        "my-org/my-plugin",
        "release.yml",
        "refs/tags/v1.0.0",
    ))
}

#[test]
fn provenance_of_either_version_verifies_as_a_bundle() {
    let sigstore = PrivateSigstore::new();
    let v1 = Attestation::slsa_v1(BUILDER, SOURCE, "refs/tags/v1.0.0");
    let v02 = Attestation::slsa_v02(BUILDER, SOURCE, "refs/tags/v1.0.0");
    for (attestation, predicate, builder) in [
        (v1, SLSA_V1, "/predicate/runDetails/builder/id"),
        (v02, SLSA_V02, "/predicate/builder/id"),
    ] {
        for order in [signing(), signing().log(LogKind::RekorV2).timestamp(true)] {
            let bundle = sigstore.attest_bundle(DIGEST, &attestation, &order);
            Judge::of(&sigstore).bundle(&bundle).unwrap();
            assert_eq!(bundle.predicate_type, predicate);
            let statement = statement(&bundle.json, "/dsseEnvelope/payload");
            assert_eq!(statement["predicateType"], predicate);
            assert_eq!(statement.pointer(builder).unwrap(), BUILDER);
        }
    }
}

/// SIG-13.
#[test]
fn an_attestation_about_another_image_does_not_verify() {
    let sigstore = PrivateSigstore::new();
    let attestation = Attestation::new("https://example.com/review/v1", r#"{"passed":true}"#);
    let good = sigstore.attest_bundle(DIGEST, &attestation, &signing());
    Judge::of(&sigstore).bundle(&good).unwrap();
    for tampered in [
        Tampered::WrongSubject,
        Tampered::NoSubject,
        Tampered::OtherDigestAlgorithm,
        Tampered::TwoSignatures,
        Tampered::MalformedPayload,
    ] {
        let bad = sigstore.attest_bundle(DIGEST, &attestation, &signing().tampered(tampered));
        Judge::of(&sigstore)
            .bundle(&bad)
            .expect_err(&tampered.name());
    }
}

#[test]
fn an_attestation_of_cosign_2_is_an_envelope_that_its_log_entry_hashes() {
    let sigstore = PrivateSigstore::new();
    let attestation = Attestation::slsa_v1(BUILDER, SOURCE, "refs/tags/v1.0.0");
    let made = sigstore.attest_simple(DIGEST, &attestation, &signing().timestamp(true));
    let statement = statement(&made.envelope, "/payload");
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v0.1");

    let entry: Value =
        serde_json::from_str(&made.annotations["dev.sigstore.cosign/bundle"]).unwrap();
    let body = STANDARD
        .decode(entry["Payload"]["body"].as_str().unwrap())
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let hash = sigstore_verify::crypto::sha256(&made.envelope);
    assert_eq!(body["kind"], "dsse");
    assert_eq!(body["spec"]["envelopeHash"]["value"], hash.to_hex());

    let image = SimpleAttestation::image(DIGEST, &[made.clone(), made]);
    assert_eq!(
        image.tag.unwrap(),
        format!("{}.att", DIGEST.replace(':', "-"))
    );
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["layers"][1]["mediaType"], DSSE_ENVELOPE);
}

fn statement(json: &[u8], pointer: &str) -> Value {
    let json: Value = serde_json::from_slice(json).unwrap();
    let payload = json.pointer(pointer).unwrap().as_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(payload).unwrap()).unwrap()
}
