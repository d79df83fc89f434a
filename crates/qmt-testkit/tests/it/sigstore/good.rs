//! Good signatures of every form verify.

use der::DecodePem as _;
use qmt_testkit::{Identity, KeyKind, LogKind, PrivateSigstore, Signing, Tampered};
use serde_json::Value;
use x509_cert::ext::pkix::SubjectAltName;

use super::verify::{DIGEST, Judge};

fn email() -> Identity {
    Identity::email("dev@example.com", "https://accounts.example.com")
}

#[test]
fn a_keyless_signature_of_cosign_2_verifies() {
    let sigstore = PrivateSigstore::new();
    let signature = sigstore.sign_simple(DIGEST, &Signing::keyless(email()));
    let result = Judge::of(&sigstore).simple(&signature).unwrap();
    assert!(result.certificate_verified() && result.sct_verified() && result.tlog_verified());
    assert_eq!(result.issuer(), Some("https://accounts.example.com"));
    assert_eq!(result.identity().unwrap().as_str(), "dev@example.com");
}

#[test]
fn a_keyless_signature_of_cosign_2_with_a_timestamp_verifies() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(email()).timestamp(true);
    let signature = sigstore.sign_simple(DIGEST, &signing);
    let result = Judge::of(&sigstore).simple(&signature).unwrap();
    assert_eq!(result.verified_timestamps().len(), 2);
}

#[test]
fn a_keyless_signature_of_cosign_2_without_a_log_verifies_by_its_timestamp() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(email()).log(LogKind::None).timestamp(true);
    let signature = sigstore.sign_simple(DIGEST, &signing);
    Judge::of(&sigstore)
        .without_log()
        .simple(&signature)
        .unwrap();
    Judge::of(&sigstore).simple(&signature).unwrap_err();
}

#[test]
fn keyless_bundles_verify_in_either_log_with_or_without_a_timestamp() {
    let sigstore = PrivateSigstore::new();
    for (log, timestamp) in [
        (LogKind::RekorV1, false),
        (LogKind::RekorV1, true),
        (LogKind::RekorV2, true),
    ] {
        let signing = Signing::keyless(email()).log(log).timestamp(timestamp);
        let bundle = sigstore.sign_bundle(DIGEST, &signing);
        let result = Judge::of(&sigstore)
            .bundle(&bundle)
            .unwrap_or_else(|e| panic!("{log:?}, timestamp {timestamp}: {e}"));
        assert!(result.certificate_verified() && result.sct_verified() && result.tlog_verified());
    }
}

#[test]
fn a_bundle_of_rekor_v2_without_a_timestamp_has_no_time_and_does_not_verify() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(email()).log(LogKind::RekorV2);
    let bundle = sigstore.sign_bundle(DIGEST, &signing);
    let error = Judge::of(&sigstore).bundle(&bundle).unwrap_err();
    assert!(error.contains("timestamp"), "{error}");
}

#[test]
fn a_log_of_rekor_v2_may_have_another_key() {
    for kind in [KeyKind::P256, KeyKind::P384] {
        let sigstore = PrivateSigstore::new().with_rekor_v2_key(kind);
        let signing = Signing::keyless(email())
            .log(LogKind::RekorV2)
            .timestamp(true);
        let bundle = sigstore.sign_bundle(DIGEST, &signing);
        Judge::of(&sigstore).bundle(&bundle).unwrap();
    }
}

#[test]
fn a_workflow_of_github_carries_its_claims() {
    let sigstore = PrivateSigstore::new();
    let identity = Identity::github("my-org/my-plugin", "release.yml", "refs/tags/v1.0.0");
    let bundle = sigstore.sign_bundle(DIGEST, &Signing::keyless(identity));
    let result = Judge::of(&sigstore).bundle(&bundle).unwrap();
    assert_eq!(
        result.identity().unwrap().as_str(),
        "https://github.com/my-org/my-plugin/.github/workflows/release.yml@refs/tags/v1.0.0"
    );
    let claims = &result.certificate().unwrap().ci_claims;
    let claims = format!("{claims:?}");
    for value in [
        "https://github.com/my-org/my-plugin",
        "refs/tags/v1.0.0",
        "github-hosted",
        "push",
        "public",
    ] {
        assert!(claims.contains(value), "{value} is not in {claims}");
    }
}

#[test]
fn signatures_by_key_verify_with_that_key_only() {
    let sigstore = PrivateSigstore::new();
    for name in ["p256", "p384", "ed25519", "rsa2048", "rsa4096"] {
        let other = sigstore.key_pem(&format!("{}-other", name.replace("4096", "2048")));
        let judge = || Judge::of(&sigstore).key(sigstore.key_pem(name));

        let bundle = sigstore.sign_bundle(DIGEST, &Signing::key(name));
        judge()
            .bundle(&bundle)
            .unwrap_or_else(|e| panic!("bundle {name}: {e}"));
        Judge::of(&sigstore)
            .key(other.clone())
            .bundle(&bundle)
            .unwrap_err();

        // The library takes a digest of SHA-256 for what P-384 keys sign with SHA-384.
        if name != "p384" {
            let simple = sigstore.sign_simple(DIGEST, &Signing::key(name));
            judge()
                .simple(&simple)
                .unwrap_or_else(|e| panic!("simple {name}: {e}"));
            Judge::of(&sigstore).key(other).simple(&simple).unwrap_err();
        }
    }
}

