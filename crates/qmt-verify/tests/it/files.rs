//! Bundles that are files: about other files, or brought along without a registry.

use std::time::SystemTime;

use qmt_oci_ref::{Digest, DigestAlgorithm};
use qmt_testkit::{Attestation, PrivateSigstore, SLSA_V1, Signing, Tampered};
use qmt_verify::{Evidence, VerifyError, danger};

use crate::support::{any_of, check, code, dev, dev_authority, evidence, subject, verifier};

/// A bundle about a file: signature or attestation, by content or by digest alone.
#[test]
fn a_bundle_about_a_file_holds_for_that_file_alone() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let (content, other) = (b"a file".as_slice(), b"another".as_slice());
    let digest = Digest::sha256(content);
    let now = SystemTime::now();
    let signing = Signing::keyless(dev());
    let provenance = Attestation::new(SLSA_V1, "{}");
    for bundle in [
        sigstore.sign_bundle(&digest, &signing),
        sigstore.attest_bundle(&digest, &provenance, &signing),
    ] {
        let report = verifier
            .check_file(&digest, Some(content), &bundle.json, now)
            .unwrap();
        assert_eq!(report.format, "bundle v0.3");
        verifier
            .check_file(&digest, None, &bundle.json, now)
            .unwrap();
        let elsewhere = Digest::sha256(other);
        assert!(
            verifier
                .check_file(&elsewhere, Some(other), &bundle.json, now)
                .is_err()
        );
        assert!(
            verifier
                .check_file(&elsewhere, None, &bundle.json, now)
                .is_err()
        );
        // The digest must be that of the content.
        let error = verifier
            .check_file(&digest, Some(other), &bundle.json, now)
            .unwrap_err();
        assert!(matches!(error, VerifyError::OtherContent { .. }), "{error}");
    }
    let long = Digest::of(DigestAlgorithm::Sha512, content);
    let bundle = sigstore.sign_bundle(&digest, &signing);
    for content in [Some(content), None] {
        let error = verifier
            .check_file(&long, content, &bundle.json, now)
            .unwrap_err();
        assert!(
            matches!(error, VerifyError::UnsupportedDigest { .. }),
            "{error}"
        );
    }
    for tampered in [
        Tampered::UnknownCa,
        Tampered::GarbageSignature,
        Tampered::ForeignEntry,
        Tampered::TwoSignatures,
    ] {
        let bad = sigstore.sign_bundle(&digest, &signing.clone().tampered(tampered));
        assert!(
            verifier
                .check_file(&digest, Some(content), &bad.json, now)
                .is_err()
        );
    }
    // As long as it may be, and a byte longer.
    let mut padded = bundle.json.to_vec();
    padded.resize(1024 * 1024, b' ');
    verifier
        .check_file(&digest, Some(content), &padded, now)
        .unwrap();
    padded.push(b' ');
    let error = verifier
        .check_file(&digest, Some(content), &padded, now)
        .unwrap_err();
    assert_eq!(error.rejections()[0].code.to_string(), "too-many");
    for noise in [&b""[..], b"{}", b"\xff"] {
        assert!(
            verifier
                .check_file(&digest, Some(content), noise, now)
                .is_err()
        );
    }
}

/// Old bundle versions are for files: in a registry their label could hide a missing proof.
#[tokio::test]
async fn old_bundles_are_taken_from_files_only() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let old = Signing::keyless(dev()).tampered(Tampered::OldBundle);
    let old = sigstore.sign_bundle(subject().digest(), &old);
    let found = evidence(&subject(), [old.clone()]).await;
    assert_eq!(code(check(&verifier, &subject(), &found)), "old-bundle");
    let brought = Evidence::empty(&subject())
        .with_bundle("old.json", &old.json)
        .unwrap();
    let verified = check(&verifier, &subject(), &brought).unwrap();
    assert_eq!(verified.report().format, "bundle v0.1");
    assert_eq!(verified.report().found, "old.json");
    // Stored evidence may have been imported, so it is not taken at its word.
    let stored = String::from_utf8(brought.to_json().unwrap()).unwrap();
    let claimed = stored.replacen(r#""json":"#, r#""from_file":true,"json":"#, 1);
    assert_ne!(claimed, stored);
    for json in [stored, claimed] {
        let read = Evidence::from_json(json.as_bytes()).unwrap();
        assert_eq!(code(check(&verifier, &subject(), &read)), "old-bundle");
    }
}

/// What was switched off says so, and proves nothing.
#[test]
fn a_skipped_verification_says_so() {
    let skipped = danger::dangerous_skip_verification(&subject());
    assert!(skipped.is_skipped() && skipped.report().skipped);
    assert_eq!(skipped.digest(), subject().digest());
    assert!(skipped.signer().is_none() && skipped.times().is_empty());
    assert!(!skipped.report().warnings.is_empty() && skipped.report().checks.is_empty());
}
