//! Rules about the texts that a certificate must have: what no certificate has is refused, and what
//! looks like another text than the intended one is warned about.

use super::super::OciConfig;
use super::trust::GITHUB_ISSUER;
use super::{Check, fail};

const GITHUB: &str = "https://github.com/";

/// Issuers of the public Sigstore, none of which has a slash at its end.
const ISSUERS: [&str; 8] = [
    "https://accounts.google.com",
    "https://agent.buildkite.com",
    "https://github.com/login/oauth",
    "https://gitlab.com",
    "https://issuer.enforce.dev",
    "https://oauth2.sigstore.dev/auth",
    "https://oidc.codefresh.io",
    GITHUB_ISSUER,
];

/// What a text says about the signer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Issuer,
    Email,
    Url,
    /// The identity of a policy, of either form.
    Identity,
    Repository,
    Ref,
    Sha,
    Other,
}

/// A text with its key in the config.
type Text<'a> = (String, Field, &'a str);

/// Refuses white space at the ends and control characters, which no certificate has.
pub(super) fn check(oci: &OciConfig) -> Check {
    for (key, _, text) in texts(oci) {
        let rule = if text.chars().any(char::is_control) {
            "it has a control character, such as a line break, so no certificate matches it"
        } else if text.trim() != text {
            "it begins or ends with a space, so no certificate matches it; remove the space"
        } else {
            continue;
        };
        return fail(key, rule);
    }
    Ok(())
}

/// Returns a warning for each text that probably no certificate or provenance has, by its key.
pub(in crate::config) fn warnings(oci: &OciConfig) -> Vec<String> {
    let texts = texts(oci).into_iter().chain(provenance(oci));
    let warnings = texts.filter_map(|(key, field, text)| {
        let problem = match field {
            Field::Issuer => issuer(text),
            Field::Email | Field::Url | Field::Identity => identity(field, text),
            Field::Repository => repository(text),
            Field::Ref => git_ref(text),
            Field::Sha => (!is_commit(text)).then(|| {
                "a commit is written as its whole hash of 40 hexadecimal digits".to_owned()
            }),
            Field::Other => None,
        };
        let problem = wildcard(field, text).map(str::to_owned).or(problem);
        problem.map(|problem| format!("`{key} = \"{text}\"`: {problem}"))
    });
    warnings.collect()
}

/// Returns what is wrong with a `*`, which only an expression can have.
fn wildcard(field: Field, text: &str) -> Option<&'static str> {
    if !text.contains('*') {
        return None;
    }
    match field {
        // Other mistakes of identities explain a `*` better.
        Field::Email | Field::Url | Field::Identity => None,
        Field::Repository | Field::Ref => Some(
            "an exact value has no wildcards; use `identity_regex` of a `[[oci.policy]]`, which is \
             compared with the URL and the ref of the workflow",
        ),
        Field::Issuer | Field::Sha | Field::Other => {
            Some("an exact value has no wildcards; write it in full, or leave this key out")
        }
    }
}

fn issuer(text: &str) -> Option<String> {
    if !text.contains("://") {
        return Some(format!(
            "an issuer is a URL; did you mean `https://{text}`?"
        ));
    }
    let bare = text.strip_suffix('/')?;
    let is_known = ISSUERS.contains(&bare) || bare.starts_with(GITHUB_ISSUER);
    is_known.then(|| format!("this issuer has no slash at its end; did you mean `{bare}`?"))
}

fn identity(field: Field, text: &str) -> Option<String> {
    let is_url = text.contains("://");
    if field == Field::Email && is_url {
        return Some("it is a URL; name it in `cert_url`".to_owned());
    }
    let without_scheme = format!("https://{text}");
    if field != Field::Email && !is_url && without_scheme.starts_with(GITHUB) {
        return Some(format!(
            "it is a URL without its scheme; did you mean `{without_scheme}`?"
        ));
    }
    let is_address = !text.contains([':', '/']) && text.contains('@');
    if field == Field::Url && is_address {
        return Some("it is an e-mail address; name it in `cert_email`".to_owned());
    }
    if text.contains('*') {
        let rule = "an exact identity has no wildcards; use `identity_regex` of a `[[oci.policy]]`";
        return Some(rule.to_owned());
    }
    let rest = text.strip_prefix(GITHUB)?;
    // A workflow that another one calls by a commit has that commit instead of a ref.
    let is_whole = rest.split_once('@').is_some_and(|(file, version)| {
        file.contains("/.github/workflows/") && (version.starts_with("refs/") || is_commit(version))
    });
    (!is_whole).then(|| {
        format!(
            "the identity of a GitHub workflow has its file and its ref, such as \
             `{GITHUB}OWNER/NAME/.github/workflows/release.yml@refs/heads/main`"
        )
    })
}