#[test]
fn a_bundle_by_key_in_rekor_v2_verifies() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::key("p256").log(LogKind::RekorV2).timestamp(true);
    let bundle = sigstore.sign_bundle(DIGEST, &signing);
    let judge = Judge::of(&sigstore).key(sigstore.key_pem("p256"));
    assert!(judge.bundle(&bundle).unwrap().tlog_verified());
}

/// SIG-11: further signatures on a checkpoint neither count nor hide the log's own.
#[test]
fn a_checkpoint_that_others_signed_as_well_verifies() {
    let sigstore = PrivateSigstore::new();
    for log in [LogKind::RekorV1, LogKind::RekorV2] {
        let signing = Signing::keyless(email())
            .log(log)
            .timestamp(true)
            .witnessed();
        let bundle = sigstore.sign_bundle(DIGEST, &signing);
        let json: Value = serde_json::from_slice(&bundle.json).unwrap();
        let note = json.pointer("/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint");
        let note = note.unwrap()["envelope"].as_str().unwrap();
        assert_eq!(note.matches('\u{2014}').count(), 3);
        Judge::of(&sigstore).bundle(&bundle).unwrap();
        let bad = signing.tampered(Tampered::CheckpointByWrongKey);
        let bad = sigstore.sign_bundle(DIGEST, &bad);
        Judge::of(&sigstore).bundle(&bad).unwrap_err();
    }
}

/// SIG-14: floods whose every part holds, for verifiers that count first.
#[test]
fn floods_hold_in_every_part() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(email()).timestamp(true).more_subjects(30);
    let bundle = sigstore.sign_bundle(DIGEST, &signing);
    let flood = bundle.with_entries(20).with_timestamps(10);
    let json: Value = serde_json::from_slice(&flood.json).unwrap();
    let material = &json["verificationMaterial"];
    assert_eq!(material["tlogEntries"].as_array().unwrap().len(), 20);
    let tokens = &material["timestampVerificationData"]["rfc3161Timestamps"];
    assert_eq!(tokens.as_array().unwrap().len(), 10);
    Judge::of(&sigstore).bundle(&flood).unwrap();
}

#[test]
fn an_entry_of_kind_intoto_verifies() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(email()).log(LogKind::RekorV1Intoto);
    let bundle = sigstore.sign_bundle(DIGEST, &signing);
    Judge::of(&sigstore).bundle(&bundle).unwrap();
    for tampered in [
        Tampered::ForeignEntry,
        Tampered::EntryOfOtherSignature,
        Tampered::EntryOfOtherSigner,
    ] {
        let bad = sigstore.sign_bundle(DIGEST, &signing.clone().tampered(tampered));
        Judge::of(&sigstore)
            .bundle(&bad)
            .expect_err(&tampered.name());
    }
}

#[test]
fn certificates_name_who_they_are_for() {
    let sigstore = PrivateSigstore::new();
    let issuer = "https://accounts.example.com";
    for (identity, expected) in [
        (
            Identity::email("a@example.com", issuer),
            "Rfc822Name(Ia5String(\"a@example.com\"))",
        ),
        (
            Identity::uri("spiffe://a/b", issuer),
            "Ia5String(\"spiffe://a/b\")",
        ),
        (
            // SIG-03: a line break in a name is part of the name.
            Identity::uri("https://a.example\nhttps://b.example", issuer),
            "https://a.example\\nhttps://b.example",
        ),
        (
            Identity::dns("build.example.com", issuer),
            "DnsName(Ia5String(\"build.example.com\"))",
        ),
        (
            Identity::username("a!example.com", issuer),
            "1.3.6.1.4.1.57264.1.7",
        ),
    ] {
        let signature = sigstore.sign_simple(DIGEST, &Signing::keyless(identity));
        Judge::of(&sigstore).simple(&signature).unwrap();
        let pem = &signature.annotations["dev.sigstore.cosign/certificate"];
        let certificate = x509_cert::Certificate::from_pem(pem).unwrap();
        let (critical, names) = certificate
            .tbs_certificate
            .get::<SubjectAltName>()
            .unwrap()
            .unwrap();
        assert!(critical && certificate.tbs_certificate.subject.is_empty());
        assert_eq!(names.0.len(), 1);
        let text = format!("{:?}", names.0[0]);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_key_of_a_kind_that_the_library_does_not_take_is_refused() {
    let sigstore = PrivateSigstore::new();
    let bundle = sigstore.sign_bundle(DIGEST, &Signing::key("p521"));
    let judge = Judge::of(&sigstore).key(sigstore.key_pem("p521"));
    let error = judge.bundle(&bundle).unwrap_err();
    assert!(error.contains("curve"), "{error}");
}

#[test]
fn another_sigstore_of_the_same_names_is_not_trusted() {
    let (ours, theirs) = (PrivateSigstore::new(), PrivateSigstore::new());
    let signing = Signing::keyless(email());
    let bundle = theirs.sign_bundle(DIGEST, &signing);
    let simple = theirs.sign_simple(DIGEST, &signing);
    Judge::of(&theirs).bundle(&bundle).unwrap();
    Judge::of(&theirs).simple(&simple).unwrap();
    Judge::of(&ours).bundle(&bundle).unwrap_err();
    Judge::of(&ours).simple(&simple).unwrap_err();
    let both = Judge::new(&ours.trusted_root().with_all_of(&theirs).json());
    both.bundle(&bundle).unwrap();
}
