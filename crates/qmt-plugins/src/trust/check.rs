//! What can be said about the trust of a config before a plugin is loaded.

use std::path::Path;
use std::time::SystemTime;

use qmt_verify::SigstoreVerifier;
use qmt_verify::policy::PolicySet;
use qmt_verify::trust::TrustRoot;

use super::{pem_files, policies, signature_repository, trust_root, tuf_root, uses_tuf};
use crate::config::{ConfigError, OciConfig, PullPolicy};
use crate::error::Error;
use crate::host::PluginHost;
use crate::inspect::TrustSummary;
use crate::policy;
use crate::source::PluginSource;
use crate::target::Target;

/// Reports whether the images of the config are verified with a trust root. `None` if the config names
/// no image.
pub(crate) fn is_required(host: &PluginHost) -> Result<Option<bool>, Error> {
    let oci = &host.config().oci;
    if oci.insecure_skip_signature || host.verifier.is_some() {
        return Ok(Some(false));
    }
    let policies = policies(host)?;
    let mut is_required = None;
    for provider in &host.config().providers {
        let target = Target::named(host.config(), &provider.name)?;
        let source = target.located(host.file.folder());
        if !source.is_image() {
            continue;
        }
        if oci.has_own_trust() {
            return Ok(Some(true));
        }
        let reference = match &source {
            PluginSource::Registry(reference) => reference.clone(),
            layout => match host.connect(&target, layout) {
                Ok((_, reference)) => reference,
                // The check of the config reports why a layout can't be opened.
                Err(_) => continue,
            },
        };
        if policies.for_keys_alone(reference.repository()).is_none() {
            return Ok(Some(true));
        }
        is_required = Some(false);
    }
    Ok(is_required)
}

/// Describes the policies and the trust root that the config names. With `refresh` the TUF
/// repository is read now.
pub(crate) async fn summary(host: &PluginHost, refresh: bool) -> Result<TrustSummary, Error> {
    let oci = &host.config().oci;
    let policies = policies(host)?;
    let mut summary = TrustSummary {
        root: None,
        policies: policies.reports(),
        warnings: policies.warnings(),
    };
    if refresh || is_required(host)? != Some(false) {
        let is_named = oci.has_own_trust() || uses_tuf(oci, &policies);
        let root = trust_root(host, &policies, refresh, SystemTime::now()).await?;
        let verifier = SigstoreVerifier::new(root, policies).map_err(Error::Trust)?;
        summary.warnings = verifier.warnings();
        summary.root = is_named.then(|| verifier.summary().root);
    }
    summary.warnings.extend(skipped(oci));
    Ok(summary)
}

/// The warning of a config that switches verification off.
fn skipped(oci: &OciConfig) -> Vec<String> {
    let warning = "`insecure_skip_signature` is set: signatures are not verified";
    let is_set = oci.insecure_skip_signature;
    is_set.then(|| warning.to_owned()).into_iter().collect()
}

/// Checks the trust material that the config names on disk, without the network.
pub(crate) async fn check(host: &PluginHost) -> Result<Vec<String>, Error> {
    let oci = &host.config().oci;
    if oci.insecure_skip_signature {
        return Ok(skipped(oci));
    }
    let policies = policies(host)?;
    signature_repository(oci)?;
    let mut warnings = unordered(oci, &policies);
    warnings.extend(policy::repeated_keys(oci, host.file.folder()).map_err(Error::Trust)?);
    if uses_tuf(oci, &policies) {
        if let Some(root) = &oci.tuf_root {
            tuf_root(host.file.folder(), root).map_err(Error::Trust)?;
        }
        if oci.has_pem_trust() {
            TrustRoot::from_pem(&pem_files(&host.file)).map_err(Error::Trust)?;
        }
        warnings.extend(policies.warnings());
        return Ok(warnings);
    }
    let root = trust_root(host, &policies, false, SystemTime::now()).await?;
    // The material must be enough for the policies.
    let verifier = SigstoreVerifier::new(root, policies).map_err(Error::Trust)?;
    warnings.extend(verifier.warnings());
    Ok(warnings)
}

/// Returns a warning that names the plugins whose signer is pinned at the first load.
///
/// # Errors
///
/// [`Error::Config`] with the plugins that no policy covers: they are never accepted.
pub(crate) fn pinned_later(host: &PluginHost) -> Result<Option<String>, Error> {
    let oci = &host.config().oci;
    if oci.insecure_skip_signature {
        return Ok(None);
    }
    let policies = policies(host)?;
    let (mut pinned, mut problems) = (Vec::new(), Vec::new());
    for (index, provider) in host.config().providers.iter().enumerate() {
        let target = Target::named(host.config(), &provider.name)?;
        let source = target.located(host.file.folder());
        if !source.is_image() {
            continue;
        }
        let (_, reference) = host.connect(&target, &source)?;
        match policies.for_subject(reference.repository()) {
            Some((_, policy)) if policy.is_pin_on_first_use() => {
                let entry = host.lock_entry(&provider.name);
                if entry.is_none_or(|entry| entry.signer.is_none()) {
                    pinned.push(format!("`{}`", provider.name));
                }
            }
            Some(_) => {}
            None => {
                let rule = "no `[[oci.policy]]` covers this image, so no signature is accepted";
                problems.push((format!("providers[{index}].path"), rule.to_owned()));
            }
        }
    }
    if !problems.is_empty() {
        let path = host.file.path().to_owned();
        return Err(ConfigError::Unusable { path, problems }.into());
    }
    if pinned.is_empty() {
        return Ok(None);
    }
    let lock = host.lock();
    let folder = lock.path().parent().unwrap_or(Path::new(""));
    let problem = match qmt_storage::files::check_writable(folder) {
        Ok(()) => String::new(),
        Err(error) => format!(", which can't be written: {error}"),
    };
    Ok(Some(format!(
        "the config names no signer for {}: the signer of the first load is pinned in {}{problem}",
        pinned.join(", "),
        lock.path().display()
    )))
}

/// Warns about signatures without a time where tags are resolved again: whether a tag was rolled
/// back can't be decided then.
fn unordered(oci: &OciConfig, policies: &PolicySet) -> Vec<String> {
    if oci.pull_policy != PullPolicy::Always && oci.refresh_after.is_none() {
        return Vec::new();
    }
    let scopes = policies.scopes_without_times();
    let warnings = scopes.into_iter().map(|scope| {
        format!(
            "policy `{scope}`: a signature with a key proves no time without a transparency log, so \
             that a tag that moved is refused until `qmt-plugins update`"
        )
    });
    warnings.collect()
}
