//! Rules about values and combinations of keys.

use std::collections::BTreeSet;
use std::path::Path;

use super::oci::AuthorityConfig;
use super::{Config, ConfigError, IdentityRule, OciConfig, ProviderConfig};
use crate::source::PluginSource;

type Check = Result<(), ConfigError>;

/// Refuses contradictions and values that would weaken the policy unnoticed.
pub(super) fn check(path: &Path, config: &Config) -> Check {
    check_oci(path, &config.oci)?;
    let mut names = BTreeSet::new();
    for (index, provider) in config.providers.iter().enumerate() {
        let key = format!("providers[{index}]");
        check_provider(path, &key, provider)?;
        if !names.insert(provider.name.as_str()) {
            let rule = format!("the name `{}` is given to two providers", provider.name);
            return Err(ConfigError::contradiction(
                path,
                format!("{key}.name"),
                rule,
            ));
        }
    }
    for (name, registry) in &config.registries {
        let key = format!("registries.{name:?}");
        if let Err(error) = name.parse::<qmt_oci_ref::RegistryHost>() {
            return Err(ConfigError::contradiction(path, key, error.to_string()));
        }
        if registry.client_cert.is_some() != registry.client_key.is_some() {
            let rule = "`client_cert` and `client_key` go together";
            return Err(ConfigError::contradiction(path, key, rule));
        }
        if registry.plain_http && registry.ca_file.is_some() {
            let rule = "`plain_http` uses no TLS, so `ca_file` has no effect; remove one of them";
            return Err(ConfigError::contradiction(path, key, rule));
        }
    }
    Ok(())
}

