//! What a report says: the signer, by which rule, what is claimed, in which form.

use qmt_testkit::{GITHUB_ISSUER, Identity, LogKind, PrivateSigstore, SignedBundle, Signing};
use qmt_verify::Evidence;
use qmt_verify::policy::{Authority, IdentityRule};
use serde_json::{Value, json};

use crate::support::{
    EMAIL, ISSUER, any_of, check, code, dev, dev_authority, evidence, key_authority, subject,
    verifier,
};

#[tokio::test]
async fn the_rule_that_held_is_named() {
    let sigstore = PrivateSigstore::new();
    let policy = any_of(vec![key_authority(&sigstore, "p256"), dev_authority()]);
    let verifier = verifier(&sigstore, policy);
    for (signing, rule) in [
        (
            Signing::keyless(dev()),
            format!("`{EMAIL}` of issuer `{ISSUER}`"),
        ),
        (Signing::key("p256"), "key `p256.pub`".to_owned()),
    ] {
        let item = sigstore.sign_bundle(subject().digest(), &signing);
        let verified = check(&verifier, &subject(), &evidence(&subject(), [item]).await).unwrap();
        assert_eq!(verified.authority(), rule);
        assert_eq!(verified.report().authority, rule);
    }
    let shown = format!("{verifier:?}");
    assert!(
        shown.contains("policies") && shown.contains("p256.pub"),
        "{shown}"
    );
}

#[tokio::test]
async fn the_claims_of_a_workflow_are_told_by_name() {
    let sigstore = PrivateSigstore::new();
    let home = "https://github.com/acme/echo";
    let workflow = format!("{home}/.github/workflows/release.yml@refs/tags/v1");
    let identity = Identity::github("acme/echo", "release.yml", "refs/tags/v1");
    let rule = IdentityRule::exact(&workflow).unwrap();
    let authority = Authority::certificate(GITHUB_ISSUER, rule).unwrap();
    let verifier = verifier(&sigstore, any_of(vec![authority]));
    let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity));
    let verified = check(&verifier, &subject(), &evidence(&subject(), [item]).await).unwrap();
    let report = verified.report();
    assert_eq!(report.identities.join(" "), workflow);
    assert_eq!(
        json!(report.claims),
        json!({
            "repository": home,
            "ref": "refs/tags/v1",
            "trigger": "push",
            "sha": "0123456789abcdef0123456789abcdef01234567",
            "name": "release",
            "build_signer": workflow,
            "build_config": workflow,
            "runner": "github-hosted",
            "run": format!("{home}/actions/runs/42/attempts/1"),
        })
    );
}

/// Only what was proven is reported: a time where something proves one, and no warning without a
/// reason.
#[tokio::test]
async fn the_checks_that_held_are_told() {
    let sigstore = PrivateSigstore::new();
    let policy = any_of(vec![key_authority(&sigstore, "p256"), dev_authority()]);
    let verifier = verifier(&sigstore, policy);
    let v2 = |signing: Signing| signing.log(LogKind::RekorV2);
    let all = "digest, signature, certificate, certificate log, transparency log, time";
    for (signing, checks, times) in [
        (Signing::keyless(dev()), all, 1),
        (Signing::keyless(dev()).timestamp(true), all, 2),
        (v2(Signing::keyless(dev()).timestamp(true)), all, 1),
        (
            Signing::key("p256"),
            "digest, signature, transparency log, time",
            1,
        ),
        (
            Signing::key("p256").timestamp(true),
            "digest, signature, transparency log, time",
            2,
        ),
        (
            v2(Signing::key("p256")),
            "digest, signature, transparency log",
            0,
        ),
    ] {
        let item = sigstore.sign_bundle(subject().digest(), &signing);
        let verified = check(&verifier, &subject(), &evidence(&subject(), [item]).await).unwrap();
        let report = verified.report();
        assert_eq!(report.checks.join(", "), checks, "{signing:?}");
        assert_eq!(report.signed_at.len(), times, "{signing:?}");
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    }
    let other = sigstore.sign_bundle(
        qmt_oci_ref::Digest::sha256("another"),
        &Signing::keyless(dev()),
    );
    let error = check(&verifier, &subject(), &evidence(&subject(), [other]).await).unwrap_err();
    let named = qmt_oci_ref::Digest::sha256("another").to_string();
    assert!(error.to_string().contains(&named), "{error}");
}

/// A bundle of another version, brought as a file.
fn relabelled(bundle: &SignedBundle, change: impl FnOnce(&mut Value)) -> Evidence {
    let mut json: Value = serde_json::from_slice(&bundle.json).unwrap();
    change(&mut json);
    Evidence::empty(&subject())
        .with_bundle("file", json.to_string().as_bytes())
        .unwrap()
}

/// Each version asks for its own proof of inclusion: the first for a promise, the others for a
/// proof. A promise instead of a proof is for the first alone.
#[tokio::test]
async fn each_version_of_a_bundle_has_its_own_proof() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    let old = |version: &str| format!("application/vnd.dev.sigstore.bundle+json;version={version}");
    let chain = |json: &mut Value| {
        let material = &mut json["verificationMaterial"];
        let certificate = material["certificate"].clone();
        material.as_object_mut().unwrap().remove("certificate");
        material["x509CertificateChain"] = json!({ "certificates": [certificate] });
    };
    let take = |json: &mut Value, name: &str| {
        let entry = &mut json["verificationMaterial"]["tlogEntries"][0];
        assert!(entry.as_object_mut().unwrap().remove(name).is_some());
    };
    for (version, format) in [("0.1", "bundle v0.1"), ("0.2", "bundle v0.2")] {
        let evidence = relabelled(&bundle, |json| {
            json["mediaType"] = old(version).into();
            chain(json);
        });
        let verified = check(&verifier, &subject(), &evidence).unwrap();
        assert_eq!(verified.report().format, format);
    }
    for version in ["0.1", "0.2", "0.3"] {
        let relabel = |json: &mut Value| {
            if version != "0.3" {
                json["mediaType"] = old(version).into();
                chain(json);
            }
        };
        let promised = relabelled(&bundle, |json| {
            relabel(json);
            take(json, "inclusionProof");
        });
        let outcome = check(&verifier, &subject(), &promised);
        assert_eq!(outcome.is_ok(), version == "0.1", "{version}: {outcome:?}");
        if version != "0.1" {
            // By our own rule, before the library has its say.
            assert_eq!(code(check(&verifier, &subject(), &promised)), "log");
        }
        let neither = relabelled(&bundle, |json| {
            relabel(json);
            take(json, "inclusionProof");
            take(json, "inclusionPromise");
        });
        assert_eq!(
            code(check(&verifier, &subject(), &neither)),
            "log",
            "{version}"
        );
    }
}
