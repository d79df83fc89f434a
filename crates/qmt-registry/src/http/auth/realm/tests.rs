//! Tests of token servers.

use super::*;

fn checked(host: &str, base: &str, allow: &[&str], realm: &str) -> Result<RealmTrust, String> {
    let allow: Vec<String> = allow.iter().map(|&entry| entry.to_owned()).collect();
    check(
        &host.parse().unwrap(),
        &Url::parse(base).unwrap(),
        &allow,
        realm,
    )
    .map(|realm| realm.trust)
    .map_err(|error| error.to_string())
}

fn at_example(allow: &[&str], realm: &str) -> Result<RealmTrust, String> {
    checked("r.example", "https://r.example/", allow, realm)
}

/// AUTH-04: the own host, the known pairs and the operator's list; no other.
#[test]
fn credentials_go_to_known_realms() {
    use RealmTrust::{Known, Operator, Untrusted};
    assert_eq!(at_example(&[], "https://r.example/token"), Ok(Known));
    assert_eq!(at_example(&[], "https://R.example:8443/token"), Ok(Known));
    assert_eq!(at_example(&[], "https://auth.example/token"), Ok(Untrusted));
    assert_eq!(
        at_example(&[], "https://r.example.evil/token"),
        Ok(Untrusted)
    );
    assert_eq!(
        at_example(&["auth.example"], "https://auth.example/token"),
        Ok(Operator)
    );
    assert_eq!(
        at_example(&["https://auth.example"], "https://auth.example/t"),
        Ok(Operator)
    );
    assert_eq!(
        at_example(&["auth.example"], "https://auth.example:444/token"),
        Ok(Untrusted)
    );
    assert_eq!(
        at_example(&["auth.example:444"], "https://auth.example:444/t"),
        Ok(Operator)
    );
    let hub = |realm| checked("docker.io", "https://registry-1.docker.io/", &[], realm);
    assert_eq!(hub("https://auth.docker.io/token"), Ok(Known));
    assert_eq!(hub("https://auth.docker.io:1/token"), Ok(Untrusted));
    assert_eq!(
        at_example(&[], "https://auth.docker.io/token"),
        Ok(Untrusted),
        "not its pair"
    );
    let gitlab = checked(
        "registry.gitlab.com",
        "https://registry.gitlab.com/",
        &[],
        "https://gitlab.com/jwt/auth",
    );
    assert_eq!(gitlab, Ok(Known));
}

