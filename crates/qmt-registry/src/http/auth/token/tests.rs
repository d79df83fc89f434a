//! Tests of tokens.

use super::*;

fn parsed(content: &str) -> Result<(String, u64), String> {
    let realm = RedactedUrl::from_text("https://auth.example/token");
    match parse(content.as_bytes(), &realm) {
        Ok(Some(token)) => Ok((
            token.text.expose_secret().to_owned(),
            token.lifetime.as_secs(),
        )),
        Ok(None) => Err("no token".to_owned()),
        Err(error) => Err(format!("{error} {error:?}")),
    }
}

#[test]
fn tokens_are_read() {
    let with = |rest: &str| parsed(&format!(r#"{{"token":"t"{rest}}}"#)).unwrap();
    assert_eq!(with(r#","expires_in":300"#), ("t".to_owned(), 300));
    assert_eq!(
        with(r#","expires_in":300.5,"issued_at":"x","other":[1]"#).1,
        300
    );
    assert_eq!(with(r#","access_token":"t""#).0, "t");
    assert_eq!(with(r#","access_token":"other""#).0, "t");
    assert_eq!(with(r#","access_token":null,"expires_in":null"#).0, "t");
    assert_eq!(
        parsed(r#"{"access_token":"a","token":"t"}"#).unwrap().0,
        "t"
    );
    assert_eq!(
        parsed(r#"{"token":null,"access_token":"a"}"#).unwrap().0,
        "a"
    );
    assert_eq!(parsed(r#"{"token":"","access_token":"a"}"#).unwrap().0, "a");
    assert_eq!(parsed("\u{feff}{\"token\":\"t\"}").unwrap().0, "t");
    assert_eq!(parsed(r#"{"access_token":"a"}"#).unwrap().0, "a");
}

#[test]
fn a_different_access_token_is_the_alternative() {
    let realm = RedactedUrl::from_text("https://auth.example/token");
    let alternative = |content: &str| {
        let token = parse(content.as_bytes(), &realm).unwrap().unwrap();
        token
            .alternative
            .map(|token| token.expose_secret().to_owned())
    };
    let other = alternative(r#"{"token":"t","access_token":"a"}"#);
    assert_eq!(other.as_deref(), Some("a"));
    for alone in [
        r#"{"token":"t","access_token":"t"}"#,
        r#"{"token":"t","access_token":""}"#,
        r#"{"token":"","access_token":"a"}"#,
        r#"{"token":"t"}"#,
    ] {
        assert_eq!(alternative(alone), None, "{alone}");
    }
}

/// AUTH-10: absent, negative and huge lifetimes are brought within bounds.
#[test]
fn lifetimes_are_bounded() {
    let lifetime = |text: &str| parsed(&format!(r#"{{"token":"t"{text}}}"#)).unwrap().1;
    assert_eq!(lifetime(""), 60);
    assert_eq!(lifetime(r#","expires_in":-1"#), 60);
    assert_eq!(lifetime(r#","expires_in":0"#), 60);
    assert_eq!(lifetime(r#","expires_in":3600"#), 3600);
    assert_eq!(lifetime(r#","expires_in":3601"#), 3600);
    assert_eq!(lifetime(r#","expires_in":1e300"#), 3600);
    assert_eq!(lifetime(r#","expires_in":"300""#), 300);
    assert_eq!(lifetime(r#","expires_in":"NaN""#), 60);
    assert_eq!(lifetime(r#","expires_in":"soon""#), 60);
}

/// AUTH-10: a malformed answer is a typed error that quotes nothing of it.
#[test]
fn malformed_answers_are_refused() {
    let deep = format!(r#"{{"token":"t","x":{}"#, "[".repeat(1_000_000));
    for answer in [
        "",
        "[]",
        "{}",
        r#"{"token":""}"#,
        r#"{"token":7}"#,
        r#"{"token":"canary","token":"other"}"#,
        r#"{"token":"t","expires_in":1e999}"#,
        "<!DOCTYPE html><p>canary",
        &deep,
    ] {
        let error = parsed(answer).unwrap_err();
        assert!(!error.contains("canary"), "CFG-01: {error}");
    }
}
