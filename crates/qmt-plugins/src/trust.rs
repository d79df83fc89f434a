//! From the `[oci]` table to what `qmt-verify` trusts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{ReferenceError, Repository};
use qmt_verify::trust::{PemTrust, TrustRoot, TufOptions, TufTransport};
use qmt_verify::{SigstoreVerifier, VerifyError};

use crate::config::{ConfigFile, OciConfig, OneOrMany};
use crate::error::Error;
use crate::host::PluginHost;
use crate::policy;
use crate::stage::Trust;

/// The value of `trusted_root` for the built-in one.
const EMBEDDED: &str = "embedded";

/// Makes the verifier of the config's policies and trust root.
pub(crate) async fn build(host: &PluginHost) -> Result<Trust, Error> {
    let oci = &host.config().oci;
    if oci.insecure_skip_signature {
        return Ok(Trust::Skip);
    }
    let policies = policy::policies(oci, host.file.folder())?;
    let root = trust_root(host, false).await?;
    let mut verifier = SigstoreVerifier::new(root, policies).map_err(Error::Trust)?;
    if let Some(repository) = signature_repository(oci)? {
        verifier = verifier
            .with_discovery(qmt_verify::DiscoveryOptions::default().with_repository(repository));
    }
    Ok(Trust::Verify(Arc::new(verifier)))
}

/// Reads or fetches the trust root that the config names, and no other.
pub(crate) async fn trust_root(host: &PluginHost, refresh: bool) -> Result<TrustRoot, Error> {
    let oci = &host.config().oci;
    let folder = host.file.folder();
    match oci.trusted_root.as_deref() {
        Some(EMBEDDED) => return TrustRoot::embedded().map_err(Error::Trust),
        Some(path) => return TrustRoot::from_json_file(&folder.join(path)).map_err(Error::Trust),
        None => {}
    }
    if oci.has_pem_trust() && oci.use_sigstore_tuf_data != Some(true) {
        return TrustRoot::from_pem(&pem_files(&host.file)).map_err(Error::Trust);
    }
    if oci.tuf_url.is_none() && oci.use_sigstore_tuf_data == Some(false) {
        // Only keys are trusted; `config/check.rs` requires at least one.
        return TrustRoot::none().map_err(Error::Trust);
    }
    let cache_dir = host.cache.tuf_dir();
    let cache_dir = cache_dir.map_err(|source| Error::cache("trust", source))?;
    let options = match (&oci.tuf_url, &oci.tuf_root) {
        (Some(url), Some(root)) => {
            let (_, root) = policy::read(folder, root)?;
            TufOptions::new(url.clone(), root, cache_dir)
        }
        _ => TufOptions::public_good(cache_dir),
    };
    let options = if refresh {
        options.with_refresh_after(Duration::ZERO)
    } else {
        options
    };
    let now = SystemTime::now();
    let root = if host.offline_rule().is_some() {
        TrustRoot::from_tuf_cache(&options, now).await
    } else {
        TrustRoot::from_tuf(&options, &HttpTuf { host }, now).await
    };
    let root = root.map_err(Error::Trust)?;
    if oci.has_pem_trust() {
        // `use_sigstore_tuf_data = true` together with PEM files means both.
        let own = TrustRoot::from_pem(&pem_files(&host.file)).map_err(Error::Trust)?;
        return Ok(root.joined_with(own));
    }
    Ok(root)
}

/// Checks the trust material that the config names on disk, without the network.
pub(crate) async fn check(host: &PluginHost) -> Result<Vec<String>, Error> {
    let oci = &host.config().oci;
    if oci.insecure_skip_signature {
        let warning = "`insecure_skip_signature` is set: signatures are not verified";
        return Ok(vec![warning.to_owned()]);
    }
    let policies = policy::policies(oci, host.file.folder())?;
    let warnings = policies.warnings();
    signature_repository(oci)?;
    let uses_tuf = oci.trusted_root.is_none()
        && (!oci.has_pem_trust() || oci.use_sigstore_tuf_data == Some(true))
        && !oci.trusts_keys_alone();
    if uses_tuf {
        if let Some(root) = &oci.tuf_root {
            policy::read(host.file.folder(), root)?;
        }
        return Ok(warnings);
    }
    let root = trust_root(host, false).await?;
    // The material must be enough for the policies.
    SigstoreVerifier::new(root, policies).map_err(Error::Trust)?;
    Ok(warnings)
}

/// Returns the repository that stores signatures, if it is not that of the image.
fn signature_repository(oci: &OciConfig) -> Result<Option<Repository>, Error> {
    let Some(text) = &oci.signature_repository else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|source: ReferenceError| {
        let problem = format!("`signature_repository = \"{text}\"`: {source}");
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
