//! What a [`PluginHost`] does with the plugins of its config.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use qmt_loader::Plugin;
use qmt_verify::report::Report;

use crate::artifact::PluginArtifact;
use crate::error::Error;
use crate::events::{Reporter, Stage};
use crate::host::PluginHost;
use crate::lockfile::LockMode;
use crate::pipeline;
use crate::source::PluginSource;
use crate::stage::VersionPolicy;
use crate::stage::allow::check_unpinned;
use crate::stage::content::ReadMode;
use crate::stage::load;
use crate::target::Target;
#[cfg(feature = "sigstore")]
use crate::trust;

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
    /// the config. A plugin outside the config gets no configuration and no rights, but for those
    /// of [`Target::from_provider`] and of the host's own defaults.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]. Native code outside the config is refused if the config names no signer
    /// for it, unless [`Target::with_native_allowed`] allows it: nothing pins its signer.
    pub async fn load_target(&self, target: &Target) -> Result<Arc<dyn Plugin>, Error> {
        Ok(self.load_version(target).await?.plugin)
    }

    /// Loads what was acquired for `target`, unless nothing pins the signer of native code.
    pub(crate) async fn load_acquired(
        &self,
        target: &Target,
        acquired: PluginArtifact,
    ) -> Result<Arc<dyn Plugin>, Error> {
        check_unpinned(target, &acquired)?;
        let (options, reporter) = (self.load_options(target), self.reporter(target));
        let load = load::load(&self.loaders, acquired, options, &reporter);
        reporter.ended(Stage::Load, load.await)
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
    /// config. With [`Target::with_events`] this call has an event sink in addition to the host's.
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
        self.acquire_all(targets, VersionPolicy::Configured).await
    }

    /// As [`Self::fetch_all`], and a lockfile that cannot be written is an error of each plugin whose
    /// entry changes, not a warning.
    pub async fn lock_all<'a>(
        &self,
        targets: &'a [Target],
    ) -> Vec<(&'a Target, Result<PluginArtifact, Error>)> {
        self.acquire_all(targets, VersionPolicy::Recorded).await
    }

    async fn acquire_all<'a>(
        &self,
        targets: &'a [Target],
        version: VersionPolicy,
    ) -> Vec<(&'a Target, Result<PluginArtifact, Error>)> {
        let acquired = targets.iter().map(|target| async move {
            (target, self.acquire(target, version, ReadMode::Hash).await)
        });
        let acquired = stream::iter(acquired).buffered(self.parallel());
        acquired.collect().await
    }

    /// Verifies the signature of the version of `target` that is used, with signature material that
    /// is requested again, and reports what was verified. That version is the one of the lockfile
    /// if it has one; [`PluginHost::verify_versions`] verifies what the tag names now as well.
    ///
    /// # Errors
    ///
    /// [`Error::NotVerified`], with every evidence item that was discovered, or the reason why
    /// signatures could not be discovered. [`Error::Unsigned`] if `target` is a file.
    pub async fn verify(&self, target: &Target) -> Result<Report, Error> {
        let context = self.prepare_verified(target).await?;
        let verification = pipeline::verify(&context).await?;
        Ok(verification.report().clone())
    }

    /// Resolves the plugin called `name` again and writes the result to the lockfile. If the config
    /// names no signer, the new version must have the pinned one.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]. The old entry stays then.
    pub async fn update(&self, name: &str) -> Result<PluginArtifact, Error> {
        self.update_target(&Target::named(self.config(), name)?)
            .await
    }

    /// Resolves what `target` names again. For a plugin of the config, the result is written to the
    /// lockfile, as with [`Self::update`]; an image outside of it is fetched into the cache.
    ///
    /// # Errors
    ///
    /// As [`Self::update`], and [`Error::NetworkForbidden`] for an image in a registry if the
    /// network may not be used: nothing new could be found.
    pub async fn update_target(&self, target: &Target) -> Result<PluginArtifact, Error> {
        if let PluginSource::Registry(_) = target.source()
            && let Some(rule) = self.offline_rule()
        {
            return Err(Error::NetworkForbidden {
                target: target.name().to_owned(),
                doing: "updating it",
                rule,
            });
        }
        self.acquire(target, VersionPolicy::Newest, ReadMode::Hash)
            .await
    }

    /// Describes the trust root in use, the policies, and the risks of both and of the files that they
    /// are read from, one line each. With
    /// `refresh` the TUF repository is read now. Otherwise no trust root is read if all images of the
    /// config are verified without one.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`], and [`Error::Config`] if every user may write to such a file.
    #[cfg(feature = "sigstore")]
    pub async fn trust_summary(
        &self,
        refresh: bool,
    ) -> Result<crate::inspect::TrustSummary, Error> {
        let mut summary = trust::summary(self, refresh).await?;
        summary.warnings.extend(crate::check::writers(self)?);
        Ok(summary)
    }

    /// Returns warnings about the config file and the lockfile themselves, one line each, such as that
    /// other users may change them.
    pub fn file_warnings(&self) -> Vec<String> {
        let mut warnings = self.file.file_warnings().to_vec();
        warnings.extend(self.lock().warning().map(str::to_owned));
        warnings
    }

    /// Reports whether any plugin of the config is an image whose signature is verified with a trust
    /// root: not by keys without a log alone.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`] and [`Error::Config`], as from [`Self::check`].
    #[cfg(feature = "sigstore")]
    pub fn requires_trust_root(&self) -> Result<bool, Error> {
        Ok(trust::is_required(self)? == Some(true))
    }

    /// Removes the lockfile's entries for plugins that are not in the config, such as those that a
    /// [`Target`] describes, and returns their names.
    ///
    /// # Errors
    ///
    /// [`Error::Lockfile`], also if there are such entries and the [`LockMode`] forbids changes.
    pub async fn tidy_lockfile(&self) -> Result<Vec<String>, Error> {
        let providers = self.config().providers.iter();
        let names: Vec<String> = providers.map(|provider| provider.name.clone()).collect();
        self.lock().check_retain(&names, self.mode)?;
        if self.mode != LockMode::Update {
            return Ok(Vec::new());
        }
        let reporter = Reporter::new("all", self.events.clone());
        let change = self
            .lockfile
            .change(reporter, move |lockfile| lockfile.retain(&names));
        change.await
    }
}