fn repository(text: &str) -> Option<String> {
    let without_ending = |text: &str| {
        let bare = text.trim_end_matches('/');
        bare.strip_suffix(".git").unwrap_or(bare).to_owned()
    };
    let is_whole = |text: &str| {
        let parts: Vec<&str> = text.split('/').collect();
        matches!(*parts, [owner, name] if !owner.is_empty() && !name.is_empty())
            && without_ending(text) == text
    };
    let address = text.split_once("://").map(|(_, rest)| rest);
    let is_accepted = match address {
        // The certificate has this form as well.
        Some(_) if text.starts_with(GITHUB) => text.strip_prefix(GITHUB).is_some_and(is_whole),
        Some(rest) if is_of_github(rest) => false,
        // That of another server, unless its end tells that it is not.
        Some(_) => {
            let bare = without_ending(text);
            let meant = || {
                format!("the address of a repository ends with its name; did you mean `{bare}`?")
            };
            return (bare != text).then(meant);
        }
        None => !text.contains(':') && is_whole(text),
    };
    if is_accepted {
        return None;
    }
    let rest = address.unwrap_or(text);
    let end = rest.rsplit_once(':').map_or(rest, |(_, end)| end);
    let bare = end.strip_suffix(".git").unwrap_or(end);
    // Of a path, it is the beginning; of an address such as `git@github.com:o/r`, the end.
    let mut names = bare
        .split('/')
        .skip_while(|part| part.contains([':', '.', '@']));
    let names = names.next().zip(names.next());
    let names = names.filter(|(owner, name)| !owner.is_empty() && !name.is_empty());
    let meant = names.map(|(owner, name)| {
        let name = name.strip_suffix(".git").unwrap_or(name);
        format!("; did you mean `{owner}/{name}`?")
    });
    let meant = meant.unwrap_or_default();
    Some(format!("a repository of GitHub is `owner/name`{meant}"))
}

/// Reports whether an address without its scheme is one of GitHub itself.
fn is_of_github(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    ["github.com", "www.github.com"]
        .iter()
        .any(|github| host.eq_ignore_ascii_case(github))
}

fn git_ref(text: &str) -> Option<String> {
    (!text.starts_with("refs/")).then(|| {
        format!("a ref is written in full: `refs/heads/{text}`, or `refs/tags/{text}` for a tag")
    })
}

fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The texts that are compared with those of a certificate. An expression may have spaces.
fn texts(oci: &OciConfig) -> Vec<Text<'_>> {
    let repository = &oci.github_workflow_repository;
    let flat = [
        ("cert_email", Field::Email, &oci.cert_email),
        ("cert_issuer", Field::Issuer, &oci.cert_issuer),
        ("cert_url", Field::Url, &oci.cert_url),
        ("github_workflow_repository", Field::Repository, repository),
    ];
    let mut texts = given("oci", flat);
    for (index, policy) in oci.policy.iter().enumerate() {
        for (place, authority) in policy.any_of.iter().enumerate() {
            let key = format!("oci.policy[{index}].any_of[{place}]");
            let repository = &authority.github_repository;
            let fields = [
                ("issuer", Field::Issuer, &authority.issuer),
                ("identity", Field::Identity, &authority.identity),
                ("github_repository", Field::Repository, repository),
                ("github_ref", Field::Ref, &authority.github_ref),
                ("github_trigger", Field::Other, &authority.github_trigger),
                ("github_workflow", Field::Other, &authority.github_workflow),
                ("github_sha", Field::Sha, &authority.github_sha),
            ];
            texts.extend(given(&key, fields));
        }
    }
    texts
}

/// The texts that are compared with those of a provenance.
fn provenance(oci: &OciConfig) -> Vec<Text<'_>> {
    let mut texts = Vec::new();
    for (index, policy) in oci.policy.iter().enumerate() {
        for (place, demand) in policy.attestations.iter().enumerate() {
            let key = format!("oci.policy[{index}].attestations[{place}]");
            let fields = [
                ("builder", Field::Other, &demand.builder),
                ("source", Field::Other, &demand.source),
                ("build_type", Field::Other, &demand.build_type),
                ("workflow", Field::Other, &demand.workflow),
            ];
            texts.extend(given(&key, fields));
        }
    }
    texts
}

fn given<'a, const N: usize>(
    table: &str,
    fields: [(&str, Field, &'a Option<String>); N],
) -> Vec<Text<'a>> {
    let given = fields.into_iter().filter_map(|(name, field, text)| {
        Some((format!("{table}.{name}"), field, text.as_deref()?))
    });
    given.collect()
}

#[cfg(test)]
mod tests;
