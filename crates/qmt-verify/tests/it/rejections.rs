//! The ten best-known rejections, each next to its good counterpart, in both formats.

use std::time::{Duration, SystemTime};

use qmt_testkit::{Format, LogKind, PrivateSigstore, Signing, Tampered, TrustPart};
use qmt_verify::policy::{Policy, PolicySet};
use qmt_verify::{SigstoreVerifier, Verifier as _, VerifyError};

use crate::support::{
    EMAIL, ISSUER, Memory, any_of, authority, check, code, dev, dev_authority, everything,
    evidence, key_authority, look, pin, subject, trust, trust_json, verifier,
};
use crate::tampered::sign;

const FORMATS: [Format; 2] = [Format::Simple, Format::Bundle];

/// The code of the first rejection of a tampered signature. The same policy accepts the good one.
async fn tampered(tampered: Tampered) -> Vec<String> {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let mut codes = Vec::new();
    for format in FORMATS {
        let signing = Signing::keyless(dev());
        let good = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
        check(&verifier, &subject(), &good).unwrap();
        let bad = sign(&sigstore, format, &signing.tampered(tampered));
        let bad = evidence(&subject(), [bad]).await;
        codes.push(code(check(&verifier, &subject(), &bad)));
    }
    codes
}

#[tokio::test]
async fn rejects_1_unsigned() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let nothing = look(&Memory::default(), &subject()).await;
    let error = check(&verifier, &subject(), &nothing).unwrap_err();
    assert!(matches!(error, VerifyError::NoSignature { .. }), "{error}");
    assert!(!error.is_retryable());
    let signed = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let signed = evidence(&subject(), [signed]).await;
    check(&verifier, &subject(), &signed).unwrap();
}

/// SIG-05: a signature of the index says nothing about a child, nor of a child about the index.
#[tokio::test]
async fn rejects_2_another_digest() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let (index, child) = (pin("the index"), pin("a child"));
    for (signed, asked) in [(&index, &child), (&child, &index)] {
        let simple = sigstore.sign_simple(signed.digest(), &Signing::keyless(dev()));
        let bundle = sigstore.sign_bundle(signed.digest(), &Signing::keyless(dev()));
        let good = evidence(signed, [simple.clone()]).await;
        check(&verifier, signed, &good).unwrap();
        let moved = evidence(asked, [simple]).await;
        assert_eq!(code(check(&verifier, asked, &moved)), "other-digest");
        let good = evidence(signed, [bundle.clone()]).await;
        check(&verifier, signed, &good).unwrap();
        let moved = evidence(asked, [bundle]).await;
        assert_eq!(code(check(&verifier, asked, &moved)), "other-digest");
        // Evidence that was collected for another digest is not even looked at.
        let error = check(&verifier, asked, &good).unwrap_err();
        assert!(
            matches!(error, VerifyError::OtherEvidence { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn rejects_3_another_identity() {
    let sigstore = PrivateSigstore::new();
    let strict = verifier(
        &sigstore,
        any_of(vec![authority(ISSUER, "other@example.com")]),
    );
    let right = verifier(&sigstore, any_of(vec![dev_authority()]));
    for format in FORMATS {
        let evidence = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::keyless(dev()))],
        )
        .await;
        check(&right, &subject(), &evidence).unwrap();
        let error = check(&strict, &subject(), &evidence).unwrap_err();
        let rejection = &error.rejections()[0];
        assert_eq!(rejection.code.to_string(), "other-identity");
        assert!(rejection.config_line.as_ref().unwrap().contains(EMAIL));
        assert!(rejection.reason.contains(EMAIL), "{rejection:?}");
        assert!(
            rejection.reason.contains("other@example.com"),
            "{rejection:?}"
        );
        assert!(
            rejection
                .signer
                .as_ref()
                .unwrap()
                .to_string()
                .contains(EMAIL)
        );
    }
}

#[tokio::test]
async fn rejects_4_another_issuer() {
    let sigstore = PrivateSigstore::new();
    let strict = verifier(
        &sigstore,
        any_of(vec![authority("https://other.example", EMAIL)]),
    );
    let right = verifier(&sigstore, any_of(vec![dev_authority()]));
    for format in FORMATS {
        let evidence = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::keyless(dev()))],
        )
        .await;
        check(&right, &subject(), &evidence).unwrap();
        assert_eq!(code(check(&strict, &subject(), &evidence)), "other-issuer");
    }
}

