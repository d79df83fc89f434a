//! `fixtures/sigstore`: every good signature is accepted, and every tampered signature next to it
//! is refused for the one thing that is wrong with it.

use std::path::PathBuf;
use std::time::SystemTime;

use qmt_oci_ref::{PinnedReference, Repository};
use qmt_verify::policy::{Authority, IdentityRule, Policy, PolicySet, Scope};
use qmt_verify::report::RejectionCode;
use qmt_verify::trust::TrustRoot;
use qmt_verify::{
    DiscoveryOptions, SigstoreVerifier, Verification, Verifier, VerifyError, discover,
};
use serde::Deserialize;
use serde_json::Value;

use crate::command::root;
use crate::source::OneSignature;

#[derive(Deserialize)]
struct Cases {
    subject: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    file: String,
    format: String,
    accept: bool,
    signer: Signer,
    good_twin: Option<String>,
}

#[derive(Deserialize)]
struct Signer {
    identity: Option<String>,
    issuer: Option<String>,
    key: Option<String>,
}

fn folder() -> PathBuf {
    root().join("fixtures/sigstore")
}

fn cases() -> Cases {
    serde_json::from_slice(&std::fs::read(folder().join("cases.json")).unwrap()).unwrap()
}

fn subject(digest: &str) -> PinnedReference {
    let repository: Repository = "registry.example/acme/greet".parse().unwrap();
    PinnedReference::new(repository, digest.parse().unwrap())
}

impl Case {
    /// The policy that accepts the signer, and no other.
    fn policy(&self) -> Policy {
        let authority = match &self.signer {
            Signer { key: Some(key), .. } => {
                Authority::key(key, &std::fs::read(folder().join(key)).unwrap()).unwrap()
            }
            Signer {
                identity: Some(identity),
                issuer: Some(issuer),
                ..
            } => Authority::certificate(issuer, IdentityRule::exact(identity).unwrap()).unwrap(),
            _ => panic!("{}: no signer", self.file),
        };
        Policy::any_of(vec![authority], 1).unwrap()
    }

    fn source(&self, subject: &PinnedReference) -> OneSignature {
        let content = std::fs::read(folder().join(&self.file)).unwrap();
        if self.format == "bundle" {
            return OneSignature::bundle(subject, content);
        }
        let content: Value = serde_json::from_slice(&content).unwrap();
        OneSignature::simple(
            content["payload"].as_str().unwrap(),
            &content["annotations"],
        )
    }

    /// The defect, as the file is named for it.
    fn defect(&self) -> &str {
        let name = self.file.rsplit('/').next().unwrap();
        name.split('.').next().unwrap()
    }

    async fn judge(
        &self,
        root: &TrustRoot,
        subject: &PinnedReference,
        policy: Policy,
    ) -> Result<Verification, VerifyError> {
        let source = self.source(subject);
        let evidence = discover(&source, subject, &DiscoveryOptions::default())
            .await
            .unwrap();
        assert_eq!(evidence.len(), 1, "{}", self.file);
        let policies = PolicySet::new(vec![(Scope::everything(), policy)]).unwrap();
        let verifier = SigstoreVerifier::new(root.clone(), policies).unwrap();
        verifier.check(subject, &evidence, None, SystemTime::now())
    }
}

