//! Rules about `[oci]`: what would weaken the policy unnoticed, or can never be satisfied.

use std::collections::BTreeSet;

use qmt_oci_ref::Repository;

use super::super::oci::AuthorityConfig;
use super::super::{IdentityRule, OciConfig};
use super::{Check, fail};
use crate::source::{SourceError, registry_alone};

/// The issuer of the workflows of GitHub Actions; enterprises have their name below it.
pub(super) const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

pub(super) fn check(oci: &OciConfig) -> Check {
    check_signer(oci)?;
    check_material(oci)?;
    check_keys_have_a_log(oci)?;
    if oci.parallel == Some(0) {
        return fail("oci.parallel", "it must be at least 1");
    }
    if let Some(name) = &oci.signature_repository {
        check_signature_repository(name)?;
    }
    check_policies(oci)
}

fn check_signature_repository(name: &str) -> Check {
    let rule = if let Some(host) = registry_alone(name) {
        let meant = format!("{host}/NAMESPACE/NAME");
        SourceError::RegistryAlone { host, meant }.to_string()
    } else if let Err(error) = name.parse::<Repository>() {
        error.to_string()
    } else {
        return Ok(());
    };
    fail("oci.signature_repository", rule)
}

/// Checks the signer that `[oci]` itself names.
fn check_signer(oci: &OciConfig) -> Check {
    let (email, url) = (&oci.cert_email, &oci.cert_url);
    let (issuer, repository) = (&oci.cert_issuer, &oci.github_workflow_repository);
    for (key, value) in [
        ("oci.cert_email", email),
        ("oci.cert_issuer", issuer),
        ("oci.cert_url", url),
        ("oci.github_workflow_repository", repository),
    ] {
        if is_blank(value.as_ref()) {
            let rule = "it is empty, and an empty constraint would accept every signer";
            return fail(key, rule);
        }
    }
    if email.is_some() && url.is_some() {
        return fail("oci.cert_url", either(oci));
    }
    let has_signer = email.is_some() || url.is_some() || repository.is_some();
    let is_required = oci.identity == IdentityRule::Required;
    let (key, rule) = if issuer.is_some() && !has_signer {
        let rule = "an issuer alone accepts every account of that issuer; \
                    add `cert_email`, `cert_url` or `github_workflow_repository`";
        ("oci.cert_issuer", rule)
    } else if is_required && has_signer && issuer.is_none() && repository.is_none() {
        let rule = "`identity = \"required\"` requires `cert_issuer` next to the identity";
        ("oci.cert_issuer", rule)
    } else if is_required && oci.insecure_skip_signature {
        let rule = "`identity = \"required\"` contradicts `insecure_skip_signature`";
        ("oci.identity", rule)
    } else {
        return Ok(());
    };
    fail(key, rule)
}

/// Checks that one trust root is named, and not more.
fn check_material(oci: &OciConfig) -> Check {
    let (has_root, has_tuf) = (oci.trusted_root.is_some(), oci.tuf_url.is_some());
    let mut authorities = oci.policy.iter().flat_map(|policy| &policy.any_of);
    let has_key = !oci.public_keys.is_empty() || authorities.any(|one| one.key.is_some());
    let (key, rule) = if is_blank(oci.trusted_root.as_ref()) {
        let rule = "it is empty; name a file, or `embedded`";
        ("oci.trusted_root", rule)
    } else if has_tuf != oci.tuf_root.is_some() {
        ("oci.tuf_root", "`tuf_url` and `tuf_root` go together")
    } else if has_root && has_tuf {
        let rule = "give `trusted_root` or `tuf_url`, not both";
        ("oci.tuf_url", rule)
    } else if has_root && oci.has_pem_trust() {
        let rule = "give `trusted_root` or PEM files, not both";
        ("oci.trusted_root", rule)
    } else if has_tuf && oci.has_pem_trust() {
        ("oci.tuf_url", "give `tuf_url` or PEM files, not both")
    } else if oci.use_sigstore_tuf_data == Some(true) && (has_root || has_tuf) {
        let rule = "`trusted_root` or `tuf_url` already names the trust material";
        ("oci.use_sigstore_tuf_data", rule)
    } else if oci.trusts_keys_alone() && !has_key && !oci.insecure_skip_signature {
        let rule = "if it is false, trust material is required: `trusted_root`, `tuf_url`, \
                    `fulcio_certs` with `rekor_pub_keys`, or `public_keys`";
        ("oci.use_sigstore_tuf_data", rule)
    } else {
        return Ok(());
    };
    fail(key, rule)
}

