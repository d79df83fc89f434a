//! Connects a host to registries and URLs. Whether the network may be used is decided here, once.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
#[cfg(any(feature = "http", feature = "layout"))]
use qmt_oci_ref::RegistryError;
use qmt_oci_ref::{Digest, Reference, Registry};
use qmt_registry::Offline;
#[cfg(feature = "http")]
use qmt_registry::{HttpRegistry, Mirrors};

use crate::caching::url_cache;
use crate::config::ByteSize;
use crate::error::Error;
use crate::host::PluginHost;
#[cfg(feature = "http")]
use crate::http_client;
use crate::local;
use crate::lockfile::LockMode;
use crate::source::PluginSource;
use crate::target::Target;

/// Largest plugin that is fetched from a URL, in bytes, unless the config says otherwise.
const URL_MAX_BYTES: u64 = 64 << 20;

impl PluginHost {
    /// Returns the rule that forbids to pull over the network, if there is one.
    pub(crate) fn offline_rule(&self) -> Option<&'static str> {
        self.network_rule().or(self.file.never_pulls())
    }

    /// Returns the rule that forbids the network for every purpose, if there is one.
    fn network_rule(&self) -> Option<&'static str> {
        match (self.mode, self.offline) {
            (LockMode::Frozen, _) => Some("`--frozen`"),
            (LockMode::Update | LockMode::Locked, true) => Some("`--offline`"),
            (LockMode::Update | LockMode::Locked, false) => None,
        }
    }

    /// Refuses an operation that requires the network if a rule forbids that.
    pub(crate) fn require_network(
        &self,
        target: impl Display,
        doing: &'static str,
    ) -> Result<(), Error> {
        self.network_rule().map_or(Ok(()), |rule| {
            Err(Error::NetworkForbidden {
                target: target.to_string(),
                doing,
                rule,
            })
        })
    }

    /// Returns the registry that has the image `source`, and the image's reference in it.
    pub(crate) fn connect(
        &self,
        target: &Target,
        source: &PluginSource,
    ) -> Result<(Arc<dyn Registry>, Reference), Error> {
        match source {
            PluginSource::Registry(reference) => {
                let registry: Arc<dyn Registry> = match (self.offline_rule(), &self.registry) {
                    (Some(rule), _) => Arc::new(Offline::new(rule)),
                    (None, Some(registry)) => Arc::clone(registry),
                    #[cfg(feature = "http")]
                    (None, None) => Arc::new(self.mirrors().map_err(|error| {
                        let doing = "setting up the connection to";
                        registry_error(target, doing, error)
                    })?),
                    #[cfg(not(feature = "http"))]
                    (None, None) => return Err(Error::unsupported(target.name(), Error::NO_HTTP)),
                };
                Ok((registry, reference.clone()))
            }
            #[cfg(feature = "layout")]
            PluginSource::Layout { path, tag, digest } => {
                let layout = qmt_registry::OciLayout::open(path);
                let layout = layout.map_err(|error| registry_error(target, "opening", error))?;
                let reference = layout.reference(tag.as_ref(), digest.as_ref());
                Ok((Arc::new(layout), reference))
            }
            #[cfg(not(feature = "layout"))]
            PluginSource::Layout { .. } => Err(Error::unsupported(target.name(), Error::NO_LAYOUT)),
            PluginSource::File(path) if let Err(source) = path.metadata() => Err(Error::File {
                plugin: target.name().to_owned(),
                path: path.clone(),
                source,
            }),
            PluginSource::File(path)
                if let Some(problem) = local::saved_image(target.provider(), path) =>
            {
                Err(Error::not_a_plugin(target.name(), path, problem))
            }
            PluginSource::File(_) | PluginSource::Url { .. } => Err(Error::Unsigned {
                plugin: target.name().to_owned(),
                what: source.unsigned().unwrap_or_default(),
            }),
        }
    }

    /// Returns a layout that is opened where it is read, if the digest of its image is known: a plugin
    /// that is locked and in the cache is loaded without its layout.
    pub(crate) fn unopened(
        &self,
        target: &Target,
        source: &PluginSource,
    ) -> Option<(Arc<dyn Registry>, Reference)> {
        #[cfg(not(feature = "layout"))]
        let _ = target;
        match source {
            #[cfg(feature = "layout")]
            PluginSource::Layout { path, tag, digest }
                if digest.is_some() || self.entry(target).is_some() =>
            {
                let layout = qmt_registry::OciLayout::open_when_read(path);
                let reference = layout.reference(tag.as_ref(), digest.as_ref());
                Some((Arc::new(layout), reference))
            }
            PluginSource::Registry(_)
            | PluginSource::Layout { .. }
            | PluginSource::File(_)
            | PluginSource::Url { .. } => None,
        }
    }

    /// Returns the content of `url`, from the cache if it is there.
    pub(crate) async fn download(
        &self,
        target: &Target,
        url: &str,
        sha256: &Digest,
    ) -> Result<Bytes, Error> {
        let cache_error = |source| Error::cache(target.name(), source);
        let max = self.config().oci.max_artifact_size;
        let limit = max.map_or(URL_MAX_BYTES, ByteSize::bytes);
        let cached = url_cache::read(&self.cache, sha256, limit).await;
        if let Some(bytes) = cached.map_err(cache_error)? {
            return Ok(bytes);
        }
        if let Some(rule) = self.offline_rule() {
            return Err(Error::Offline {
                plugin: target.name().to_owned(),
                reference: target.source().to_string(),
                missing: "the file",
                platform: None,
                rule,
            });
        }
        let bytes = self.http_download(target, url, limit, sha256).await?;
        let reference = target.source().to_string();
        let stored = url_cache::store(&self.cache, sha256, &bytes, reference).await;
        stored.map_err(cache_error)?;
        Ok(bytes)
    }
}

#[cfg(feature = "http")]
impl PluginHost {
    /// Returns the HTTP client. It is made at its first use.
    pub(crate) fn http_client(&self) -> Result<HttpRegistry, RegistryError> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        let client = http_client::build(&self.file, self.events.clone())?;
        Ok(self.http.get_or_init(|| client).clone())
    }

    fn mirrors(&self) -> Result<Mirrors, RegistryError> {
        if let Some(mirrors) = self.mirrors.get() {
            return Ok(mirrors.clone());
        }
        let mirrors = http_client::mirrors(self.http_client()?, &self.file)?;
        Ok(self.mirrors.get_or_init(|| mirrors).clone())
    }

    async fn http_download(
        &self,
        target: &Target,
        url: &str,
        limit: u64,
        sha256: &Digest,
    ) -> Result<Bytes, Error> {
        let error = |error| registry_error(target, "fetching", error);
        let client = self.http_client().map_err(error)?;
        let content = client.download_pinned(url, limit, sha256).await;
        content.map_err(error)
    }
}

#[cfg(not(feature = "http"))]
impl PluginHost {
    async fn http_download(
        &self,
        target: &Target,
        _: &str,
        _: u64,
        _: &Digest,
    ) -> Result<Bytes, Error> {
        Err(Error::unsupported(target.name(), Error::NO_HTTP))
    }
}

#[cfg(any(feature = "http", feature = "layout"))]
fn registry_error(target: &Target, doing: &'static str, source: RegistryError) -> Error {
    Error::registry(target.name(), target.source(), doing, source)
}
