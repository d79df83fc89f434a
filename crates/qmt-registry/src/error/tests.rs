//! Which errors pass by themselves, and what messages say.

use super::*;

fn status(status: u16) -> ClientError {
    let url = RedactedUrl::from_text("https://a.example/v2/");
    ClientError::Status {
        from: None,
        url,
        status,
        message: String::new(),
    }
}

/// The name of the credential ends the message.
#[test]
fn a_token_server_that_fails_for_an_entry_has_no_comma_at_the_end() {
    let error = TokenServerError::Failed {
        host: "r.example".parse().unwrap(),
        realm: RedactedUrl::from_text("https://r.example/token"),
        origin: Some(CredentialOrigin::Entry {
            path: "/config.json".into(),
            key: "r.example".to_owned(),
            is_replaced_by_login: true,
        }),
        source: Box::new(ClientError::setup("x")),
    };
    let words = "gives no token for the credential in entry `r.example` of `/config.json`";
    assert!(error.to_string().ends_with(words), "{error}");
}

/// F8: which statuses are retried, and which never are.
#[test]
fn only_temporary_answers_are_retryable() {
    for later in [408, 425, 429, 500, 502, 503, 504, 507, 520, 524, 530] {
        assert!(status(later).is_retryable(), "{later}");
    }
    for never in [400, 401, 403, 404, 405, 406, 410, 416, 501, 505] {
        assert!(!status(never).is_retryable(), "{never}");
    }
}

#[test]
fn messages_say_what_to_do() {
    let error = TokenServerError::RealmRefused {
        host: "registry.example.com".parse().unwrap(),
        realm: RedactedUrl::from_text("https://auth.example.net/token?x=canary"),
        reason: "it is another host",
        for_anonymous: false,
        allow: Some("auth.example.net".to_owned()),
    };
    assert_eq!(
        error.to_string(),
        "`registry.example.com` names `https://auth.example.net/token` as its token server, \
         which is not used: it is another host; to trust it, set allow_realms = [\"auth.example.net\"] \
         for registry `registry.example.com`"
    );
}

/// The place of the token is named, over plain HTTP as over HTTPS. Where a password is withheld, a
/// login does not help.
#[test]
fn a_registry_that_accepts_no_token_needs_a_password() {
    let hint = |url, reason, origin| {
        let withheld = ClientError::CredentialWithheld {
            url: RedactedUrl::from_text(url),
            reason,
            origin,
        };
        withheld.hint()
    };
    let unknown = CredentialOrigin::default;
    let login = "log in with a user name and password: `qmt-plugins login a.example`";
    let entry = |is_replaced_by_login| CredentialOrigin::Entry {
        path: "/home/me/.docker/config.json".into(),
        key: "a.example".to_owned(),
        is_replaced_by_login,
    };
    let helper = CredentialOrigin::Helper {
        program: "docker-credential-x".to_owned(),
        path: "/home/me/.docker/config.json".into(),
        key: "credsStore".to_owned(),
    };
    for url in ["https://a.example/", "http://a.example/"] {
        let token = |origin| hint(url, WithheldReason::IsToken, origin).unwrap();
        assert_eq!(token(unknown()), login);
        let stored = token(entry(true));
        let named = "the token is from entry `a.example` of `/home/me/.docker/config.json`; ";
        assert_eq!(stored.strip_prefix(named), Some(login));
        let specific = token(entry(false));
        assert!(
            specific.contains("remove") && !specific.contains("qmt-plugins login"),
            "{specific}"
        );
        assert!(token(helper.clone()).contains("`docker-credential-x`"));
        let weaker = WithheldReason::WeakerChallenge;
        assert_eq!(hint(url, weaker, entry(true)), None);
    }
}

