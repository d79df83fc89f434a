//! AUTH-16, AUTH-17: credential helpers.

use super::*;

#[cfg(unix)]
pub(super) const ANSWER: &str =
    r#"read key; printf '{"ServerURL":"%s","Username":"%s","Secret":"%s"}' "$key" "#;

#[cfg(unix)]
#[tokio::test]
async fn auth_16_helpers_come_before_the_file() {
    let auths = format!(
        r#""auths":{{"a.io":{0},"b.io":{0},"c.io":{0}}}"#,
        auth("file:pw")
    );
    let home = Home::with_docker(&format!(
        r#"{{{auths},"credsStore":"all","credHelpers":{{"a.io":"one","d.io":""}}}}"#
    ));
    home.helper("one", &format!("{ANSWER} one \"$key\""));
    home.helper(
        "all",
        &format!(
            "read key; case $key in c.io) echo 'credentials not found in native keychain'; exit 1;; esac\n\
             echo \"$key\" | ( {ANSWER} all \"$key\" )"
        ),
    );
    assert_eq!(home.find("a.io").await.unwrap().unwrap(), "one:a.io");
    assert_eq!(home.find("b.io").await.unwrap().unwrap(), "all:b.io");
    assert_eq!(home.find("d.io").await.unwrap().unwrap(), "all:d.io");
    assert_eq!(home.find("c.io/x").await.unwrap().unwrap(), "file:pw");
    let hub = home
        .find("docker.io/library/alpine")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hub, "all:https://index.docker.io/v1/");
}