/// AUTH-04: the refusal names the config line that would allow it.
#[test]
fn the_refusal_says_how_to_allow_it() {
    let realm = Url::parse("https://auth.example:8443/token").unwrap();
    let text = untrusted(&"r.example".parse().unwrap(), &realm).to_string();
    assert!(
        text.contains(r#"allow_realms = ["auth.example:8443"]"#),
        "{text}"
    );
}

/// AUTH-05: an address in any notation is not a token server.
#[test]
fn addresses_are_refused() {
    for host in [
        "169.254.169.254",
        "127.0.0.1",
        "10.1.2.3",
        "[::1]",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0177.0.0.1",
        "0x7f000001",
        "8.8.8.8",
    ] {
        let realm = format!("https://{host}/token");
        assert!(at_example(&[], &realm).is_err(), "{host}");
        let metadata = checked(
            "169.254.169.254",
            "https://169.254.169.254/",
            &[],
            "https://[fd00:ec2::254]/",
        );
        assert!(metadata.is_err());
    }
    // A registry that is such an address itself may name a neighbour, without the credential.
    let local = |realm| checked("127.0.0.1:5000", "http://127.0.0.1:5000/", &[], realm);
    assert_eq!(local("http://127.0.0.1:5001/token"), Ok(RealmTrust::Known));
    assert_eq!(local("http://127.0.0.2/token"), Ok(RealmTrust::Untrusted));
    assert!(local("http://10.0.0.1/token").is_err());
    assert_eq!(
        at_example(&["10.0.0.1"], "https://10.0.0.1/t"),
        Ok(RealmTrust::Operator)
    );
}

/// A registry behind a TLS proxy that does not know its scheme: the request is sent with HTTPS.
#[test]
fn a_realm_of_the_same_host_keeps_https() {
    for (base, url) in [
        ("https://r.example/", "https://r.example/service/token?a=b"),
        (
            "https://r.example:8443/",
            "https://r.example:8443/service/token?a=b",
        ),
    ] {
        let (host, base) = ("r.example".parse().unwrap(), Url::parse(base).unwrap());
        let realm = check(&host, &base, &[], "http://r.example/service/token?a=b").unwrap();
        assert_eq!((realm.url.as_str(), realm.trust), (url, RealmTrust::Known));
    }
}

/// Settings that are missing on the side of the registry are recognised by what it sends.
#[test]
fn the_refusal_of_what_is_not_a_url_shows_it_and_names_the_reason() {
    const NO_NAME: &str = "its host is neither a name nor an address";
    const RELATIVE: &str = "it is not an absolute URL, which begins with `https://`";
    for (realm, shown, reason) in [
        (
            "${EXT_ENDPOINT}/service/token",
            "`${EXT_ENDPOINT}/service/token`",
            RELATIVE,
        ),
        ("auth.example/token", "`auth.example/token`", RELATIVE),
        (
            "auth.example:8080/t?x=canary",
            "`auth.example:8080/t`",
            RELATIVE,
        ),
        (
            "https://r.example:99999/token",
            "`https://r.example:99999/token`",
            "its port is not a number up to 65535",
        ),
        (
            "https://me:canary@r.example:port/token",
            "`…@r.example:port/token`",
            "its port is not a number up to 65535",
        ),
        (
            "https://<host>/token",
            "`https://<host>/token`",
            "its host is neither a name nor an address",
        ),
        ("https://${HOST}/token", "`https://${host}/token`", NO_NAME),
        ("https://$host/token", "`https://$host/token`", NO_NAME),
        (
            "https://{{host}}/token",
            "`https://{{host}}/token`",
            NO_NAME,
        ),
        (
            "https://{{ host }}/token",
            "`https://{{ host }}/token`",
            "it has spaces or control characters",
        ),
        (
            "https://auth.{domain}/token",
            "`https://auth.{domain}/token`",
            NO_NAME,
        ),
        (
            "https://$(HOST):8443/token",
            "`https://$(host):8443/token`",
            NO_NAME,
        ),
        ("https://", "`https://`", "it names no host"),
        (
            "https://auth .example/token",
            "`https://auth .example/token`",
            "it has spaces or control characters",
        ),
    ] {
        let text = at_example(&[], realm).unwrap_err();
        let start = format!("`r.example` names {shown} as its token server");
        assert!(text.starts_with(&start), "{text}");
        assert!(
            text.ends_with(&format!("which is not used: {reason}")),
            "{text}"
        );
        assert!(!text.contains("canary"), "{text}");
    }
    let text = at_example(&[], "").unwrap_err();
    assert_eq!(
        text,
        "`r.example` requires a token and does not name its token server: the `realm` in its \
         `WWW-Authenticate` is empty"
    );
}

/// Only the registry's operator can correct its realm.
#[test]
fn the_hint_about_a_realm_names_the_operator_of_the_registry() {
    let (host, base) = ("r.example".parse().unwrap(), "https://r.example/");
    let hint = |realm| {
        let error = check(&host, &Url::parse(base).unwrap(), &[], realm);
        error.unwrap_err().hint()
    };
    for realm in [
        "",
        "auth.example/token",
        "ftp://r.example/",
        "https://${HOST}/t",
    ] {
        let hint = hint(realm).unwrap();
        assert!(hint.contains("the operator of `r.example`"), "{hint}");
    }
    assert_eq!(
        hint("https://10.1.2.3/token"),
        None,
        "the message has the line for the config"
    );
}

/// AUTH-03, AUTH-07: no downgrade, no other scheme, nothing relative, no userinfo, no CR or LF.
#[test]
fn malformed_realms_are_refused() {
    for realm in [
        "http://r.example:8080/token",
        "http://auth.example/token",
        "file:///etc/passwd",
        "ftp://r.example/",
        "data:text/plain,x",
        "unix:/run/x",
        "",
        "/token",
        "r.example/token",
        "https://r.example/\r\nX: y",
        "https://user@r.example/",
        "https://user:password@r.example/",
        "https://",
    ] {
        assert!(at_example(&[], realm).is_err(), "{realm:?}");
    }
    let plain = checked(
        "r.example",
        "http://r.example/",
        &[],
        "http://r.example/token",
    );
    assert_eq!(
        plain,
        Ok(RealmTrust::Known),
        "where the registry itself is plain"
    );
}

/// `config check` refuses such an entry as well.
#[test]
fn an_entry_with_a_path_allows_nothing() {
    let realm = "https://auth.example/token";
    for entry in [
        "auth.example",
        "https://auth.example",
        "https://auth.example/",
    ] {
        assert_eq!(
            at_example(&[entry], realm),
            Ok(RealmTrust::Operator),
            "{entry}"
        );
    }
    for entry in [
        realm,
        "auth.example/token",
        "https://auth.example?service=x",
    ] {
        assert_eq!(
            at_example(&[entry], realm),
            Ok(RealmTrust::Untrusted),
            "{entry}"
        );
    }
}
