//! `PluginHost`: what a host program holds.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, stream};
use qmt_artifact::HostPlatform;
use qmt_cache::FsCache;
use qmt_loader::Plugin;
use qmt_registry::Registry;
use qmt_verify::Report;
use tokio::sync::OnceCell;

use crate::artifact::PluginArtifact;
use crate::builder::PluginHostBuilder;
use crate::config::{Config, ConfigFile};
use crate::error::Error;
use crate::events::{EventSink, Reporter};
use crate::loaders::Loaders;
use crate::lockfile::{LockEntry, LockMode, Lockfile};
use crate::obtain::{Need, Wanted};
use crate::stage::load;
use crate::stage::verify::Freshness;
use crate::stage::{Trust, resolve, verify};
use crate::target::Target;

/// How many plugins are worked on at the same time where the config says nothing.
const PARALLEL: usize = 4;

/// Loads the plugins of one config. Cheap to share: put it into an `Arc`.
pub struct PluginHost {
    pub(crate) file: ConfigFile,
    pub(crate) cache: FsCache,
    pub(crate) registry: Option<Arc<dyn Registry>>,
    #[cfg(feature = "http")]
    pub(crate) http: std::sync::OnceLock<qmt_registry::HttpRegistry>,
    /// Made at the first verification, because it may have to ask a TUF repository.
    pub(crate) trust: OnceCell<Trust>,
    pub(crate) loaders: Loaders,
    pub(crate) lockfile: Mutex<Lockfile>,
    pub(crate) mode: LockMode,
    pub(crate) offline: bool,
    pub(crate) platform: HostPlatform,
    pub(crate) events: Option<EventSink>,
}

impl PluginHost {
    /// Opens the config at `path`, its lockfile and the cache. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], [`Error::Lockfile`], or [`Error::Cache`] where the folder is not safe.
    pub fn from_config(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder(ConfigFile::read(path)?).build()
    }

    /// Starts a host for a config that was read already, with parts of its own.
    pub fn builder(file: ConfigFile) -> PluginHostBuilder {
        PluginHostBuilder::new(file)
    }

    /// Returns the config.
    pub fn config(&self) -> &Config {
        self.file.config()
    }

    /// Returns the cache.
    pub fn cache(&self) -> &FsCache {
        &self.cache
    }

    /// Returns the lockfile's entries, sorted by name.
    pub fn locked(&self) -> Vec<LockEntry> {
        self.lock().entries().cloned().collect()
    }

    /// Resolves, verifies, fetches and loads the plugin called `name`.
    ///
    /// # Errors
    ///
    /// [`Error`], with the stage that failed. Nothing is loaded that was not verified, unless the
    /// config says so.
    pub async fn load(&self, name: &str) -> Result<Arc<dyn Plugin>, Error> {
        let target = Target::named(self.config(), name)?;
        let fetched = self
            .obtain(&target, Wanted::AsConfigured, Need::Bytes)
            .await?;
        let reporter = self.reporter(&target);
        let code = fetched.content.into_code().await;
        let code = code.map_err(|source| Error::Cache {
            plugin: target.name().to_owned(),
            source,
        })?;
        load::load(
            &self.loaders,
            target.provider(),
            fetched.kind,
            code,
            &reporter,
        )
        .await
    }

    /// Loads all plugins of the config, several at a time, in the config's order.
    pub async fn load_all(&self) -> Vec<(String, Result<Arc<dyn Plugin>, Error>)> {
        let loads = self
            .config()
            .providers
            .iter()
            .map(|provider| async { (provider.name.clone(), self.load(&provider.name).await) });
        stream::iter(loads)
            .buffered(self.parallel())
            .collect()
            .await
    }

    /// Does all that [`Self::load`] does but load: for hosts that load by themselves.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub async fn fetch(&self, name: &str) -> Result<PluginArtifact, Error> {
        self.fetch_target(&Target::named(self.config(), name)?)
            .await
    }

    /// Fetches what `target` names, which need not be in the config.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub async fn fetch_target(&self, target: &Target) -> Result<PluginArtifact, Error> {
        let obtained = self
            .obtain(target, Wanted::AsConfigured, Need::Proof)
            .await?;
        Ok(obtained.into_artifact(target))
    }

    /// Fetches several, some at a time; one that fails does not stop the others.
    pub async fn fetch_all<'a>(
        &self,
        targets: &'a [Target],
    ) -> Vec<(&'a Target, Result<PluginArtifact, Error>)> {
        let fetches = targets
            .iter()
            .map(|target| async move { (target, self.fetch_target(target).await) });
        stream::iter(fetches)
            .buffered(self.parallel())
            .collect()
            .await
    }

    /// Judges the signature of what `target` names now, with signature material asked for anew, and
    /// reports what was proven.
    ///
    /// # Errors
    ///
    /// [`Error::NotVerified`] with every piece of evidence that was found, or why it could not be
    /// looked for.
    pub async fn verify(&self, target: &Target) -> Result<Report, Error> {
        let (context, request) = self.prepare_verified(target).await?;
        let pinned = resolve::resolve(&context, &request).await?;
        let verified =
            verify::verify(&context, &request, &pinned, Freshness::RegistryFirst).await?;
        Ok(verified.verification().report().clone())
    }

    /// Forgets what the lockfile holds of `name` and resolves it anew: tags may move, and where no
    /// signer is configured the new one must be the pinned one.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]. The old entry stays where it fails.
    pub async fn update(&self, name: &str) -> Result<PluginArtifact, Error> {
        let target = Target::named(self.config(), name)?;
        let obtained = self.obtain(&target, Wanted::Newest, Need::Proof).await?;
        Ok(obtained.into_artifact(&target))
    }

    /// Reads policies, keys and trust material of the config, as far as no network is needed.
    /// Returns what in them deserves a second look, a line each.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`], with the file that is missing, empty or malformed.
    pub async fn check_trust(&self) -> Result<Vec<String>, Error> {
        crate::trust::check(self).await
    }

    /// Says which trust root is in force. With `refresh` a TUF repository is asked for news now.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`].
    #[cfg(feature = "sigstore")]
    pub async fn trust_root(&self, refresh: bool) -> Result<qmt_verify::TrustRootInfo, Error> {
        let offline = self.offline_rule().is_some();
        Ok(crate::trust::trust_root(self, offline, refresh)
            .await?
            .describe()
            .clone())
    }

    /// Removes lockfile entries of plugins that the config does not name any more.
    ///
    /// # Errors
    ///
    /// [`Error::Lockfile`].
    pub fn tidy_lockfile(&self) -> Result<(), Error> {
        let names: Vec<&str> = self
            .config()
            .providers
            .iter()
            .map(|provider| provider.name.as_str())
            .collect();
        Ok(self.lock().retain(&names)?)
    }

    fn parallel(&self) -> usize {
        self.config().oci.parallel.unwrap_or(PARALLEL).max(1)
    }

    pub(crate) fn reporter(&self, target: &Target) -> Reporter {
        Reporter::new(target.name(), self.events.clone())
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Lockfile> {
        self.lockfile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost")
            .field("config", &self.file.path())
            .finish_non_exhaustive()
    }
}
