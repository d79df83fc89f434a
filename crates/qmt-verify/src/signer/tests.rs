//! Tests of signers: their config line and their stored form.

use super::*;

#[test]
fn a_config_line_accepts_exactly_this_signer() {
    let signer = SignerId::certificate("https://i.example", "a\"b\\c\nd\u{202e}ü@x");
    assert_eq!(
        signer.config_line(),
        "any_of = [{ issuer = \"https://i.example\", \
         identity = \"a\\\"b\\\\c\\U0000000Ad\\U0000202Eü@x\" }]"
    );
}

/// What the signer chose does not decide where the option stands.
#[test]
fn a_config_line_without_a_log_accepts_exactly_this_signer() {
    let signer = SignerId::certificate("https://i.example/ }]", "a }]@x");
    assert_eq!(
        signer.config_line_without_log(),
        "any_of = [{ issuer = \"https://i.example/ }]\", identity = \"a }]@x\", \
         transparency_log = \"optional\" }]"
    );
    assert_eq!(
        SignerId::key("sha256:0").config_line_without_log(),
        "any_of = [{ key = \"signer.pub\", transparency_log = \"optional\" }]  # the key sha256:0"
    );
}

#[test]
fn signers_come_back_from_the_lockfile_and_half_of_one_does_not() {
    for signer in [SignerId::certificate("i", "s"), SignerId::key("sha256:0")] {
        let json = serde_json::to_string(&signer).unwrap();
        assert_eq!(serde_json::from_str::<SignerId>(&json).unwrap(), signer);
    }
    for bad in [
        r#"{"issuer":"i"}"#,
        r#"{"identity":"s"}"#,
        r#"{"issuer":"i","identity":null}"#,
        r#"{"issuer":"i","identity":"s","key":"k"}"#,
        "null",
        "{}",
    ] {
        let error = serde_json::from_str::<SignerId>(bad).unwrap_err();
        let text = "a signer is either `key`, or `issuer` and `identity`";
        assert!(error.to_string().starts_with(text), "{bad}: {error}");
    }
}
