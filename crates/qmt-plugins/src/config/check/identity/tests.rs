//! Texts that no certificate has, and their neighbors that certificates have.

use super::super::super::{AttestationConfig, AuthorityConfig, PolicyConfig};
use super::*;

const WORKFLOW: &str = "https://github.com/o/r/.github/workflows/r.yml@refs/heads/main";
const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

fn flat(key: &str, text: &str) -> OciConfig {
    let mut oci = OciConfig::default();
    let field = match key {
        "cert_email" => &mut oci.cert_email,
        "cert_issuer" => &mut oci.cert_issuer,
        "cert_url" => &mut oci.cert_url,
        _ => &mut oci.github_workflow_repository,
    };
    *field = Some(text.to_owned());
    oci
}

fn scoped(key: &str, text: &str) -> OciConfig {
    let mut authority = AuthorityConfig::default();
    let field = match key {
        "issuer" => &mut authority.issuer,
        "identity" => &mut authority.identity,
        "identity_regex" => &mut authority.identity_regex,
        "github_repository" => &mut authority.github_repository,
        "github_ref" => &mut authority.github_ref,
        "github_trigger" => &mut authority.github_trigger,
        "github_workflow" => &mut authority.github_workflow,
        _ => &mut authority.github_sha,
    };
    *field = Some(text.to_owned());
    OciConfig {
        policy: vec![PolicyConfig::new("**", vec![authority])],
        ..OciConfig::default()
    }
}

