//! Rules about `[oci]`: what would weaken the policy unnoticed, or can never be satisfied.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::oci::AuthorityConfig;
use super::super::{ConfigError, IdentityRule, OciConfig};
use super::Check;

/// The issuer of the workflows of GitHub Actions; enterprises have their name below it.
pub(super) const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

pub(super) fn check(path: &Path, oci: &OciConfig) -> Check {
    check_signer(path, oci)?;
    check_material(path, oci)?;
    check_keys_have_a_log(path, oci)?;
    if oci.parallel == Some(0) {
        return fail(path, "parallel", "it must be at least 1");
    }
    check_policies(path, oci)
}

fn fail(path: &Path, key: &str, rule: &str) -> Check {
    Err(ConfigError::contradiction(path, format!("oci.{key}"), rule))
}

/// Checks the signer that `[oci]` itself names.
fn check_signer(path: &Path, oci: &OciConfig) -> Check {
    for (key, value) in [
        ("cert_email", &oci.cert_email),
        ("cert_issuer", &oci.cert_issuer),
        ("cert_url", &oci.cert_url),
        (
            "github_workflow_repository",
            &oci.github_workflow_repository,
        ),
    ] {
        if is_blank(value.as_ref()) {
            let rule = "it is empty, and an empty constraint would accept every signer";
            return fail(path, key, rule);
        }
    }
    if oci.cert_email.is_some() && oci.cert_url.is_some() {
        return fail(path, "cert_url", &either(oci));
    }
    let has_signer = oci.cert_email.is_some()
        || oci.cert_url.is_some()
        || oci.github_workflow_repository.is_some();
    if oci.cert_issuer.is_some() && !has_signer {
        let rule = "an issuer alone accepts every account of that issuer; \
                    add `cert_email`, `cert_url` or `github_workflow_repository`";
        return fail(path, "cert_issuer", rule);
    }
    let is_required = oci.identity == IdentityRule::Required;
    let has_issuer = oci.cert_issuer.is_some() || oci.github_workflow_repository.is_some();
    if is_required && has_signer && !has_issuer {
        let rule = "`identity = \"required\"` requires `cert_issuer` next to the identity";
        return fail(path, "cert_issuer", rule);
    }
    if is_required && oci.insecure_skip_signature {
        let rule = "`identity = \"required\"` contradicts `insecure_skip_signature`";
        return fail(path, "identity", rule);
    }
    Ok(())
}

/// Checks that one trust root is named, and not more.
fn check_material(path: &Path, oci: &OciConfig) -> Check {
    if is_blank(oci.trusted_root.as_ref()) {
        return fail(
            path,
            "trusted_root",
            "it is empty; name a file, or `embedded`",
        );
    }
    if oci.tuf_url.is_some() != oci.tuf_root.is_some() {
        return fail(path, "tuf_root", "`tuf_url` and `tuf_root` go together");
    }
    if oci.trusted_root.is_some() && oci.tuf_url.is_some() {
        return fail(
            path,
            "tuf_url",
            "give `trusted_root` or `tuf_url`, not both",
        );
    }
    if oci.trusted_root.is_some() && oci.has_pem_trust() {
        let rule = "give `trusted_root` or PEM files, not both";
        return fail(path, "trusted_root", rule);
    }
    if oci.tuf_url.is_some() && oci.has_pem_trust() {
        return fail(path, "tuf_url", "give `tuf_url` or PEM files, not both");
    }
    if oci.use_sigstore_tuf_data == Some(true)
        && (oci.trusted_root.is_some() || oci.tuf_url.is_some())
    {
        let rule = "`trusted_root` or `tuf_url` already names the trust material";
        return fail(path, "use_sigstore_tuf_data", rule);
    }
    let mut authorities = oci.policy.iter().flat_map(|policy| &policy.any_of);
    let any_key = !oci.public_keys.is_empty() || authorities.any(|one| one.key.is_some());
    if oci.use_sigstore_tuf_data == Some(false)
        && !oci.has_own_trust()
        && !any_key
        && !oci.insecure_skip_signature
    {
        let rule = "if it is false, trust material is required: `trusted_root`, `tuf_url`, \
                    `fulcio_certs` with `rekor_pub_keys`, or `public_keys`";
        return fail(path, "use_sigstore_tuf_data", rule);
    }
    Ok(())
}

fn check_policies(path: &Path, oci: &OciConfig) -> Check {
    let mut scopes = BTreeSet::new();
    for (index, policy) in oci.policy.iter().enumerate() {
        let key = format!("policy[{index}]");
        if !scopes.insert(policy.scope.as_str()) {
            let rule = format!(
                "the scope `{}` is given twice; name all of its signers in one `any_of`",
                policy.scope
            );
            return fail(path, &key, &rule);
        }
        if policy.scope == "**" && oci.has_flat_constraints() {
            let rule = "`cert_…` and `public_keys` already are the policy of `**`; \
                        name their signers in its `any_of` instead";
            return fail(path, &key, rule);
        }
        let signers = policy.any_of.len();
        if signers == 0 {
            let rule = "`any_of` is empty; a policy must name at least one signer";
            return fail(path, &key, rule);
        }
        if policy.require == 0 || policy.require > signers {
            let rule = format!("`require` must be from 1 to {signers}, the length of `any_of`");
            return fail(path, &key, &rule);
        }
        let mut keys = BTreeSet::new();
        for (place, authority) in policy.any_of.iter().enumerate() {
            let file = authority.key.as_ref();
            let is_new =
                file.is_none_or(|file| keys.insert(file.strip_prefix(".").unwrap_or(file)));
            if policy.require > 1 && !is_new {
                let key = format!("{key}.any_of[{place}]");
                return fail(path, &key, "the same key is given twice, and counts once");
            }
            if policy.require > 1 && policy.any_of.iter().take(place).any(|one| one == authority) {
                let key = format!("{key}.any_of[{place}]");
                return fail(
                    path,
                    &key,
                    "the same signer is given twice, and counts once",
                );
            }
            check_authority(path, &format!("oci.{key}.any_of[{place}]"), authority)?;
        }
        for (place, attestation) in policy.attestations.iter().enumerate() {
            if attestation.predicate_type.trim().is_empty() {
                let key = format!("{key}.attestations[{place}]");
                return fail(path, &key, "`predicate_type` is required");
            }
        }
    }
    Ok(())
}

