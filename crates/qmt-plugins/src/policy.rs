//! From the `[oci]` table to the policies of `qmt-verify`.

use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use qmt_oci_ref::text;
use qmt_verify::policy::{
    AttestationDemand, Authority, IdentityRule as Identity, Policy, PolicySet, Scope,
    WorkflowClaims,
};
use qmt_verify::{SignerId, VerifyError};

use crate::config::path::join;
use crate::config::{
    AttestationConfig, AuthorityConfig, IdentityRule, OciConfig, PolicyConfig, SignedNameRule,
    TransparencyRule, absolute_scope,
};

/// Makes the policies. Relative paths of keys start at `folder`.
pub(crate) fn policies(oci: &OciConfig, folder: &Path) -> Result<PolicySet, VerifyError> {
    let mut entries = Vec::new();
    for policy in &oci.policy {
        let scope = absolute_scope(&policy.scope, folder);
        let scope: Scope = scope.parse()?;
        entries.push((scope, scoped(policy, oci.transparency_log, folder)?));
    }
    if !oci.policy.iter().any(|policy| policy.scope == "**") {
        if oci.has_flat_constraints() {
            entries.push((Scope::everything(), flat(oci, folder)?));
        } else if oci.identity == IdentityRule::PinOnFirstUse && !oci.trusts_keys_alone() {
            let first = match oci.transparency_log {
                TransparencyRule::Required => Policy::pin_on_first_use(),
                TransparencyRule::Optional => Policy::pin_on_first_use_without_log(),
            };
            entries.push((Scope::everything(), first));
        }
    }
    if entries.is_empty() && oci.identity == IdentityRule::Required {
        let problem = "`identity = \"required\"` requires a signer; name one with `cert_email` or \
                       `cert_url` and `cert_issuer`, with `public_keys`, or in `[[oci.policy]]`";
        let problem = problem.to_owned();
        return Err(VerifyError::Policy { problem });
    }
    let mut policies = PolicySet::new(entries)?;
    if oci.certificate_log == Some(TransparencyRule::Required) {
        policies = policies.certificate_log_required();
    }
    match oci.identity {
        IdentityRule::Required => policies.identity_required(),
        IdentityRule::PinOnFirstUse => Ok(policies),
    }
}

/// Checks the texts of the policies that have a form of their own, so that errors name the key.
///
/// # Errors
///
/// The key, dotted, and the rule that its text breaks.
pub(crate) fn check_texts(oci: &OciConfig, folder: &Path) -> Result<(), (String, String)> {
    for (index, policy) in oci.policy.iter().enumerate() {
        let at = |field: String| {
            let key = format!("oci.policy[{index}].{field}");
            |error| (key, problem(error))
        };
        let scope = absolute_scope(&policy.scope, folder).parse::<Scope>();
        scope.map_err(at("scope".to_owned()))?;
        let signed_after = policy.signed_after.as_deref().map(time).transpose();
        signed_after.map_err(at("signed_after".to_owned()))?;
        for (place, entry) in policy.any_of.iter().enumerate() {
            let pattern = entry.identity_regex.as_deref();
            let pattern = pattern.map(Identity::regex).transpose();
            pattern.map_err(at(format!("any_of[{place}].identity_regex")))?;
        }
        for (place, entry) in policy.attestations.iter().enumerate() {
            attestation(entry).map_err(at(format!("attestations[{place}]")))?;
        }
    }
    Ok(())
}

/// Returns what an error about a policy says, which is about one key here.
fn problem(error: VerifyError) -> String {
    match error {
        VerifyError::Policy { problem } => problem,
        error => error.to_string(),
    }
}