/// SIG-09: the certificate has expired, and nothing proves that the signature is older.
#[tokio::test]
async fn rejects_5_an_expired_certificate_without_a_timestamp() {
    for code in tampered(Tampered::ExpiredCertificate).await {
        assert!(["certificate", "time"].contains(&code.as_str()), "{code}");
    }
    // Rekor v2 gives no time: without a timestamp, none is proven.
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let signing = Signing::keyless(dev()).log(LogKind::RekorV2);
    let stamped = sigstore.sign_bundle(subject().digest(), &signing.clone().timestamp(true));
    check(
        &verifier,
        &subject(),
        &evidence(&subject(), [stamped]).await,
    )
    .unwrap();
    let bare = sigstore.sign_bundle(subject().digest(), &signing);
    assert_eq!(
        code(check(
            &verifier,
            &subject(),
            &evidence(&subject(), [bare]).await
        )),
        "time"
    );
}

/// CVE-2022-36056.
#[tokio::test]
async fn rejects_6_the_log_entry_of_another_signature() {
    for codes in [
        tampered(Tampered::ForeignEntry).await,
        tampered(Tampered::EntryOfOtherSignature).await,
    ] {
        for code in codes {
            assert!(["log", "signature"].contains(&code.as_str()), "{code}");
        }
    }
}

#[tokio::test]
async fn rejects_7_certificate_and_log_entry_copied_onto_another_payload() {
    for code in tampered(Tampered::ForeignSignature).await {
        assert!(["log", "signature"].contains(&code.as_str()), "{code}");
    }
    for code in tampered(Tampered::EntryOfOtherPayload).await {
        assert!(["log", "signature"].contains(&code.as_str()), "{code}");
    }
}

#[tokio::test]
async fn rejects_8_an_unknown_certificate_authority() {
    assert_eq!(
        tampered(Tampered::UnknownCa).await,
        ["certificate", "certificate"]
    );
}

#[tokio::test]
async fn rejects_9_another_key_than_the_configured_one() {
    let sigstore = PrivateSigstore::new();
    let right = verifier(
        &sigstore,
        any_of(vec![key_authority(&sigstore, "p256-mine")]),
    );
    let other = verifier(
        &sigstore,
        any_of(vec![key_authority(&sigstore, "p256-other")]),
    );
    for format in FORMATS {
        let evidence = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::key("p256-mine"))],
        )
        .await;
        check(&right, &subject(), &evidence).unwrap();
        let error = check(&other, &subject(), &evidence).unwrap_err();
        assert_eq!(error.rejections()[0].code.to_string(), "other-key");
        assert!(error.to_string().contains("p256-other.pub"), "{error}");
    }
}