/// Only what a login replaces is to be replaced by one.
#[test]
fn a_refused_credential_is_named() {
    let hint = |origin| {
        let refused = ClientError::Unauthorized {
            host: "a.example".parse().unwrap(),
            what: "`a.example/team/x`".to_owned(),
            status: 403,
            anonymous: false,
            is_unsent: false,
            origin,
            message: String::new(),
        };
        refused.hint().unwrap()
    };
    let entry = |key: &str, is_replaced_by_login| CredentialOrigin::Entry {
        path: "/home/me/.docker/config.json".into(),
        key: key.to_owned(),
        is_replaced_by_login,
    };
    let own = hint(entry("a.example/team", false));
    let named = "entry `a.example/team` of `/home/me/.docker/config.json`";
    assert!(own.contains(named) && own.contains("remove"), "{own}");
    assert!(!own.contains("qmt-plugins login"), "{own}");
    let whole = hint(entry("a.example", true));
    assert!(whole.contains("qmt-plugins login a.example"), "{whole}");
    let helper = hint(CredentialOrigin::Helper {
        program: "docker-credential-ecr-login".to_owned(),
        path: "/home/me/.docker/config.json".into(),
        key: "credsStore".to_owned(),
    });
    assert!(helper.contains("`docker-credential-ecr-login`"), "{helper}");
}

/// Hints name the table of the config, and its key is the host as references name it.
#[test]
fn a_host_is_named_as_in_the_config() {
    for (address, host) in [
        ("r.example:443", "r.example"),
        ("r.example:80", "r.example"),
        ("r.example:8080", "r.example:8080"),
        ("[::1]:443", "[::1]"),
        ("registry-1.docker.io:443", "docker.io"),
        ("${HOST}/token", "${HOST}/token"),
    ] {
        assert_eq!(hint::host_of(address), host);
    }
}

/// Behind a proxy that ends TLS, a registry may name itself by HTTP.
#[cfg(feature = "http")]
#[test]
fn a_redirect_of_a_host_to_its_own_plain_http_is_explained() {
    let from = "https://r.example/v2/a/b/blobs/c".parse().unwrap();
    for (to, is_own) in [
        ("http://r.example/v2/a/b/blobs/c", true),
        ("http://r.example:8080/v2/", true),
        ("http://store.example/c", false),
        ("ftp://r.example/", false),
    ] {
        let refused = ClientError::redirect_refused(&from, &to.parse().unwrap(), "");
        let is_explained = refused
            .hint()
            .is_some_and(|hint| hint.contains("X-Forwarded-Proto"));
        assert_eq!(is_explained, is_own, "{to}");
    }
}

/// Some shells read brackets as a pattern.
#[test]
fn the_host_in_a_command_is_quoted_where_a_shell_requires_it() {
    for (host, command) in [
        ("[::1]:5000", "`qmt-plugins login '[::1]:5000'`"),
        ("a.example:5000", "`qmt-plugins login a.example:5000`"),
    ] {
        let named: RegistryHost = host.parse().unwrap();
        let refused = |anonymous| ClientError::Unauthorized {
            host: named.clone(),
            what: "x".to_owned(),
            status: 401,
            anonymous,
            is_unsent: false,
            origin: CredentialOrigin::Unknown,
            message: String::new(),
        };
        let limited = ClientError::RateLimited {
            host: Some(named.clone()),
            url: RedactedUrl::from_text("https://x/"),
            retry_after: None,
            message: String::new(),
        };
        let withheld = ClientError::CredentialWithheld {
            url: RedactedUrl::from_text(&format!("https://{host}/v2/")),
            reason: WithheldReason::IsToken,
            origin: CredentialOrigin::Unknown,
        };
        for error in [refused(true), refused(false), limited, withheld] {
            let hint = error.hint().unwrap();
            assert!(hint.contains(command), "{hint}");
        }
    }
}

/// A login uses no mirror, so its hint names none.
#[test]
fn an_unreachable_registry_at_a_login_has_no_hint_about_mirrors() {
    let hint = |for_login, exempt| {
        let error = ClientError::Unreachable {
            address: "r.example:443".to_owned(),
            from: None,
            for_upload: false,
            for_content: false,
            for_login,
            exempt,
            retryable: true,
            reason: "refused",
            source: "refused".into(),
        };
        error.hint().unwrap()
    };
    for exempt in [false, true] {
        assert!(
            !hint(true, exempt).contains("mirror"),
            "{}",
            hint(true, exempt)
        );
        assert!(
            hint(false, exempt).contains("`mirrors`"),
            "{}",
            hint(false, exempt)
        );
    }
    assert!(hint(true, false).contains("`proxy`"));
}
