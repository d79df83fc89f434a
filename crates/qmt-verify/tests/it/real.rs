//! Genuine signatures: those that cosign 2 and 3 made for published images, and the recorded cases
//! of a private Sigstore. They are read from the folder that `QMT_REAL_FIXTURES` names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType, PinnedReference, Repository};
use qmt_verify::policy::{
    AttestationDemand, Authority, IdentityRule, Policy, PolicySet, Scope, WorkflowClaims,
};
use qmt_verify::trust::{PemTrust, TrustRoot};
use qmt_verify::{Evidence, SigstoreVerifier, Verification, Verifier, VerifyError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::layout::Layout;
use crate::support::{Memory, PemFiles as _, look};

fn fixtures(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("QMT_REAL_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        println!("{test}: skipped, QMT_REAL_FIXTURES is not set");
    }
    folder
}

fn pin(digest: &str) -> PinnedReference {
    let repository: Repository = "registry.example/real/image".parse().unwrap();
    PinnedReference::new(repository, digest.parse().unwrap())
}

fn everything(policy: Policy) -> PolicySet {
    PolicySet::new(vec![(Scope::everything(), policy)]).unwrap()
}

fn signed_by(issuer: &str, identity: &str) -> Policy {
    let identity = IdentityRule::exact(identity).unwrap();
    Policy::any_of(vec![Authority::certificate(issuer, identity).unwrap()], 1).unwrap()
}

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A registry in which `subject` has a `.sig` tag with one layer.
fn sig(subject: &PinnedReference, layer: &Value, payload: &str) -> Memory {
    let config = Descriptor::of(MediaType::ImageConfig, b"{}");
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let tag = format!("sha256-{}.sig", subject.digest().hex());
    let mut memory = Memory::default();
    memory.tags.insert(tag, manifest.to_string().into());
    memory
        .blobs
        .insert(Digest::sha256(payload), payload.to_owned().into());
    memory
}

/// A registry in which `subject` has one referrer with `bundle`.
fn bundled(subject: &PinnedReference, bundle: &[u8]) -> Memory {
    let config = Descriptor::of(MediaType::EmptyJSON, b"{}");
    let layer = Descriptor::of(MediaType::from(BUNDLE), bundle);
    let about = Descriptor::new(MediaType::ImageIndex, subject.digest().clone(), 1);
    let manifest = json!({
        "schemaVersion": 2, "artifactType": BUNDLE, "config": config, "layers": [layer],
        "subject": about,
    });
    let manifest = Bytes::from(manifest.to_string());
    let mut memory = Memory::default();
    let referrer = Descriptor::of(MediaType::ImageManifest, &manifest);
    memory.blobs.insert(referrer.digest().clone(), manifest);
    memory.referrers.push(referrer);
    memory
        .blobs
        .insert(Digest::sha256(bundle), bundle.to_owned().into());
    memory
}

#[derive(Deserialize)]
struct SigFixture {
    digest: String,
    payload: String,
    layer: Value,
}

fn check(
    root: &TrustRoot,
    policy: Policy,
    subject: &PinnedReference,
    evidence: &Evidence,
) -> Result<Verification, VerifyError> {
    let verifier = SigstoreVerifier::new(root.clone(), everything(policy)).unwrap();
    verifier.check(subject, evidence, None, SystemTime::now())
}

/// Accepted for its digest, identity and issuer; refused for any other of them.
async fn holds_for_this_alone(
    root: &TrustRoot,
    source: &dyn Fn(&PinnedReference) -> Memory,
    digest: &str,
    issuer: &str,
    identity: &str,
) {
    let subject = pin(digest);
    let evidence = look(&source(&subject), &subject).await;
    assert_eq!(evidence.len(), 1);
    let verified = check(root, signed_by(issuer, identity), &subject, &evidence).unwrap();
    assert_eq!(verified.digest(), subject.digest());
    assert_eq!(verified.report().identities, [identity]);
    assert!(!verified.times().is_empty());

    for (issuer, identity, code) in [
        ("https://accounts.google.com", identity, "other-issuer"),
        (issuer, "https://github.com/acme/other", "other-identity"),
    ] {
        let error = check(root, signed_by(issuer, identity), &subject, &evidence).unwrap_err();
        assert_eq!(error.rejections()[0].code.to_string(), code, "{error}");
    }
    // The same signature, found for another image.
    let other = pin(&Digest::sha256("another image").to_string());
    let moved = look(&source(&other), &other).await;
    let error = check(root, signed_by(issuer, identity), &other, &moved).unwrap_err();
    assert_eq!(
        error.rejections()[0].code.to_string(),
        "other-digest",
        "{error}"
    );
    // Evidence of one digest says nothing about another.
    let error = check(root, signed_by(issuer, identity), &other, &evidence).unwrap_err();
    assert!(
        matches!(error, VerifyError::OtherEvidence { .. }),
        "{error}"
    );
}

/// SIG-16: the genuine cosign 2 signature.
#[tokio::test]
async fn the_genuine_cosign_2_signature_holds_for_its_digest_and_signer_alone() {
    let Some(folder) = fixtures("cosign 2") else {
        return;
    };
    let text = std::fs::read(folder.join("cosign2-keyless-image.json")).unwrap();
    let fixture: SigFixture = serde_json::from_slice(&text).unwrap();
    let source = |subject: &PinnedReference| sig(subject, &fixture.layer, &fixture.payload);
    let identity = "https://github.com/salrashid123/go-bazel-github-workflow/.github/workflows/release.yaml@refs/tags/v0.0.30";
    let issuer = "https://token.actions.githubusercontent.com";
    for root in public_roots(&folder) {
        holds_for_this_alone(&root, &source, &fixture.digest, issuer, identity).await;
    }
}

/// SIG-16: the genuine cosign 3 signature.
#[tokio::test]
async fn the_genuine_cosign_3_signature_holds_for_its_digest_and_signer_alone() {
    let Some(folder) = fixtures("cosign 3") else {
        return;
    };
    let bundle = std::fs::read(folder.join("cosign3-keyless-image.bundle.json")).unwrap();
    let digest = "sha256:c811d58de79c92f03214e63aa339484e488d694ae8a6283b5f3f17a9faf50172";
    let source = |subject: &PinnedReference| bundled(subject, &bundle);
    let identity = "https://github.com/kubewarden/kubewarden-controller/.github/workflows/release.yml@refs/tags/v1.34.0";
    let issuer = "https://token.actions.githubusercontent.com";
    for root in public_roots(&folder) {
        holds_for_this_alone(&root, &source, digest, issuer, identity).await;
    }
}

/// SIG-13: the genuine attestation is not a signature, whichever signer is accepted.
#[tokio::test]
async fn the_genuine_attestation_is_no_signature() {
    let Some(folder) = fixtures("attestation") else {
        return;
    };
    let bundle = std::fs::read(folder.join("cosign-attestation.bundle.json")).unwrap();
    let subject = pin("sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4");
    let source = bundled(&subject, &bundle);
    let evidence = look(&source, &subject).await;
    let any_signer = IdentityRule::regex("(?s).*").unwrap();
    let any_signer =
        Policy::any_of(vec![Authority::identity_of_any_issuer(any_signer)], 1).unwrap();
    for root in public_roots(&folder) {
        for policy in [any_signer.clone(), Policy::pin_on_first_use()] {
            let error = check(&root, policy, &subject, &evidence).unwrap_err();
            assert_eq!(
                error.rejections()[0].code.to_string(),
                "attestation",
                "{error}"
            );
        }
    }
}

fn public_roots(folder: &Path) -> Vec<TrustRoot> {
    let mut roots = vec![TrustRoot::embedded().unwrap()];
    for name in [
        "public-good-trusted-root.json",
        "public-good-trusted-root-2025.json",
    ] {
        roots.push(TrustRoot::from_json_file(&folder.join(name)).unwrap());
    }
    roots
}

#[derive(Deserialize)]
struct Case {
    name: String,
    digest: String,
    signer: Signer,
    #[serde(default)]
    claims: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    attestation: Option<Attestation>,
    accept: Option<bool>,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
struct Signer {
    identity: Option<String>,
    issuer: Option<String>,
    key: Option<String>,
}

#[derive(Deserialize)]
struct Attestation {
    predicate_type: String,
    builder: String,
}

impl Case {
    /// The policy that the case asks for; an error where a key is of a kind that we cannot use.
    fn policy(&self, trust: &Path) -> Result<Policy, VerifyError> {
        let mut authority = match &self.signer {
            Signer { key: Some(key), .. } => {
                let pem = std::fs::read(trust.join(format!("key-{key}.pub"))).unwrap();
                let authority = Authority::key(format!("key-{key}.pub"), &pem)?;
                if self.why == "only where the policy asks for no log" {
                    authority.without_log()
                } else {
                    authority
                }
            }
            Signer {
                identity: Some(identity),
                issuer: Some(issuer),
                ..
            } => Authority::certificate(issuer, IdentityRule::exact(identity)?)?,
            _ => panic!("{}: no signer", self.name),
        };
        if let Some(claims) = &self.claims {
            let mut wanted = WorkflowClaims::repository(claims["repository"].clone());
            wanted.git_ref = claims.get("ref").cloned();
            wanted.trigger = claims.get("event_name").cloned();
            wanted.name = claims.get("workflow").cloned();
            wanted.sha = claims.get("sha").cloned();
            authority = authority.with_claims(wanted)?;
        }
        for (name, value) in &self.annotations {
            authority = authority.with_annotation(name, value);
        }
        let mut policy = Policy::any_of(vec![authority], 1)?;
        if let Some(wanted) = &self.attestation {
            let demand = AttestationDemand::new(&wanted.predicate_type)?;
            policy = policy.with_attestation(demand.with_builder(&wanted.builder)?);
        }
        Ok(policy)
    }
}

fn pem_trust(trust: &Path) -> PemTrust {
    PemTrust::default()
        .with_fulcio(trust.join("fulcio-chain.pem"))
        .with_rekor(trust.join("rekor.pub"))
        .with_rekor(trust.join("rekor1.pub"))
        .with_ctfe(trust.join("ctfe.pub"))
        .with_tsa(trust.join("tsa-chain.pem"))
}

/// SIG-16: every recorded case comes out as it says, with the trust root as JSON and as PEM files,
/// and once more from stored evidence.
#[tokio::test]
async fn every_recorded_case_comes_out_as_it_says() {
    let Some(folder) = fixtures("recorded cases") else {
        return;
    };
    let folder = folder.join("cosign");
    let trust = folder.join("trust");
    let cases = std::fs::read(folder.join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() >= 40);
    let layout = Layout::open(&folder.join("layout"));
    let roots = [
        TrustRoot::from_json_file(&trust.join("trusted_root.json")).unwrap(),
        TrustRoot::from_pem(&pem_trust(&trust)).unwrap(),
    ];
    let mut wrong = Vec::new();
    for case in &cases {
        let subject = pin(&case.digest);
        let evidence = look(&layout, &subject).await;
        let stored = Evidence::from_json(&evidence.to_json().unwrap()).unwrap();
        assert_eq!(stored, evidence);
        for root in &roots {
            let outcome = case
                .policy(&trust)
                .and_then(|policy| check(root, policy, &subject, &stored));
            let verdict = match &outcome {
                Ok(verified) => {
                    assert_eq!(verified.digest(), subject.digest());
                    format!(
                        "accepted: {} {}",
                        verified.report().format,
                        verified.authority()
                    )
                }
                Err(error) => format!("refused: {error}"),
            };
            println!("{:28} {:?} {verdict}", case.name, case.accept);
            if case.accept.is_some_and(|accept| accept != outcome.is_ok()) {
                wrong.push(format!("{}: {verdict}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// SIG-12: the trust root of another Sigstore accepts none of the cases that need a log or a
/// certificate.
#[tokio::test]
async fn another_sigstore_vouches_for_none_of_the_cases() {
    let Some(folder) = fixtures("other Sigstore") else {
        return;
    };
    let folder = folder.join("cosign");
    let trust = folder.join("trust");
    let cases = std::fs::read(folder.join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    let layout = Layout::open(&folder.join("layout"));
    let root = TrustRoot::from_json_file(&trust.join("other-trusted_root.json")).unwrap();
    for case in cases
        .iter()
        .filter(|case| !case.name.starts_with("other-sigstore"))
    {
        let Ok(policy) = case.policy(&trust) else {
            continue;
        };
        if case.why == "only where the policy asks for no log" {
            continue;
        }
        let subject = pin(&case.digest);
        let evidence = look(&layout, &subject).await;
        assert!(
            check(&root, policy, &subject, &evidence).is_err(),
            "{}",
            case.name
        );
    }
}
