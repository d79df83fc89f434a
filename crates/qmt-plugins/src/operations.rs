//! What a [`PluginHost`] does with the plugins of its config.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use qmt_loader::Plugin;
use qmt_verify::report::Report;

use crate::acquire::VersionPolicy;
use crate::artifact::PluginArtifact;
use crate::error::Error;
use crate::host::PluginHost;
use crate::stage::load::{self, ReadMode};
use crate::target::Target;
use crate::{pipeline, trust};

impl PluginHost {
    /// Resolves, verifies, fetches and loads the plugin called `name`.
    ///
    /// # Errors
    ///
    /// [`Error`], with the stage that failed. Only verified plugins are loaded, unless the config
    /// switches verification off.
    pub async fn load(&self, name: &str) -> Result<Arc<dyn Plugin>, Error> {
        self.load_target(&Target::named(self.config(), name)?).await
    }

    /// Resolves, verifies, fetches and loads the plugin that `target` names, which need not be in
    /// the config. A plugin outside the config gets no configuration and no rights.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub async fn load_target(&self, target: &Target) -> Result<Arc<dyn Plugin>, Error> {
        let acquired = self.acquire(target, VersionPolicy::Configured, ReadMode::Read);
        let PluginArtifact { kind, content, .. } = acquired.await?;
        let (provider, reporter) = (target.provider(), self.reporter(target));
        load::load(&self.loaders, provider, kind, content, &reporter).await
    }

    /// Loads all plugins of the config, several at a time, in the config's order.
    pub async fn load_all(&self) -> Vec<(String, Result<Arc<dyn Plugin>, Error>)> {
        let providers = self.config().providers.iter();
        let loads = providers
            .map(|provider| async { (provider.name.clone(), self.load(&provider.name).await) });
        let loads = stream::iter(loads).buffered(self.parallel());
        loads.collect().await
    }

    /// Resolves, verifies and fetches the plugin called `name`, for hosts that load it themselves.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub async fn fetch(&self, name: &str) -> Result<PluginArtifact, Error> {
        let target = Target::named(self.config(), name)?;
        self.fetch_target(&target).await
    }

    /// Resolves, verifies and fetches the plugin that `target` names, which need not be in the
    /// config.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub async fn fetch_target(&self, target: &Target) -> Result<PluginArtifact, Error> {
        self.acquire(target, VersionPolicy::Configured, ReadMode::Hash)
            .await
    }

    /// Fetches `targets`, several at a time. If one fails, the others are still fetched.
    pub async fn fetch_all<'a>(
        &self,
        targets: &'a [Target],
    ) -> Vec<(&'a Target, Result<PluginArtifact, Error>)> {
        let fetches = targets
            .iter()
            .map(|target| async move { (target, self.fetch_target(target).await) });
        let fetches = stream::iter(fetches).buffered(self.parallel());
        fetches.collect().await
    }

    /// Verifies the signature of what `target` names now, with signature material that is requested
    /// again, and reports what was verified.
    ///
    /// # Errors
    ///
    /// [`Error::NotVerified`], with every evidence item that was discovered, or the reason why
    /// signatures could not be discovered.
    pub async fn verify(&self, target: &Target) -> Result<Report, Error> {
        let (context, request) = self.prepare_verified(target).await?;
        let verification = pipeline::verify(&context, &request).await?;
        Ok(verification.report().clone())
    }

    /// Resolves the plugin called `name` again and writes the result to the lockfile. If the config
    /// names no signer, the new version must have the pinned one.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]. The old entry stays then.
    pub async fn update(&self, name: &str) -> Result<PluginArtifact, Error> {
        let target = Target::named(self.config(), name)?;
        self.acquire(&target, VersionPolicy::Newest, ReadMode::Hash)
            .await
    }

    /// Reads the config's policies, keys and trust material, as far as this requires no network.
    /// Returns warnings, one line each.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`], with the file that is missing, empty or malformed.
    pub async fn check_trust(&self) -> Result<Vec<String>, Error> {
        trust::check(self).await
    }

    /// Describes the trust root in use. With `refresh` the TUF repository is read now.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`].
    #[cfg(feature = "sigstore")]
    pub async fn trust_root(
        &self,
        refresh: bool,
    ) -> Result<qmt_verify::trust::TrustRootInfo, Error> {
        let root = trust::trust_root(self, refresh).await?;
        Ok(root.describe().clone())
    }

    /// Removes the lockfile's entries for plugins that are no longer in the config.
    ///
    /// # Errors
    ///
    /// [`Error::Lockfile`].
    pub fn tidy_lockfile(&self) -> Result<(), Error> {
        let providers = self.config().providers.iter();
        let names: Vec<&str> = providers.map(|provider| &*provider.name).collect();
        Ok(self.lock().retain(&names)?)
    }
}
