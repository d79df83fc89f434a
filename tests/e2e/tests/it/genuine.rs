//! The genuine signatures of published images, in the folder that `QMT_REAL_FIXTURES` names. Only
//! signatures are there and no images, so they go through the library.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use qmt_oci_ref::{Digest, PinnedReference, Repository};
use qmt_verify::policy::{Authority, IdentityRule, Policy, PolicySet, Scope};
use qmt_verify::report::RejectionCode;
use qmt_verify::trust::TrustRoot;
use qmt_verify::{
    DiscoveryOptions, SigstoreVerifier, Verification, Verifier, VerifyError, discover,
};
use serde_json::Value;

use crate::source::OneSignature;

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const COSIGN_2: &str = "https://github.com/salrashid123/go-bazel-github-workflow/.github/workflows/release.yaml@refs/tags/v0.0.30";
const COSIGN_3: &str = "https://github.com/kubewarden/kubewarden-controller/.github/workflows/release.yml@refs/tags/v1.34.0";
const COSIGN_3_DIGEST: &str =
    "sha256:c811d58de79c92f03214e63aa339484e488d694ae8a6283b5f3f17a9faf50172";
const ATTESTED_DIGEST: &str =
    "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4";

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("QMT_REAL_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        println!("genuine signatures: skipped, QMT_REAL_FIXTURES is not set");
    }
    folder
}

fn pin(digest: &str) -> PinnedReference {
    let repository: Repository = "ghcr.io/acme/image".parse().unwrap();
    PinnedReference::new(repository, digest.parse().unwrap())
}

fn by(issuer: &str, identity: &str) -> Policy {
    let identity = IdentityRule::exact(identity).unwrap();
    Policy::any_of(vec![Authority::certificate(issuer, identity).unwrap()], 1).unwrap()
}

/// The public roots as files, and the one that is built in.
fn roots(folder: &Path) -> Vec<TrustRoot> {
    let files = [
        "public-good-trusted-root.json",
        "public-good-trusted-root-2025.json",
    ];
    let read = files.map(|file| TrustRoot::from_json_file(&folder.join(file)).unwrap());
    let embedded = TrustRoot::embedded().unwrap();
    read.into_iter().chain([embedded]).collect()
}

async fn judge(
    root: &TrustRoot,
    source: &OneSignature,
    subject: &PinnedReference,
    policy: Policy,
) -> Result<Verification, VerifyError> {
    let evidence = discover(source, subject, &DiscoveryOptions::default())
        .await
        .unwrap();
    let policies = PolicySet::new(vec![(Scope::everything(), policy)]).unwrap();
    let verifier = SigstoreVerifier::new(root.clone(), policies).unwrap();
    verifier.check(subject, &evidence, None, SystemTime::now())
}

/// Accepted as it is; refused with another issuer or identity, and where it is attached to
/// another image.
async fn holds_alone(
    root: &TrustRoot,
    source: &OneSignature,
    moved: &OneSignature,
    digest: &str,
    identity: &str,
) {
    let subject = pin(digest);
    let verified = judge(root, source, &subject, by(ISSUER, identity))
        .await
        .unwrap();
    assert_eq!(verified.digest(), subject.digest());
    let code =
        |outcome: Result<Verification, VerifyError>| outcome.unwrap_err().rejections()[0].code;
    let other = "https://accounts.google.com";
    let refused = judge(root, source, &subject, by(other, identity)).await;
    assert_eq!(code(refused), RejectionCode::OtherIssuer);
    let other = identity.replace("refs/tags/", "refs/heads/");
    let refused = judge(root, source, &subject, by(ISSUER, &other)).await;
    assert_eq!(code(refused), RejectionCode::OtherIdentity);
    let other = pin(&elsewhere());
    let refused = judge(root, moved, &other, by(ISSUER, identity)).await;
    assert_eq!(code(refused), RejectionCode::OtherDigest);
}

fn elsewhere() -> String {
    Digest::sha256("another image").to_string()
}

/// SIG-16.
#[tokio::test]
async fn the_cosign_2_signature_holds_for_its_image_and_signer_alone() {
    let Some(folder) = folder() else {
        return;
    };
    let text = std::fs::read(folder.join("cosign2-keyless-image.json")).unwrap();
    let file: Value = serde_json::from_slice(&text).unwrap();
    let payload = file["payload"].as_str().unwrap();
    let source = OneSignature::simple(payload, &file["layer"]["annotations"]);
    for root in roots(&folder) {
        holds_alone(
            &root,
            &source,
            &source,
            file["digest"].as_str().unwrap(),
            COSIGN_2,
        )
        .await;
    }
}

/// SIG-16.
#[tokio::test]
async fn the_cosign_3_signature_holds_for_its_image_and_signer_alone() {
    let Some(folder) = folder() else {
        return;
    };
    let bundle = std::fs::read(folder.join("cosign3-keyless-image.bundle.json")).unwrap();
    let source = OneSignature::bundle(&pin(COSIGN_3_DIGEST), bundle.clone());
    let moved = OneSignature::bundle(&pin(&elsewhere()), bundle);
    for root in roots(&folder) {
        holds_alone(&root, &source, &moved, COSIGN_3_DIGEST, COSIGN_3).await;
    }
}

/// SIG-13: also where every signer is accepted.
#[tokio::test]
async fn the_attestation_is_never_a_signature() {
    let Some(folder) = folder() else {
        return;
    };
    let bundle = std::fs::read(folder.join("cosign-attestation.bundle.json")).unwrap();
    let subject = pin(ATTESTED_DIGEST);
    let source = OneSignature::bundle(&subject, bundle);
    let everyone = Authority::identity_of_any_issuer(IdentityRule::regex("(?s).*").unwrap());
    let everyone = Policy::any_of(vec![everyone], 1).unwrap();
    for root in roots(&folder) {
        for policy in [everyone.clone(), Policy::pin_on_first_use()] {
            let error = judge(&root, &source, &subject, policy).await.unwrap_err();
            assert_eq!(
                error.rejections()[0].code,
                RejectionCode::Attestation,
                "{error}"
            );
        }
    }
}