fn is_blank(value: Option<&String>) -> bool {
    value.is_some_and(|value| value.trim().is_empty())
}

/// Says how to accept either of `cert_email` and `cert_url`, in lines that can be pasted.
fn either(oci: &OciConfig) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let is_ci = |issuer: &&String| issuer.starts_with(GITHUB_ISSUER);
    let given = oci.cert_issuer.as_ref();
    let (email, url) = (oci.cert_email.as_deref(), oci.cert_url.as_deref());
    let (email, url) = (email.unwrap_or_default(), url.unwrap_or_default());
    let of_email = given.filter(|issuer| !is_ci(issuer));
    let of_email = of_email.map_or("https://accounts.google.com", String::as_str);
    let of_url = match url {
        url if url.starts_with("https://github.com/") => {
            given.filter(is_ci).map_or(GITHUB_ISSUER, String::as_str)
        }
        _ => given.map_or("https://gitlab.com", String::as_str),
    };
    let repository = oci.github_workflow_repository.as_deref();
    let repository = repository.map(|name| format!(", github_repository = {}", quoted(name)));
    let mut entries = vec![
        format!(
            "issuer = {}, identity = {}",
            quoted(of_email),
            quoted(email)
        ),
        format!(
            "issuer = {}, identity = {}{}",
            quoted(of_url),
            quoted(url),
            repository.unwrap_or_default()
        ),
    ];
    let keys = oci.public_keys.as_slice().iter();
    entries.extend(keys.map(|key| format!("key = {}", quoted(&key.display().to_string()))));
    let entries = entries.join(" },\n  { ");
    format!(
        "a certificate has one identity: give `cert_email` or `cert_url`; to accept either of them, \
         give each with its own issuer, in place of `cert_…`, `github_workflow_repository` and \
         `public_keys`:\n[[oci.policy]]\nscope = \"**\"\nany_of = [\n  {{ {entries} }},\n]"
    )
}

/// Refuses keys whose signatures must be in a transparency log if no log is trusted.
fn check_keys_have_a_log(path: &Path, oci: &OciConfig) -> Check {
    if !oci.trusts_keys_alone() || oci.insecure_skip_signature {
        return Ok(());
    }
    let keys = oci.keys_with_required_log();
    let Some((place, key)) = keys.first() else {
        return Ok(());
    };
    let rule = format!(
        "a signature with the key `{}` must be in a transparency log, and \
         `use_sigstore_tuf_data = false` trusts none; name the log in `rekor_pub_keys`, or accept \
         signatures without a log, such as those of `qmt-plugins publish --sign-key`",
        key.display()
    );
    let (place, accepting) = match place {
        None => (
            "oci.public_keys".to_owned(),
            "transparency_log = \"optional\"".to_owned(),
        ),
        Some((index, entry)) => {
            let key = toml::Value::from(key.display().to_string());
            (
                format!("oci.policy[{index}].any_of[{entry}]"),
                format!("{{ key = {key}, transparency_log = \"optional\" }}"),
            )
        }
    };
    let rule = format!("{rule}, with `transparency_log = \"optional\"`:\n{accepting}");
    Err(ConfigError::contradiction(path, place, rule))
}

fn check_authority(path: &Path, key: &str, authority: &AuthorityConfig) -> Check {
    let fail = |rule: &str| Err(ConfigError::contradiction(path, key, rule));
    let claims = [
        &authority.github_repository,
        &authority.github_ref,
        &authority.github_trigger,
        &authority.github_workflow,
        &authority.github_sha,
    ];
    let texts = [
        &authority.issuer,
        &authority.identity,
        &authority.identity_regex,
    ];
    if texts
        .into_iter()
        .chain(claims)
        .flatten()
        .any(|text| text.trim().is_empty())
    {
        return fail("a constraint is empty, and an empty constraint would accept every signer");
    }
    let keyless = texts.into_iter().chain(claims).any(Option::is_some);
    match (&authority.key, keyless) {
        (Some(_), true) => fail("give a `key` or an identity, not both"),
        (None, false) => fail("it names no signer: give `key`, or `issuer` with an identity"),
        (Some(_), false) => Ok(()),
        (None, true) => {
            // The claims of a workflow are those of GitHub.
            if authority.issuer.is_none() && claims.iter().all(|claim| claim.is_none()) {
                return fail("`issuer` is required next to the identity");
            }
            if authority.identity.is_some() && authority.identity_regex.is_some() {
                return fail("give `identity` or `identity_regex`, not both");
            }
            let named = authority.identity.is_some()
                || authority.identity_regex.is_some()
                || authority.github_repository.is_some();
            if !named && authority.issuer.is_none() {
                return fail(
                    "it accepts the workflows of every repository; add `github_repository` or `identity`",
                );
            }
            if !named {
                return fail(
                    "an issuer alone accepts every account of that issuer; add `identity`",
                );
            }
            Ok(())
        }
    }
}
