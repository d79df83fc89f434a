//! From the `[oci]` table to what `qmt-verify` trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
#[cfg(feature = "http")]
use qmt_oci_ref::RegistryErrorKind;
use qmt_oci_ref::{ReferenceError, Repository};
use qmt_verify::policy::PolicySet;
use qmt_verify::trust::{PemTrust, TrustRoot, TufOptions, TufTransport};
use qmt_verify::{SigstoreVerifier, VerifyError};

use crate::config::path::EMBEDDED;
use crate::config::{ConfigError, ConfigFile, OciConfig, OneOrMany, PullPolicy};
use crate::error::Error;
use crate::host::PluginHost;
use crate::inspect::TrustSummary;
use crate::policy;
use crate::source::PluginSource;
use crate::stage::Trust;
use crate::target::Target;

/// The age at which trust root, policies and keys are read again, for hosts that run for days. A TUF
/// repository is requested only if its last refresh is old by then.
const TRUST_MAX_AGE: Duration = Duration::from_hours(1);

/// What the plugins of a host are verified with.
pub(crate) struct SharedTrust {
    trust: Trust,
    read_at: SystemTime,
}

impl SharedTrust {
    fn is_old(&self, now: SystemTime) -> bool {
        let age = now.duration_since(self.read_at);
        // If the clock was set back by more than that, the age is not known.
        age.unwrap_or_else(|ahead| ahead.duration()) >= TRUST_MAX_AGE
    }
}

/// Returns how images of `repository` are verified as of `now`. Where its policy accepts keys without a log
/// alone, and the config names no trust material, no Sigstore instance is queried.
pub(crate) async fn of(
    host: &PluginHost,
    repository: &Repository,
    now: SystemTime,
) -> Result<Trust, Error> {
    let oci = &host.config().oci;
    if let Some(verifier) = &host.verifier {
        return Ok(Trust::Verify(Arc::clone(verifier)));
    }
    if !oci.insecure_skip_signature && !oci.has_own_trust() {
        let policies = policies(host)?;
        if let Some(alone) = policies.for_keys_alone(repository) {
            let root = TrustRoot::none().map_err(Error::Trust)?;
            return verify(oci, root, alone);
        }
    }
    let mut shared = host.trust.lock().await;
    if let Some(shared) = &*shared
        && !shared.is_old(now)
    {
        return Ok(shared.trust.clone());
    }
    let trust = if oci.insecure_skip_signature {
        Trust::Skip
    } else {
        let policies = policies(host)?;
        let root = trust_root(host, &policies, false, now).await?;
        verify(oci, root, policies)?
    };
    *shared = Some(SharedTrust {
        trust: trust.clone(),
        read_at: now,
    });
    Ok(trust)
}

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

