//! Good signatures of every form verify.

use qmt_testkit::{Identity, LogKind, PrivateSigstore, Signing};

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