/// SIG-12 (CVE-2026-35205): trust material that is missing or empty is an error, not "anyone".
#[tokio::test]
async fn rejects_10_empty_trust_material() {
    let sigstore = PrivateSigstore::new();
    let media_type = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
    for json in [
        String::new(),
        " \n".to_owned(),
        "{}".to_owned(),
        format!(r#"{{"mediaType":"{media_type}"}}"#),
        format!(r#"{{"mediaType":"{media_type}","tlogs":[],"certificateAuthorities":null}}"#),
    ] {
        let error = trust_json(&json).unwrap_err();
        assert!(
            matches!(error, VerifyError::TrustRoot { .. }),
            "{json}: {error}"
        );
    }
    trust_json(&sigstore.trusted_root_json()).unwrap();
    // A root that lacks what a policy needs is refused when the verifier is made, not at a check.
    for (lacking, what) in [
        (
            sigstore
                .trusted_root()
                .without(TrustPart::Fulcio)
                .without(TrustPart::Retired),
            "certificate authority",
        ),
        (
            sigstore.trusted_root().without(TrustPart::Ctfe),
            "certificate transparency log",
        ),
        (
            sigstore
                .trusted_root()
                .without(TrustPart::RekorV1)
                .without(TrustPart::RekorV2),
            "transparency log",
        ),
    ] {
        let root = trust_json(&lacking.json()).unwrap();
        for policy in [any_of(vec![dev_authority()]), Policy::pin_on_first_use()] {
            let policies = everything(policy).certificate_log_required();
            let error = SigstoreVerifier::new(root.clone(), policies).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }
    SigstoreVerifier::new(trust(&sigstore), everything(any_of(vec![dev_authority()]))).unwrap();
    // And so is a policy that says nothing.
    assert!(PolicySet::new(Vec::new()).is_err());
    assert!(Policy::any_of(Vec::new(), 1).is_err());
}

/// SIG-09: a signature from the future proves that a clock is wrong; five minutes are forgiven.
#[tokio::test]
async fn a_time_that_is_yet_to_come_is_refused() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    for format in FORMATS {
        let evidence = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::keyless(dev()))],
        )
        .await;
        let verified = check(&verifier, &subject(), &evidence).unwrap();
        let signed = verified.signed_at().unwrap();
        let at = |now: SystemTime| verifier.check(&subject(), &evidence, None, now);
        at(signed - Duration::from_mins(5)).unwrap();
        let ahead = at(signed - Duration::from_mins(5) - Duration::from_secs(1));
        assert_eq!(code(ahead), "time");
    }
}

/// Reasons are written for the operator, and the hint fits what is wrong.
#[tokio::test]
async fn reasons_name_what_is_wrong_and_what_to_do() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    for format in FORMATS {
        for (tampered, reason, hint) in [
            (
                Tampered::ExpiredCertificate,
                "it expired at 20",
                "sign the image again",
            ),
            (
                Tampered::NotYetValidCertificate,
                "it is valid from 20",
                "sign the image again",
            ),
            (Tampered::NoCodeSigning, "no `codeSigning`", "trust root"),
            (
                Tampered::UnknownCa,
                "no chain of usable certificates",
                "trust root",
            ),
            (Tampered::ForeignEntry, "is not valid", "do not use"),
            (
                Tampered::EntryOfOtherSignature,
                "log entry",
                "do not use this signature",
            ),
            (
                Tampered::TamperedIntegratedTime,
                "log entry",
                "do not use this signature",
            ),
            (
                Tampered::SetByWrongKey,
                "log entry",
                "do not use this signature",
            ),
            (
                Tampered::UnknownLog,
                "log entry",
                "check that the trust root knows the log",
            ),
        ] {
            let signing = Signing::keyless(dev()).tampered(tampered);
            let bad = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
            let error = check(&verifier, &subject(), &bad).unwrap_err();
            let rejection = &error.rejections()[0];
            let name = tampered.name();
            assert!(rejection.reason.contains(reason), "{name}: {rejection:?}");
            assert!(rejection.hint.contains(hint), "{name}: {rejection:?}");
            for dump in ["UnixTime", "Context", " { ", "..", "Invalid"] {
                assert!(!rejection.reason.contains(dump), "{name}: {rejection:?}");
            }
        }
    }
    // A promise alone is not enough for this version.
    let signing = Signing::keyless(dev()).tampered(Tampered::MissingProof);
    let bad = evidence(&subject(), [sign(&sigstore, Format::Bundle, &signing)]).await;
    let error = check(&verifier, &subject(), &bad).unwrap_err();
    let reason = &error.rejections()[0].reason;
    assert!(reason.contains("a promise and no proof"), "{reason}");
}