/// Returns a warning for each policy that counts one key twice, because two of its files have it.
pub(crate) fn repeated_keys(oci: &OciConfig, folder: &Path) -> Result<Vec<String>, VerifyError> {
    let mut warnings = Vec::new();
    for policy in oci.policy.iter().filter(|policy| policy.require > 1) {
        let mut known: Vec<(SignerId, &Path)> = Vec::new();
        for path in policy.any_of.iter().filter_map(|one| one.key.as_deref()) {
            let Some(signer) = key(folder, path, oci.transparency_log)?.signer() else {
                continue;
            };
            match known.iter().find(|(one, _)| *one == signer) {
                None => known.push((signer, path)),
                Some((_, first)) => warnings.push(format!(
                    "policy `{}`: `{}` and `{}` hold the same key, which counts once of the {} that \
                     `require` demands",
                    policy.scope,
                    first.display(),
                    path.display(),
                    policy.require
                )),
            }
        }
    }
    Ok(warnings)
}

/// Reads the constraints in `[oci]` itself: one identity, all of which one signature must have, or
/// any of the keys.
fn flat(oci: &OciConfig, folder: &Path) -> Result<Policy, VerifyError> {
    let mut authorities = Vec::new();
    for path in oci.public_keys.as_slice() {
        authorities.push(key(folder, path, oci.transparency_log)?);
    }
    let claims = oci
        .github_workflow_repository
        .clone()
        .map(WorkflowClaims::repository);
    let identity = oci.cert_email.as_ref().or(oci.cert_url.as_ref());
    let rule = match (identity, &claims) {
        (Some(identity), _) => Some(Identity::exact(identity.clone())?),
        // The workflow's repository identifies the signer; any workflow in it is accepted.
        (None, Some(_)) => Some(Identity::any()),
        (None, None) => None,
    };
    if let Some(rule) = rule {
        let mut authority = match &oci.cert_issuer {
            Some(issuer) => Authority::certificate(issuer.clone(), rule)?,
            // With claims, the issuer is that of GitHub.
            None => Authority::identity_of_any_issuer(rule),
        };
        if let Some(claims) = claims {
            authority = authority.with_claims(claims)?;
        }
        authorities.push(with_log(authority, oci.transparency_log));
    }
    Policy::any_of(authorities, 1)
}

fn scoped(
    config: &PolicyConfig,
    log: TransparencyRule,
    folder: &Path,
) -> Result<Policy, VerifyError> {
    let signed_after = config.signed_after.as_deref().map(time).transpose()?;
    let mut authorities = Vec::new();
    for entry in &config.any_of {
        let mut authority = authority(entry, log, folder)?;
        for (name, value) in &config.annotations {
            authority = authority.with_annotation(name.clone(), value.clone());
        }
        if let Some(time) = signed_after {
            authority = authority.signed_after(time);
        }
        authorities.push(authority);
    }
    let mut policy = Policy::any_of(authorities, config.require)?;
    if config.signed_name == SignedNameRule::Match {
        policy = policy.with_matching_name();
    }
    for attestation in &config.attestations {
        policy = policy.with_attestation(self::attestation(attestation)?);
    }
    Ok(policy)
}

/// Reads one signer. `log` is the rule of `[oci]`.
fn authority(
    config: &AuthorityConfig,
    log: TransparencyRule,
    folder: &Path,
) -> Result<Authority, VerifyError> {
    let log = config.transparency_log.unwrap_or(log);
    if let Some(path) = &config.key {
        return key(folder, path, log);
    }
    let identity = match (&config.identity, &config.identity_regex) {
        (Some(identity), _) => Identity::exact(identity.clone()),
        (None, Some(pattern)) => Identity::regex(pattern),
        // `config/check.rs` requires the workflow's repository in this case.
        (None, None) => Ok(Identity::any()),
    };
    let identity = identity?;
    let mut claims = WorkflowClaims::default();
    claims.repository.clone_from(&config.github_repository);
    claims.git_ref.clone_from(&config.github_ref);
    claims.trigger.clone_from(&config.github_trigger);
    claims.name.clone_from(&config.github_workflow);
    claims.sha.clone_from(&config.github_sha);
    let authority = match &config.issuer {
        Some(issuer) => Authority::certificate(issuer.clone(), identity)?,
        // `config/check.rs` requires a claim in this case, and the issuer is that of GitHub then.
        None => Authority::identity_of_any_issuer(identity),
    };
    let authority = authority.with_claims(claims)?;
    Ok(with_log(authority, log))
}