#[test]
fn spaces_at_the_ends_and_control_characters_are_refused() {
    for (oci, words) in [
        (flat("cert_url", &format!(" {WORKFLOW}")), "space"),
        (flat("cert_url", &format!("{WORKFLOW}\n")), "line break"),
        (flat("cert_email", "a@b.example "), "space"),
        (flat("cert_email", "a@b\u{1b}[31m"), "control character"),
        (flat("cert_issuer", "https://i\u{a0}"), "space"),
        (scoped("identity", "a@b.example\t"), "control character"),
        (scoped("github_ref", " refs/heads/main"), "space"),
    ] {
        let (key, rule) = check(&oci).unwrap_err();
        let error = format!("{key}: {rule}");
        assert!(error.contains(words), "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    for oci in [
        flat("cert_url", WORKFLOW),
        flat("cert_url", "https://github.com/o/r/x y.yml@refs/heads/ü(1)"),
        scoped("identity_regex", " a b "),
    ] {
        check(&oci).unwrap();
    }
}

#[test]
fn texts_that_look_like_another_are_warned_about() {
    let github = |end: &str| format!("{GITHUB_ISSUER}{end}");
    for (oci, words) in [
        (
            flat("cert_issuer", "accounts.google.com"),
            "`https://accounts.google.com`",
        ),
        (flat("cert_issuer", &github("/")), "no slash"),
        (
            flat("cert_issuer", "https://accounts.google.com/"),
            "no slash",
        ),
        (
            scoped("issuer", "https://github.com/login/oauth/"),
            "no slash",
        ),
        (
            scoped("issuer", "https://gitlab.com/"),
            "`https://gitlab.com`",
        ),
        (scoped("issuer", &github("/acme/")), "no slash"),
        (flat("cert_url", "a@b.example"), "`cert_email`"),
        (flat("cert_email", WORKFLOW), "`cert_url`"),
        (
            flat("cert_url", &WORKFLOW.replace("r.yml", "*.yml")),
            "identity_regex",
        ),
        (
            flat("cert_url", "https://github.com/o/r/.*"),
            "identity_regex",
        ),
        (flat("cert_email", "*@b.example"), "identity_regex"),
        (
            flat("cert_url", &WORKFLOW.replace("@refs/heads/main", "")),
            "@refs/heads/main",
        ),
        (
            flat("cert_url", &WORKFLOW.replace("refs/heads/", "")),
            "@refs/heads/main",
        ),
        (
            scoped("identity", "https://github.com/o/r"),
            ".github/workflows/",
        ),
        (scoped("github_ref", "main"), "`refs/heads/main`"),
        (scoped("github_sha", "0123abc"), "40 hexadecimal digits"),
        (
            flat("cert_url", &WORKFLOW.replace("https://", "")),
            "`https://github.com/o/r/",
        ),
        (
            scoped("identity", &WORKFLOW.replace("https://", "")),
            "`https://github.com/o/r/",
        ),
    ] {
        warned(&oci, words);
    }
}

#[track_caller]
fn warned(oci: &OciConfig, words: &str) {
    let warnings = warnings(oci);
    assert!(
        matches!(&*warnings, [one] if one.contains(words) && one.starts_with("`oci.")),
        "{words}: {warnings:?}"
    );
}

#[test]
fn other_forms_of_a_repository_are_warned_about() {
    for (oci, words) in [
        (scoped("github_repository", "github.com/o/r"), "`o/r`"),
        (scoped("github_repository", "o/r.git"), "`o/r`"),
        (
            scoped("github_repository", "git@github.com:o/r"),
            "did you mean `o/r`",
        ),
        (
            scoped("github_repository", "git@github.com:o/r.git"),
            "did you mean `o/r`",
        ),
        (
            scoped("github_repository", "https://github.com/o/r.git"),
            "`o/r`",
        ),
        (
            scoped("github_repository", "https://github.com/o/r/"),
            "`o/r`",
        ),
        (
            scoped("github_repository", "https://github.com/o/r/tree/main"),
            "`o/r`",
        ),
        (
            scoped("github_repository", "http://github.com/o/r"),
            "`o/r`",
        ),
        (
            scoped("github_repository", "ssh://git@github.com/o/r.git"),
            "`o/r`",
        ),
        (
            scoped("github_repository", "https://WWW.github.com/o/r"),
            "`o/r`",
        ),
        (
            scoped("github_repository", "https://github.com/o"),
            "`owner/name`",
        ),
        (
            scoped("github_repository", "https://ghe.example/o/r.git"),
            "`https://ghe.example/o/r`",
        ),
        (flat("github_workflow_repository", "r"), "`owner/name`"),
        (flat("github_workflow_repository", "o/r/"), "`o/r`"),
        (
            scoped("github_repository", "o/r/.github/workflows/r.yml"),
            "`o/r`",
        ),
    ] {
        warned(&oci, words);
    }
}

#[test]
fn usual_texts_have_no_warning() {
    for oci in [
        flat("cert_issuer", "https://accounts.google.com"),
        flat("cert_issuer", "https://sts.windows.net/72f988bf/"),
        flat("cert_issuer", GITHUB_ISSUER),
        flat("cert_issuer", "http://gitlab.local:8080"),
        flat("cert_url", WORKFLOW),
        flat("cert_url", &WORKFLOW.replace("refs/heads/main", SHA)),
        flat(
            "cert_url",
            "https://gitlab.com/g/p//.gitlab-ci.yml@refs/heads/main",
        ),
        flat("cert_url", "api://AzureADTokenExchange/sub"),
        flat("cert_email", "Jane.Doe+ci@Mail.Example.co.uk"),
        flat("github_workflow_repository", "o/r"),
        flat("github_workflow_repository", "https://github.com/o/r"),
        flat("github_workflow_repository", "https://ghe.example/o/r"),
        flat("github_workflow_repository", "o.p/r.s"),
        scoped("identity", "a@b.example"),
        scoped("identity", "user!tenant.example"),
        scoped("identity_regex", "https://github\\.com/o/.*"),
        scoped("github_ref", "refs/tags/v1"),
        scoped("github_sha", SHA),
    ] {
        assert_eq!(warnings(&oci), Vec::<String>::new());
    }
}

/// Every exact text is compared as it is written.
#[test]
fn wildcards_in_exact_texts_are_noticed() {
    let demand = AttestationConfig {
        predicate_type: "https://slsa.dev/provenance/v1".to_owned(),
        workflow: Some(".github/workflows/*.yml".to_owned()),
        ..AttestationConfig::default()
    };
    let mut provenance = scoped("identity", "a@b.example");
    let policies = provenance.policy.iter_mut();
    policies.for_each(|policy| policy.attestations.push(demand.clone()));
    for oci in [
        flat("cert_email", "*@b.example"),
        flat("cert_issuer", "https://*.example"),
        flat("cert_url", "https://github.com/o/*"),
        flat("github_workflow_repository", "o/*"),
        scoped("issuer", "https://*.example"),
        scoped("identity", "*@b.example"),
        scoped("github_repository", "o/*"),
        scoped("github_ref", "refs/tags/*"),
        scoped("github_ref", "v*"),
        scoped("github_trigger", "*"),
        scoped("github_workflow", "release*"),
        scoped("github_sha", "0123*"),
        provenance,
    ] {
        let warnings = warnings(&oci);
        let has_rule = |warning: &String| warning.contains("no wildcards");
        assert!(
            warnings.len() == 1 && warnings.iter().all(has_rule),
            "{warnings:?}"
        );
    }
    let matching = scoped("identity_regex", "https://github.com/o/.*");
    assert_eq!(warnings(&matching), Vec::<String>::new());
}