#[tokio::test]
async fn good_signatures_are_accepted_and_tampered_ones_refused_for_their_defect() {
    let all = cases();
    let subject = subject(&all.subject);
    let root = TrustRoot::from_json_file(&folder().join("trust/trusted_root.json")).unwrap();
    let (mut good, mut bad, mut wrong) = (0, 0, Vec::new());
    for case in &all.cases {
        let outcome = case.judge(&root, &subject, case.policy()).await;
        match (&outcome, case.accept) {
            (Ok(verified), true) => {
                assert_eq!(verified.digest(), subject.digest());
                good += 1;
            }
            (Err(error), false) => {
                let tampered = case.good_twin.as_deref().unwrap();
                assert!(
                    all.cases
                        .iter()
                        .any(|good| good.accept && good.file == tampered),
                    "{tampered}"
                );
                let rejection = &error.rejections()[0];
                assert!(!rejection.hint.is_empty(), "{}: {error}", case.file);
                let is_named = reasons(case.defect()).iter().any(|(code, words)| {
                    rejection.code == *code && rejection.reason.contains(words)
                });
                if !is_named {
                    let (code, reason) = (&rejection.code, &rejection.reason);
                    wrong.push(format!("{}: {code}: {reason}", case.file));
                }
                bad += 1;
            }
            (outcome, _) => wrong.push(format!("{}: {outcome:?}", case.file)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(good >= 9 && bad >= 79, "{good} good, {bad} bad");
}

/// The kinds of fault by which a defect may be noticed, with words of the reason. Where a part of a
/// signature belongs to another one, the two formats notice it at different parts.
fn reasons(defect: &str) -> &'static [(RejectionCode, &'static str)] {
    match defect {
        "expired-certificate" | "logged-after-expiry" | "timestamp-outside-certificate" => {
            &[(RejectionCode::Certificate, "it expired at")]
        }
        "not-yet-valid-certificate" => &[(RejectionCode::Certificate, "it is valid from")],
        "unknown-ca" | "expired-ca" => &[(
            RejectionCode::Certificate,
            "to an authority of the trust root",
        )],
        "no-code-signing" => &[(RejectionCode::Certificate, "no `codeSigning`")],
        "unknown-critical-extension" => {
            &[(RejectionCode::Certificate, "UnsupportedCriticalExtension")]
        }
        "missing-sct" => &[(RejectionCode::Certificate, "missing SCT")],
        "sct-by-wrong-key" | "sct-of-other-certificate" => &[(
            RejectionCode::Certificate,
            "SCT signature verification failed",
        )],
        "sct-of-unknown-log" => &[(RejectionCode::Certificate, "key not found")],
        "conflicting-issuers" => &[(RejectionCode::IssuerConflict, "two issuers")],
        "second-name" => &[(RejectionCode::Certificate, "more than one identity")],
        "no-name" => &[(RejectionCode::OtherIdentity, "names no signer")],
        "garbage-signature" | "foreign-signature" | "other-key" | "trailing-byte" => {
            &[(RejectionCode::Signature, "signature invalid")]
        }
        "foreign-entry" | "entry-of-other-payload" => &[
            (RejectionCode::Signature, "artifact hash mismatch"),
            (RejectionCode::Log, "does not match the bundle"),
        ],
        // A signature that holds too is still not the one that was logged.
        "entry-of-other-signature" | "entry-of-other-signer" | "malleated-signature" => {
            &[(RejectionCode::Log, "does not match the bundle")]
        }
        "unknown-log" => &[(RejectionCode::Log, "No log key valid")],
        "missing-entry" => &[(RejectionCode::NoLog, "no transparency log entry")],
        "set-by-wrong-key" | "tampered-integrated-time" => {
            &[(RejectionCode::Log, "SET verification failed")]
        }
        "missing-set" => &[
            (RejectionCode::Log, "SET verification failed"),
            (RejectionCode::Time, "No verified timestamp"),
        ],
        "missing-proof" => &[(RejectionCode::Log, "a promise and no proof")],
        "wrong-proof-index" | "broken-proof" => &[(RejectionCode::Log, "inclusion proof")],
        "checkpoint-by-wrong-key" => &[(RejectionCode::Log, "invalid checkpoint")],
        "checkpoint-of-other-tree" => &[(RejectionCode::Unreadable, "checkpoint root hash")],
        "foreign-timestamp" | "tampered-timestamp" => {
            &[(RejectionCode::Time, "message hash mismatch")]
        }
        "timestamp-by-unknown-authority" => {
            &[(RejectionCode::Time, "does not match any trusted TSA")]
        }
        "timestamp-by-other-key" => {
            &[(RejectionCode::Time, "Failed to verify timestamp signature")]
        }
        "wrong-subject" | "no-subject" | "other-digest-algorithm" => {
            &[(RejectionCode::OtherDigest, "another digest")]
        }
        "wrong-type" => &[
            (RejectionCode::OtherType, "cosign container image signature"),
            (RejectionCode::Attestation, "not a signature"),
        ],
        "malformed-payload" => &[(RejectionCode::Unreadable, "cannot be read")],
        "wrong-payload-type" => &[(RejectionCode::OtherType, "application/vnd.in-toto+json")],
        "two-signatures" => &[(RejectionCode::Unreadable, "exactly one signature")],
        "old-bundle" => &[(RejectionCode::OldBundle, "old format")],
        _ => &[],
    }
}