fn with_log(authority: Authority, log: TransparencyRule) -> Authority {
    match log {
        TransparencyRule::Required => authority,
        TransparencyRule::Optional => authority.without_log(),
    }
}

fn key(folder: &Path, path: &Path, log: TransparencyRule) -> Result<Authority, VerifyError> {
    let text = path.to_string_lossy();
    if text.contains("://") || text.starts_with("pkcs11:") {
        let problem = "a URL or a key in a key management service is not supported; name a file";
        return Err(VerifyError::File {
            path: path.to_owned(),
            problem: problem.to_owned(),
            source: None,
        });
    }
    let (name, pem) = read(folder, path)?;
    let authority = Authority::key(name, &pem)?;
    Ok(with_log(authority, log))
}

fn attestation(config: &AttestationConfig) -> Result<AttestationDemand, VerifyError> {
    let mut demand = AttestationDemand::new(config.predicate_type.clone())?;
    if let Some(builder) = &config.builder {
        demand = demand.with_builder(builder.clone())?;
    }
    if let Some(source) = &config.source {
        demand = demand.with_source(source.clone())?;
    }
    if let Some(build_type) = &config.build_type {
        demand = demand.with_build_type(build_type.clone())?;
    }
    if let Some(workflow) = &config.workflow {
        demand = demand.with_workflow(workflow.clone())?;
    }
    for (pointer, expected) in &config.fields {
        demand = demand.with_field(pointer.clone(), expected.clone())?;
    }
    Ok(demand)
}

fn time(text: &str) -> Result<SystemTime, VerifyError> {
    // A time without an offset is in UTC.
    let time = text.parse::<Timestamp>();
    let time = time.or_else(|_| format!("{text}Z").parse());
    time.map(SystemTime::from).map_err(|_| {
        let problem =
            format!("`signed_after = \"{text}\"` is not a time such as 2026-01-31T12:00:00Z");
        VerifyError::Policy { problem }
    })
}

/// Reads a small file of keys or trust material. Its name appears in reports.
pub(crate) fn read(folder: &Path, path: &Path) -> Result<(String, Vec<u8>), VerifyError> {
    let whole = join(folder, path);
    let fail = |problem: &str, source: Option<std::io::Error>| VerifyError::File {
        path: whole.clone(),
        problem: problem.to_owned(),
        source: source.map(Into::into),
    };
    let mut content = Vec::new();
    qmt_storage::files::open_regular(&whole)
        .and_then(|mut file| file.read_to_end(&mut content))
        .map_err(|error| fail("the file can't be read", Some(error)))?;
    if content.iter().all(u8::is_ascii_whitespace) {
        return Err(fail("the file is empty", None));
    }
    let content = text::without_byte_order_mark(&content).to_vec();
    Ok((path.display().to_string(), content))
}

#[cfg(test)]
mod tests {
    use qmt_oci_ref::time::rfc3339;

    use super::*;

    /// All forms of RFC 3339: <https://www.rfc-editor.org/rfc/rfc3339#section-5.6>.
    #[test]
    fn a_time_may_have_an_offset() {
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31t12:00:00z",
            "2026-01-31T14:00:00+02:00",
            "2026-01-31T06:30:00-05:30",
            "2026-02-01T00:00:00.000+12:00",
            "2026-01-31T06:30:00.000-05:30",
            "2026-01-31T12:00:00-00:00",
            "2026-01-31 12:00:00",
        ] {
            let time = time(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(rfc3339(time), "2026-01-31T12:00:00Z", "{text}");
        }
        for text in [
            "2026-01-31",
            "2026-01-31T12:00:00+2:00",
            "2026-01-31T12:00:00+26:00",
            "2026-01-31T12:00:00.000+26:00",
            "2026-01-31T12:00:00+02:60",
            "2026-01-31T12:00:00Z+02:00",
            "2026-01-31T12:00:00++2:00",
            "2026-01-31T12:00:00Z-2:00",
            "1970-01-01T00:00:00+éé:00",
            "+02:00",
            "",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