fn check_oci(path: &Path, oci: &OciConfig) -> Check {
    let fail =
        |key: &str, rule: &str| Err(ConfigError::contradiction(path, format!("oci.{key}"), rule));
    for (key, value) in [
        ("cert_email", &oci.cert_email),
        ("cert_issuer", &oci.cert_issuer),
        ("cert_url", &oci.cert_url),
        (
            "github_workflow_repository",
            &oci.github_workflow_repository,
        ),
        ("trusted_root", &oci.trusted_root),
    ] {
        if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
            return fail(
                key,
                "it is empty, and an empty constraint would accept every signer",
            );
        }
    }
    if oci.cert_email.is_some() && oci.cert_url.is_some() {
        return fail(
            "cert_url",
            "a certificate has one identity: give `cert_email` or `cert_url`",
        );
    }
    let signer = oci.cert_email.is_some()
        || oci.cert_url.is_some()
        || oci.github_workflow_repository.is_some();
    if oci.cert_issuer.is_some() && !signer {
        let rule = "an issuer alone accepts every account of that issuer; \
                    add `cert_email`, `cert_url` or `github_workflow_repository`";
        return fail("cert_issuer", rule);
    }
    if oci.identity == IdentityRule::Required && signer && oci.cert_issuer.is_none() {
        return fail(
            "cert_issuer",
            "`identity = \"required\"` requires `cert_issuer` next to the identity",
        );
    }
    if oci.tuf_url.is_some() != oci.tuf_root.is_some() {
        return fail("tuf_root", "`tuf_url` and `tuf_root` go together");
    }
    if oci.trusted_root.is_some() && oci.tuf_url.is_some() {
        return fail("tuf_url", "give `trusted_root` or `tuf_url`, not both");
    }
    if oci.trusted_root.is_some() && oci.has_pem_trust() {
        let rule = "give `trusted_root` or PEM files, not both";
        return fail("trusted_root", rule);
    }
    if oci.tuf_url.is_some() && oci.has_pem_trust() {
        return fail("tuf_url", "give `tuf_url` or PEM files, not both");
    }
    if oci.insecure_skip_signature && oci.identity == IdentityRule::Required {
        let rule = "`identity = \"required\"` contradicts `insecure_skip_signature`";
        return fail("identity", rule);
    }
    if oci.use_sigstore_tuf_data == Some(true)
        && (oci.trusted_root.is_some() || oci.tuf_url.is_some())
    {
        return fail(
            "use_sigstore_tuf_data",
            "`trusted_root` or `tuf_url` already names the trust material",
        );
    }
    let any_key = !oci.public_keys.is_empty()
        || oci
            .policy
            .iter()
            .flat_map(|policy| &policy.any_of)
            .any(|authority| authority.key.is_some());
    if oci.use_sigstore_tuf_data == Some(false)
        && !oci.has_own_trust()
        && !any_key
        && !oci.insecure_skip_signature
    {
        let rule = "if it is false, trust material is required: `trusted_root`, `tuf_url`, \
                    `fulcio_certs` with `rekor_pub_keys`, or `public_keys`";
        return fail("use_sigstore_tuf_data", rule);
    }
    if oci.parallel == Some(0) {
        return fail("parallel", "it must be at least 1");
    }
    let mut scopes = BTreeSet::new();
    for (index, policy) in oci.policy.iter().enumerate() {
        let key = format!("policy[{index}]");
        if !scopes.insert(policy.scope.as_str()) {
            return fail(
                &key,
                &format!("the scope `{}` is given twice", policy.scope),
            );
        }
        if policy.scope == "**" && oci.has_flat_constraints() {
            return fail(
                &key,
                "`cert_…` and `public_keys` already are the policy of `**`",
            );
        }
        if policy.any_of.is_empty() {
            return fail(
                &key,
                "`any_of` is empty; a policy must name at least one signer",
            );
        }
        if policy.require == 0 || policy.require > policy.any_of.len() {
            let rule = format!(
                "`require` must be from 1 to {}, the length of `any_of`",
                policy.any_of.len()
            );
            return fail(&key, &rule);
        }
        for (place, authority) in policy.any_of.iter().enumerate() {
            check_authority(path, &format!("oci.{key}.any_of[{place}]"), authority)?;
        }
        for (place, attestation) in policy.attestations.iter().enumerate() {
            if attestation.predicate_type.trim().is_empty() {
                return fail(
                    &format!("{key}.attestations[{place}]"),
                    "`predicate_type` is required",
                );
            }
        }
    }
    Ok(())
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
            if authority.issuer.is_none() {
                return fail("`issuer` is required next to the identity");
            }
            if authority.identity.is_some() && authority.identity_regex.is_some() {
                return fail("give `identity` or `identity_regex`, not both");
            }
            let named = authority.identity.is_some()
                || authority.identity_regex.is_some()
                || authority.github_repository.is_some();
            if !named {
                return fail(
                    "an issuer alone accepts every account of that issuer; add `identity`",
                );
            }
            Ok(())
        }
    }
}

fn check_provider(path: &Path, key: &str, provider: &ProviderConfig) -> Check {
    let fail = |field: &str, rule: String| {
        Err(ConfigError::contradiction(
            path,
            format!("{key}.{field}"),
            rule,
        ))
    };
    if provider.name.trim().is_empty() {
        return fail("name", "a provider must have a name".to_owned());
    }
    if provider
        .name
        .chars()
        .any(|c| c.is_control() || c == '/' || c == '\\')
    {
        return fail(
            "name",
            "a name must not contain control characters or slashes".to_owned(),
        );
    }
    if provider.path.trim().is_empty() {
        return fail(
            "path",
            format!("the provider `{}` has no path", provider.name),
        );
    }
    if let Err(error) = PluginSource::parse(&provider.path, provider.sha256.as_deref()) {
        return fail("path", error.to_string());
    }
    let file = provider.file.as_deref();
    if file.is_some_and(|file| {
        file.trim_matches('/').is_empty() || file.split('/').any(|part| part == "..")
    }) {
        return fail(
            "file",
            "it must be the path of a file inside the image".to_owned(),
        );
    }
    Ok(())
}