/// A path in the file is more specific than a helper for the whole host; one for less is not.
#[cfg(unix)]
#[tokio::test]
async fn a_path_comes_before_a_helper_for_the_host() {
    let auths = format!(
        r#""auths":{{"r.io":{0},"r.io/team":{0},"r.io/empty":{{}},"s.io/team":{0}}}"#,
        auth("file:pw")
    );
    let home = Home::with_docker(&format!(
        r#"{{{auths},"credsStore":"all","credHelpers":{{"s.io/team/app":"all"}}}}"#
    ));
    home.helper("all", &format!("{ANSWER} helper \"$key\""));
    for (what, expected) in [
        ("r.io", "helper:r.io"),
        ("r.io/other/app", "helper:r.io"),
        ("r.io/team/app", "file:pw"),
        ("r.io/empty/app", "helper:r.io"),
        ("s.io/team/x", "file:pw"),
        ("s.io/team/app", "helper:s.io"),
    ] {
        assert_eq!(home.find(what).await.unwrap().unwrap(), expected, "{what}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_helper_may_give_an_identity_token() {
    let home = Home::with_docker(r#"{"credsStore":"x"}"#);
    home.helper("x", &format!("{ANSWER} '<token>' refresh"));
    assert_eq!(
        home.find("ghcr.io").await.unwrap().unwrap(),
        "identity refresh"
    );
}

/// What wrappers print after the answer is ignored, as by docker.
#[cfg(unix)]
#[tokio::test]
async fn the_first_value_of_a_helper_is_its_answer() {
    let home = Home::with_docker(r#"{"credsStore":"x"}"#);
    home.helper(
        "x",
        r#"echo '{"Username":"me","Secret":"pw"}'; echo "token renewed""#,
    );
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "me:pw");
}

#[cfg(unix)]
#[tokio::test]
async fn auth_17_failing_helpers_show_no_secret() {
    for (script, reason) in [
        ("echo canary; echo canary >&2; exit 1", "it failed"),
        ("echo canary", "its answer does not follow the protocol"),
        (
            r#"echo '{"Username":"","Secret":"canary"}'"#,
            "its answer has no user name",
        ),
        (
            r#"echo '{"Username":7,"Secret":"canary"}'"#,
            "its answer does not follow the protocol",
        ),
        (
            r#"echo '{"username":7,"secret":"canary"}'"#,
            "its answer does not follow the protocol",
        ),
        (
            r#"echo '["me","canary"]'"#,
            "its answer does not follow the protocol",
        ),
        (
            r#"echo '{"user":"me","password":"canary"}'"#,
            "its answer has other fields than `ServerURL`, `Username` and `Secret`",
        ),
        ("kill -9 $$", "it failed"),
    ] {
        let home = Home::with_docker(r#"{"credsStore":"x"}"#);
        home.helper("x", script);
        let error = home.find("ghcr.io").await.unwrap_err();
        assert!(!text_of(&error).contains("canary"), "{}", text_of(&error));
        assert_eq!(reason_of(Err(error)), reason, "{script}");
    }
}

/// The answers of helpers that have nothing.
#[cfg(unix)]
#[tokio::test]
async fn a_helper_may_have_nothing() {
    for script in [
        "echo 'credentials not found in native keychain'; exit 1",
        "echo; echo ' credentials not found in native keychain '; echo; exit 1",
        "echo 'credentials not found in native keychain'",
        "exit 0",
        "echo",
        "echo '{}'",
        r#"echo '{"ServerURL":"","Username":"","Secret":""}'"#,
        r#"echo '{"ServerURL":null,"Username":null,"Secret":null}'"#,
        r#"echo '{"Username":"me"}'"#,
        r#"echo '{"serverurl":"ghcr.io","username":null,"secret":""}'"#,
        r#"echo '{"ServerURL":"ghcr.io"}'"#,
    ] {
        let home = Home::with_docker(r#"{"credsStore":"x"}"#);
        home.helper("x", script);
        assert_eq!(home.find("ghcr.io").await.unwrap(), None, "{script}");
    }
    let home = Home::with_docker(r#"{"credsStore":" x ","credHelpers":null,"auths":null}"#);
    home.helper(
        "x",
        r#"printf '\357\273\277{"Username":"me","Secret":"pw"}'"#,
    );
    assert_eq!(home.find("ghcr.io").await.unwrap().unwrap(), "me:pw");
}

/// Docker reads the names of fields in any case.
#[cfg(unix)]
#[tokio::test]
async fn auth_16_answers_of_helpers_are_read_in_any_case() {
    for answer in [
        r#"{"username":"me","secret":"pw"}"#,
        r#"{"serverurl":"ghcr.io","USERNAME":"me","secret":"pw","Note":7}"#,
        r#"{"Username":"me","username":7,"Secret":"pw","secret":7}"#,
    ] {
        let home = Home::with_docker(r#"{"credsStore":"x"}"#);
        home.helper("x", &format!("echo '{answer}'"));
        let found = home.find("ghcr.io").await.unwrap();
        assert_eq!(found.as_deref(), Some("me:pw"), "{answer}");
    }
    // A helper with none of them does not say that it has nothing.
    let home = Home::with_docker(r#"{"credsStore":"x"}"#);
    home.helper("x", r#"echo '{"token":"canary"}'"#);
    let error = home.find("ghcr.io").await.unwrap_err();
    assert_eq!(error.kind(), qmt_oci_ref::RegistryErrorKind::Configuration);
    let text = text_of(&error);
    assert!(
        text.contains("`docker-credential-x`") && !text.contains("canary"),
        "{text}"
    );
}

/// A helper that is not installed: the error names program, file and key.
#[tokio::test]
async fn a_missing_helper_is_named_with_its_file_and_key() {
    for (content, key) in [
        (r#"{"credsStore":"absent"}"#, "`credsStore`"),
        (
            r#"{"credHelpers":{"ghcr.io":"absent"}}"#,
            r#"`credHelpers["ghcr.io"]`"#,
        ),
    ] {
        let home = Home::with_docker(content);
        let error = home.find("ghcr.io").await.unwrap_err();
        let text = error.to_string();
        for part in [
            key,
            "`docker-credential-absent`",
            ".docker/config.json",
            "`PATH`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(error.kind(), qmt_oci_ref::RegistryErrorKind::Configuration);
    }
}

/// LIM-10: 64 KiB of output, or what it was lowered to, and one byte more.
#[cfg(unix)]
#[tokio::test]
async fn auth_17_output_is_capped() {
    let limit = usize::try_from(HELPER_OUTPUT_MAX).unwrap();
    let answer = r#"{"Username":"me","Secret":"pw"}"#;
    let padded = |length: usize| {
        let home = Home::with_docker(r#"{"credsStore":"x"}"#);
        home.write(
            "answer",
            &format!("{answer}{}", " ".repeat(length - answer.len())),
        );
        home.helper("x", "cat \"$HOME/answer\"");
        home
    };
    assert_eq!(
        padded(limit).find("ghcr.io").await.unwrap().unwrap(),
        "me:pw"
    );
    let over = "it printed more than allowed (at most 64 KiB) and was ended";
    assert_eq!(reason_of(padded(limit + 1).find("ghcr.io").await), over);
    let lowered = |output: u64| {
        let home = padded(100);
        let chain = CredentialChain::over(home.environment());
        (home, chain.helper_limits(HELPER_TIME_MAX, output))
    };
    let ghcr = "ghcr.io".parse().unwrap();
    let (_home, chain) = lowered(100);
    assert!(chain.credential(&ghcr, None).await.unwrap().is_some());
    let (_home, chain) = lowered(99);
    let refused = chain.credential(&ghcr, None).await.map(|_| None);
    assert_eq!(reason_of(refused), over);
    let flood = Home::with_docker(r#"{"credsStore":"x"}"#);
    flood.helper("x", "exec cat /dev/zero");
    let started = Instant::now();
    assert_eq!(reason_of(flood.find("ghcr.io").await), over);
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Only a program that is missing has to be installed; the cause of every other failure is kept.
#[cfg(unix)]
#[tokio::test]
async fn the_hint_about_a_helper_fits_its_failure() {
    use std::os::unix::fs::PermissionsExt as _;
    let config = r#"{"credsStore":"x"}"#;
    let hint = |error: &RegistryError| {
        let error: Option<&ClientError> = error.downcast_ref();
        error.unwrap().hint().unwrap()
    };
    let missing = Home::with_docker(config).find("ghcr.io").await.unwrap_err();
    assert!(hint(&missing).contains("install `docker-credential-x`"));
    let prefixed = r#"{"credHelpers":{"ghcr.io":"docker-credential-x"}}"#;
    let prefixed = Home::with_docker(prefixed).find("ghcr.io").await;
    let text = hint(&prefixed.unwrap_err());
    assert!(text.contains("write `x` in `credHelpers"), "{text}");
    assert!(!text.contains("install"), "{text}");
    let home = Home::with_docker(config);
    home.helper("x", "exit 7");
    let failed = home.find("ghcr.io").await.unwrap_err();
    assert!(hint(&failed).contains("run `docker-credential-x list`"));
    assert!(text_of(&failed).contains("exit status: 7"), "{failed:?}");
    let program = home.path("bin/docker-credential-x");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o644)).unwrap();
    let denied = home.find("ghcr.io").await.unwrap_err();
    assert!(hint(&denied).contains("run `docker-credential-x list`"));
    assert!(text_of(&denied).contains("ermission denied"), "{denied:?}");
}

/// LIM-10: the time of a helper, which can be lowered and not raised.
#[cfg(unix)]
#[tokio::test]
async fn auth_17_a_helper_that_hangs_is_ended_with_its_children() {
    let home = Home::new();
    home.helper("x", "sleep 300 & echo $! > \"$HOME/child\"; wait");
    let chain = CredentialChain::over(home.environment())
        .helper_limits(Duration::from_millis(700), HELPER_OUTPUT_MAX);
    let started = Instant::now();
    let helper = helper::Helper::new("x", home.path("config.json"), "credsStore".to_owned());
    let run = helper.run(&chain.environment, "get", b"ghcr.io").await;
    let run = run.map(|_| None).map_err(RegistryError::from);
    assert_eq!(
        reason_of(run),
        "it took longer than allowed (at most 30 seconds) and was ended"
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    // As it is and raised, it is the table's; lowered, what was said.
    let limits = |chain: &CredentialChain| {
        let limits = chain.environment.helper_limits;
        (limits.time, limits.output)
    };
    let table = (Duration::from_secs(30), 65_536);
    let chain = CredentialChain::over(Environment::default());
    assert_eq!(limits(&chain), table);
    let chain = chain.helper_limits(Duration::MAX, u64::MAX);
    assert_eq!(limits(&chain), table);
    let chain = chain.helper_limits(Duration::from_secs(1), 7);
    assert_eq!(limits(&chain), (Duration::from_secs(1), 7));
    let child = std::fs::read_to_string(home.path("child")).unwrap();
    let is_gone = || {
        // A process that has ended and was not waited for is a zombie (`Z`).
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    while !is_gone() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the child lives on"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn auth_17_helpers_have_plain_names() {
    let bad = "its name has other characters than letters, digits, `-`, `_`, `.`";
    for name in [
        "../x",
        "a/b",
        "/bin/sh",
        "..",
        "a..b",
        "a b",
        "a\\b",
        "a;b",
        "é",
        &"x".repeat(65),
    ] {
        let content = serde_json::json!({"credsStore": name}).to_string();
        assert_eq!(
            reason_of(Home::with_docker(&content).find("ghcr.io").await),
            bad,
            "{name}"
        );
    }
    let absent = Home::with_docker(r#"{"credsStore":"osxkeychain-1_x.y"}"#);
    let reason = reason_of(absent.find("ghcr.io").await);
    assert!(reason.contains("in `PATH`"), "{reason}");
    let relative = Home::with_docker(r#"{"credsStore":"x"}"#).set("PATH", ".:bin");
    assert!(reason_of(relative.find("ghcr.io").await).contains("in `PATH`"));
}

#[cfg(unix)]
#[tokio::test]
async fn the_origin_of_a_credential_is_its_helper() {
    let home = Home::with_docker(r#"{"credsStore":"all"}"#);
    home.helper("all", &format!("{ANSWER} all pw"));
    let chain = home.chain();
    find(&chain, "r.io").await.unwrap();
    let origin = chain.origin(&"r.io".parse().unwrap(), None).to_string();
    let named = "`docker-credential-all`, named by `credsStore` in `";
    assert!(origin.starts_with(named), "{origin}");
}

/// A helper may leave a program behind that holds its output open.
#[cfg(unix)]
#[tokio::test]
async fn what_a_helper_leaves_behind_is_not_waited_for() {
    let home = Home::with_docker(r#"{"credsStore":"all"}"#);
    home.helper("all", &format!("sleep 20 &\n{ANSWER} all pw"));
    let started = Instant::now();
    assert_eq!(home.find("r.io").await.unwrap().unwrap(), "all:pw");
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// `store` and `erase` print nothing, so nothing is missing from their output.
#[cfg(unix)]
#[tokio::test]
async fn what_a_helper_leaves_behind_does_not_fail_a_login() {
    let home = Home::with_docker(r#"{"credsStore":"all"}"#);
    home.helper("all", "cat > \"$HOME/$1\"\nsleep 20 &");
    let started = Instant::now();
    let (chain, host) = (home.chain(), "r.io".parse().unwrap());
    let credential = Credential::basic("me", "pw");
    chain.store(&host, &credential).await.unwrap();
    let stored = std::fs::read_to_string(home.path("store")).unwrap();
    assert!(stored.contains(r#""Secret":"pw""#), "{stored}");
    assert!(chain.erase(&host).await.unwrap());
    assert_eq!(std::fs::read_to_string(home.path("erase")).unwrap(), "r.io");
    // An empty answer to `get` may be the beginning of one.
    let reason = reason_of(home.find("r.io").await);
    assert_eq!(reason, "reading its output failed");
    assert!(started.elapsed() < Duration::from_secs(10));
    // A failure is reported as one.
    home.helper("all", "sleep 20 &\nexit 7");
    for error in [
        chain.store(&host, &credential).await.map(drop).unwrap_err(),
        home.find("r.io").await.map(drop).unwrap_err(),
    ] {
        assert!(text_of(&error).contains("exit status: 7"), "{error:?}");
    }
}
