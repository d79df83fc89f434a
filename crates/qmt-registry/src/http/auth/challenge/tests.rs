//! Tests of challenges.

use http::HeaderValue;

use super::*;

fn pick(values: &[&[u8]]) -> Result<Challenge, ClientError> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    strongest(&"a.example".parse().unwrap(), &headers)
}

fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
    Challenge::Bearer(BearerChallenge {
        realm: realm.to_owned(),
        service: service.map(str::to_owned),
        scope: scope.map(str::to_owned),
    })
}

/// AUTH-08: the forms of RFC 9110, quoted commas and escapes included.
#[test]
fn challenges_are_read_by_the_rfc() {
    let usual =
        br#"Bearer realm="https://t.example/token",service="s",scope="repository:a/b:pull,push""#;
    let expected = || {
        bearer(
            "https://t.example/token",
            Some("s"),
            Some("repository:a/b:pull,push"),
        )
    };
    assert_eq!(pick(&[usual]).unwrap(), expected());
    let escaped = br#"bearer REALM="https://t.example/\"q\"""#;
    assert_eq!(
        pick(&[escaped]).unwrap(),
        bearer("https://t.example/\"q\"", None, None)
    );
    assert_eq!(pick(&[br#"BASIC realm="x""#]).unwrap(), Challenge::Basic);
    assert_eq!(pick(&[b"Basic"]).unwrap(), Challenge::Basic);
    // Two headers, or several in one, in any order, unknown ones first: the strongest is taken.
    assert_eq!(pick(&[br#"Basic realm="x""#, usual]).unwrap(), expected());
    let both = [br#"Negotiate, Basic realm="a,b", "#.as_slice(), usual].concat();
    assert_eq!(pick(&[&both]).unwrap(), expected());
    let reverse = [usual.as_slice(), br#", Basic realm="x""#].concat();
    assert_eq!(pick(&[&reverse]).unwrap(), expected());
}

/// AUTH-08: spellings that other clients take as well.
#[test]
fn odd_spellings_of_challenges_are_read() {
    let realm = "https://t.example/token";
    for spelled in [
        r#"Bearer  realm="@",service="s""#,
        "Bearer\trealm=\"@\",\tservice=\"s\"",
        " Bearer \t realm \t= \"@\" , service\t=  s ",
        r#"bearer Realm="@", SERVICE="s""#,
        r#"Bearer service="s",realm="@""#,
        r#"Bearer realm="@",service="s","#,
        r#"Bearer ,realm="@",,service="s""#,
        r#"Bearer, realm="@", service="s""#,
        r#",Bearer realm="@",service=s"#,
        r#"Bearer realm="@";service="s""#,
        r#"Bearer realm="@" service="s""#,
        r#"Bearer realm="@"service="s""#,
        "Bearer realm=@,service=s",
        "Bearer realm=@ service=s",
        r#"Bearer realm="@",service="s",scope="""#,
        r#"Bearer realm="@",service="s",error="x",error_description="expired, \"really\"""#,
        "Bearer realm=\"@\",service=\"s\",error_description=\"abgelaufen \u{fc}\"",
        r#"Bearer realm="@",service="s",junk"#,
        r#"Bearer realm="@",service="s",open="never closed"#,
        r#"Basic realm="x", Bearer realm="@",service="s""#,
        r#"Negotiate YII=, Bearer realm="@",service="s""#,
        r#"Digest realm="x",qop="auth,auth-int", Bearer realm="@",service="s""#,
        r#"Bearer realm="@",service="s",realm="@""#,
    ] {
        let spelled = spelled.replace('@', realm);
        let picked = pick(&[spelled.as_bytes()]).unwrap();
        assert_eq!(picked, bearer(realm, Some("s"), None), "{spelled}");
    }
    for spelled in [
        &b"Basic"[..],
        b"basic  ",
        b"Basic realm=a b",
        b"Basic realm=\"",
        b"\xff, Basic",
    ] {
        assert_eq!(pick(&[spelled]).unwrap(), Challenge::Basic);
    }
    let latin = b"Bearer realm=\"https://t.example\",error_description=\"\xfc\"";
    assert_eq!(
        pick(&[latin]).unwrap(),
        bearer("https://t.example", None, None)
    );
}

/// AUTH-08: a malformed challenge is an error with a reason, never a panic.
#[test]
fn malformed_challenges_are_errors() {
    let long = [b"Basic realm=\"".as_slice(), &vec![b'x'; 64 << 10], b"\""].concat();
    for hostile in [
        long.as_slice(),
        b"",
        b"\xff\xfe",
        b"Negotiate",
        b"Bearer",
        br#"Bearer service="s""#,
        br#"Bearer realm="unterminated"#,
        br#"Bearer realm="a", realm="b""#,
        b"=,=,=",
        b"Bearer realm=,",
        b"Bearer realm",
        b"\"Bearer\" realm=x",
        b"realm=\"x\", Bearer",
    ] {
        let error = pick(&[hostile]).unwrap_err();
        assert!(
            matches!(
                error,
                ClientError::TokenServer(TokenServerError::Challenge { .. })
            ),
            "{error:?}"
        );
    }
    assert!(pick(&[]).is_err());
    // A malformed header next to a good one does not matter.
    assert_eq!(pick(&[b"\xff", b"Basic"]).unwrap(), Challenge::Basic);
}

/// AUTH-08: a value at the limit is read, one byte more is not.
#[test]
fn the_length_is_bounded() {
    let value = |length: usize| {
        let mut value = b"Basic realm=\"".to_vec();
        value.resize(length - 1, b'x');
        value.push(b'"');
        value
    };
    assert_eq!(
        pick(&[&value(CHALLENGE_BYTES_MAX)]).unwrap(),
        Challenge::Basic
    );
    assert!(pick(&[&value(CHALLENGE_BYTES_MAX + 1)]).is_err());
}

/// What is offered in vain is named, if it is a known scheme, and there is a next step.
#[test]
fn other_schemes_are_named() {
    for (values, words) in [
        (
            &[&b"Negotiate"[..], b"digest realm=\"x\", NTLM"][..],
            "nor `Basic`, but `Negotiate`, `Digest`, `NTLM`",
        ),
        (&[b"canary"], "neither `Bearer` nor `Basic`"),
        (&[], "no `WWW-Authenticate`"),
    ] {
        let error = pick(values).unwrap_err();
        let text = error.to_string();
        assert!(text.ends_with(words), "{text}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("is the registry itself"), "{hint}");
    }
}