fn check_policies(oci: &OciConfig) -> Check {
    let mut scopes = BTreeSet::new();
    for (index, policy) in oci.policy.iter().enumerate() {
        let key = format!("oci.policy[{index}]");
        let signers = policy.any_of.len();
        if !scopes.insert(policy.scope.as_str()) {
            let rule = format!(
                "the scope `{}` is given twice; name all of its signers in one `any_of`",
                policy.scope
            );
            return fail(key, rule);
        }
        if policy.scope == "**" && oci.has_flat_constraints() {
            let rule = "`cert_…` and `public_keys` already are the policy of `**`; \
                        name their signers in its `any_of` instead";
            return fail(key, rule);
        }
        if signers == 0 {
            let rule = "`any_of` is empty; a policy must name at least one signer";
            return fail(key, rule);
        }
        if policy.require == 0 || policy.require > signers {
            let rule = format!("`require` must be from 1 to {signers}, the length of `any_of`");
            return fail(key, rule);
        }
        let mut keys = BTreeSet::new();
        for (place, authority) in policy.any_of.iter().enumerate() {
            let key = format!("{key}.any_of[{place}]");
            let file = authority.key.as_ref();
            let is_new =
                file.is_none_or(|file| keys.insert(file.strip_prefix(".").unwrap_or(file)));
            if policy.require > 1 && !is_new {
                return fail(key, "the same key is given twice, and counts once");
            }
            if policy.require > 1 && policy.any_of.iter().take(place).any(|one| one == authority) {
                return fail(key, "the same signer is given twice, and counts once");
            }
            check_authority(authority).or_else(|rule| fail(key, rule))?;
        }
        for (place, attestation) in policy.attestations.iter().enumerate() {
            if attestation.predicate_type.trim().is_empty() {
                let key = format!("{key}.attestations[{place}]");
                return fail(key, "`predicate_type` is required");
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
fn check_keys_have_a_log(oci: &OciConfig) -> Check {
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
    let (place, change, accepting) = match place {
        None => (
            "oci.public_keys".to_owned(),
            "add to `[oci]`",
            "transparency_log = \"optional\"".to_owned(),
        ),
        Some((index, entry)) => {
            let key = toml::Value::from(key.display().to_string());
            (
                format!("oci.policy[{index}].any_of[{entry}]"),
                "change this entry to",
                format!("{{ key = {key}, transparency_log = \"optional\" }}"),
            )
        }
    };
    let rule = format!("{rule}, with `transparency_log = \"optional\"`; {change}:\n{accepting}");
    fail(place, rule)
}

/// Returns the rule that a signer of a policy breaks.
fn check_authority(authority: &AuthorityConfig) -> Result<(), &'static str> {
    let claims = [
        &authority.github_repository,
        &authority.github_ref,
        &authority.github_trigger,
        &authority.github_workflow,
        &authority.github_sha,
    ];
    let identities = [&authority.identity, &authority.identity_regex];
    let texts = identities
        .into_iter()
        .chain([&authority.issuer])
        .chain(claims);
    let mut given = texts.flatten();
    if given.clone().any(|text| text.trim().is_empty()) {
        return Err("a constraint is empty, and an empty constraint would accept every signer");
    }
    let is_keyless = given.next().is_some();
    // The claims of a workflow are those of GitHub.
    let has_issuer = authority.issuer.is_some() || claims.into_iter().any(Option::is_some);
    let named = identities.into_iter().flatten().count();
    let is_named = named > 0 || authority.github_repository.is_some();
    if authority.key.is_some() {
        return if is_keyless {
            Err("give a `key` or an identity, not both")
        } else {
            Ok(())
        };
    }
    if !is_keyless {
        Err("it names no signer: give `key`, or `issuer` with an identity")
    } else if !has_issuer {
        Err("`issuer` is required next to the identity")
    } else if named > 1 {
        Err("give `identity` or `identity_regex`, not both")
    } else if !is_named && authority.issuer.is_none() {
        Err("it accepts the workflows of every repository; add `github_repository` or `identity`")
    } else if !is_named {
        Err("an issuer alone accepts every account of that issuer; add `identity`")
    } else {
        Ok(())
    }
}