fn verify(oci: &OciConfig, root: TrustRoot, policies: PolicySet) -> Result<Trust, Error> {
    let mut verifier = SigstoreVerifier::new(root, policies).map_err(Error::Trust)?;
    if let Some(repository) = signature_repository(oci)? {
        verifier = verifier
            .with_discovery(qmt_verify::DiscoveryOptions::default().with_repository(repository));
    }
    Ok(Trust::Verify(Arc::new(verifier)))
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

/// Reads the policies of the config.
fn policies(host: &PluginHost) -> Result<PolicySet, Error> {
    policy::policies(&host.config().oci, host.file.folder()).map_err(Error::Trust)
}

/// Reads or fetches the trust root that the config names, and no other. With `refresh` the TUF
/// repository is read now, and otherwise if its last refresh is old.
async fn trust_root(
    host: &PluginHost,
    policies: &PolicySet,
    refresh: bool,
    now: SystemTime,
) -> Result<TrustRoot, Error> {
    let oci = &host.config().oci;
    let root = match oci.trusted_root.as_deref() {
        Some(EMBEDDED) => TrustRoot::embedded(),
        Some(path) => TrustRoot::from_json_file(&host.file.folder().join(path)),
        None if uses_tuf(oci, policies) => {
            let cache_dir = host.cache.tuf_dir();
            let cache_dir = cache_dir.map_err(|source| Error::cache("trust", source))?;
            from_tuf(host, cache_dir, refresh, now).await
        }
        None if oci.has_pem_trust() => TrustRoot::from_pem(&pem_files(&host.file)),
        None => TrustRoot::none(),
    };
    root.map_err(Error::Trust)
}

async fn from_tuf(
    host: &PluginHost,
    cache_dir: PathBuf,
    refresh: bool,
    now: SystemTime,
) -> Result<TrustRoot, VerifyError> {
    let oci = &host.config().oci;
    let mut options = match (&oci.tuf_url, &oci.tuf_root) {
        (Some(url), Some(root)) => {
            TufOptions::new(url.clone(), tuf_root(host.file.folder(), root)?, cache_dir)
        }
        _ => TufOptions::public_good(cache_dir),
    };
    if refresh {
        options = options.with_refresh_after(Duration::ZERO);
    }
    let root = if host.offline_rule().is_some() {
        TrustRoot::from_tuf_cache(&options, now).await?
    } else {
        TrustRoot::from_tuf(&options, &HttpTuf { host }, now).await?
    };
    if oci.has_pem_trust() {
        // `use_sigstore_tuf_data = true` together with PEM files means both.
        return Ok(root.joined_with(TrustRoot::from_pem(&pem_files(&host.file))?));
    }
    Ok(root)
}

/// Reads the `root.json` of the TUF repository.
fn tuf_root(folder: &Path, path: &Path) -> Result<Vec<u8>, VerifyError> {
    let (name, root) = policy::read(folder, path)?;
    TufOptions::check_root(&name, &root)?;
    Ok(root)
}

/// Reports whether a TUF repository is part of the trust root.
fn uses_tuf(oci: &OciConfig, policies: &PolicySet) -> bool {
    if oci.trusted_root.is_some() {
        false
    } else if oci.has_pem_trust() {
        // Together with PEM files, TUF is used on request only.
        oci.use_sigstore_tuf_data == Some(true)
    } else {
        oci.tuf_url.is_some() || !(oci.trusts_keys_alone() || policies.trusts_keys_alone())
    }
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

/// Returns the repository that stores signatures, if it is not that of the image.
fn signature_repository(oci: &OciConfig) -> Result<Option<Repository>, Error> {
    let Some(text) = &oci.signature_repository else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|source: ReferenceError| {
        let problem = format!("`signature_repository`: {source}");
        Error::Trust(VerifyError::Policy { problem })
    })
}

fn pem_files(file: &ConfigFile) -> PemTrust {
    let oci = &file.config().oci;
    let all = |files: &OneOrMany<PathBuf>| -> Vec<PathBuf> {
        files
            .as_slice()
            .iter()
            .map(|path| file.folder().join(path))
            .collect()
    };
    let mut trust = PemTrust::default();
    trust.fulcio = all(&oci.fulcio_certs);
    trust.rekor = all(&oci.rekor_pub_keys);
    trust.ctfe = all(&oci.ctfe_keys);
    trust.tsa = all(&oci.tsa_certs);
    trust
}

/// Fetches TUF metadata with the HTTP client of the registries.
struct HttpTuf<'a> {
    host: &'a PluginHost,
}

#[async_trait]
impl TufTransport for HttpTuf<'_> {
    async fn get(
        &self,
        url: &str,
        limit: u64,
    ) -> Result<Option<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        #[cfg(feature = "http")]
        {
            match self.host.http_client()?.download(url, limit).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.is_not_found() => Ok(None),
                // Object stores refuse what they do not have: there is no newer root then. A
                // missing root weakens nothing, because all other metadata expires.
                Err(error)
                    if error.kind() == RegistryErrorKind::Unauthorized
                        && url.ends_with(".root.json") =>
                {
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            }
        }
        #[cfg(not(feature = "http"))]
        {
            let _ = (self.host, url, limit);
            Err("this program was built without HTTP (feature `http`)".into())
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests;
