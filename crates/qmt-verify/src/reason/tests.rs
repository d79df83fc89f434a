//! Tests of rejections: each one is safe to print and says what to do.

use super::*;

#[test]
fn every_rejection_says_what_to_do() {
    let signer = SignerId::certificate("https://issuer.example", "a\u{7}");
    let rejection = Reason::NoLog.reject("tag x\n", Some(&signer));
    assert_eq!(rejection.code.to_string(), "no-log");
    assert_eq!(rejection.found, "tag x\\n");
    assert!(rejection.signer.unwrap().to_string().contains("a\\u{7}"));
    assert_eq!(rejection.config_line, None);
    assert!(rejection.hint.contains("transparency_log"));
    let (found, expected) = ("a".to_owned(), "b".to_owned());
    let rejection = Reason::OtherIdentity {
        found: Some(found),
        expected,
    }
    .reject("x", Some(&signer));
    let line = rejection.config_line.unwrap();
    assert!(
        line.contains("issuer = \"https://issuer.example\""),
        "{line}"
    );
    let rejection = Reason::log("cause\n").reject("x", None);
    assert!(rejection.reason.ends_with("is not valid: cause\\n"));
}

/// With a clock that is behind, the time of a log entry is in the future. The trust root is not the
/// cause.
#[test]
fn a_log_entry_from_the_future_is_about_time() {
    let ahead = TransparencyLogError::IntegratedTime("it is in the future".to_owned());
    let rejection = Reason::from(LibraryError::from(ahead)).reject("a tag", None);
    assert_eq!(rejection.code, RejectionCode::Time);
    assert!(rejection.hint.contains("clock"), "{}", rejection.hint);
}

/// What a certificate or a signature lacks is not written like a value, and a damaged signature is
/// copied again.
#[test]
fn missing_values_are_no_names() {
    let expected = || "acme/echo".to_owned();
    let text = |reason: Reason| reason.reject("x", None).reason;
    let claim = text(Reason::OtherClaim {
        claim: Claim::Repository,
        found: None,
        expected: expected(),
    });
    let words =
        "the certificate names no repository of a workflow; the policy requires `acme/echo`";
    assert_eq!(claim, words);
    let annotation = text(Reason::OtherAnnotation {
        name: "env".to_owned(),
        found: None,
        expected: expected(),
    });
    assert!(
        annotation.starts_with("the annotation `env` is missing;"),
        "{annotation}"
    );
    let damaged = Reason::DamagedSignature("it was changed".into()).reject("x", None);
    assert_eq!(damaged.code, RejectionCode::Signature);
    assert!(
        damaged.hint.starts_with("copy or export the image again"),
        "{}",
        damaged.hint
    );
}

/// Some shells read brackets as a pattern.
#[test]
fn the_host_in_a_command_is_quoted() {
    let reason = Reason::LookupFailed {
        kind: RegistryErrorKind::Unauthorized,
        host: "[::1]:5000".parse().unwrap(),
        problem: String::new(),
        hint: None,
    };
    let hint = reason.reject("x", None).hint;
    assert!(hint.contains("`qmt-plugins login '[::1]:5000'`"), "{hint}");
}
