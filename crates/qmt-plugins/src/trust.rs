//! From the `[oci]` table to what `qmt-verify` trusts.

mod check;

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

pub(crate) use self::check::{check, is_required, pinned_later, summary};
use crate::config::path::{EMBEDDED, join};
use crate::config::{ConfigFile, OciConfig, OneOrMany};
use crate::error::Error;
use crate::host::PluginHost;
use crate::policy;
use crate::stage::Trust;

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

fn verify(oci: &OciConfig, root: TrustRoot, policies: PolicySet) -> Result<Trust, Error> {
    let mut verifier = SigstoreVerifier::new(root, policies).map_err(Error::Trust)?;
    if let Some(repository) = signature_repository(oci)? {
        verifier = verifier
            .with_discovery(qmt_verify::DiscoveryOptions::default().with_repository(repository));
    }
    Ok(Trust::Verify(Arc::new(verifier)))
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
        Some(path) => TrustRoot::from_json_file(&join(host.file.folder(), Path::new(path))),
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
            .map(|path| join(file.folder(), path))
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
